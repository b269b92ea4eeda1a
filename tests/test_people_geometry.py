"""Geometry and flow networks as people have them: each kind of fault, in every reader it can reach."""

import gzip
import json
from pathlib import Path

import perfsim
from perfsim._results import InputError
from perfsim.io import read_svzerod, read_tree
from perfsim.io.flow_files import read_flow
from perfsim.io.labelmap import wall_from_labels
from perfsim.io.walls import volume_mesh_with_notes
from perfsim.units import MMHG

import numpy as np
import pytest
from people import CASES, INFLOW, OPENBF, READERS, SWC, ZERO_D


@pytest.fixture
def write(tmp_path):
    """A file of this name with this text, or these bytes."""

    def written(name: str, content: str | bytes) -> Path:
        data = content.encode("utf-8") if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return written


# The table: kinds of text by readers -----------------------------------------------------------------------------

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


# Units --------------------------------------------------------------------------------------------------------


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


def test_points_that_are_none_of_the_centerline():
    """A doubled point is merged, the contour of a three-point root left out; both are said."""
    lines, notes = read_tree(CASES / "tree_duplicate_point.swc")
    assert len(lines.tail) == 3 and "points 1 and 2 lie in one place" in notes[0]
    lines, notes = read_tree(CASES / "tree_three_point_root.swc")
    assert len(lines.outlets) == 2 and "points 2, 3 draw the contour" in notes[0]


# Two things of one name --------------------------------------------------------------------------------------


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


# Meshes and labels -------------------------------------------------------------------------------------------


def test_volumes_of_a_mesh_with_other_cells():
    mesh, notes = volume_mesh_with_notes(CASES / "mesh_with_boundary_triangles.vtu")
    assert set(mesh.cells_dict) == {10} and notes == ["2112 TRIANGLE cells have no volume: they were left out"]


def test_exchanged_labels_are_refused():
    """The wall goes round the cavity, not round the right ventricle."""
    wall_from_labels(CASES / "labels_ok.nii.gz", wall=2, cavity=3, right_ventricle=1)
    for values in ((2, 1, 3), (1, 3, 2)):
        given = dict(zip(("wall", "cavity", "right_ventricle"), values, strict=True))
        with pytest.raises(InputError, match="of the cavity's surface"):
            wall_from_labels(CASES / "labels_ok.nii.gz", **given)
