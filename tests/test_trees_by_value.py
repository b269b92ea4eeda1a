"""Trees from files written here by hand: every number that is read is one that can be seen in the text.

Fuzzing proves that a file is read or refused; this proves that what is read is what the file says.
"""

import perfsim
from perfsim.io import (
    dilated_radius,
    read_centerlines,
    read_curve,
    read_one_dimensional,
    read_pressure_wire,
    read_segments,
    read_svzerod,
    read_swc,
)
from perfsim.io.curves import read_samples
from perfsim.io.flow_files import read_flow
from perfsim.io.guide_points import read_guide_points
from perfsim.io.labelmap import wall_from_labels
from perfsim.io.surfaces import read_surface
from perfsim.io.trees import read_tree
from perfsim.io.write_oned import OLUFSEN, write_one_dimensional
from perfsim.network import Centerlines
from perfsim.observe.tracers import Frames

import numpy as np
import pytest
import pyvista as pv

MM = 1e-3


@pytest.fixture
def write(tmp_path):
    """A file of this name with this text."""

    def written(name: str, text: str):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return written


SWC = """# id type x y z radius parent
7 2 0 0 0 2.0 -1
9 2 10 0 0 1.8 7
3 2 20 5 0 1.1 9
4 2 20 -5 1 0.9 9   # a comment
"""


def test_swc(write):
    """Points in mm by id and parent; every unbranched run is a branch, leaves are outlets."""
    tree = read_swc(write("t.swc", SWC))
    np.testing.assert_allclose(tree.position, MM * np.array([[0, 0, 0], [10, 0, 0], [20, 5, 0], [20, -5, 1]]))
    assert tree.tail.tolist() == [0, 1, 1] and tree.head.tolist() == [1, 2, 3]
    np.testing.assert_allclose(tree.lumen, MM * np.array([[2.0, 1.8], [1.8, 1.1], [1.8, 0.9]]))
    assert tree.inlets.tolist() == [0] and tree.outlets.tolist() == [2, 3]
    assert tree.branch_names == ("b0", "b1", "b2") and tree.branch.tolist() == [0, 1, 2]
    np.testing.assert_allclose(read_swc(write("t.swc", SWC), unit=1e-2).position, 10 * tree.position)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 0 0 0 1 -1\n2 2 1 0 0 1", "line 2: .*6 columns instead of 7"),
        ("1 2 0 0 0 1 -1\n2 2 1 0 nan 1 1", "point row 2 .* finite"),
        ("1 2 0 0 0 1 -1\n1 2 1 0 0 1 1", "the id 1"),
        ("1 2 0 0 0 1 -1\n2 2 1 0 0 1 5", "point 2 has the parent 5"),
        ("1 2 0 0 0 1 -1\n2 2 1 0 0 0 1", "point 2 has the radius 0"),
        ("1 2 0 0 0 1 2\n2 2 1 0 0 1 1", "none is a root"),
        ("1 2 0 0 0 1 -1\n2 2 1 0 0 1 -1", "no point is the parent"),
        ("1 2 0 0 0 1 -1\n", "1 points; a tree needs at least two"),
        ("1 2 0 0 0 1 -1\n2.5 2 1 0 0 1 1", r"point row 2 has the id 2\.5: use whole numbers"),
        ("1 2 0 0 0 1 -1\n2 2 1 0 0 1 1.2", r"point row 2 has the parent 1\.2: use whole numbers"),
        ("1 2 0 0 0 1 -1\n2 2 1 0 0 1 -3", "point row 2 has the parent -3: a point without one has -1"),
    ],
)
def test_swc_that_is_no_tree(write, text, words):
    with pytest.raises(perfsim.InputError, match=rf"t\.swc.*{words}"):
        read_swc(write("t.swc", text))


ABSENT = {
    "a.swc": read_swc, "a.vtp": read_centerlines, "a.in": read_one_dimensional, "a.json": read_svzerod,
    "w.csv": read_pressure_wire, "s.csv": lambda p: read_segments(p, 0.2), "g.txt": read_guide_points,
    "a.stl": read_surface, "c.csv": read_curve, "flow.toml": read_flow, "flow.yaml": read_flow, "flow.json": read_flow,
    "l.nii": lambda p: wall_from_labels(p, wall=1, cavity=2, right_ventricle=3), "c.toml": perfsim.io.read_case,
}  # fmt: skip


@pytest.mark.parametrize("name", ABSENT)
def test_an_absent_file_is_named(tmp_path, name):
    with pytest.raises(perfsim.InputError, match=rf"{name.replace('.', '[.]')}: no such file"):
        ABSENT[name](tmp_path / name)


def test_vtp_paths_from_inlet_to_outlets(tmp_path):
    """Two polylines that share their first two points, as VMTK writes them, in mm."""
    points = np.array([[0, 0, 0], [10, 0, 0], [20, 5, 0], [0, 0, 0], [10, 0, 0], [20, -5, 1], [30, -9, 1]], float)
    mesh = pv.PolyData(points, lines=[3, 0, 1, 2, 4, 3, 4, 5, 6])
    mesh.point_data["MaximumInscribedSphereRadius"] = np.array([2.0, 1.8, 1.1, 2.0, 1.8, 0.9, 0.7])
    mesh.save(tmp_path / "t.vtp")
    tree = read_centerlines(tmp_path / "t.vtp")
    at = {tuple(np.round(x / MM, 6)): n for n, x in enumerate(tree.position)}
    edges = {(int(t), int(h)) for t, h in zip(tree.tail, tree.head, strict=True)}
    a, b, c, d, e = (at[x] for x in [(0, 0, 0), (10, 0, 0), (20, 5, 0), (20, -5, 1), (30, -9, 1)])
    assert edges == {(a, b), (b, c), (b, d), (d, e)} and tree.inlets.tolist() == [a]
    assert sorted(tree.outlets.tolist()) == sorted([c, e])
    lumen = {(int(t), int(h)): r.tolist() for t, h, r in zip(tree.tail, tree.head, tree.lumen / MM, strict=True)}
    assert lumen[b, d] == pytest.approx([1.8, 0.9]) and lumen[d, e] == pytest.approx([0.9, 0.7])
    # without repeated starts blood enters at the thickest end
    single = pv.PolyData(points[[6, 5, 4, 3]], lines=[4, 0, 1, 2, 3])
    single.point_data["CenterlineSectionArea"] = np.pi * np.array([0.7, 0.9, 1.8, 2.0]) ** 2
    single.save(tmp_path / "one.vtp")
    one = read_centerlines(tmp_path / "one.vtp")
    np.testing.assert_allclose(one.position[one.inlets[0]], 0.0)
    np.testing.assert_allclose(one.lumen[0], MM * np.array([2.0, 1.8]), rtol=1e-6)


def test_vtp_that_holds_no_tree(tmp_path):
    line = pv.PolyData(np.array([[0, 0, 0], [10, 0, 0], [5, 9, 0]], float), lines=[4, 0, 1, 2, 0])
    line.save(tmp_path / "t.vtp")
    with pytest.raises(perfsim.InputError, match=r"no radius at its points.*has the arrays: none"):
        read_centerlines(tmp_path / "t.vtp")
    line.point_data["Radius"] = [1.0, 1.0, 1.0]
    line.save(tmp_path / "t.vtp")
    with pytest.raises(perfsim.InputError, match=r"line 1 crosses itself at \(0, 0, 0\)"):
        read_centerlines(tmp_path / "t.vtp")
    line.point_data["Radius"] = [1.0, 0.0, 1.0]
    line.save(tmp_path / "t.vtp")
    with pytest.raises(perfsim.InputError, match="point 1 has the radius 0"):
        read_centerlines(tmp_path / "t.vtp")
    pv.Sphere().save(tmp_path / "t.vtp")
    with pytest.raises(perfsim.InputError, match="holds no lines"):
        read_centerlines(tmp_path / "t.vtp")


def test_trees_are_noticed(write):
    """A unit that fits is said, one that cannot fit is refused; a narrow throat and a jump are remarked on."""
    far = SWC.replace("20 5 0 1.1", "60 5 0 1.1").replace("20 -5 1 0.9", "60 -5 1 0.2")
    tree, notes = read_tree(write("t.swc", far))
    np.testing.assert_allclose(tree.position[1], [10 * MM, 0, 0])
    assert any("in mm: the tree is 60 mm across" in n for n in notes)
    assert any("least radius is 0.200 mm" in n for n in notes) and any("factor 9.0" in n for n in notes)
    in_metres, _ = read_tree(write("t.swc", far), "m")
    np.testing.assert_allclose(in_metres.position[1], [10.0, 0, 0])
    with pytest.raises(perfsim.InputError, match="the unit 'inch' is not one of m, cm, mm"):
        read_tree(write("t.swc", far), "inch")
    with pytest.raises(perfsim.InputError, match=r"[.]xyz is not a tree format"):
        read_tree(write("t.xyz", far))


ONE_D = """MODEL m
NODE 0 0.0 0.0 0.0
NODE 1 0.0 0.0 1.0
NODE 4 0.0 0.0 1.0
NODE 2 0.0 1.0 2.0
NODE 3 0.0 -1.0 2.0
JOINT J0 1 IN0 OUT0
JOINTINLET IN0 1 0
JOINTOUTLET OUT0 2 1 2
SEGMENT LM_0 0 1.0 5 0 1 0.1 0.09 0.0 MAT1 NONE 0.0 0 0 NOBOUND NONE
SEGMENT LAD_0 1 1.4142 5 4 2 0.05 0.04 0.0 MAT1 STENOSIS 0.0 0 0 RESISTANCE T1
SEGMENT LCx_0 2 1.4142 5 4 3 0.03 0.02 0.0 MAT1 NONE 0.0 0 0 RESISTANCE T2
DATATABLE T1 LIST
0.0 100.0
ENDDATATABLE
DATATABLE T2 LIST
0.0 200.0
0.5 300.0
ENDDATATABLE
DATATABLE IN LIST
0.0 1.0
1.0 2.5
ENDDATATABLE
SOLVEROPTIONS 0.001 10 10 2 IN FLOW 1e-8 1 1
MATERIAL MAT1 OLUFSEN 1.06 0.04 0 2.0 1e7 -20 2e6
"""


def test_simvascular_one_dimensional(write):
    """Nodes and areas in cm, joints that rename a segment's start, tables by segment, the wall's constants."""
    model = read_one_dimensional(write("m.in", ONE_D))
    lines = model.lines
    np.testing.assert_allclose(lines.position, 1e-2 * np.array([[0, 0, 0], [0, 0, 1], [0, 1, 2], [0, -1, 2]]))
    radius = {n: lines.lumen[k] for k, n in enumerate(model.segment_names)}
    np.testing.assert_allclose(np.pi * radius["LM_0"] ** 2, 1e-4 * np.array([0.1, 0.09]))
    np.testing.assert_allclose(np.pi * radius["LCx_0"] ** 2, 1e-4 * np.array([0.03, 0.02]))
    assert lines.branch_names == ("LM", "LAD", "LCx") and set(lines.outlet_names) == {"LAD_0", "LCx_0"}
    ends = {n: (int(lines.tail[k]), int(lines.head[k])) for k, n in enumerate(model.segment_names)}
    assert ends == {"LM_0": (0, 1), "LAD_0": (1, 2), "LCx_0": (1, 3)}
    assert [model.segment_names[k] for k in model.stenoses] == ["LAD_0"]
    np.testing.assert_allclose(model.outlet_tables["LCx_0"], [[0.0, 200.0], [0.5, 300.0]])
    np.testing.assert_allclose(model.inlet_table, [[0.0, 1.0], [1.0, 2.5]])
    assert model.material == (1.06, 0.04, 0.0, 2.0, 1e7, -20.0, 2e6)


def test_olufsens_law_by_hand():
    """p = 4/3 (k1 e^(k2 r) + k3)(1 - r/R) in cgs: at that pressure the radius is R."""
    r, R = 0.15, 0.16  # [cm]
    dyn = 4 / 3 * (1e7 * np.exp(-20 * r) + 2e6) * (1 - r / R)
    assert dilated_radius(np.array(r * 1e-2), 0.1 * dyn, 1e7, -20.0, 2e6) == pytest.approx(R * 1e-2, rel=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("4 3 0.03", "7 9 0.03", "names node 9"),
        ("RESISTANCE T2", "RESISTANCE T9", "table T9"),
        ("LCx_0 2 1.4142", "LCx_0 2 5.0", "LCx_0 says 50 mm, its nodes lie 14.14 mm apart"),
        ("0.03 0.02", "0.03 0", "line 12"),
        ("JOINTOUTLET OUT0 2 1 2", "JOINTOUTLET OUT0 2 1 8", "segment 8, which has no SEGMENT card"),
        ("JOINTINLET IN0 1 0", "JOINTINLET IN1 1 0", "inlet list IN0"),
    ],
)
def test_simvascular_files_that_contradict_themselves(write, old, new, words):
    assert old in ONE_D
    with pytest.raises(perfsim.InputError, match=rf"m\.in.*{words}"):
        read_one_dimensional(write("m.in", ONE_D.replace(old, new)))


# Limits -----------------------------------------------------------------------------------------------------------


def line(extent: float, radius: float) -> str:
    """A fork [mm] so long, and so wide."""
    rows = [(1, 0, 0, -1), (2, 0.5 * extent, 0, 1), (3, extent, 0.1 * extent, 2), (4, extent, -0.1 * extent, 2)]
    return "".join(f"{i} 2 {x} {y} 0 {radius} {p}\n" for i, x, y, p in rows)


@pytest.mark.parametrize(
    ("extent", "radius", "fits"),
    [(20.1, 1.0, True), (19.9, 1.0, False), (219.0, 1.0, True), (221.0, 1.0, False), (60.0, 0.1508, True), (60.0, 0.1492, False),
     (60.0, 3.98, True), (60.0, 4.02, False)],
)  # fmt: skip
def test_what_is_the_size_of_a_coronary(write, extent, radius, fits):
    """20 to 220 mm across, median radii of 0.15 to 4 mm; nothing else is taken for one without being asked."""
    path = write("t.swc", line(extent, radius))
    if fits:
        lines, notes = read_tree(path)
        assert np.ptp(lines.position[:, 0]) == pytest.approx(extent * MM) and any(
            "taken to be in mm" in n for n in notes
        )
    else:
        with pytest.raises(perfsim.InputError, match=r"t\.swc: is .* across"):
            read_tree(path)
        assert np.ptp(read_tree(path, "mm")[0].position[:, 0]) == pytest.approx(extent * MM)


def test_narrow_and_jumping_lumens_are_remarked_on(write):
    """Below 0.25 mm, and by more than a factor of two within a vessel."""

    def said(radius: float) -> str:
        text = line(60.0, 1.0).replace("3 2 60.0 6.0 0 1.0", f"3 2 60 6 0 {radius}")
        return "; ".join(read_tree(write("t.swc", text))[1])

    assert "factor" not in said(0.5025) and "by a factor 2.0 within" in said(0.4975)
    assert "least radius is 0.249 mm" in said(0.249) and "least" not in said(0.251)


@pytest.mark.parametrize(("length", "said"), [(1.394, True), (1.378, False), (2.8, True), (2.85, False)])
def test_how_long_a_card_may_say_a_segment_is(write, length, said):
    """0.98 to 2 times the distance of its nodes, 1.4142 cm."""
    path = write("m.in", ONE_D.replace("LAD_0 1 1.4142", f"LAD_0 1 {length}"))
    if said:
        lines = read_one_dimensional(path).lines
        own = lines.branch == lines.branch_names.index("LAD")
        assert lines.length[own].sum() == pytest.approx(length * 1e-2, rel=1e-4)
        assert own.sum() == (2 if length > 1.42 else 1)
    else:
        with pytest.raises(perfsim.InputError, match="LAD_0 says"):
            read_one_dimensional(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("0 0 NOBOUND NONE\nSEGMENT LAD", "0 NOBOUND NONE\nSEGMENT LAD", "15 columns instead of 16"),
        ("SEGMENT LAD_0 1 ", "SEGMENT LAD_0 0 ", "two cards of segment 0"), ("OLUFSEN", "RUBBER", "the wall RUBBER is neither"),
        ("2.0 1e7 -20 2e6", "2.0 1e7 -20", "OLUFSEN needs 7 finite numbers"), ("JOINTOUTLET OUT0 2 1 2", "JOINTOUTLET OUT0 3 1 2", "3 segments are announced, 2"),
        ("MATERIAL MAT1", "SOLVEROPTIONS 0.001 10 10 2 IN FLOW 1e-8 1 1\nMATERIAL MAT1", "two cards of solver options"), ("DATATABLE T1 LIST\n0.0 100.0", "DATATABLE T1 LIST\n0.0 100.0 0.5", "table T1 has 3 numbers"),
        ("NONE 0.0 0 0 RESISTANCE T2", "NONE 0.0 0 0 RESISTANCE T7", "names the table T7"), ("SEGMENT LAD_0 1 1.4142 5 4 2 0.05 0.04 0.0 MAT1", "SEGMENT LAD_0 1 1.4142 5 4 2 0.05 0.04 0.0 MAT2", "of the material MAT2: there is MAT1"),
        ("MODEL m", "MODELS m", "no card of svOneDSolver is called MODELS"), ("JOINT J0 1 IN0 OUT0", "JOINT J0 1 IN0 OUT9", "the outlet list OUT9, which has no JOINTOUTLET card"),
    ],
)  # fmt: skip
def test_cards_that_cannot_be(write, old, new, words):
    assert old in ONE_D
    with pytest.raises(perfsim.InputError, match=rf"m\.in.*{words}"):
        read_one_dimensional(write("m.in", ONE_D.replace(old, new, 1)))


def test_linear_walls_have_one_number(write):
    model = read_one_dimensional(
        write("m.in", ONE_D.replace("OLUFSEN 1.06 0.04 0 2.0 1e7 -20 2e6", "LINEAR 1.06 0.04 0 2.0 3e6"))
    )
    assert model.material == (1.06, 0.04, 0.0, 2.0, 0.0, 0.0, 3e6)


def test_tables_without_rows_or_names(write):
    for name, text, read, words in (
        ("g.txt", "x\ty\tz\tcontour type\n", read_guide_points, "the table has no rows"),
        ("g.txt", "x\ty\tz\tcontour type\n1\t2\t3\tAPEX_POINT\n1\t2\t3\t\n", read_guide_points, "line 3: the contour type is empty"),
        ("c.csv", "time_s,activity\n0,1\n21720,2\n", read_curve, "time_s reaches 21720 s: is it in ms"),
        ("c.csv", "time_s,activity\n", read_samples, "the table has no rows"),
    ):  # fmt: skip
        with pytest.raises(perfsim.InputError, match=words):
            read(write(name, text))
    assert read_curve(write("c.csv", "time_s,activity\n0,1\n21500,2\n")).time.tolist() == [0, 21500]
    time, values = read_samples(write("c.csv", "start_s,end_s,activity\n0,10,1\n10,40,2\n"))
    assert time.tolist() == [5.0, 25.0] and values.tolist() == [1.0, 2.0]
    frames = Frames.of([0.0, 10.0], [10.0, 30.0])
    path = write("c.csv", "time_s,activity\n0.49,1\n10.49,2\n")
    assert len(read_curve(path, sample="start", frames=frames).time) == 4
    with pytest.raises(perfsim.InputError, match="not the middles of the 2 frames"):
        read_curve(path, sample="middle", frames=frames)
    with pytest.raises(perfsim.InputError, match="not the starts of the 2 frames"):
        read_curve(write("c.csv", "time_s,activity\n0.506,1\n10,2\n"), sample="start", frames=frames)
    with pytest.raises(perfsim.InputError, match="sample='start' needs the frames"):
        read_curve(path, sample="start")


def contours(rings: int, radius: float = 2.0, corners: int = 4, steps: int = 1) -> str:
    """SimVascular's contours around the z axis, a square's corners each."""
    turn = 2 * np.pi * np.arange(corners) / corners

    def ring(z: float) -> str:
        return "".join(
            f'<point id="{k}" x="{radius * np.cos(t)}" y="{radius * np.sin(t)}" z="{z}"/>' for k, t in enumerate(turn)
        )

    all_ = "".join(f'<contour id="0"><contour_points>{ring(10.0 * z)}</contour_points></contour>' for z in range(rings))
    return f'<?xml version="1.0"?><contourgroup>{f"<timestep>{all_}</timestep>" * steps}</contourgroup>'


def test_contours_by_their_areas(write):
    """A square of half-diagonal 2 has the area 8, a circle's of radius √(8/π); two rings at least, of three corners, at one time."""
    lines, _ = read_tree(write("t.ctgr", contours(4)), "mm")
    np.testing.assert_allclose(lines.lumen, MM * np.sqrt(8 / np.pi), rtol=1e-9)
    assert lines.length.tolist() == pytest.approx([10 * MM] * 3)
    for text, words in (
        (contours(1), "holds 1 contours; a vessel needs at least two"), (contours(3, corners=2), "2 points of contour 0; at least 3"),
        (contours(3, steps=2), "holds 2 time steps"), (contours(3).replace("contourgroup", "group"), "holds 0 elements <contourgroup>"),
        (contours(3).replace('z="10.0"', 'z="nan"'), "points of contour 1; at least 3 with finite"),
    ):  # fmt: skip
        with pytest.raises(perfsim.InputError, match=words):
            read_tree(write("t.ctgr", text), "mm")


def test_trees_for_svoned_in_cm(write, tmp_path):
    """Nodes, areas and resistances in cgs, as the text says; reading it gives the same tree; what it cannot hold is refused."""
    lines = read_swc(write("t.swc", SWC))
    write_one_dimensional(
        tmp_path / "w.in", lines, OLUFSEN, flow=2e-6, resistance=np.array([1e9, 3e9]), name="my model"
    )
    text = (tmp_path / "w.in").read_text().splitlines()
    assert text[0] == "MODEL my-model" and text[2].split()[:3] == ["NODE", "1", "1.0"]
    first = next(t for t in text if t.startswith("SEGMENT b0_0")).split()
    assert float(first[3]) == pytest.approx(1.0) and first[4] == "10"  # 10 mm in cells of 1 mm
    assert [float(first[k]) for k in (7, 8)] == pytest.approx([np.pi * 0.04, np.pi * 0.0324]) and first[-2:] == [
        "NOBOUND",
        "NONE",
    ]
    assert "0.0 10000.0" in text and "0.0 30000.0" in text and "0.0 2.0" in text and "1.0 2.0" in text
    again = read_one_dimensional(tmp_path / "w.in")
    np.testing.assert_allclose(again.lines.lumen, lines.lumen, rtol=1e-12)
    np.testing.assert_allclose(again.lines.position, lines.position, atol=1e-15)
    assert again.material == OLUFSEN == (1.06, 0.04, 0.0, 2.0, 2.0e7, -22.53, 8.65e5)
    two = Centerlines.build(lines.position, [0, 2], [1, 3], MM * np.ones(2), inlets=[0, 2])
    with pytest.raises(perfsim.InputError, match="one tree whose vessels all run away"):
        write_one_dimensional(tmp_path / "w.in", two, OLUFSEN, flow=2e-6, resistance=np.ones(2))
