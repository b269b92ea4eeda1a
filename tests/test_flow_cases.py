"""Cases of pulsatile flow from files: our TOML, openBF's YAML, svZeroD's JSON; the command that runs them."""

import json
import sys
from pathlib import Path

from perfsim._results import InputError
from perfsim.cli.flow import flow_case
from perfsim.flow.pulsatile import Absorbing, Windkessel, discretize, solve_periodic
from perfsim.io.flow_case import FlowCase, LumpedCase
from perfsim.io.flow_files import read_flow

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

TOML = """
[flow]
period = 0.8
dx = "5 mm"
samples = 20
reference_pressure = "90 mmHg"

[[vessel]]
name = "LM"
start = "ostium"
end = "fork"
length = "10 mm"
radius = ["2.2 mm", "2 mm"]
young = "1 MPa"
thickness = "0.8 mm"

[[vessel]]
name = "LAD, proximal"
start = "fork"
end = "before"
length = "30 mm"
radius = "1.6 mm"
young = "1000 kPa"
thickness = "0.7 mm"

[[vessel]]
name = "LAD, distal"
start = "behind"
end = "LAD end"
length = "60 mm"
radius = ["1.6 mm", "1.3 mm", "1.0 mm"]
young = "1000 kPa"
thickness = "0.6 mm"

[[vessel]]
name = "LCx"
start = "fork"
end = "LCx end"
length = "60 mm"
radius = ["1.5 mm", "1.0 mm"]
young = "1000 kPa"
thickness = "0.6 mm"

[[stenosis]]
start = "before"
end = "behind"
radius = "1.6 mm"
throat = "0.7 mm"
length = "8 mm"

[[inlet]]
node = "ostium"
pressure = { mean = 12400, amplitude = [1800, 600], phase = [-0.6, 0.4] }

[[outlet]]
node = "LAD end"
kind = "coronary"
R_a = 1.5e9
R_am = 2.5e9
R_v = 0.6e9
C_a = 2e-11
C_im = 1.5e-10
P_im = { mean = 4000, amplitude = [4500, 1500], phase = [0.2, 0.9] }
pressure = "5 mmHg"

[[outlet]]
node = "LCx end"
kind = "windkessel"
R1 = 1.5e9
R2 = 4e9
C = 5e-11
"""


@pytest.fixture
def written(tmp_path):
    def write(text: str, name: str = "case.toml") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def solved(case: FlowCase):
    grid = discretize(case.arteries, case.dx, cfl=case.cfl, samples=case.samples, steps=case.steps)
    return solve_periodic(case.arteries, grid, tolerance=case.tolerance, max_cycles=case.max_cycles)


def test_toml_case_runs_and_writes_what_others_read(written, tmp_path, capsys):
    """Waveforms in NPZ and CSV agree, means obey the outlets, the picture is there, a second run needs --overwrite."""
    case, out = read_flow(written(TOML)), tmp_path / "out"
    flow_case(case, out, overwrite=False)
    said = capsys.readouterr().out
    assert "changes most" in said
    assert "LAD, distal" in said
    arrays = np.load(out / "waveforms.npz")
    assert arrays["pressure_Pa"].shape == (20, 3, 4)
    rows = (out / "waveforms.csv").read_text().splitlines()
    assert rows[0] == "time_s,vessel,place,pressure_Pa,flow_m3_per_s"
    assert len(rows) == 1 + 20 * 3 * 4
    assert float(rows[1].rsplit(",", 2)[1]) == pytest.approx(float(arrays["pressure_Pa"][0, 0, 0]), rel=1e-8)
    assert (out / "waveforms.png").stat().st_size > 10_000
    summary = json.loads((out / "summary.json").read_text())
    Q = summary["vessels"]["LAD, distal"]["mean_outflow_m3_per_s"]
    p = summary["nodes"]["LAD end"]["mean_pressure_Pa"]
    assert p == pytest.approx(5 * 133.322 + 4.6e9 * Q, rel=1e-5)
    drop = summary["nodes"]["before"]["mean_pressure_Pa"] - summary["nodes"]["behind"]["mean_pressure_Pa"]
    assert drop > 5 * 133.322
    with pytest.raises(InputError, match="--overwrite"):
        flow_case(case, out, overwrite=False)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ('radius = "1.6 mm"\nyoung', 'radius = "1.6"\nyoung', "has no unit"),
        ("period = 0.8", "periode = 0.8", "did you mean 'period'"),
        ('end = "before"', 'end = "befor"', "open end|no vessel"),
        ('kind = "windkessel"', 'kind = "windkesel"', "windkesel"),
        ("R1 = 1.5e9\n", "", "needs R1"),
        ("R1 = 1.5e9\n", "R1 = 1.5e9\nR_a = 2e9\n", "has no R_a"),
        ("R2 = 4e9", "R2 = -4e9", "R2"),
        ('node = "LCx end"', 'node = "LCX end"', "'LCX end' is no vessel's start or end"),
        ("phase = [-0.6, 0.4]", "phase = [-0.6]", "one of each per harmonic"),
        ("pressure = { mean", 'flow = "in.csv"\npressure = { mean', "either flow or pressure"),
        ('name = "LCx"', 'name = "LM"', "'LM' is there 2 times"),
        ('throat = "0.7 mm"', 'throat = "0.7 m"', "not between"),
        ("[flow]", "[flow", "not valid TOML"),
    ],
)
def test_faults_are_named(written, old, new, words):
    """Thirteen broken cases: each error names the file and what is wrong."""
    assert old in TOML
    with pytest.raises(InputError, match=words) as error:
        read_flow(written(TOML.replace(old, new, 1)))
    assert "case.toml" in str(error.value)


def test_waveform_files(written, tmp_path):
    """A file of two columns is one period; another length is refused, and so is text."""
    text = TOML.replace("pressure = { mean = 12400, amplitude = [1800, 600], phase = [-0.6, 0.4] }", 'flow = "in.csv"')
    t = np.linspace(0, 0.8, 41)
    rows = "time,flow\n" + "\n".join(f"{a},{4e-6 + 1e-6 * np.sin(2 * np.pi * a / 0.8)}" for a in t)
    written(rows, "in.csv")
    case = read_flow(written(text))
    assert float(case.arteries.flow_inlets.waveform(0.2)[0]) == pytest.approx(5e-6, rel=1e-6)
    written(rows.replace("0.8,", "0.9,"), "in.csv")
    with pytest.raises(InputError, match=r"spans 0\.9 s"):
        read_flow(written(text))
    written(rows + "\nnow,1", "in.csv")
    with pytest.raises(InputError, match="line 43"):
        read_flow(written(text))
    with pytest.raises(InputError, match="none of"):
        read_flow(tmp_path / "case.xyz")
    with pytest.raises(InputError, match="no such file"):
        read_flow(tmp_path / "absent.toml")


OPENBF = """
project_name: small
blood: {rho: 1060.0, mu: 4.0e-3}
solver: {Ccfl: 0.9, cycles: 20, jump: 50, convergence_tolerance: 5.0}
network:
  - {label: aorta, sn: 1, tn: 2, L: 0.1, E: 4.0e5, M: 150, Rp: 0.01, Rd: 0.009, h0: 1.0e-3, gamma_profile: 9, Pext: 1.0e4}
  - {label: left, sn: 2, tn: 3, L: 0.1, E: 7.0e5, R0: 0.006, outlet: wk3, R1: 7.0e7, R2: 3.0e9, Cc: 4.0e-10}
  - {label: right, sn: 2, tn: 4, L: 0.1, E: 7.0e5, R0: 0.006, Rt: 0.0}
"""


def test_openbf_networks(written, tmp_path):
    """Tapers, wall rule, outlets, solver settings; keys and values that have no meaning are refused by name."""
    t = np.linspace(0, 1, 51)
    np.savetxt(tmp_path / "small_inlet.dat", np.stack([t, 1e-5 * np.sin(np.pi * t) ** 2], axis=1))
    case = read_flow(written(OPENBF, "small.yaml"))
    a = case.arteries
    np.testing.assert_allclose(a.radius[:, [0, -1]], [[0.01, 0.009], [0.006, 0.006], [0.006, 0.006]])
    np.testing.assert_array_equal(discretize(a, case.dx).cells, [150, 100, 100])
    np.testing.assert_allclose(a.external_pressure, [1e4, 0.0, 0.0])
    rule = 0.006 * (0.2802 * np.exp(-505.3 * 0.006) + 0.1324 * np.exp(-11.14 * 0.006))
    np.testing.assert_allclose(a.elasticity[1], 7e5 * rule)
    np.testing.assert_allclose(a.elasticity[0], 4e5 * 1e-3)
    np.testing.assert_allclose(a.momentum_factor, 1.0)
    np.testing.assert_allclose(a.profile, [9.0, 2.0, 2.0])
    viscous = read_flow(
        written(OPENBF.replace("label: left,", "label: left, visco-elastic: true,"), "small.yaml")
    ).arteries
    np.testing.assert_allclose(viscous.viscous[:, 0], [0.0, 0.6 + 0.00075 / 0.006, 0.0])
    assert {type(o) for o in a.outlets} == {Absorbing, Windkessel}
    assert (case.samples, case.max_cycles) == (50, 20)
    for old, new, words in (
        ("Rt: 0.0", "Rt: 1.5", "right: Rt is 1.5"),
        ("label: left,", "label: left, colour: red,", "left: unknown key 'colour'"),
        ("R0: 0.006, outlet: wk3, R1", "R1", "left: Rp is missing"),
        ("outlet: wk3", "outlet: wk4", "left: outlet is 'wk4'"),
        ("mu: 4.0e-3", "nu: 4.0e-3", "blood: unknown key 'nu'"),
        ("E: 4.0e5", "E: soft", "aorta: E is 'soft'"),
    ):
        with pytest.raises(InputError, match=words):
            read_flow(written(OPENBF.replace(old, new, 1), "small.yaml"))


def test_openbf_bifurcation_runs(data):
    """The published bifurcation from openBF's own file: flow halves, and the whole waves lie on the published tables.

    Its radii are those at no pressure, where the tables' are those at 9467 Pa: pressures differ by 1.4 % rms.
    """
    import pulse_waves

    case = read_flow(data / "flow1d" / "boileau_ibif" / "ibif.yaml")
    cycle = solved(case)
    volume = np.asarray(cycle.volume)
    assert volume[4] == pytest.approx(0.5 * volume[0], rel=1e-6)
    for location, error in pulse_waves.compare(data / "flow1d", "bifurcation", cycle).items():
        assert error["p_rms_percent"] <= 1.5 and error["q_rms_percent"] <= 1.5, location


ZERO_D_FILE = {
    "boundary_conditions": [
        {"bc_name": "IN", "bc_type": "FLOW", "bc_values": {"Q": [1.0, 2.0, 1.0], "t": [0.0, 0.5, 1.0]}},
        {"bc_name": "OUT", "bc_type": "RCR", "bc_values": {"C": 0.001, "Pd": 0.0, "Rd": 900.0, "Rp": 100.0}},
    ],
    "simulation_parameters": {"number_of_cardiac_cycles": 5},
    "vessels": [{
        "boundary_conditions": {"inlet": "IN", "outlet": "OUT"}, "vessel_id": 0, "vessel_length": 10.0,
        "vessel_name": "v", "zero_d_element_type": "BloodVessel", "zero_d_element_values": {"R_poiseuille": 100.0},
    }],
}  # fmt: skip


@pytest.mark.parametrize("name", ["case.toml", "small.yaml", "zero.json"])
def test_damaged_files(written, tmp_path, name, examples):
    """Damaged copies of a sound file: each is refused with a message that names the file, or read as it is: names,
    lengths and ends of the vessels are those that another reader of the same text finds.
    """
    from hypothesis import given
    from test_readers import damage, mutate

    t = np.linspace(0, 1, 51)
    np.savetxt(tmp_path / "small_inlet.dat", np.stack([t, 1e-5 * np.sin(np.pi * t) ** 2], axis=1))
    text = {"case.toml": TOML, "small.yaml": OPENBF, "zero.json": json.dumps(ZERO_D_FILE)}[name]
    read_flow(written(text, name))

    @examples
    @given(damage)
    def attempt(steps):
        path = written(mutate(text, steps), f"broken-{name}")
        try:
            case = read_flow(path)
        except InputError as error:
            assert "broken" in str(error) or "inlet.dat" in str(error)
        else:
            assert_read_as_it_is(path, case)

    attempt()


def assert_read_as_it_is(path: Path, case: FlowCase | LumpedCase) -> None:
    """Vessels by name, their lengths and nodes, by the library of each format alone."""
    import tomllib

    from perfsim.units import parse

    import yaml

    text = path.read_text(encoding="utf-8")
    if isinstance(case, LumpedCase):
        said = json.loads(text)["vessels"]
        assert case.network.names == tuple(str(v["vessel_name"]) for v in said)
        R = np.concatenate([v.R for v in case.network.vessels])[np.asarray(case.network.wanted)]
        wanted = [float(v["zero_d_element_values"].get("R_poiseuille", 0.0)) for v in said]
        np.testing.assert_allclose(R, wanted, rtol=1e-12)
        return
    a = case.arteries
    ends = np.array(case.node_names)[np.stack([np.asarray(a.tail), np.asarray(a.head)])]
    if path.suffix == ".toml":
        said = tomllib.loads(text)["vessel"]
        length, keys = [parse(v["length"], "length") for v in said], ("name", "start", "end")
    else:
        said = yaml.safe_load(text)["network"]
        length, keys = [float(v["L"]) for v in said], ("label", "sn", "tn")
    assert a.names == tuple(str(v.get(keys[0], f"vessel {k + 1}")) for k, v in enumerate(said))
    np.testing.assert_allclose(a.length, length, rtol=1e-12)
    assert ends.T.tolist() == [[str(v[keys[1]]), str(v[keys[2]])] for v in said]
    for leaf in (a.radius, a.elasticity, a.period, a.density):
        assert (np.asarray(leaf) > 0).all() and np.isfinite(np.asarray(leaf)).all()


def test_inspect_says_what_networks_are(written, capsys):
    """One line each, and no advice for another kind of case."""
    from perfsim.cli.inspect import inspect_files

    inspect_files([written(TOML), written(OPENBF, "small.yaml")])
    said = capsys.readouterr().out
    assert "4 vessels, 1 inlet(s), 2 outlets (coronary, windkessel), 1 stenoses" in said
    assert "openBF network 'small' for perfsim flow: 3 vessels" in said
