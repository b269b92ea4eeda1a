"""What is written, drawn and said, read back by other means: every number is that of a flow field written by hand."""

import csv
import re

from perfsim._results import InputError
from perfsim.anatomy import EllipsoidWall, coronary_trunks, label_left_tree
from perfsim.cohorts import Heart
from perfsim.coupling import balance, screening_length
from perfsim.darcy import box
from perfsim.growth import GrowthReport
from perfsim.io import (
    read_tone,
    summarize,
    write_geometry,
    write_mbf,
    write_network,
    write_segments,
    write_tissue,
    write_tone,
)
from perfsim.network import path_sum, relabel
from perfsim.observe import LongAxis
from perfsim.observe.polar import polar_radius
from perfsim.units import ML_MIN, MMHG
from perfsim.viz import pullback, pullback_figure
from perfsim.viz.lumen import lumen_figure, upstream
from perfsim.viz.pages import _templates
from perfsim.viz.polar import SECTORS, middle_of, polar_grid
from perfsim.viz.report import in_words, tables

import jax.numpy as jnp
import numpy as np
import pytest
import pyvista as pv
from scipy.spatial.transform import Rotation
from tiny import MM, solution, tiny_heart

FLOW = ML_MIN * np.array([10.0, 6.0, 6.0, 2.0, 4.0, 4.0, 3.0])
STATIC = MMHG * np.array([80.0, 76.0, 70.0, 66.0, 62.0, 60.0, 55.0])
MBF = np.array([1.0, 2.0, 3.0, 4.0, 1.5, 2.5, 3.5, 4.5])


@pytest.fixture(scope="module")
def sim():
    return tiny_heart()


@pytest.fixture(scope="module")
def solved(sim):
    node = MMHG * np.linspace(88.0, 50.0, 8)
    stress = {
        "flow": FLOW, "static_pressure": STATIC, "aortic_pressure": 88 * MMHG, "mbf": MBF, "total_pressure": node,
        "tissue_pressure": MMHG * np.arange(20.0, 28.0), "inlet_flow": [10 * ML_MIN], "drainage": 0.9 * MBF,
        "terminal_flow": ML_MIN * np.array([4.0, 3.0, 2.0]), "terminal_pressure": MMHG * np.array([50.0, 40.0, 30.0]),
        "supplies": np.where(np.asarray(sim.couplings.terminal) < 3, 0.5 * ML_MIN, 0.0),
    }  # fmt: skip
    rest = stress | {"mbf": 0.25 * MBF, "aortic_pressure": 93 * MMHG, "flow": 0.5 * FLOW, "inlet_flow": [4 * ML_MIN]}
    return solution(sim, rest=rest, hyperemia=stress)


@pytest.fixture(scope="module")
def samples():
    return box([0.02] * 3, [2, 2, 2])[1]


@pytest.fixture(scope="module")
def summary(sim, solved, samples):
    growth = GrowthReport(3, 0, 1.0, 1e-6, 1, {"inlet0": 1.0}, 0, 0, 0.0, 0.0, (0.4, 0.0), {})
    return summarize(Heart(sim, EllipsoidWall(), samples, growth), solved)


def test_network_in_vtk(sim, solved, tmp_path):
    write_network(tmp_path / "n.vtp", sim, solved)
    mesh, network = pv.read(tmp_path / "n.vtp"), sim.network
    ends = mesh.lines.reshape(-1, 3)[:, 1:]
    np.testing.assert_array_equal(ends, np.stack([network.tail, network.head], 1))
    np.testing.assert_allclose(mesh.points, np.asarray(network.position) / MM, rtol=1e-6)
    np.testing.assert_allclose(mesh.cell_data["flow_mL_min_hyperemia"], FLOW / ML_MIN, rtol=1e-6)
    np.testing.assert_allclose(mesh.cell_data["flow_mL_min_rest"], 0.5 * FLOW / ML_MIN, rtol=1e-6)
    np.testing.assert_allclose(mesh.cell_data["pd_pa_hyperemia"], STATIC / (88 * MMHG), rtol=1e-6)
    np.testing.assert_allclose(mesh.point_data["pressure_mmHg_hyperemia"], np.linspace(88, 50, 8), rtol=1e-6)
    branch = np.array(list(mesh.field_data["branch_names"]))[mesh.cell_data["branch"]]
    assert branch.tolist().count("LAD") == 4 and branch.tolist().count("LCx") == 2 and branch.tolist().count("LM") == 1
    assert mesh.cell_data["grown"].sum() == 3
    assert mesh.point_data["radius_mm"][0] == pytest.approx(2.0) and mesh.cell_data["radius_mm"][0] == pytest.approx(
        2.0
    )
    write_geometry(tmp_path / "g.vtp", network)
    plain = pv.read(tmp_path / "g.vtp")
    np.testing.assert_allclose(plain.cell_data["demand"], network.design_flow()[0], rtol=1e-6)
    assert plain.cell_data["grown"].sum() == 3


def test_tissue_in_vtk(sim, solved, samples, tmp_path):
    write_tissue(tmp_path / "t.vtu", sim, solved, samples, {"mine": np.arange(8.0)})
    mesh = pv.read(tmp_path / "t.vtu")
    center = mesh.cell_centers().points * MM
    np.testing.assert_allclose(center, sim.volumes.center, atol=1e-8)
    np.testing.assert_allclose(mesh.cell_data["mbf_hyperemia"], MBF, rtol=1e-6)
    np.testing.assert_allclose(mesh.cell_data["mfr"], 4.0, rtol=1e-6)
    np.testing.assert_allclose(mesh.cell_data["pressure_mmHg_hyperemia"], np.arange(20.0, 28.0), rtol=1e-6)
    np.testing.assert_allclose(mesh.cell_data["volume_mm3"], 1000.0, rtol=1e-6)
    np.testing.assert_allclose(mesh.compute_cell_sizes()["Volume"], 1000.0, rtol=1e-6)
    np.testing.assert_array_equal(mesh.cell_data["mine"], np.arange(8.0))


def test_maps_in_nifti(sim, solved, samples, tmp_path):
    """At the voxel of each volume its MBF, rest first; voxels lie where the volumes do, x and y turned."""
    import nibabel as nib

    write_mbf(tmp_path / "m.nii.gz", solved, samples)
    image = nib.load(tmp_path / "m.nii.gz")
    data, center = image.get_fdata(), np.asarray(sim.volumes.center)
    index = nib.affines.apply_affine(np.linalg.inv(image.affine), center * [-1e3, -1e3, 1e3]).round().astype(int)
    np.testing.assert_allclose(data[tuple(index.T)][:, 1], MBF, rtol=1e-6)
    np.testing.assert_allclose(data[tuple(index.T)][:, 0], 0.25 * MBF, rtol=1e-6)


def test_tone_in_nifti(sim, samples, tmp_path):
    """Written by volume and read back at any point of it; what a map leaves out is 1, or too much of it refused."""
    tone, center = np.linspace(0.4, 1.1, 8), np.asarray(sim.volumes.center)
    write_tone(tmp_path / "t.nii.gz", tone, samples)
    for off in (0.0, 3e-3, -3e-3):
        np.testing.assert_allclose(read_tone(tmp_path / "t.nii.gz", center + off), tone, rtol=1e-6)
    far = np.concatenate([center[:5], center[:3] + 1.0])
    np.testing.assert_allclose(read_tone(tmp_path / "t.nii.gz", far), [*tone[:5], 1, 1, 1], rtol=1e-6)
    with pytest.raises(InputError, match=r"t\.nii\.gz: the map covers 38 % of the wall"):
        read_tone(tmp_path / "t.nii.gz", np.concatenate([center[:3], center[:5] + 1.0]))
    write_tone(tmp_path / "z.nii.gz", np.append(tone[:7], 0.0), samples)
    with pytest.raises(InputError, match=r"z\.nii\.gz: tone 0 is not positive"):
        read_tone(tmp_path / "z.nii.gz", center)


def test_segments_in_csv(tmp_path):
    values = np.arange(17) / 7.0
    values[4] = np.nan
    write_segments(tmp_path / "s.csv", {"rest": values, "hyperemia": 2 * values})
    rows = list(csv.DictReader((tmp_path / "s.csv").open()))
    assert len(rows) == 34 and rows[4]["mbf_mL_min_g"] == "" and rows[4]["segment"] == "5"
    found = [float(r["mbf_mL_min_g"] or np.nan) for r in rows if r["state"] == "hyperemia"]
    np.testing.assert_allclose(found, 2 * values, rtol=1e-5)


def test_summary_by_hand(sim, solved, summary):
    """Flows in mL/min, pressures in mmHg, means over equal volumes, FFR at branch ends and past lesions."""
    assert (summary["vessels"], summary["terminals"], summary["volumes"], summary["mass_g"]) == (7, 3, 8, 8.4)
    stress, rest = summary["states"]["hyperemia"], summary["states"]["rest"]
    assert stress["aortic_pressure_mmHg"] == 88.0 and rest["aortic_pressure_mmHg"] == 93.0
    assert stress["inlet_flow_mL_min"] == {"inlet0": 10.0} and rest["inlet_flow_mL_min"] == {"inlet0": 4.0}
    order = {n: int(np.flatnonzero(np.asarray(sim.network.branch) == k)[0]) for k, n in enumerate(("LM", "LAD", "LCx"))}
    assert stress["branch_flow_mL_min"] == {n: pytest.approx(FLOW[v] / ML_MIN) for n, v in order.items()}
    assert stress["mbf_mL_min_g"]["global"] == pytest.approx(MBF.mean(), abs=1e-4)
    assert stress["pressure_at_d_ref_mmHg"] == pytest.approx((200 + 120 + 60) / 9, abs=1e-3)
    assert summary["mfr"]["global"] == pytest.approx(4.0) and summary["mfr"]["LAD"] == pytest.approx(1.0)
    ends = {name: v for v, name in zip((2, 6), ("LAD", "LCx"), strict=True)}
    for name in ("LAD", "LCx"):
        branch = np.flatnonzero(np.asarray(sim.network.branch) == sim.network.branch_names.index(name))
        ends[name] = int(branch[np.argmax(np.asarray(sim.network.coordinate)[branch, 1])])
        assert summary["ffr"][name]["ffr"] == pytest.approx(STATIC[ends[name]] / (88 * MMHG), abs=1e-4)
    lad, lcx = summary["lesions"]
    assert (lad["branch"], lad["position_mm"], lad["diameter_reduction"]) == ("LAD", 10.0, 0.55)
    assert lad["ffr"] == summary["ffr"]["LAD"]["ffr"] and lad["read_mm_past_lesion"] == pytest.approx(25 - 13)
    assert (lcx["branch"], lcx["read_mm_past_lesion"]) == ("LCx", pytest.approx(10 - 5))
    assert sum("at the branch's end" in w for w in summary["warnings"]) == 2


def test_summaries_warn(sim, samples):
    """Of demand that is not met (three volumes of eight below 0.9 of the median), of backward flow, of a failed solve."""
    mbf = np.array([0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.6, -0.1])
    growth = GrowthReport(3, 0, 1.0, 1e-6, 1, {"inlet0": 1.0}, 0, 0, 0.0, 0.0, (0.4, 0.0), {})
    heart = Heart(sim, EllipsoidWall(), samples, growth, ("grown",))
    flow = {"terminal_flow": np.ones(3), "terminal_pressure": np.ones(3), "aortic_pressure": 1e4}
    found = summarize(heart, solution(sim, rest=flow | {"mbf": mbf}, hyperemia=flow | {"mbf": 3 * np.abs(mbf)}))
    assert found["warnings"][0] == "grown" and found["states"]["rest"]["volumes_with_retrograde_supply"] == 1
    assert sum("autoregulation is exhausted in 38 % of the wall" in w for w in found["warnings"]) == 1
    assert sum(w.startswith("rest: 1 volumes drain backwards") for w in found["warnings"]) == 1
    assert not any("screening" in w or w.startswith("hyperemia") for w in found["warnings"])


def test_balance_by_hand(sim, solved):
    """What terminals pass on; half a mL/min through every coupling, and drainage by the share each territory feeds."""
    found = balance(sim, solved.hyperemia)
    assert found["trees"]["inlet0"] == {"inflow": pytest.approx(10.0), "passed_on": pytest.approx(9.0)}
    terminal, weight = np.asarray(sim.couplings.terminal), np.asarray(sim.couplings.weight)
    drained = 0.9 * MBF * 1.05  # [mL/min] of 1 mL
    for k, own in enumerate((terminal < 2, terminal == 2)):
        name = ("LAD", "LCx")[k]
        assert found["territories"][name]["supply"] == pytest.approx(0.5 * own.sum())
        share = (weight * own).sum(0) / weight.sum(0)
        assert found["territories"][name]["drainage"] == pytest.approx(float(drained @ share))
    K, g = 3e-11, (1.5661e-5 + 4.6966e-5) * np.asarray(sim.tissue.transmural)
    np.testing.assert_allclose(screening_length(sim), np.sqrt(K / g), rtol=1e-9)


def test_words_and_tables_hold_the_numbers(summary):
    text = in_words(summary)
    assert text.startswith(
        "A left ventricle of 8 g receives 0.69 mL/min/g at rest and 2.75 in hyperemia, a flow reserve of 4.0."
    )
    assert "The 55 % stenosis of the LAD has an FFR of" in text and "12 mm past it" in text
    found = {title: (header, rows) for title, header, rows in tables(summary)}
    header, rows = found["Flow [mL/min]"]
    assert header == ["vessel", "rest", "hyperemia"] and rows[0] == ["inlet0 (inlet)", "4.0", "10.0"]
    assert ["global", "0.688", "2.750", "4.00"] in found["Myocardial blood flow [mL/min/g]"][1]
    assert found["Lesions"][1][0][:2] == ["LAD at 10 mm", "55 %"]
    page = _templates().get_template("parts.html.j2").module.table(*found["Flow [mL/min]"])
    assert re.findall(r"<td>(.*?)</td>", page) == [cell for row in rows for cell in row]


def test_pullback_by_hand(sim, solved):
    """Along every named branch: where each vessel ends, static over aortic pressure there, the open diameter."""
    curves = pullback(sim, solved.hyperemia)
    assert set(curves) == {"LM", "LAD", "LCx"}
    on = np.flatnonzero(np.asarray(sim.network.branch) == 1)
    np.testing.assert_allclose(curves["LAD"]["distance_mm"], [20.0, 25.0])
    np.testing.assert_allclose(curves["LAD"]["ffr"], STATIC[on] / (88 * MMHG))
    np.testing.assert_allclose(curves["LAD"]["diameter_mm"], [3.0, 2.4], rtol=1e-6)
    lines = {line.name: line for line in pullback_figure(sim, solved.hyperemia).data}
    np.testing.assert_allclose(lines["LAD"].y, np.round(STATIC[on] / (88 * MMHG), 4))
    assert lines["LM"].visible == "legendonly" and lines["LAD"].visible is True


def test_where_lumen_matters_is_drawn_along_the_way(sim):
    """From the ostium to the LAD's end: 10, 30 and 35 mm, each vessel's own gain."""
    end = int(np.flatnonzero(np.asarray(sim.network.branch) == 1)[-1])
    way = upstream(sim, end)
    assert way.tolist() == [0, end - 1, end]
    gain = np.arange(7.0)
    by_name = {line.name: line for line in lumen_figure(sim, end, gain).data}
    np.testing.assert_allclose(by_name["gain of FFR"].x, [10.0, 30.0, 35.0])
    np.testing.assert_allclose(by_name["gain of FFR"].y, gain[way])
    np.testing.assert_allclose(by_name["lumen diameter [mm]"].y, [4.0, 3.0, 2.4], rtol=1e-6)


def test_bulls_eye_by_hand():
    """Base at the rim, apex in the inner fifth; a patch of tissue is seen at its angle and height, others are not."""
    frame = EllipsoidWall().frame
    axis = LongAxis.of(frame)
    z = jnp.array([0.0, 0.5 * frame.cavity_length, frame.cavity_length, frame.length])
    np.testing.assert_allclose(polar_radius(axis, z), [1.0, 0.6, 0.2, 0.0], atol=1e-6)
    tip = 0.5 * (frame.cavity_length + frame.length)
    assert float(polar_radius(axis, jnp.array([tip]))[0]) == pytest.approx(0.1, rel=1e-6)
    rng = np.random.default_rng(0)
    at = rng.uniform(0, frame.cavity_length, 20_000)
    angle = rng.uniform(0, 360, 20_000)
    center = frame.base + at[:, None] * frame.axis + 0.03 * frame.radial(angle)
    patch = (np.abs(angle - 90) < 30) & (at < 0.3 * frame.cavity_length)
    grid = polar_grid(frame, center, np.ones(20_000), np.where(patch, 5.0, 1.0))
    assert grid[37, 30] == pytest.approx(5.0, rel=1e-3) and grid[37, 90] == pytest.approx(1.0, rel=1e-3)
    assert grid[15, 30] == pytest.approx(1.0, rel=1e-3)
    assert len(SECTORS) == 17
    np.testing.assert_allclose(middle_of(0), [np.radians(90), 1 - 0.4 / 3])
    np.testing.assert_allclose(middle_of(13), [np.pi, 0.2 + 0.4 / 3])
    assert middle_of(16) == (0.0, 0.0)


@pytest.mark.parametrize("exchanged", [False, True])
def test_an_unnamed_left_tree_gets_its_names(exchanged):
    """The embedded left tree, numbered, turned and moved, with its daughters in either order: names by geometry."""
    wall = EllipsoidWall()
    tree = coronary_trunks(wall, only=("LM",))
    old = np.array(tree.branch_names)[np.asarray(tree.branch)]
    R = Rotation.from_euler("xyz", [0.5, 1.2, -0.4]).as_matrix()
    vessels = np.arange(len(old))
    order = vessels[::-1] if exchanged else vessels
    position = 0.95 * np.asarray(tree.position) @ R.T + 0.2
    ends = {
        "tail": np.asarray(tree.tail)[order],
        "head": np.asarray(tree.head)[order],
        "lumen": np.asarray(tree.lumen)[order],
    }
    bare = relabel(
        tree, np.zeros(len(old), int), ("x",), position=position, measured=np.ones(len(old), bool), outlets=[], outlet_names=(),
        outlet_demand=[], **ends,
    )  # fmt: skip
    named, sure = label_left_tree(bare, wall)
    assert sure.misfit < sure.swapped_misfit
    new = np.array(named.branch_names)[np.asarray(named.branch)]
    at = {
        tuple(np.round(x, 9)): n for x, n in zip(np.asarray(named.position)[np.asarray(named.head)], new, strict=True)
    }
    ours = np.array([at[tuple(np.round(x, 9))] for x in position[np.asarray(tree.head)]])
    family = {"LM": "LM", "LAD": "LAD", "D": "LAD", "S": "LAD", "LCx": "LCx", "OM": "LCx", "LA": "LCx"}
    expected = [family[re.sub(r"\d+$", "", name)] for name in old]
    assert [name.split("-")[0] for name in ours] == expected
    way = np.asarray(path_sum(named, named.length))
    for name in ("LAD", "LCx"):  # the main vessel is the longest way to an end
        of_family = np.char.startswith(new, name)
        assert way[new == name].max() == pytest.approx(way[of_family].max())
