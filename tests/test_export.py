"""Models for other programs: what is written reads back equal, and the other program finds what perfsim means."""

import json
from pathlib import Path

from perfsim._results import InputError
from perfsim.cli.export import export_model
from perfsim.flow.pulsatile import Sampled
from perfsim.io import read_one_dimensional, read_svzerod, read_tree
from perfsim.io.flow_files import read_flow
from perfsim.io.tree_case import tree_case
from perfsim.io.write_svzerod import svzerod_case
from perfsim.units import ML_MIN, MMHG

import jax.numpy as jnp
import numpy as np
import pytest

CASES = Path(__file__).parent / "cases"
TREE = CASES / "tree_ok.swc"


def export(source, target, **options):
    given = {"flow": None, "pressure": "93 mmHg", "period": 0.8, "periodic": False, "overwrite": False}
    export_model(Path(source), Path(target), **(given | options))
    return target


def leaves(arteries):
    """What a network's flow depends on, as arrays."""
    fields = ("length", "radius", "elasticity", "external_pressure", "profile", "momentum_factor", "viscosity", "density",
              "period", "tail", "head", "total")  # fmt: skip
    found = {f: np.asarray(getattr(arteries, f)) for f in fields}
    for group in arteries.outlets:
        found |= {f"{type(group).__name__}.{k}": np.asarray(v) for k, v in vars(group).items()}
    wave = arteries.flow_inlets.waveform
    assert isinstance(wave, Sampled)
    return found | {"times": np.asarray(wave.times), "inflow": np.asarray(wave.values)}


OPENBF = """
project_name: small
inlet_file: in.dat
blood: {rho: 1060.0, mu: 4.0e-3}
solver: {Ccfl: 0.8, cycles: 20, jump: 50, use_total_pressure: false}
network:
  - {label: aorta, sn: 1, tn: 2, L: 0.1, E: 4.0e5, Rp: 0.01, Rd: 0.009, h0: 1.0e-3, gamma_profile: 9, Pext: 1.0e4}
  - {label: left, sn: 2, tn: 3, L: 0.1, E: 7.0e5, R0: 0.006, h0: 6.0e-4, R1: 7.0e7, R2: 3.0e9, Cc: 4.0e-10}
  - {label: right, sn: 2, tn: 4, L: 0.1, E: 7.0e5, R0: 0.006, h0: 6.0e-4, Rt: 0.3}
"""


def test_openbf_reads_back_equal(tmp_path):
    """A network with a taper, a windkessel and a reflecting end: every number of it."""
    (tmp_path / "a.yaml").write_text(OPENBF)
    (tmp_path / "in.dat").write_text("0.0 5e-6\n0.3 9e-6\n0.8 5e-6\n")
    before = leaves(read_flow(tmp_path / "a.yaml").arteries)
    after = leaves(read_flow(export(tmp_path / "a.yaml", tmp_path / "b.yaml")).arteries)
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-12, err_msg=name)


def test_a_tree_for_openbf_reads_back_equal(tmp_path):
    """Written again from what was read, the file is the same."""
    first = export(TREE, tmp_path / "a.yaml", flow="120 mL/min")
    again = export(first, tmp_path / "b.yaml")
    np.testing.assert_allclose(*(leaves(read_flow(f).arteries)["elasticity"] for f in (first, again)), rtol=1e-12)
    a = read_flow(first).arteries
    np.testing.assert_allclose(sorted(np.asarray(a.length)), sorted([0.01, 0.08, 0.0588643]), rtol=1e-4)
    np.testing.assert_allclose(sum(93 * MMHG / np.asarray(a.outlets[0].total()[0])), 120 * ML_MIN, rtol=1e-9)


def test_svoned_reads_back_equal(tmp_path):
    """Positions, lumens, branches, and the flow that its resistances drain at the mean pressure."""
    lines, _ = read_tree(TREE)
    model = read_one_dimensional(export(TREE, tmp_path / "a.in", flow="120 mL/min"))
    for field in ("position", "lumen", "tail", "head", "outlets", "inlets"):
        np.testing.assert_allclose(getattr(model.lines, field), getattr(lines, field), atol=1e-9)
    assert model.lines.branch_names == lines.branch_names and model.material.reference_pressure == pytest.approx(
        930 * MMHG, rel=1e-9
    )
    R = np.array([t[0, 1] * 1e5 for t in model.outlet_tables.values()])
    assert np.sum(93 * MMHG / R) == pytest.approx(120 * ML_MIN, rel=1e-9)
    np.testing.assert_allclose(model.radius_at(93 * MMHG), lines.lumen, rtol=1e-9)


def test_svzerod_reads_back_equal(tmp_path):
    """Poiseuille's resistance of a taper, 8μ/π ∫dx/r⁴, of every stretch (129 knots of it);
    outlets and waveforms as they were."""
    lines, _ = read_tree(TREE)
    case = tree_case(lines, "t", flow=120 * ML_MIN, pressure=93 * MMHG)
    path = export(TREE, tmp_path / "a.json", flow="120 mL/min")
    found = read_flow(path)
    assert found.units.name == "cgs" and "as its description says" in found.notes[0]
    a = lines.lumen
    each = 8 * 4e-3 / np.pi * lines.length * (a[:, 0] ** -3.0 - a[:, 1] ** -3.0) / (3 * (a[:, 1] - a[:, 0]))
    said = {v["vessel_name"]: v["zero_d_element_values"] for v in json.loads(path.read_text())["vessels"]}
    for k, name in enumerate(lines.branch_names):
        assert 1e5 * said[name]["R_poiseuille"] == pytest.approx(each[lines.branch == k].sum(), rel=1e-3)
    (outlet,), (inlet, there) = case.arteries.outlets, found.network.ends
    fields = (("R_a", "Ra", 1e5), ("R_am", "Ram", 1e5), ("R_v", "Rv", 1e5), ("C_a", "Ca", 1e-5), ("C_im", "Cim", 1e-5))
    for field, name, scale in fields:
        np.testing.assert_allclose(np.asarray(getattr(there, name)) * scale, getattr(outlet, field), rtol=1e-9)
    t = jnp.asarray(0.3)
    np.testing.assert_allclose(0.1 * there.given(t)[0], outlet.P_v, rtol=1e-9)
    np.testing.assert_allclose(0.1 * inlet.given(t)[0], case.arteries.pressure_inlets.waveform(t), rtol=1e-3)


def test_svzerod_finds_the_flow_that_was_asked_for(tmp_path):
    """Its mean flows are those of the resistances from the mean aortic pressure to the beds' back pressures, to 0.2 %."""
    svzerod = pytest.importorskip("svzerod", reason="needs svzerod to compare with: pip install svzerod")
    config = json.loads(export(TREE, tmp_path / "a.json", flow="120 mL/min").read_text())
    conditions = {c["bc_name"]: c["bc_values"] for c in config["boundary_conditions"]}
    table = svzerod.simulate(config)
    at = {v["vessel_name"]: v for v in config["vessels"]}
    R0, R1, R2 = (at[n]["zero_d_element_values"]["R_poiseuille"] for n in ("b0", "b1", "b2"))
    ends = [conditions[at[n]["boundary_conditions"]["outlet"]] for n in ("b1", "b2")]
    way = [R + sum(c[k] for k in ("Ra1", "Ra2", "Rv1")) for R, c in zip((R1, R2), ends, strict=True)]
    Pv, aorta = ends[0]["P_v"], conditions["inlet 0 pressure"]
    P = np.trapezoid(aorta["P"], aorta["t"]) / aorta["t"][-1]
    fork = (P / R0 + sum(Pv / w for w in way)) / (1 / R0 + sum(1 / w for w in way))
    for name, w in zip(("b1", "b2"), way, strict=True):
        own = table[table.name == name]
        mean = np.trapezoid(own.flow_out, own.time) / (own.time.max() - own.time.min())
        assert mean == pytest.approx((fork - Pv) / w, rel=2e-3)


def test_an_outlet_beside_a_vessel_that_goes_on(tmp_path):
    """It gets a vessel of its own with a tenth of its resistance, and the sum is what it was."""
    text = """
[flow]
period = 0.8
[[vessel]]
name = "a"
start = "in"
end = "x"
length = "20 mm"
radius = "2 mm"
young = "1 MPa"
thickness = "0.5 mm"
[[vessel]]
name = "b"
start = "x"
end = "out"
length = "20 mm"
radius = "1 mm"
young = "1 MPa"
thickness = "0.5 mm"
[[inlet]]
node = "in"
flow = { mean = 3e-6, amplitude = [1e-6], phase = [0.0] }
[[outlet]]
node = "out"
kind = "resistance"
R = 5e9
[[outlet]]
node = "x"
kind = "resistance"
R = 5e9
"""
    (tmp_path / "n.toml").write_text(text)
    model = read_svzerod(export(tmp_path / "n.toml", tmp_path / "n.json"))
    _, flow = model.solve()
    assert sum(flow.values()) * model.units.flow == pytest.approx(3e-6, rel=1e-9)
    Rb = 8 * 4e-3 / np.pi * 0.02 / 1e-3**4
    ratio = flow["b"] / next(q for n, q in flow.items() if n != "b")
    assert ratio == pytest.approx(5e9 / (5e9 + Rb), rel=1e-6)


def test_the_state_to_start_from():
    """Of a periodic cycle: flows and pressures at both ends of each vessel, by the solver's names, with their rates."""
    import types

    lines, _ = read_tree(TREE)
    case = tree_case(lines, "t", flow=120 * ML_MIN, pressure=93 * MMHG)
    t = np.arange(100) * 0.008
    wave = np.sin(2 * np.pi * t / 0.8)
    flow = 1e-6 * np.broadcast_to((2.0 + wave)[:, None, None], (100, 3, 3))
    cycle = types.SimpleNamespace(
        time=t, flow=flow, node_pressure=1e4 * np.broadcast_to((1.2 + wave)[:, None], (100, 4))
    )
    found = svzerod_case(case, cycle)
    state, rate = found["initial_condition"], found["initial_condition_d"]
    assert state["flow:J1:b1"] == pytest.approx(2.0) and state["pressure:b2:outlet 1"] == pytest.approx(1.2e5)
    assert rate["flow:inlet 0 pressure:b0"] == pytest.approx(2 * np.pi / 0.8, rel=1e-2)
    assert state["volume_im:outlet 0"] == 0.0 and found["simulation_parameters"]["steady_initial"] is False


@pytest.mark.parametrize(
    ("source", "target", "options", "words"),
    [
        (TREE, "a.json", {}, "give the mean flow into it"),
        (TREE, "a.xyz", {"flow": "1 mL/min"}, "models are written as"),
        (TREE, "a.json", {"flow": "1 mL/min", "pressure": "2 mmHg"}, "does not exceed the back pressure"),
        (CASES / "zerod_cgs.json", "a.json", {}, "lumped elements has no vessels"),
        (CASES / "zerod_cgs.json", "a.in", {}, "needs coordinates"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, source, target, options, words):
    with pytest.raises(InputError, match=words):
        export(source, tmp_path / target, **options)


def test_an_existing_model_is_kept(tmp_path):
    (tmp_path / "a.json").write_text("mine")
    with pytest.raises(InputError, match="--overwrite"):
        export(TREE, tmp_path / "a.json", flow="120 mL/min")
    assert (tmp_path / "a.json").read_text() == "mine"


def test_export_at_the_command_line(tmp_path):
    """Notes and what was written are said; a network that closes on itself is exit 3 with one sentence."""
    import command

    done = command.perfsim("export", TREE, "model.json", "--flow", "120 mL/min", cwd=tmp_path)
    assert done.returncode == 0 and "wrote model.json for svZeroDSolver: 3 branches, 2 outlets" in done.stdout
    assert json.loads((tmp_path / "model.json").read_text())["description"]["units"].startswith("cgs")
    seen = command.perfsim("inspect", "model.json", cwd=tmp_path)
    assert seen.returncode == 0 and "svZeroD network for perfsim flow: 3 vessels" in seen.stdout
    failed = command.perfsim("export", TREE, "model.json", "--flow", "120 mL/min", cwd=tmp_path)
    assert failed.returncode == 3 and "--overwrite" in failed.stderr
