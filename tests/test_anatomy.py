"""Walls, frames, trunks, and the placement of a tree on another heart."""

import perfsim
from perfsim.anatomy import EllipsoidWall, MaskWall, coronary_trunks, frame_from_points, place_left_tree, winding
from perfsim.anatomy.placement import similarity
from perfsim.anatomy.winding import winding_number
from perfsim.io.labelmap import wall_from_labels
from perfsim.io.surfaces import read_surface
from perfsim.io.walls import wall_from_mesh, wall_from_surfaces
from perfsim.network import relabel, resample, union

import numpy as np
import pytest
import pyvista as pv
from scipy.spatial.transform import Rotation


@pytest.fixture(scope="module")
def ellipsoid():
    return EllipsoidWall()


@pytest.fixture(scope="module")
def mask_wall(ellipsoid):
    """The ellipsoid's own wall, given as voxels of 1.5 mm."""
    low, high = ellipsoid.bounds()
    axes = [np.arange(a - 3e-3, b + 3e-3, 1.5e-3) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    mask = ellipsoid.inside(grid.reshape(-1, 3)).reshape(grid.shape[:3])
    return MaskWall(mask, grid[0, 0, 0], 1.5e-3, ellipsoid.frame)


def test_dimensions_are_normal(ellipsoid):
    """Wall thickness and length of a 140 g ventricle lie in the published normal range."""
    assert 8e-3 < ellipsoid.thickness < 11e-3
    assert 85e-3 < ellipsoid.frame.length < 105e-3


@pytest.mark.parametrize("mass", [0.01, 5.0])
def test_impossible_masses_are_refused(mass):
    with pytest.raises(perfsim.InputError, match="between 20 and 1000 g"):
        EllipsoidWall(mass)


def test_frame_is_right_handed_and_invertible(ellipsoid):
    frame = ellipsoid.frame
    np.testing.assert_allclose(np.cross(frame.lateral, frame.anterior), frame.axis, atol=1e-12)
    z, rho, theta = np.array([0.01, 0.05]), np.array([0.02, 0.03]), np.array([40.0, 300.0])
    x = frame.base + z[:, None] * frame.axis + rho[:, None] * frame.radial(theta)
    np.testing.assert_allclose(frame.cylindrical(x), [z, rho, theta], rtol=1e-10)


def test_frame_from_landmarks(ellipsoid):
    """Points of a known frame give it back, wherever the heart lies."""
    f = ellipsoid.frame
    R, shift = Rotation.from_euler("xyz", [0.3, -1.1, 2.0]).as_matrix(), np.array([0.2, -0.1, 0.5])
    ring = f.base + 0.02 * f.radial(np.arange(0.0, 360.0, 30.0))
    inserts = [f.base + 0.04 * f.axis + 0.03 * f.radial(np.array([a])) for a in (120.0, 240.0)]
    found = frame_from_points(
        ring @ R.T + shift, (f.base + f.length * f.axis) @ R.T + shift, *(x @ R.T + shift for x in inserts)
    )
    np.testing.assert_allclose(found.axis, R @ f.axis, atol=1e-12)
    np.testing.assert_allclose(found.lateral, R @ f.lateral, atol=1e-12)
    assert found.anterior_insert == pytest.approx(120.0) and found.inferior_insert == pytest.approx(240.0)


def test_mask_wall_agrees_with_the_analytic_one(ellipsoid, mask_wall):
    """Inside, depth, outer radius and thickness to about a voxel."""
    rng = np.random.default_rng(0)
    low, high = ellipsoid.bounds()
    x = low + (high - low) * rng.random((20_000, 3))
    deep = np.abs(ellipsoid.signed_distance(x)) > 1.5e-3
    np.testing.assert_array_equal(mask_wall.inside(x[deep]), ellipsoid.inside(x[deep]))
    inner = x[(ellipsoid.signed_distance(x) < -1e-3) & (x[:, 2] < ellipsoid.top - 5e-3)]
    gap = np.abs(mask_wall.depth(inner) - ellipsoid.depth(inner))
    assert np.quantile(gap, 0.95) < 0.12
    z, theta = np.full(24, 0.04), np.arange(0, 360, 15.0)
    np.testing.assert_allclose(
        mask_wall.epicardial_radius(z, theta), ellipsoid.epicardial_radius(z, theta), atol=1.5e-3
    )
    np.testing.assert_allclose(mask_wall.wall_thickness(z, theta), ellipsoid.wall_thickness(z, theta), atol=2.5e-3)
    assert mask_wall.frame.length == pytest.approx(ellipsoid.frame.length, abs=2e-3)
    assert mask_wall.frame.cavity_length == pytest.approx(ellipsoid.frame.cavity_length, abs=3e-3)


def test_bad_masks_are_refused(ellipsoid):
    with pytest.raises(perfsim.InputError, match="empty"):
        MaskWall(np.zeros((5, 5, 5), bool), np.zeros(3), 1e-3, ellipsoid.frame)
    with pytest.raises(perfsim.InputError, match=r"cavity|above"):
        MaskWall(np.ones((5, 5, 5), bool), np.array([0, 0, -0.05]), 1e-3, ellipsoid.frame)


def test_trunks_lie_on_the_wall(ellipsoid):
    """Epicardial branches on the surface, septals inside, main stems outside."""
    trunks = coronary_trunks(ellipsoid)
    distance = ellipsoid.signed_distance(np.asarray(trunks.position)[np.asarray(trunks.head)])
    names = np.array(trunks.branch_names)[np.asarray(trunks.branch)]
    for name in ("LAD", "D1", "OM1", "PDA", "PL1"):
        assert np.abs(distance[names == name]).max() < 1.5e-3
    assert distance[names == "S2"][-1] < -2e-3
    assert np.median(distance[names == "RCA"]) > 5e-3


def test_unknown_dominance(ellipsoid):
    with pytest.raises(perfsim.InputError, match="both"):
        coronary_trunks(ellipsoid, "both")


def test_similarity_is_recovered():
    rng = np.random.default_rng(1)
    x, R = rng.standard_normal((20, 3)), Rotation.from_euler("zyx", [1.0, 0.4, -0.7]).as_matrix()
    scale, rotation, shift = similarity(x, 1.7 * x @ R.T + [1.0, 2.0, 3.0])
    assert scale == pytest.approx(1.7) and np.allclose(rotation, R) and np.allclose(shift, [1, 2, 3])


def test_a_displaced_tree_finds_its_grooves(ellipsoid):
    """The embedded left tree, rotated, shrunk and moved away, is laid back on the heart it came from."""
    tree = coronary_trunks(ellipsoid, only=("LM",))
    tree = relabel(tree, np.asarray(tree.branch), tree.branch_names, outlets=[], outlet_names=(), outlet_demand=[])
    R = Rotation.from_euler("xyz", [0.5, 1.2, -0.4]).as_matrix()
    moved = relabel(
        tree, np.asarray(tree.branch), tree.branch_names, position=0.9 * np.asarray(tree.position) @ R.T + 0.3
    )
    placed, report = place_left_tree(moved, ellipsoid)
    assert report.scale == pytest.approx(1 / 0.9, rel=0.1) and report.rms < 6e-3
    lad = np.asarray(tree.head)[np.asarray(tree.branch) == tree.branch_names.index("LAD")]
    gap = np.linalg.norm(np.asarray(placed.position)[lad] - np.asarray(tree.position)[lad], axis=1)
    assert np.median(gap) < 8e-3
    assert np.abs(ellipsoid.signed_distance(np.asarray(placed.position)[lad])).max() < 2e-3


def test_resampling_and_union_keep_length_and_branches(ellipsoid):
    left, right = (coronary_trunks(ellipsoid, only=(r,)) for r in ("LM", "RCA"))
    fine = resample(left, 0.2e-3)
    assert float(fine.length.sum()) == pytest.approx(float(left.length.sum()), rel=1e-9)
    assert float(fine.length.max()) <= 0.2e-3 * (1 + 1e-9) and fine.branch_names == left.branch_names
    both = union(left, right)
    assert len(both.tail) == len(left.tail) + len(right.tail) and both.inlet_names == ("LM", "RCA")
    with pytest.raises(ValueError, match="branch 'D1'"):
        union(left, left)


def test_wall_from_open_surfaces(ellipsoid, tmp_path):
    """Surfaces cut open at the base enclose the wall that lies between them; the right ventricle's muscle is left out."""
    f, paths = ellipsoid.frame, []
    for name, t in (("epi", ellipsoid.thickness), ("endo", 0.0)):
        a, c = 1e3 * (ellipsoid.a + t), 1e3 * (ellipsoid.c + t)
        surface = pv.ParametricEllipsoid(a, a, c, u_res=50, v_res=50, w_res=50).extract_surface(
            algorithm="dataset_surface"
        )
        cut = surface.triangulate().clean().clip(normal="z", origin=(0, 0, 1e3 * ellipsoid.top))
        paths.append(tmp_path / f"{name}.stl")
        cut.extract_surface(algorithm="dataset_surface").triangulate().save(paths[-1])
    paths.append(tmp_path / "rv.stl")
    pv.Sphere(radius=25.0, center=(-85.0, 0.0, 0.0)).save(paths[-1])
    surfaces = [read_surface(p) for p in paths]
    wall = wall_from_surfaces(*surfaces, f)
    assert wall.mask.sum() * 1.5e-3**3 == pytest.approx(0.140 / 1050, rel=0.03)
    with pytest.raises(perfsim.InputError, match="no such file"):
        read_surface(tmp_path / "nothing.stl")
    with pytest.raises(perfsim.InputError, match="exchanged"):
        wall_from_surfaces(surfaces[1], surfaces[0], surfaces[2], f)
    with pytest.raises(perfsim.InputError, match="exchanged with the right ventricle"):
        wall_from_surfaces(surfaces[0], surfaces[2], surfaces[1], f)


def test_winding_number_of_open_spheres(monkeypatch):
    """The solid angle of a sphere without the cap above z = R cos α is 2π(1 + cos α) at its center."""
    ball = pv.Sphere(radius=1.0, theta_resolution=120, phi_resolution=121)
    vertices, triangles = np.asarray(ball.points, float), ball.regular_faces
    for ring in np.cos(np.pi * np.array([0, 25, 60, 80]) / 120):  # rows of the mesh
        kept = triangles[(vertices[triangles][:, :, 2] <= ring + 1e-6).all(1)]
        quick = winding_number(np.zeros((1, 3)), vertices, kept)[0]
        with monkeypatch.context() as exact:
            exact.setattr(winding, "FAR", np.inf)
            full = winding_number(np.zeros((1, 3)), vertices, kept)[0]
        assert full == pytest.approx(0.5 * (1.0 + ring), abs=1e-3)
        assert quick == pytest.approx(full, abs=0.05)
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (4000, 3))
    radius = np.linalg.norm(points, axis=1)
    clear = np.abs(radius - 1.0) > 2e-3
    inside = winding_number(points, vertices, triangles)
    np.testing.assert_allclose(inside[clear], radius[clear] < 1.0, atol=0.06)
    np.testing.assert_allclose(winding_number(points, vertices, triangles[:, ::-1]), -inside, atol=1e-12)


def test_surfaces_are_mended_and_said(tmp_path):
    """Turned triangles are turned back; the openings' widths and the enclosed volume are those of the shape."""
    ball = pv.Sphere(radius=50.0, theta_resolution=60, phi_resolution=61)
    cup = ball.clip(normal="z", origin=(0, 0, 30)).triangulate()
    faces = cup.regular_faces.copy()
    faces[::7] = faces[::7, ::-1]
    pv.PolyData.from_regular_faces(cup.points, faces[:, ::-1]).save(tmp_path / "cup.stl", recompute_normals=False)
    cup = read_surface(tmp_path / "cup.stl")
    assert cup.inverted and cup.inconsistent > 0 and len(cup.problems()) == 2
    assert len(cup.openings) == 1 and cup.openings[0] == pytest.approx(80 * np.sqrt(2), rel=0.01)  # the box of a ring
    h = 20.0
    assert cup.volume() == pytest.approx(4 / 3 * np.pi * 50**3 - np.pi * h**2 * (50 - h / 3), rel=0.01)
    # the opening is closed near its plane: w = ½ lies where the rest of the sphere fills half the view
    assert cup.inside(np.array([[0, 0, 25.0], [0, 0, 45.0], [60.0, 0, 0], [0, 0, -49.0]])).tolist() == [1, 0, 0, 1]
    assert cup.plausible_units() == ["mm"]
    with pytest.raises(perfsim.InputError, match=r"anatomy\.unit to 'mm'"):
        cup.check_unit(1e-2)


def test_trees_in_another_frame_are_refused_with_a_picture(ellipsoid, tmp_path):
    from perfsim.io.build import same_frame
    from perfsim.viz import frames_picture

    tree = coronary_trunks(ellipsoid, only=("LM",))
    assert "taken as it lies" in same_frame(tree, ellipsoid, "t.swc")
    moved = relabel(tree, np.asarray(tree.branch), tree.branch_names, position=np.asarray(tree.position) + 0.05)
    with pytest.raises(perfsim.InputError, match="different frames") as caught:
        same_frame(moved, ellipsoid, "t.swc")
    frames_picture(tmp_path / "frames.png", caught.value.tree, caught.value.wall)
    pixels = pv.read(tmp_path / "frames.png").active_scalars
    assert (np.abs(pixels[:, :3].astype(int) - [178, 24, 43]).sum(1) < 60).sum() > 50  # the tree's red


@pytest.mark.parametrize("handed", [1.0, -1.0])
def test_label_map_off_axis_anisotropic(ellipsoid, tmp_path, handed):
    """Labels on a tilted grid of unequal voxels, right- and left-handed, give the wall back where it was."""
    import nibabel as nib

    tilt = Rotation.from_euler("xyz", [0.35, -0.5, 0.8]).as_matrix()
    to_lps = np.eye(4)
    to_lps[:3, :3] = tilt @ np.diag([1.2e-3 * handed, 1.5e-3, 2.0e-3])
    low, high = ellipsoid.bounds()
    shape = np.array([120, 100, 90])
    to_lps[:3, 3] = 0.5 * (low + high) - to_lps[:3, :3] @ (0.5 * shape) + [0.03, -0.02, 0.01]
    world = np.einsum("ij,jxyz->xyzi", to_lps[:3, :3], np.indices(shape)) + to_lps[:3, 3]
    flat = world.reshape(-1, 3) - [0.03, -0.02, 0.01]
    labels = np.zeros(len(flat), np.int16)
    labels[ellipsoid.inside(flat)] = 2
    labels[(ellipsoid._distance(flat, 0.0) < 0) & (flat[:, 2] < ellipsoid.top)] = 3
    z, rho, theta = ellipsoid.frame.cylindrical(flat)
    beside = (ellipsoid._distance(flat, ellipsoid.thickness) > 0) & (rho < 0.045) & (z > 0) & (z < 0.07)
    labels[beside & (theta > 120) & (theta < 240)] = 1
    affine = np.diag([-1e3, -1e3, 1e3, 1.0]) @ to_lps
    nib.save(nib.Nifti1Image(labels.reshape(shape), affine), tmp_path / "seg.nii.gz")
    wall = wall_from_labels(tmp_path / "seg.nii.gz", wall=2, cavity=3, right_ventricle=1)
    f, g = wall.frame, ellipsoid.frame
    assert wall.mask.sum() * 1.5e-3**3 == pytest.approx(0.140 / 1050, rel=0.03)
    assert f.axis @ g.axis > np.cos(np.radians(5)) and f.lateral @ g.lateral > np.cos(np.radians(7))
    assert f.anterior_insert == pytest.approx(120, abs=12) and f.inferior_insert == pytest.approx(240, abs=12)
    np.testing.assert_allclose(f.base - g.base, [0.03, -0.02, 0.01], atol=5e-3)
    with pytest.raises(perfsim.InputError, match="label 7"):
        wall_from_labels(tmp_path / "seg.nii.gz", wall=7, cavity=3, right_ventricle=1)


def test_wall_from_a_volume_mesh(ellipsoid, tmp_path):
    """Tetrahedra in a VTU file fill the wall that they were cut from."""
    low, high = (np.asarray(b) * 1e3 for b in ellipsoid.bounds())
    image = pv.ImageData(dimensions=np.ceil((high - low) / 2.0).astype(int) + 1, spacing=(2.0,) * 3, origin=low)
    inside = ellipsoid.inside(image.cell_centers().points * 1e-3)
    mesh = image.extract_cells(np.flatnonzero(inside)).triangulate()
    mesh.save(tmp_path / "lv.vtu")
    wall = wall_from_mesh(tmp_path / "lv.vtu", ellipsoid.frame)
    assert wall.mask.sum() * 1.5e-3**3 == pytest.approx(0.140 / 1050, rel=0.04)
    pv.Sphere().save(tmp_path / "surface.vtp")
    with pytest.raises(perfsim.InputError, match="no volume mesh"):
        wall_from_mesh(tmp_path / "surface.vtp", ellipsoid.frame)
