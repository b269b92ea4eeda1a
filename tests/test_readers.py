"""Readers: round trips, and damaged files: a clear error or a correct read, never a traceback, never a hang."""

import csv
import json
import subprocess
import sys

import perfsim
from perfsim.io import (
    parse_case,
    read_centerlines,
    read_one_dimensional,
    read_pressure_wire,
    read_segments,
    read_svzerod,
    read_swc,
    resolved,
    write_centerlines,
    write_swc,
)
from perfsim.io.guide_points import frame_from_guide_points, read_guide_points
from perfsim.io.labelmap import wall_from_labels
from perfsim.io.surfaces import read_surface
from perfsim.io.trees import read_tree
from perfsim.io.walls import read_volume_mesh
from perfsim.network import VesselNetwork

import numpy as np
import pytest
import pyvista as pv
from command import perfsim as command
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def tree() -> VesselNetwork:
    """A left tree of a coronary's size: a stem, two branches and a side branch."""
    rng = np.random.default_rng(0)
    position, tail, head, branch = [np.zeros(3)], [], [], []
    for k, (start, count, way) in enumerate(
        ((0, 5, [1, 0, 0]), (5, 40, [1, 0, -1]), (5, 30, [0, 1, -1]), (20, 15, [1, 1, 0]))
    ):
        at = start
        for _ in range(count):
            step = np.array(way, float) + 0.2 * rng.standard_normal(3)
            position.append(position[at] + 1.5e-3 * step / np.linalg.norm(step))
            tail.append(at)
            at = len(position) - 1
            head.append(at)
            branch.append(k)
    radius = np.linspace(2e-3, 0.7e-3, len(position))
    ends = np.setdiff1d(head, tail)
    return VesselNetwork.build(
        position, tail, head, np.stack([radius[tail], radius[head]], 1), inlets=[0], outlets=ends, branch=branch,
        branch_names=("LM", "LAD", "LCx", "D1"),
    )  # fmt: skip


def same_tree(a: VesselNetwork, b: VesselNetwork, tolerance: float) -> None:
    """Same nodes, lengths and end radii, whatever the numbering."""
    assert len(a.tail) == len(b.tail) and len(a.outlets) == len(b.outlets)
    key = lambda n: np.lexsort(np.round(np.asarray(n.position), 6).T)  # noqa: E731
    np.testing.assert_allclose(np.asarray(a.position)[key(a)], np.asarray(b.position)[key(b)], atol=tolerance)
    assert float(a.length.sum()) == pytest.approx(float(b.length.sum()), rel=1e-4)
    np.testing.assert_allclose(np.sort(np.asarray(a.lumen)[:, 1]), np.sort(np.asarray(b.lumen)[:, 1]), rtol=1e-3)


def test_swc_round_trip(tree, tmp_path):
    write_swc(tmp_path / "t.swc", tree)
    same_tree(read_swc(tmp_path / "t.swc"), tree, 2e-9)


def test_vtp_round_trip(tree, tmp_path):
    write_centerlines(tmp_path / "t.vtp", tree)
    same_tree(read_centerlines(tmp_path / "t.vtp"), tree, 1e-7)


def test_vmtk_paths_are_merged(tree, tmp_path):
    """One polyline per inlet-outlet path, shared stretches doubled, as VMTK writes them."""
    parent = dict(zip(np.asarray(tree.head).tolist(), np.asarray(tree.tail).tolist(), strict=True))
    radius_of = dict(zip(np.asarray(tree.head).tolist(), np.asarray(tree.lumen)[:, 1].tolist(), strict=True)) | {
        0: 2e-3
    }
    points, radius, lines = [], [], []
    for end in np.asarray(tree.outlets).tolist():
        path = [end]
        while path[-1] in parent:
            path.append(parent[path[-1]])
        lines += [len(path), *range(len(points), len(points) + len(path))]
        points += [np.asarray(tree.position)[n] * 1e3 for n in path[::-1]]
        radius += [1e3 * radius_of[n] for n in path[::-1]]
    mesh = pv.PolyData(np.array(points), lines=lines)
    mesh.point_data["MaximumInscribedSphereRadius"] = np.array(radius)
    mesh.save(tmp_path / "vmtk.vtp")
    same_tree(read_centerlines(tmp_path / "vmtk.vtp"), tree, 1e-7)


def test_simvascular_section_areas(tree, tmp_path):
    write_centerlines(tmp_path / "t.vtp", tree)
    mesh = pv.read(tmp_path / "t.vtp")
    mesh.point_data["CenterlineSectionArea"] = np.pi * mesh.point_data["MaximumInscribedSphereRadius"] ** 2
    del mesh.point_data["MaximumInscribedSphereRadius"]
    mesh.save(tmp_path / "sv.vtp")
    same_tree(read_centerlines(tmp_path / "sv.vtp"), tree, 1e-7)


@pytest.mark.parametrize(("unit", "scale"), [("mm", 1.0), ("cm", 0.1), ("m", 1e-3)])
def test_units_are_guessed_and_said(tree, tmp_path, unit, scale):
    """The same tree written in mm, cm and m reads the same."""
    write_swc(tmp_path / "mm.swc", tree)
    rows = [line.split() for line in (tmp_path / "mm.swc").read_text().splitlines()[1:]]
    text = "\n".join(" ".join([r[0], r[1], *(f"{float(v) * scale:.9g}" for v in r[2:6]), r[6]]) for r in rows)
    (tmp_path / "t.swc").write_text(text)
    network, notes = read_tree(tmp_path / "t.swc")
    assert float(network.length.sum()) == pytest.approx(float(tree.length.sum()), rel=1e-4)
    assert any(f"in {unit}" in note for note in notes)


def test_mixed_units_are_refused(tree, tmp_path):
    """Coordinates in cm with radii in mm."""
    write_swc(tmp_path / "mm.swc", tree)
    rows = [line.split() for line in (tmp_path / "mm.swc").read_text().splitlines()[1:]]
    text = "\n".join(
        " ".join([r[0], r[1], *(f"{float(v) * 0.1:.9g}" for v in r[2:5]), f"{float(r[5]) * 10}", r[6]]) for r in rows
    )
    (tmp_path / "t.swc").write_text(text)
    with pytest.raises(perfsim.InputError, match="mixes two"):
        read_tree(tmp_path / "t.swc")


ONE_D = """MODEL m
NODE 0 0.0 0.0 0.0
NODE 1 0.0 0.0 1.0
NODE 2 0.0 1.0 2.0
NODE 3 0.0 -1.0 2.0
JOINT J0 1 IN0 OUT0
JOINTINLET IN0 1 0
JOINTOUTLET OUT0 2 1 2
SEGMENT a_0 0 1.0 5 0 1 0.1 0.09 0.0 MAT1 NONE 0.0 0 0 NOBOUND NONE
SEGMENT b_0 1 1.4142 5 1 2 0.05 0.04 0.0 MAT1 NONE 0.0 0 0 RESISTANCE T1
SEGMENT c_0 2 1.4142 5 1 3 0.05 0.04 0.0 MAT1 NONE 0.0 0 0 RESISTANCE T1
DATATABLE T1 LIST
0.0 100.0
ENDDATATABLE
DATATABLE IN LIST
0.0 1.0
1.0 1.0
ENDDATATABLE
SOLVEROPTIONS 0.001 10 10 2 IN FLOW 1e-8 1 1
MATERIAL MAT1 OLUFSEN 1.06 0.04 0 2.0 1e15 -20 1e9
"""
ZERO_D = {
    "boundary_conditions": [
        {"bc_name": "IN", "bc_type": "FLOW", "bc_values": {"Q": [5.0, 5.0], "t": [0.0, 1.0]}},
        {"bc_name": "OUT", "bc_type": "RESISTANCE", "bc_values": {"Pd": 100.0, "R": 100.0}},
    ],
    "junctions": [
        {"inlet_vessels": [0], "junction_name": "J", "junction_type": "NORMAL_JUNCTION", "outlet_vessels": [1, 2]}
    ],
    "vessels": [
        {
            "vessel_id": i,
            "vessel_name": f"v{i}",
            "boundary_conditions": bc,
            "zero_d_element_values": {"R_poiseuille": 9.0},
        }
        for i, bc in enumerate(({"inlet": "IN"}, {"outlet": "OUT"}, {"outlet": "OUT"}))
    ],
}
TRACE = "t_s,Pa_mmHg,Pd_mmHg\n" + "\n".join(
    f"{t:.2f},{95 + 20 * np.sin(6 * t):.1f},{85 + 18 * np.sin(6 * t):.1f}" for t in np.arange(0, 12, 0.05)
)
SEGMENTS = "segment,mbf_mL_min_g,sd\n" + "\n".join(f"{k},{2 + 0.1 * k:.2f},0.2" for k in range(1, 18))
CASE = 'name = "x"\n[tree]\nterminals = 100\n[[stenosis]]\nbranch = "LAD"\nposition = "20 mm"\ndiameter_reduction = 0.5\nlength = "8 mm"\n[rest]\ndemand = "0.9 mL/min/g"\n'


GUIDE_POINTS = (
    "x\ty\tz\tcontour type\tframeID\tweight\ttime frame\n"
    + "".join(
        f"{30 * np.cos(a):.3f}\t{30 * np.sin(a):.3f}\t0.0\tMITRAL_VALVE\t1\t1.0\t0\n" for a in np.arange(0, 6.2, 1.0)
    )
    + "0\t0\t-90\tAPEX_POINT\t1\t1.0\t0\n-20\t25\t-30\tRV_INSERT\t1\t1.0\t0\n-20\t-25\t-30\tRV_INSERT\t1\t1.0\t0\n"
)


@pytest.fixture(scope="module")
def sound(tree, tmp_path_factory):
    """A sound file of every format, with its reader."""
    folder = tmp_path_factory.mktemp("sound")
    write_swc(folder / "t.swc", tree)
    write_centerlines(folder / "t.vtp", tree)
    ascii_vtp = pv.read(folder / "t.vtp")
    ascii_vtp.save(folder / "t.vtp", binary=False)
    (folder / "m.in").write_text(ONE_D)
    (folder / "z.json").write_text(json.dumps(ZERO_D))
    (folder / "w.csv").write_text(TRACE)
    (folder / "s.csv").write_text(SEGMENTS)
    (folder / "c.toml").write_text(CASE)
    (folder / "g.txt").write_text(GUIDE_POINTS)
    ball = (
        pv.Sphere(radius=40.0, theta_resolution=8, phi_resolution=8).clip(normal="z", origin=(0, 0, 20)).triangulate()
    )
    ball.clear_data()
    pv.PolyData.from_regular_faces(ball.points, ball.regular_faces).save(folder / "s.stl", binary=False)
    (folder / "s.obj").write_text(
        "".join(f"v {x:.3f} {y:.3f} {z:.3f}\n" for x, y, z in ball.points)
        + "".join(f"f {a} {b} {c}\n" for a, b, c in ball.regular_faces + 1)
    )
    cubes = pv.ImageData(dimensions=(4, 4, 4), spacing=(20.0,) * 3).to_tetrahedra()
    cubes.clear_data()
    cubes.save(folder / "m.vtu", binary=False)
    readers = {
        "swc": ("t.swc", read_tree, same_again(write_swc, ".swc")),
        "vtp": ("t.vtp", read_tree, same_again(write_centerlines, ".vtp")),
        "in": ("m.in", read_one_dimensional, lengths_are_those_of_the_cards),
        "json": ("z.json", lambda p: read_svzerod(p).solve(), what_enters_leaves),
        "trace": ("w.csv", read_pressure_wire, columns_are_those_of_the_table),
        "segments": ("s.csv", lambda p: read_segments(p, 0.2), rows_are_those_of_the_table),
        "guide points": ("g.txt", lambda p: frame_from_guide_points(read_guide_points(p), p), frame_is_one),
        "obj": ("s.obj", read_surface, volume_is_that_of_the_triangles),
        "stl": ("s.stl", read_surface, volume_is_that_of_the_triangles),
        "vtu": ("m.vtu", read_volume_mesh, cells_are_those_of_the_file),
        "case": (
            "c.toml",
            lambda p: parse_case(p.read_text(encoding="utf-8", errors="replace"), str(p)),
            says_it_again,
        ),
    }
    return folder, {k: (folder / name, reader, check) for k, (name, reader, check) in readers.items()}


# What must hold of a file that is read, however it is damaged: what another reading of the same text says


def same_again(write, ending):
    """A tree that is written and read again is the tree."""

    def check(path, found):
        lines = found[0]
        written = path.with_name(f"again{ending}")
        write(written, lines)
        again, _ = read_tree(written, "mm")
        assert len(again.tail) == len(lines.tail) and len(again.inlets) == len(lines.inlets)
        size = float(np.abs(lines.position).max())
        assert float(again.length.sum()) == pytest.approx(float(lines.length.sum()), rel=1e-4, abs=1e-6 * size)

    return check


def lengths_are_those_of_the_cards(path, found):
    """Segments by name, their areas in cm², as the last card of that name has them."""
    cards = [w for w in (line.split("#")[0].split() for line in path.read_text().splitlines()) if w[:1] == ["SEGMENT"]]
    assert sorted(found.segment_names) == sorted(w[1] for w in cards)
    area = np.sort(1e4 * np.pi * found.lines.lumen.ravel() ** 2)
    np.testing.assert_allclose(area, np.sort([float(w[k]) for w in cards for k in (7, 8)]), rtol=1e-9)


def what_enters_leaves(path, found):
    """The outlets' flows add up to the mean inflow of the file."""
    case = json.loads(path.read_text())
    known = {c["bc_name"]: c for c in case["boundary_conditions"]}
    into = 0.0
    for v in case["vessels"]:
        name = v.get("boundary_conditions", {}).get("inlet")
        if name is not None:
            values = known[name]["bc_values"]
            Q = np.atleast_1d(np.asarray(values["Q"], float))
            t = np.asarray(values.get("t", np.linspace(0, 1, len(Q))), float)
            into += float(Q[0]) if len(Q) == 1 else float(np.trapezoid(Q, t) / (t[-1] - t[0]))
    assert sum(found[1].values()) == pytest.approx(into, rel=1e-6, abs=1e-12)


def columns_are_those_of_the_table(path, found):
    """Time, aortic and distal pressure by the names of the header."""
    rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    for name, column in (("t_s", found.time), ("Pa_mmHg", found.aortic), ("Pd_mmHg", found.distal)):
        np.testing.assert_array_equal(column, [float(row[name]) for row in rows])
    live = found.distal[found.valid] / found.aortic[found.valid]
    assert live.min() - 1e-9 <= found.ffr <= live.max() + 1e-9


def rows_are_those_of_the_table(path, found):
    value, sd = found
    rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    said = {int(float(row["segment"])): float(row["mbf_mL_min_g"]) for row in rows}
    assert said == {k + 1: v for k, v in enumerate(value) if np.isfinite(v)} and (sd > 0).all()


def frame_is_one(path, found):
    """Two unit vectors at right angles, inserts on either side of the septum's middle."""
    assert np.linalg.norm(found.axis) == pytest.approx(1.0) == np.linalg.norm(found.lateral)
    assert abs(found.axis @ found.lateral) < 1e-9 and found.length > 0
    assert 0.0 < found.anterior_insert < 180.0 < found.inferior_insert < 360.0


def volume_is_that_of_the_triangles(path, found):
    """By VTK from the same triangles, openings filled; both are of the volume inside, however it is bounded."""
    assert np.isfinite(found.volume()) and (found.extent > 0).all()
    assert not found.inside(found.vertices.max(0)[None] + 2.0 * found.extent).any()
    mesh = pv.PolyData.from_regular_faces(found.vertices, found.triangles)
    if not found.openings and found.pieces == 1:
        assert found.volume() == pytest.approx(mesh.volume, rel=1e-3)


def cells_are_those_of_the_file(path, found):
    """Every cell has its volume, and together they fill what their boundary encloses."""
    sizes = np.asarray(found.compute_cell_sizes(length=False, area=False)["Volume"])
    assert (np.abs(sizes) > 0).all() and len({*np.sign(sizes)}) == 1


def says_it_again(path, found):
    """The case that is written out says the same."""
    if not any(
        f for f in (*found.anatomy.files.values(), found.anatomy.labels, found.vessels.left, found.tissue.tone_map)
    ):
        again = parse_case(resolved(found), "again")
        assert resolved(again) == resolved(found)


damage = st.lists(
    st.tuples(
        st.sampled_from(["cut", "swap", "number", "drop line", "double line", "garbage"]),
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["nan", "-1", "1e999", "0", "", "x", "1 2 3", "-7e8", "\x00", "é", "99999999", "inf"]),
    ),
    min_size=1,
    max_size=4,
)


def mutate(text: str, steps) -> str:
    for kind, place, word in steps:
        lines = text.split("\n")
        k = int(place * len(lines))
        if kind == "cut":
            text = text[: int(place * len(text))]
            continue
        words = lines[k].replace(",", " , ").split(" ")
        j = int((place * 7919) % 1 * len(words))
        if kind == "swap" and len(words) > 1:
            words[j], words[j - 1] = words[j - 1], words[j]
        elif kind == "number":
            words[j] = word
        elif kind == "garbage":
            words.insert(j, word)
        lines[k] = " ".join(words).replace(" , ", ",")
        if kind == "drop line":
            del lines[k]
        elif kind == "double line":
            lines.insert(k, lines[k])
        text = "\n".join(lines)
    return text


@pytest.mark.parametrize(
    "kind", ["swc", "in", "json", "trace", "segments", "case", "guide points", "vtp", "obj", "stl", "vtu"]
)
def test_damaged_files(sound, kind, examples):
    """Damaged copies of a sound file: each is refused with a message that names the file, or read as it is: what was
    read agrees with another reading of the same text.
    """
    folder, files = sound
    path, reader, check = files[kind]
    text = path.read_text()
    check(path, reader(path))
    broken = folder / f"broken-{kind}{path.suffix}"

    @examples
    @given(damage)
    def attempt(steps):
        broken.write_text(mutate(text, steps), encoding="utf-8")
        try:
            found = reader(broken)
        except perfsim.InputError as error:
            assert broken.name in str(error)
        else:
            check(broken, found)

    attempt()


def test_damaged_images(tmp_path, examples):
    """Damaged copies of a label image of a cup: each is refused by name, or read as another reader has its voxels.

    A wall is as large as its voxels are many and large; where nothing but a note in the header changed, it is the same.
    """
    import nibabel as nib

    grid = np.indices((16, 16, 16)).transpose(1, 2, 3, 0) - np.array([7.5, 7.5, 3.0])
    across, z = np.linalg.norm(grid[..., :2], axis=-1), grid[..., 2]
    cavity, cup = (across < 3.2) & (z > 2) & (z < 12), (across < 6.2) & (z > -2) & (z < 12)
    right = (grid[..., 0] < -3) & ~cup & (np.abs(grid[..., 1]) < 4) & (z > 1) & (z < 11)
    labels = (2 * cavity + 1 * (cup & ~cavity) + 3 * right).astype(np.int16)
    nib.save(nib.Nifti1Image(labels, np.diag([5.0, 5.0, 5.0, 1.0])), tmp_path / "a.nii")
    values = {"wall": 1, "cavity": 2, "right_ventricle": 3}
    sound, data = wall_from_labels(tmp_path / "a.nii", **values, spacing=4e-3), (tmp_path / "a.nii").read_bytes()
    place = st.one_of(st.integers(0, 351), st.integers(0, len(data) - 1))  # the header is as often hit as the voxels
    read = []

    @examples
    @given(st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=6), st.booleans(), place)
    def attempt(changes, cut, end):
        broken = bytearray(data)
        for at, value in changes:
            broken[at] = value
        (tmp_path / "b.nii").write_bytes(broken[:end] if cut else broken)
        try:
            found = wall_from_labels(tmp_path / "b.nii", **values, spacing=4e-3)
        except perfsim.InputError as error:
            assert "b.nii" in str(error)
            return
        image = nib.load(tmp_path / "b.nii")
        known = np.asanyarray(image.dataobj)
        voxel = abs(np.linalg.det(image.affine[:3, :3])) * 1e-9
        assert found.mask.sum() * 4e-3**3 == pytest.approx((known == 1).sum() * voxel, rel=0.15)
        if np.array_equal(known, labels) and np.array_equal(image.affine, np.diag([5.0, 5.0, 5.0, 1.0])):
            np.testing.assert_array_equal(found.mask, sound.mask)
        read.append(found)

    attempt()
    assert len(read) > examples.max_examples / 10


def test_looking_at_files_does_not_load_jax(sound, tmp_path, without_jax):
    """--help, inspect on every format, convert."""
    _, files = sound
    look = [str(path) for path, *_ in files.values()]
    for arguments in (["--help"], ["inspect", *look], ["convert", str(files["swc"][0]), str(tmp_path / "c.vtp")]):
        run = subprocess.run(
            [sys.executable, "-c", without_jax + "from perfsim.cli import main; main()", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stdout + run.stderr


def test_inspect_names_what_is_wrong(sound, tmp_path):
    _, files = sound
    fine = command("inspect", *(path for path, *_ in files.values()), cwd=tmp_path)
    assert fine.returncode == 0 and "coronary tree" in fine.stdout and "pressure wire" in fine.stdout
    (tmp_path / "bad.swc").write_text("1 2 0 0 0 1 -1\n2 2 1 0 0 0 1\n")
    bad = command("inspect", "bad.swc", "absent.swc", cwd=tmp_path)
    assert (
        bad.returncode == 3
        and "radius" in bad.stdout
        and "no such file" in bad.stdout
        and "Traceback" not in bad.stderr
    )


def test_convert_never_overwrites_unasked(sound, tmp_path):
    _, files = sound
    assert command("convert", files["swc"][0], "t.vtp", cwd=tmp_path).returncode == 0
    again = command("convert", files["swc"][0], "t.vtp", cwd=tmp_path)
    assert again.returncode == 3 and "--overwrite" in again.stderr
    assert command("convert", files["swc"][0], "t.vtp", "--overwrite", cwd=tmp_path).returncode == 0
