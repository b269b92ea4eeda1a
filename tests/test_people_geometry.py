"""Geometry and flow networks as people have them: each kind of fault, in every reader it can reach."""

import gzip
import itertools
import json
from pathlib import Path

import perfsim
from perfsim._results import InputError
from perfsim.flow.pulsatile import Absorbing
from perfsim.io import read_one_dimensional, read_svzerod, read_tree
from perfsim.io.bundles import Path as Line
from perfsim.io.bundles import tree_of_paths
from perfsim.io.flow_files import network_in, read_flow
from perfsim.io.labelmap import wall_from_labels
from perfsim.io.polylines import paths_from_inlets
from perfsim.io.walls import volume_mesh_with_notes
from perfsim.units import MMHG

import jax.numpy as jnp
import numpy as np
import pytest

CASES = Path(__file__).parent / "cases"
MM = 1e-3


@pytest.fixture
def write(tmp_path):
    """A file of this name with this text, or these bytes."""

    def written(name: str, content: str | bytes) -> Path:
        data = content.encode("utf-8") if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return written


# The table: kinds of text by readers -----------------------------------------------------------------------------

SWC = "# größe in mm\n1 2 0 0 0 2 -1\n2 2 30 0 0 1.8 1\n3 2 60 0 0 1.5 2\n4 2 60 0 40 1 2\n"
ONE_D = (CASES / "oned_ok.in").read_text().replace("MODEL m", "# Länge\nMODEL m")
ZERO_D = json.dumps({
    "description": {"Größe": "klein"},
    "boundary_conditions": [
        {"bc_name": "IN", "bc_type": "FLOW", "bc_values": {"Q": [1.0, 2.0, 1.0], "t": [0.0, 0.5, 1.0]}},
        {"bc_name": "OUT", "bc_type": "RCR", "bc_values": {"C": 1e-5, "Pd": 0.0, "Rd": 9e4, "Rp": 1e4}},
    ],
    "vessels": [
        {"vessel_id": 0, "vessel_name": "a", "boundary_conditions": {"inlet": "IN"},
         "zero_d_element_type": "BloodVessel", "zero_d_element_values": {"R_poiseuille": 100.0}},
        {"vessel_id": 1, "vessel_name": "b", "boundary_conditions": {"outlet": "OUT"},
         "zero_d_element_type": "BloodVessel", "zero_d_element_values": {"R_poiseuille": 100.0}},
    ],
    "junctions": [{"junction_name": "J", "junction_type": "NORMAL_JUNCTION", "inlet_vessels": [0], "outlet_vessels": [1]}],
}, ensure_ascii=False)  # fmt: skip
OPENBF = """# Länge in m
project_name: p
inlet_file: in.dat
blood: {rho: 1060.0, mu: 4.0e-3}
network:
  - {label: a, sn: 1, tn: 2, L: 0.1, E: 7.0e5, R0: 3.0e-3, h0: 3.0e-4}
  - {label: b, sn: 2, tn: 3, L: 0.1, E: 7.0e5, R0: 3.0e-3, h0: 3.0e-4, Rt: 0.0}
"""
INFLOW = "0.0 5e-6\n0.4 8e-6\n0.8 5e-6\n"
TOML = """# Länge
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
start = "y"
end = "out"
length = "20 mm"
radius = ["2 mm", "1.5 mm"]
young = "1 MPa"
thickness = "0.5 mm"
[[stenosis]]
start = "x"
end = "y"
radius = "2 mm"
throat = "1 mm"
length = "8 mm"
[[inlet]]
node = "in"
pressure = { mean = 12400, amplitude = [1800], phase = [0.0] }
[[outlet]]
node = "out"
kind = "windkessel"
R1 = 1.5e9
R2 = 4e9
C = 5e-11
"""


def ring(z: float) -> str:
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    points = "".join(f'<point id="{k}" x="{2 * np.cos(t)}" y="{2 * np.sin(t)}" z="{z}"/>' for k, t in enumerate(turn))
    return f'<contour id="0"><contour_points>{points}</contour_points></contour>'


CONTOURS = (
    '<?xml version="1.0" encoding="UTF-8" ?>\n<format version="1.0" />\n<contourgroup path_name="Ramus größer" '
    f'path_id="1"><timestep id="0">{"".join(ring(10.0 * z) for z in range(6))}</timestep></contourgroup>'
)

READERS = {
    "swc": ("t.swc", SWC, read_tree, lambda found: len(found[0].tail)),
    "in": ("t.in", ONE_D, read_one_dimensional, lambda found: len(found.lines.tail)),
    "ctgr": ("t.ctgr", CONTOURS, read_tree, lambda found: len(found[0].tail)),
    "steady json": ("t.json", ZERO_D, read_svzerod, lambda found: len(found.R)),
    "json": ("t.json", ZERO_D, read_flow, lambda found: found.units.name),
    "yaml": ("t.yaml", OPENBF, read_flow, lambda found: found.arteries.names),
    "toml": ("t.toml", TOML, read_flow, lambda found: found.arteries.names),
}
ENCODED = {
    "UTF-8": lambda text: text.encode("utf-8"),
    "byte order mark": lambda text: text.encode("utf-8-sig"),
    "code page 1252": lambda text: text.encode("cp1252"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "gzip": lambda text: gzip.compress(text.encode("utf-8")),
    "line breaks of Windows": lambda text: text.replace("\n", "\r\n").encode("utf-8"),
}
NO_TEXT = {"a zip archive": b"PK\x03\x04" + bytes(40), "zero bytes": b"a\x00b\x00c", "nothing": b"", "a word": b"hello"}


@pytest.mark.parametrize("kind", ENCODED)
@pytest.mark.parametrize("reader", READERS)
def test_text_in_any_encoding_is_one_text(write, reader, kind):
    """What is read does not depend on how the text was saved."""
    name, text, read, digest = READERS[reader]
    write("in.dat", ENCODED[kind](INFLOW))
    plain = digest(read(write(name, text)))
    assert digest(read(write(name, ENCODED[kind](text)))) == plain


@pytest.mark.parametrize("kind", NO_TEXT)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_text_is_refused(write, reader, kind):
    """With the file's name."""
    name, _, read, _ = READERS[reader]
    with pytest.raises(InputError, match=rf"t\.{name[2:]}"):
        read(write(name, NO_TEXT[kind]))


# P3: units --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unit", "factor"), [("m", 1e-3), ("cm", 0.1), ("mm", 1.0), ("um", 1e3)])
def test_a_tree_is_as_large_in_any_unit(write, unit, factor):
    """By its size, by a comment, or by name."""
    rows = [[float(w) for w in line.split()] for line in SWC.splitlines()[1:]]
    text = "".join(
        f"{int(i)} 2 {x * factor} {y * factor} {z * factor} {r * factor} {int(p)}\n" for i, _, x, y, z, r, p in rows
    )
    for lines, _ in (
        read_tree(write("t.swc", text)), read_tree(write("t.swc", f"# in {unit}\n{text}" if unit != "m" else text)),
        read_tree(write("t.swc", text), unit),
    ):  # fmt: skip
        np.testing.assert_allclose(lines.length.sum(), 0.11, rtol=1e-9)
        np.testing.assert_allclose(lines.lumen.max(), 2e-3, rtol=1e-9)


def test_a_unit_that_contradicts_the_size_is_asked_for(write):
    with pytest.raises(InputError, match="a comment names um, in which the tree is no coronary; in mm"):
        read_tree(write("t.swc", "# um\n" + SWC.split("\n", 1)[1]))
    with pytest.raises(InputError, match=r"in mm it would be one: say unit = 'mm'"):
        read_tree(CASES / "oned_mm.in")
    lines, _ = read_tree(CASES / "oned_mm.in", "mm")
    np.testing.assert_allclose(lines.position, read_tree(CASES / "oned_ok.in")[0].position)
    np.testing.assert_allclose(lines.lumen, read_tree(CASES / "oned_ok.in")[0].lumen, rtol=1e-3)


def test_zero_dimensional_units(write):
    """cgs by the size of its flows, SI likewise, or as the description says; results are in SI."""
    flow = read_flow(CASES / "zerod_cgs.json")
    assert (flow.units.pressure, flow.units.flow) == (0.1, 1e-6) and "cgs" in flow.notes[0]
    case = json.loads(ZERO_D)
    case["boundary_conditions"][0]["bc_values"]["Q"] = [1e-6, 2e-6, 1e-6]
    assert read_svzerod(write("z.json", json.dumps(case))).units.name == "SI"
    case["description"] = {"units": "cgs"}
    assert read_svzerod(write("z.json", json.dumps(case))).units.name == "cgs"
    case["description"] = {"units": "mmHg"}
    with pytest.raises(InputError, match="the units are 'mmHg': known are cgs and SI"):
        read_svzerod(write("z.json", json.dumps(case)))


def test_steady_zero_dimensional_case_in_cgs(write):
    """2 mL/s through 61,200 dyn·s/cm⁵ is 121,200 dyn/cm² within a percent: 90.9 mmHg, not 909."""
    model = read_svzerod(CASES / "zerod_cgs.json")
    pressure, flow = model.solve()
    assert next(iter(pressure.values())) * model.units.pressure / MMHG == pytest.approx(90.9, abs=0.2)
    assert sum(flow.values()) * model.units.flow == pytest.approx(2e-6, rel=1e-3)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("R0: 3.0e-3", "R0: 3.0", "R0 is 3, and openBF has it in m"),
        ("L: 0.1", "L: 100.0", "L is 100, and openBF has it in m"),
        ("rho: 1060.0", "rho: 1.06", "rho is 1.06, and openBF has it in kg/m³"),
        ("mu: 4.0e-3", "mu: 4.0", "mu is 4, and openBF has it in Pa·s"),
        ("E: 7.0e5", "E: 700.0", "E is 700, and openBF has it in Pa"),
    ],
)
def test_openbf_in_other_units_is_refused(write, old, new, words):
    write("in.dat", INFLOW)
    with pytest.raises(InputError, match=words):
        read_flow(write("t.yaml", OPENBF.replace(old, new)))


@pytest.mark.parametrize(
    ("inflow", "words"),
    [
        ("0 5\n0.4 8\n0.8 5\n", "inflow reaches 8, and flows are in m³/s"),
        ("0 5e-6\n400 8e-6\n800 5e-6\n", "the period is 800 s, which no heart has: are its times in ms"),
        ("t_ms Q\n0 5e-6\n400 8e-6\n800 5e-6\n", "the header says ms"),
        ("0.1 5e-6\n0.8 5e-6\n", "from the time 0"),
    ],
)
def test_inflows_in_other_units_are_refused(write, inflow, words):
    write("in.dat", inflow)
    with pytest.raises(InputError, match=words):
        read_flow(write("t.yaml", OPENBF))
    with pytest.raises(InputError, match=r"m³/s"):
        read_flow(CASES / "openbf_mLs.yml")


# P7: lines that run together are one vessel -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "branches", "total", "trunk"),
    [
        ("lines_raw", 3, 149, 10), ("lines_smoothed100", 3, 149, 10), ("lines_trunk_0.03mm_apart", 3, 100, 40),
        ("vmtk/left_default", 5, 171, 10), ("vmtk/left_ends", 5, 171, 12), ("vmtk/left_merged", 5, 171, 10),
        ("vmtk/left_resampled", 5, 171, 10), ("vmtk/y", 3, 52, 14),
    ],
)  # fmt: skip
def test_centerlines_of_other_programs(name, branches, total, trunk):
    """Branches, length within 3 %, the trunk within 2.1 mm, and the inlet where the lines start."""
    lines, _ = read_tree(CASES / f"{name}.vtp")
    assert len(lines.branch_names) == branches and len(lines.inlets) == 1
    assert lines.length.sum() / MM == pytest.approx(total, rel=0.03)
    assert lines.length[lines.branch == 0].sum() / MM == pytest.approx(trunk, abs=2.1)
    assert np.linalg.norm(lines.position[lines.inlets[0]]) < 3 * MM


ENDS = [((0, 0, 10), (6, 4, 36), (4, 10, 85)), ((0, 0, 10), (6, 4, 36), (20, 6, 60)),
        ((0, 0, 10), (-10, -2, 32), (-22, -4, 58)), ((0, 0, 10), (-10, -2, 32), (-22, 12, 45))]  # fmt: skip
LENGTH = 189.8


def polyline(*corners, step: float = 0.4) -> np.ndarray:
    corners = np.array([(0, 0, 0), *corners], float)
    pieces = [corners[:1]]
    for a, b in itertools.pairwise(corners):
        count = max(2, int(np.linalg.norm(b - a) / step))
        pieces.append(a + (b - a) * np.linspace(0, 1, count + 1)[1:, None])
    return np.concatenate(pieces)


def smoothed(p: np.ndarray, times: int) -> np.ndarray:
    p = p.copy()
    for _ in range(times):
        p[1:-1] += 0.2 * (0.5 * (p[:-2] + p[2:]) - p[1:-1])
    return p


def resampled(p: np.ndarray, step: float) -> np.ndarray:
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
    return np.stack([np.interp(np.append(np.arange(0, s[-1], step), s[-1]), s, x) for x in p.T], 1)


def tracts(lines: list[np.ndarray]) -> list[np.ndarray]:
    """Each line cut before and behind its bifurcations, as a branch extractor does."""
    found = []
    for p in lines:
        cuts = [0, *(int(np.argmin(abs(p[:, 2] - z))) for z in (8, 13, 34, 38) if p[-1, 2] > z + 1), len(p) - 1]
        found += [p[a : b + 1] for a, b in itertools.pairwise(cuts)]
    return found


def apart(lines: list[np.ndarray], distance: float) -> list[np.ndarray]:
    """Every line moved by its own step, its start left where it is."""
    steps = np.random.default_rng(0).normal(size=(len(lines), 3))
    steps *= distance / np.linalg.norm(steps, axis=1)[:, None]
    return [np.concatenate([p[:1], p[1:] + d]) for p, d in zip(lines, steps, strict=True)]


TRACED = [polyline(*corners) for corners in ENDS]
SEGMENTS = [resampled(polyline(*c), 0.4) for c in [((0, 0, 10),)]] + [
    polyline(b, step=0.4)[1:] * 0 + np.linspace(0, 1, len(polyline(b, step=0.4)[1:]))[:, None] * (np.array(b) - a) + a
    for a, b in (
        ((0, 0, 10), (6, 4, 36)), ((6, 4, 36), (4, 10, 85)), ((6, 4, 36), (20, 6, 60)), ((0, 0, 10), (-10, -2, 32)),
        ((-10, -2, 32), (-22, -4, 58)), ((-10, -2, 32), (-22, 12, 45)),
    )
]  # fmt: skip
VARIANTS = {
    "traced": TRACED,
    "smoothed 30": [smoothed(p, 30) for p in TRACED],
    "smoothed 100": [smoothed(p, 100) for p in TRACED],
    "resampled 0.7": [resampled(p, 0.7) for p in TRACED],
    "resampled 2.5": [resampled(p, 2.5) for p in TRACED],
    "0.03 apart": apart(TRACED, 0.03),
    "0.1 apart": apart(TRACED, 0.1),
    "0.1 apart, resampled": apart([resampled(p, 0.7) for p in TRACED], 0.1),
    "towards the inlet": [p[::-1] for p in TRACED],
    "one towards the inlet": [TRACED[0][::-1], *TRACED[1:]],
    "tracts": tracts(TRACED),
    "smoothed, then tracts": tracts([smoothed(p, 30) for p in TRACED]),
    "tracts, each smoothed": [smoothed(p, 30) for p in tracts(TRACED)],
    "tracts, resampled": [resampled(p, 0.7) for p in tracts(TRACED)],
    "segments": SEGMENTS,
    "segments, some reversed": [p[::-1] if k % 2 else p for k, p in enumerate(SEGMENTS)],
    "segments, resampled": [resampled(p, 0.7) for p in SEGMENTS],
}


def named(lines: list[np.ndarray]) -> list[Line]:
    return [Line(f"line {k + 1}", p, 2.0 - 0.012 * p[:, 2]) for k, p in enumerate(lines)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_tree_however_its_lines_were_processed(variant):
    """Four ends, three junctions within 2 mm of the true ones, length within 3 %, radii within 5 %."""
    (paths,) = paths_from_inlets(named(VARIANTS[variant]), "f")
    position, radius, parent = tree_of_paths(paths, "f")
    children = np.bincount(parent[1:], minlength=len(parent))
    assert np.linalg.norm(position[0]) < 1e-9 and (children == 0).sum() == 4
    found = position[children > 1]
    assert len(found) == 3
    for true in ((0, 0, 10), (6, 4, 36), (-10, -2, 32)):
        assert np.linalg.norm(found - true, axis=1).min() < 2.0
    assert np.linalg.norm(position[1:] - position[parent[1:]], axis=1).sum() == pytest.approx(LENGTH, rel=0.03)
    np.testing.assert_allclose(radius, 2.0 - 0.012 * position[:, 2], rtol=0.05)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([TRACED[0], polyline((0, 0, 10), (-10, -2, 32), (4, 10, 85))], r"line 2 and line 1 part at .* meet again at"),
        ([TRACED[0], polyline((0, 0, 10), (0.9, 0, 10.5))], r"line 2 ends at \(0.9, 0, 10.5\) inside line 1"),
        ([TRACED[0], TRACED[2][24:] + np.array([1, 0, 0])], r"line 2 starts at \(1, .*inside line 1, 0.5 of its radius"),
        ([np.concatenate([TRACED[0], TRACED[0][100:101]])], r"line 1 crosses itself at \("),
    ],
)  # fmt: skip
def test_ambiguous_lines_are_refused_with_the_place(lines, words):
    with pytest.raises(InputError, match=words):
        for paths in paths_from_inlets(named(lines), "f"):
            tree_of_paths(paths, "f")


def test_points_that_are_none_of_the_centerline():
    """A doubled point is merged, the contour of a three-point root left out; both are said."""
    lines, notes = read_tree(CASES / "tree_duplicate_point.swc")
    assert len(lines.tail) == 3 and "points 1 and 2 lie in one place" in notes[0]
    lines, notes = read_tree(CASES / "tree_three_point_root.swc")
    assert len(lines.outlets) == 2 and "points 2, 3 draw the contour" in notes[0]


# P8: what a file says is used -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "LM", "LAD"), [("ok", 4.137, 1.637), ("pref93mmHg", 3.80, 1.60), ("two_materials", 4.137, 1.637)]
)
def test_lumens_at_93_mmhg(name, LM, LAD):
    """Diameters [mm] at the far ends, by each segment's material and its own reference pressure."""
    model = read_one_dimensional(CASES / f"oned_{name}.in")
    far = {n: 2e3 * r[1] for n, r in zip(model.segment_names, model.radius_at(93 * MMHG), strict=True)}
    assert far["LM_0"] == pytest.approx(LM, abs=0.001) and far["LAD_0"] == pytest.approx(LAD, abs=0.001)


def test_materials_of_their_own(write):
    """A LINEAR wall has one stiffness: 4/3 Eh/r; a segment takes the material that its card names."""
    text = (CASES / "oned_two_materials.in").read_text().replace("0.02545 0.0 MAT1", "0.02545 0.0 MAT2")
    model = read_one_dimensional(write("m.in", text))
    at = {n: k for k, n in enumerate(model.segment_names)}
    before, after = model.lines.lumen[at["LCx_0"]], model.radius_at(93 * MMHG)[at["LCx_0"]]
    np.testing.assert_allclose(after, before / (1 - 0.75 * 93 * MMHG / 1e6), rtol=1e-12)
    with pytest.raises(InputError, match="different materials"):
        _ = model.material
    with pytest.raises(InputError, match="LM_0 is of the material MAT1: the file has no MATERIAL card"):
        read_one_dimensional(CASES / "oned_no_material.in")


def test_a_segment_is_as_long_as_its_card_says(write):
    """Longer than its nodes' distance: bent. Shorter by the step into a joint: what lies beyond is moved."""
    lines, notes = read_tree(CASES / "oned_curved_segment.in")
    assert lines.length.sum() == pytest.approx(0.14, rel=1e-12) and "as long as their cards say" in notes[-1]
    text = (CASES / "oned_ok.in").read_text().replace("JOINT J0", "NODE 4 1.2 0 0\nJOINT J0").replace(
        "SEGMENT LAD_0 1 6.0000 5 1 2", "SEGMENT LAD_0 1 6.0033 5 4 2")  # fmt: skip
    model = read_one_dimensional(write("m.in", text.replace("NODE 3 1.0000 5.0000", "NODE 3 1.0000 5.0000")))
    by_name = dict(zip(model.segment_names, model.lines.length, strict=True))
    assert by_name["LAD_0"] == pytest.approx(0.060033, rel=1e-3)
    for length in ("5.0", "13.0"):
        with pytest.raises(InputError, match="LAD_0 says"):
            read_one_dimensional(write("m.in", text.replace("LAD_0 1 6.0033", f"LAD_0 1 {length}")))


def test_junctions_of_vessels_count(write):
    """Their stenoses and inertances are the vessels'; other junctions have no values."""
    case = json.loads((CASES / "zerod_junction_stenosis.json").read_text())
    (values,) = [j["junction_values"] for j in case["junctions"] if j.get("junction_values")]
    model, plain = (
        read_svzerod(CASES / "zerod_junction_stenosis.json"),
        read_flow(CASES / "zerod_junction_stenosis.json"),
    )
    np.testing.assert_allclose(sorted(model.S)[-2:], sorted(values["stenosis_coefficient"]))
    np.testing.assert_allclose(
        sorted(np.asarray(plain.arteries.throats.S))[-2:], sorted(values["stenosis_coefficient"])
    )
    case["junctions"][0]["junction_type"] = "NORMAL_JUNCTION"
    for read in (read_svzerod, read_flow):
        with pytest.raises(InputError, match=r"junction_values of .*: unknown key"):
            read(write("z.json", json.dumps(case)))


# P10: two things of one name --------------------------------------------------------------------------------------


def twice(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("reader", "change", "words"),
    [
        ("swc", lambda t: t + "4 2 70 0 0 1 3\n", "2 points have the id 4"),
        ("in", lambda t: twice(t, "SEGMENT LAD_0", "SEGMENT LM_0"), "two cards of segment LM_0"),
        ("in", lambda t: t + "NODE 1 0 0 0\n", "two cards of node 1"),
        ("in", lambda t: t + "MATERIAL MAT1 OLUFSEN 1.06 0.04 0 2 2e7 -22 8e5\n", "two cards of material MAT1"),
        ("in", lambda t: twice(t, "DATATABLE T2", "DATATABLE T1"), "two cards of table T1"),
        ("steady json", lambda t: twice(t, '"vessel_name": "b"', '"vessel_name": "a"'), "vessel_name: 'a' is there 2"),
        ("json", lambda t: twice(t, '"bc_name": "OUT"', '"bc_name": "IN"'), "bc_name: 'IN' is there 2"),
        ("json", lambda t: twice(t, '"vessel_id": 1', '"vessel_id": 1, "vessel_id": 2'), "'vessel_id' is there twice"),
        ("yaml", lambda t: twice(t, "label: b", "label: a"), "label: 'a' is there 2"),
        ("yaml", lambda t: twice(t, "L: 0.1,", "L: 0.1, L: 0.2,"), "the key 'L' is there twice"),
        ("toml", lambda t: twice(t, 'name = "b"', 'name = "a"'), "vessel: 'a' is there 2"),
        ("toml", lambda t: twice(t, "period = 0.8", "period = 0.8\nperiod = 0.9"), "not valid TOML"),
    ],
)
def test_two_things_of_one_name_are_refused(write, reader, change, words):
    name, text, read, _ = READERS[reader]
    write("in.dat", INFLOW)
    with pytest.raises(InputError, match=words):
        read(write(name, change(text)))


def test_nothing_is_free_twice():
    with pytest.raises(InputError, match="fit: parameters names 'tone' 2 times"):
        perfsim.io.parse_case('[fit]\nparameters = ["tone", "tone"]\n')
    with pytest.raises(InputError, match="gives two parts of the heart one label"):
        perfsim.io.parse_case('[anatomy]\nlabels = "x"\nlabel_values = { wall = 1, cavity = 2, right_ventricle = 2 }\n')


# P11: meshes and labels -------------------------------------------------------------------------------------------


def test_volumes_of_a_mesh_with_other_cells():
    mesh, notes = volume_mesh_with_notes(CASES / "mesh_with_boundary_triangles.vtu")
    assert set(mesh.cells_dict) == {10} and notes == ["2112 TRIANGLE cells have no volume: they were left out"]


def test_exchanged_labels_are_refused():
    """The wall goes round the cavity, not round the right ventricle."""
    wall_from_labels(CASES / "labels_ok.nii.gz", wall=2, cavity=3, right_ventricle=1)
    for values in ((2, 1, 3), (1, 3, 2)):
        given = dict(zip(("wall", "cavity", "right_ventricle"), values, strict=True))
        with pytest.raises(InputError, match="of the cavity, which it must enclose"):
            wall_from_labels(CASES / "labels_ok.nii.gz", **given)


# P12: networks that cannot be -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('end = "x"', 'end = "in"', "vessel 'a' starts and ends at node 'in'"),
        ('start = "x"\nend = "y"', 'start = "x"\nend = "z"', "no vessel starts or ends at 'z'"),
        ('throat = "1 mm"', 'throat = "2 mm"', "the throat, 0.002 m, is not narrower"),
        ('radius = "2 mm"\nthroat = "1 mm"', 'radius = "4 mm"\nthroat = "3 mm"', "is wider than the vessel at 'x'"),
        ("mean = 12400, amplitude = [1800]", "mean = 93, amplitude = [13]", "reaches 106 Pa, 0.8 mmHg: is it in mmHg"),
        ("R1 = 1.5e9", "R1 = 11.2", "R1"),
        ("C = 5e-11", "C = 6.6e-3", "C"),
        ("period = 0.8", "period = 800", "the period is 800 s, which no heart has: are its times in ms"),
    ],
)
def test_networks_that_cannot_be(write, old, new, words):
    """Refused by `inspect`, which builds nothing, or when the network is built."""
    assert old in TOML
    path = write("t.toml", TOML.replace(old, new))
    with pytest.raises(InputError, match=words):
        network_in(path)
        read_flow(path)


def test_a_vessel_that_ends_where_it_starts_is_refused_everywhere(write):
    write("in.dat", INFLOW)
    with pytest.raises(InputError, match="b: starts and ends at node 2"):
        read_flow(write("t.yaml", OPENBF.replace("tn: 3", "tn: 2")))
    with pytest.raises(InputError, match="starts and ends at node"):
        perfsim.flow.pulsatile.Arteries.build([0, 1], [1, 1], 0.1, 1e-3, 1.0, period=1.0, outlets=())


# P16: openBF as openBF reads it -----------------------------------------------------------------------------------


def test_openbf_as_openbf_reads_it(write):
    """Rt sends back a share of a wave, Rp counts before R0, Rd tapers, the momentum factor is 1."""
    write("in.dat", INFLOW)
    text = OPENBF.replace("R0: 3.0e-3, h0: 3.0e-4, Rt: 0.0", "R0: 3.0e-3, Rd: 2.0e-3, gamma_profile: 9, Rt: 0.5")
    a = read_flow(write("t.yaml", text)).arteries
    np.testing.assert_allclose(a.radius[1, [0, -1]], [3e-3, 2e-3])
    np.testing.assert_allclose(a.profile, [2, 9])
    np.testing.assert_allclose(a.momentum_factor, 1.0)
    (end,) = a.outlets
    assert isinstance(end, Absorbing) and float(end.echo[0]) == 0.5
    for share, words in (("1.2", "Rt is 1.2"), ("0.5, R1: 1.0e9, Cc: 1.0e-10", "both Rt")):
        with pytest.raises(InputError, match=words):
            read_flow(write("t.yaml", OPENBF.replace("Rt: 0.0", f"Rt: {share}")))


def test_times_that_step_back(write):
    """The first interval that holds a time counts: 0 to 0.5, then what the second row of intervals adds beyond."""
    write("in.dat", "0.0 1e-6\n0.5 2e-6\n0.3 5e-6\n0.7 9e-6\n0.8 1e-6\n")
    wave = read_flow(write("t.yaml", OPENBF)).arteries.flow_inlets.waveform
    for t, expected in ((0.25, 1.5e-6), (0.4, 1.8e-6), (0.6, 8e-6), (0.75, 5e-6)):
        assert float(wave(jnp.asarray(t))[0]) == pytest.approx(expected, rel=1e-9)


# P32: SimVascular's paths -----------------------------------------------------------------------------------------


def test_simvascular_contours_and_paths(write):
    """Rings of radius 2 every 10 mm: a vessel of 50 mm; a path takes its radii from the contours beside it."""
    lines, _ = read_tree(write("t.ctgr", CONTOURS))
    assert lines.length.sum() == pytest.approx(0.05, rel=1e-9)
    np.testing.assert_allclose(lines.lumen, 2e-3, rtol=5e-3)  # a polygon of 40 corners
    points = "".join(f'<path_point id="{k}"><pos x="0" y="0" z="{k}"/></path_point>' for k in range(51))
    path = (
        '<?xml version="1.0"?><format version="1.0"/><path id="1"><timestep id="0"><path_element><path_points>'
        f"{points}</path_points></path_element></timestep></path>"
    )
    lines, notes = read_tree(write("t.pth", path))
    assert len(lines.tail) == 50 and "6 contours in t.ctgr" in notes[0]
    np.testing.assert_allclose(lines.lumen, 2e-3, rtol=5e-3)
    with pytest.raises(InputError, match="a path has no radii"):
        read_tree(write("other.pth", path))
    with pytest.raises(InputError, match="entities"):
        read_tree(write("t.ctgr", '<!DOCTYPE x [<!ENTITY a "b">]>' + CONTOURS))
