"""The examples run, and say what they should."""

import sys
from pathlib import Path

from perfsim.coupling import check, simulate
from perfsim.io import read_one_dimensional, read_swc
from perfsim.network import VesselNetwork
from perfsim.observe import ffr, mean_mbf
from perfsim.units import MMHG

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))


@pytest.mark.slow
def test_real_heart(data, tmp_path):
    """A real wall and a real left tree: everything is fed, balanced, and off the septum's right side."""
    import json

    from perfsim.cli.run import run_case

    import real_heart

    heart = real_heart.real_heart(data, terminals=1000, spacing="3 mm")
    sim = heart.sim
    assert float(sim.volumes.volume.sum()) * 1e6 == pytest.approx(132, rel=0.03)  # mL, from the surfaces
    assert {"LM", "LAD", "LCx", "RCA", "PDA"} <= set(sim.network.branch_names)
    assert real_heart.septal_clearance(heart) > 8e-3
    assert any("not of one person" in w for w in heart.warnings)
    solution = check(simulate(sim))
    for state in solution.states.values():
        assert float(state.mass_defect) <= 1e-10
        assert np.asarray(state.mbf).min() > 0
    assert float(mean_mbf(sim, solution.rest)) == pytest.approx(0.9, rel=0.01)
    assert 2.5 < float(mean_mbf(sim, solution.hyperemia)) < 5.5
    run_case(real_heart.case(data, 300, "4 mm"), tmp_path / "out", quiet=True)
    assert (tmp_path / "out" / "report.html").stat().st_size > 1e6
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(summary["states"]["rest"]["mbf_mL_min_g"]) == {"global", "LAD", "LCx", "RCA"}
    again = real_heart.io.read_case(tmp_path / "out" / "case.toml")
    assert again.vessels.missing == ["RCA"] and again.anatomy.epicardium.is_file()


def test_branches_are_named_by_geometry(data, tmp_path):
    """On a heart that is not theirs, LAD and LCx of both wire patients get the names that their files give them."""
    import json

    from perfsim.anatomy import EllipsoidWall, label_left_tree

    for name in ("P1", "P10"):
        folder = data / "coronary" / "pressure_wire"
        network, sure = label_left_tree(VesselNetwork.of(read_swc(folder / f"{name}.swc")), EllipsoidWall())
        assert sure.swapped_misfit > 1.5 * sure.misfit
        vessel = np.array(json.loads((folder / f"{name}_tree.json").read_text())["vessel"])
        at = np.array(json.loads((folder / f"{name}_tree.json").read_text())["xyz"]) * 1e-2
        from scipy.spatial import cKDTree

        found = np.asarray(network.position)[np.asarray(network.head)]
        theirs = np.char.upper(vessel[cKDTree(at).query(found)[1]])
        ours = np.array(network.branch_names)[np.asarray(network.branch)]
        for main, other in (("LAD", "LCX"), ("LCx", "LAD")):
            assert not np.any((ours == main) & (theirs == other)) or np.mean(theirs[ours == main] == other) < 0.15


def test_patient_ffr(data):
    """P10 without a wall: FFR falls along every branch, and the tightest one is functionally significant.

    The pressure wire read 0.636 somewhere in the LAD or LCx; nothing here is fitted to it.
    """
    import patient_ffr

    sim, state = patient_ffr.patient(data / "coronary" / "pressure_wire" / "P10.swc", 98 * MMHG, 4.3e-3 / 60)
    value = np.asarray(ffr(state))
    assert float(state.mass_defect) < 1e-12
    assert value.min() == pytest.approx(0.6895, abs=0.002) and value.max() <= 1.0  # as on the day it was written
    assert float(state.inlet_flow.sum()) * 6e7 == pytest.approx(408.0, rel=0.005)  # of the 451 that a healthy tree has
    total = np.asarray(state.total_pressure)
    assert (np.diff(total[np.stack([sim.network.tail, sim.network.head])], axis=0) <= 0).all()


def test_real_left_tree_matches_its_reference_solver(data):
    """Mean Pd/Pa of SimVascular's pulsatile solver at the six outlets of its left coronary, to 0.005.

    Its case has the profile exponent ζ = 1 (friction 6πμ, α = 1.5) and lumens dilated by Olufsen's law; the comparison
    is of friction along real lumens at the reference's own mean outlet flows. What is left (0.0041 at most) is its static
    pressure continuity at joints and the pulsation.
    """
    import json

    from perfsim.blood import ConstantViscosity
    from perfsim.flow import friction
    from perfsim.io import dilated_radius

    folder = data / "coronary" / "simvascular_left"
    model = read_one_dimensional(next(folder.glob("*.in")))
    network = model.network
    means = json.loads((folder / "left_coronary_reference_means.json").read_text())
    Pa = means["inlet_mean_P_mmHg"] * MMHG
    radius = dilated_radius(np.asarray(network.lumen), 0.97 * Pa, *model.material[-3:])
    R = np.asarray(friction(radius, network.length, ConstantViscosity(4e-3), profile=1.0))
    at_node = np.zeros(len(network.position))
    outflow = {n: means["outlets"][n]["Q_ml_min"] / 60e6 for n in network.outlet_names}
    at_node[np.asarray(network.outlets)] = [outflow[n] for n in network.outlet_names]
    Q = np.asarray(network.downstream_sum(at_node))
    tail, head = np.asarray(network.tail), np.asarray(network.head)
    p = np.full(len(network.position), Pa)
    for v in range(len(tail)):
        p[head[v]] = p[tail[v]] - R[v] * Q[v]
    for node, name in zip(np.asarray(network.outlets), network.outlet_names, strict=True):
        v = int(np.flatnonzero(head == node)[0])
        kinetic = 0.5 * 1060 * 1.5 * Q[v] ** 2 * ((1 / (np.pi * radius[v, 1] ** 2)) ** 2)
        inlet = 0.5 * 1060 * 1.5 * Q[0] ** 2 * (1 / (np.pi * radius[0, 0] ** 2)) ** 2
        found = (p[node] + inlet - kinetic) / Pa
        assert found == pytest.approx(means["outlets"][name]["Pd_Pa"], abs=0.005), name


def test_bad_trees_are_refused(tmp_path):
    import perfsim

    for text, words in (
        ("1 2 0 0 0 1 -1\n2 2 1 0 0 0 1", "radius"),
        ("1 2 0 0 0 1 -1\n2 2 1 0 0 1 7", "parent 7"),
        ("1 2 0 0 x 1 -1", "line 1"),
        ("1 2 0 0 0 1 -1", "two"),
    ):
        (tmp_path / "t.swc").write_text(text)
        with pytest.raises(perfsim.InputError, match=words):
            read_swc(tmp_path / "t.swc")


@pytest.mark.slow
def test_simvascular_left_with_its_outlets(data):
    """The left tree alone, the reference's own junctions, steady and pulsatile: mean flows to 1 %, Pd/Pa to 0.003."""
    import simvascular_left

    folder = data / "coronary" / "simvascular_left"
    for report in (simvascular_left.compare(folder), simvascular_left.compare_pulsatile(folder)):
        assert report["largest_flow_error"] <= 0.01
        assert report["largest_pd_pa_error"] <= 0.003


def test_pressure_wire_traces(data):
    """The recordings' own summaries: least 3 s ratio, and when."""
    from perfsim.io import read_pressure_wire

    for name, value, at in (("P1", 0.932, 33.6), ("P10", 0.636, 31.0)):
        trace = read_pressure_wire(data / "coronary" / "pressure_wire" / f"{name}_pressure_wire_100Hz.csv")
        assert trace.ffr == pytest.approx(value, abs=0.002) and trace.hyperemia == pytest.approx(at, abs=0.3)
        assert not trace.valid.all() and trace.valid.mean() > 0.9


@pytest.mark.slow
def test_pressure_wire_patients(data):
    """The protocol runs and separates the two patients; it is reported, never tuned."""
    import pressure_wire

    folder = data / "coronary" / "pressure_wire"
    found = {
        (r["patient"], r["vessel"]): r["predicted"] for n in ("P1", "P10") for r in pressure_wire.patient(folder, n)
    }
    assert min(found["P1", "LAD"], found["P1", "LCx"]) > 0.9 > min(found["P10", "LAD"], found["P10", "LCx"])


def test_flush_is_rejected(tmp_path):
    """A synthetic trace with a flat flush and a saturated one: both are invalid, FFR is that of the live part."""
    from perfsim.io import read_pressure_wire

    t = np.arange(0, 40, 0.01)
    beat = 95 + 20 * np.sin(2 * np.pi * t)
    drop = np.where((t > 20) & (t < 35), 0.75, 0.95)
    distal = beat * drop
    beat[500:800] = 60.0
    beat[1000:1100] = 290.0
    rows = "\n".join(f"{a:.2f},{b:.2f},{c:.2f}" for a, b, c in zip(t, beat, distal, strict=True))
    (tmp_path / "w.csv").write_text("t_s,Pa_mmHg,Pd_mmHg\n" + rows)
    trace = read_pressure_wire(tmp_path / "w.csv")
    assert not trace.valid[560:740].any() and not trace.valid[1000:1100].any()
    assert trace.ffr == pytest.approx(0.75, abs=2e-3) and trace.rest_ratio == pytest.approx(0.95, abs=5e-3)


@pytest.mark.slow
def test_fit_of_segments():
    """The hidden throat and tone lie in their intervals, FFR in its own; a wire is worth more than the cuff."""
    import fit_segments

    fitted, known, quantities, said, values = fit_segments.main(terminals=300, spacing=4e-3, draws=24)
    assert fitted.converged and 5 <= said.informed < said.parameters
    at = {n: k for k, n in enumerate(fitted.names)}
    for name, hidden in (("tone[LAD]", -0.8), ("throat[LAD@30mm]", -0.7), ("scale", 0.6)):
        assert abs(fitted.xi[at[name]] - hidden) < 3.0 * known.sd[at[name]]
    ffr_lad = next(q for q in quantities if q.name.startswith("FFR LAD"))
    assert ffr_lad.low < ffr_lad.high < 1.0
    assert values[0].name == "pressure wire"


@pytest.mark.slow
def test_fit_of_voxels():
    import fit_voxels

    inside, outside, fitted = fit_voxels.main(terminals=300, spacing=4e-3)
    assert fitted.converged and inside < 0.85 < 0.93 < outside < 1.07


@pytest.mark.slow
def test_microvascular_disease_is_told_from_a_stenosis():
    """With rest and stress the tones are found low and the artery open; from stress alone they are less certain."""
    import microvascular

    found = microvascular.main(terminals=300, spacing=4e-3, draws=24)
    (quantities, both), (_, alone) = found.values()
    resistance = [q for q in quantities if "resistance" in q.name]
    assert all(q.low > 11.0 for q in resistance)  # healthy: 10
    assert next(q for q in quantities if q.name.startswith("FFR")).middle > 0.85
    assert np.all(both.sd[:3] < alone.sd[:3])


@pytest.mark.slow
def test_parameter_study():
    import parameter_study

    throats, values, slopes, lumen, name = parameter_study.main()
    # Simpson's rule: what the slopes add up to over two steps is what the values differ by, to fourth order
    slopes, values, step = np.asarray(slopes), np.asarray(values), float(throats[1] - throats[0])
    added = step / 3 * (slopes[:-2] + 4 * slopes[1:-1] + slopes[2:])
    np.testing.assert_allclose(added, values[2:] - values[:-2], rtol=0.03)
    assert np.all(np.asarray(slopes) > 0) and name == "LAD" and np.isfinite(lumen).all()
