"""Walls from files, the embedded arteries, and what surrounds a wall, against shapes and tables known beforehand."""

import perfsim
from perfsim.anatomy import EllipsoidWall, Frame, MaskWall, coronary_trunks
from perfsim.anatomy.winding import winding_number
from perfsim.darcy import box
from perfsim.io import parse_case, write_swc
from perfsim.io.build import _trunks, _wall, read_anatomy
from perfsim.network import relabel
from perfsim.observe import BloodPool, LongAxis, Voxels

import numpy as np
import pytest
import pyvista as pv

MM = 1e-3


@pytest.fixture(scope="module")
def wall():
    return EllipsoidWall()


def test_the_embedded_ventricle(wall):
    """Cavity 48 mm wide, its half-axis 66 mm, cut 0.3 of it above the middle; 140 g make it 9.6 mm thick."""
    assert (wall.a, wall.c) == (24 * MM, 66 * MM) and wall.top == pytest.approx(19.8 * MM)
    assert wall.thickness == pytest.approx(9.6 * MM, abs=0.05 * MM)
    assert wall.frame.cavity_length == pytest.approx(85.8 * MM)
    assert (wall.frame.anterior_insert, wall.frame.inferior_insert) == (120.0, 240.0)
    heavy = EllipsoidWall(0.2)
    assert heavy.thickness > wall.thickness and heavy.a == wall.a


def ends(network):
    """By branch: origin and end [m], length [m], diameters [mm] at origin and end."""
    out = {}
    for k, name in enumerate(network.branch_names):
        on = np.flatnonzero(np.asarray(network.branch) == k)
        x = np.asarray(network.position)
        first, last = int(network.tail[on[0]]), int(network.head[on[-1]])
        lumen = 2e3 * np.asarray(network.lumen)[[on[0], on[-1]], [0, 1]]
        out[name] = x[first], x[last], float(np.asarray(network.length)[on].sum()), lumen
    return out


def test_lumens_are_those_of_dodge(wall):
    """LM 4.5, LAD 3.7 to 1.6 around the apex (2.3 in its middle), LCx 3.4 to 1.7; RCA's anchor 3.9 mm; left dominant 4.2 and 2.8."""
    trunks = coronary_trunks(wall)
    found = ends(trunks)
    np.testing.assert_allclose(found["LM"][3], [4.5, 4.5])
    np.testing.assert_allclose(found["LAD"][3], [3.7, 1.6])
    np.testing.assert_allclose(found["LCx"][3], [3.4, 1.7])
    lad = np.flatnonzero(np.asarray(trunks.branch) == trunks.branch_names.index("LAD"))
    share = np.linspace(0, 1, len(lad) + 1)[1:]
    given = np.interp(share, [0, 0.42, 0.85, 1.0], [3.7, 2.3, 1.9, 1.6])
    np.testing.assert_allclose(2e3 * np.asarray(trunks.lumen)[lad, 1], given, rtol=1e-9)
    np.testing.assert_allclose(2e3 * np.asarray(trunks.root_radius), [4.5, 3.9])
    measured = {
        n
        for n in trunks.branch_names
        if np.asarray(trunks.measured)[np.asarray(trunks.branch) == trunks.branch_names.index(n)].all()
    }
    assert measured == {"LM", "LAD", "LCx"}
    left, co = coronary_trunks(wall, "left"), coronary_trunks(wall, "co")
    np.testing.assert_allclose(ends(left)["LCx"][3], [4.2, 2.4])
    np.testing.assert_allclose(ends(co)["LCx"][3], [3.7, 1.9])
    np.testing.assert_allclose(2e3 * np.asarray(left.root_radius), [4.5, 2.8])


ON_WALL = {
    # branch: (origin's branch, where it starts and where it ends: share u of the way to the apex, angle [°])
    "LAD": ("LM", (0.0, 115), (1.18, 120)), "D1": ("LAD", (0.36, 120), (0.74, 58)), "D2": ("LAD", (0.6, 120), (0.88, 60)),
    "LCx": ("LM", (0.0, 115), (0.05, -28)), "OM1": ("LCx", (0.05, 52), (0.52, 26)), "OM2": ("LCx", (0.05, 4), (0.52, -22)),
    "PDA": ("RCA", (0.05, 240), (0.52, 242)), "PLV": ("RCA", (0.05, 240), (0.05, 276)),
    "PL1": ("PLV", (0.05, 258), (0.48, 262)), "PL2": ("PLV", (0.05, 276), (0.48, 284)),
}  # fmt: skip


def test_branches_run_where_the_grooves_are(wall):
    """Origins lie on the branch that they leave, near where they are said to; ends exactly so."""
    trunks = coronary_trunks(wall)
    found = ends(trunks)
    for name, (parent, start, end) in ON_WALL.items():
        on = np.flatnonzero(np.asarray(trunks.branch) == trunks.branch_names.index(parent))
        nodes = np.asarray(trunks.position)[np.append(np.asarray(trunks.tail)[on[:1]], np.asarray(trunks.head)[on])]
        assert np.linalg.norm(nodes - found[name][0], axis=1).min() < 1e-12, name
        assert np.linalg.norm(found[name][0] - wall.point(*start)) < 0.6 * MM, name
        np.testing.assert_allclose(found[name][1], wall.point(*end), atol=1e-9, err_msg=name)
    f = wall.frame
    fork = wall.point(0.0, 115.0)
    ostium = f.base - 6 * MM * f.axis + 0.68 * np.linalg.norm(fork - f.base) * f.radial(135.0)
    np.testing.assert_allclose(found["LM"][:2], [ostium, fork], atol=1e-9)
    septal = {"S1": (0.25, 186), "S2": (0.41, 186), "S3": (0.57, 186), "S4": (0.73, 186)}
    septal |= {"IS1": (0.17, 216), "IS2": (0.31, 216), "IS3": (0.45, 216)}
    for name, at in septal.items():
        depth = 0.55 if name[0] == "S" else 0.5
        np.testing.assert_allclose(found[name][1], wall.point(*at, depth), atol=1e-9, err_msg=name)
    for dominance, last in (("co", -75), ("left", -120)):
        trunks = coronary_trunks(wall, dominance)
        end = ends(trunks)
        on = np.asarray(trunks.branch) == trunks.branch_names.index("LCx")
        angle = np.unwrap(f.cylindrical(np.asarray(trunks.position)[np.asarray(trunks.head)[on]])[2], period=360.0)
        assert angle[-1] - angle[0] == pytest.approx(last - 115, abs=1.5)  # the short way round
        np.testing.assert_allclose(end["LCx"][1], wall.point(0.05, last), atol=1e-9)
        assert ("PDA" in end, "PLV" in end) == (True, False)


def test_what_lies_beyond_the_left_ventricle(wall):
    """65 % of the left ventricle's flow per gram: conus, RV1, RV2 of 47 g; sinus node and left atrium of 20 g."""
    trunks = coronary_trunks(wall)
    grams = dict(zip(trunks.outlet_names, np.asarray(trunks.outlet_demand) * 1050 / 0.65 * 1e3, strict=True))
    assert grams == {
        "LA": pytest.approx(8.0), "conus": pytest.approx(4.7), "SAN": pytest.approx(12.0), "RV1": pytest.approx(21.15),
        "RV2": pytest.approx(21.15),
    }  # fmt: skip
    f, found = wall.frame, ends(trunks)
    radius = float(wall.epicardial_radius(0.02 * f.length, 240.0))
    angle = np.linspace(148, 240, 6)
    bulge, down = [0.62, 1.35, 1.85, 1.9, 1.55], [-8, -2, 5, 6, 5]
    on = np.flatnonzero(np.asarray(trunks.branch) == trunks.branch_names.index("RCA"))
    tails, heads = (np.asarray(trunks.position)[np.asarray(x)[on]] for x in (trunks.tail, trunks.head))

    def off_the_rca(x):
        way = heads - tails
        share = np.clip(np.sum((x - tails) * way, 1) / np.sum(way**2, 1), 0.0, 1.0)
        return np.linalg.norm(tails + share[:, None] * way - x, axis=1).min()

    for k, (b, d) in enumerate(zip(bulge, down, strict=True)):
        x = f.base + b * radius * f.radial(angle[k]) + d * MM * f.axis
        assert off_the_rca(x) < 0.04 * MM, k
    np.testing.assert_allclose(found["RCA"][0], f.base + 0.62 * radius * f.radial(148.0) - 8 * MM * f.axis, atol=1e-9)
    for name, k, reach in (("conus", 1, 10), ("SAN", 1, -18), ("RV1", 2, 30), ("RV2", 3, 25)):
        x = f.base + bulge[k] * radius * f.radial(angle[k]) + down[k] * MM * f.axis
        out = f.radial(angle[k])
        tip = x + MM * abs(reach) * (0.35 * out + np.sign(reach) * f.axis)
        np.testing.assert_allclose(found[name][1], tip, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(
        found["LA"][1], wall.point(0.04, 80.0) - 18 * MM * f.axis + 6 * MM * f.radial(80.0), atol=1e-9
    )


def test_points_of_the_wall(wall):
    """Heights along a quarter ellipse, L sin(πu/2)^1.15; depth measured along the radius, ends at 99.8 % of the length."""
    f = wall.frame
    z, radius, angle = f.cylindrical(wall.point(np.array([0.3, 0.6]), np.array([40.0, 50.0]), 0.25))
    np.testing.assert_allclose(z, f.length * np.sin(0.5 * np.pi * np.array([0.3, 0.6])) ** 1.15, rtol=1e-12)
    np.testing.assert_allclose(
        radius, wall.epicardial_radius(z, angle) - 0.25 * wall.wall_thickness(z, angle), rtol=1e-9
    )
    np.testing.assert_allclose(angle, [40.0, 50.0])
    assert f.cylindrical(wall.point(np.array([1.0]), 40.0))[0][0] == pytest.approx(0.998 * f.length)


# From files ------------------------------------------------------------------------------------------------------


def guide_points(path, frame):
    """biv-me's table of a frame [mm]."""
    ring = [(frame.base + 0.025 * frame.radial(np.array([a]))[0], "MITRAL_VALVE") for a in np.arange(0, 360, 30.0)]
    points = [*ring, (frame.base + frame.length * frame.axis, "APEX_POINT")]
    for angle in (frame.anterior_insert, frame.inferior_insert):
        points.append((frame.base + 0.04 * frame.axis + 0.03 * frame.radial(np.array([angle]))[0], "RV_INSERT"))
    rows = ["\t".join([*(f"{c / MM:.6f}" for c in x), kind]) for x, kind in points]
    path.write_text("x\ty\tz\tcontour type\n" + "\n".join(rows))


def shell(a: float, c: float, top: float) -> pv.PolyData:
    """An ellipsoid [mm] cut open at a height."""
    whole = pv.ParametricEllipsoid(a, a, c, u_res=50, v_res=50, w_res=50).extract_surface(algorithm="dataset_surface")
    cut = whole.triangulate().clean().clip(normal="z", origin=(0, 0, top))
    return cut.extract_surface(algorithm="dataset_surface").triangulate()


@pytest.fixture(scope="module")
def folder(wall, tmp_path_factory):
    """Surfaces, a mesh and guide points of the embedded wall, and its left tree without names."""
    at = tmp_path_factory.mktemp("files")
    guide_points(at / "points.txt", wall.frame)
    for name, t in (("epi", wall.thickness), ("endo", 0.0)):
        shell((wall.a + t) / MM, (wall.c + t) / MM, wall.top / MM).save(at / f"{name}.stl")
    pv.Sphere(radius=25.0, center=(-85.0, 0.0, 0.0)).save(at / "rv.stl")
    low, high = (np.asarray(b) / MM for b in wall.bounds())
    image = pv.ImageData(dimensions=np.ceil((high - low) / 2.0).astype(int) + 1, spacing=(2.0,) * 3, origin=low)
    inside = wall.inside(image.cell_centers().points * MM)
    image.extract_cells(np.flatnonzero(inside)).triangulate().save(at / "lv.vtu")
    tree = coronary_trunks(wall, only=("LM",))
    bare = relabel(
        tree, np.asarray(tree.branch), tree.branch_names, measured=np.ones(len(tree.tail), bool), outlets=[], outlet_names=(),
        outlet_demand=[],
    )  # fmt: skip
    write_swc(at / "left.swc", bare)
    return at


SURFACES = """
[anatomy]
epicardium = "epi.stl"
endocardium = "endo.stl"
right_ventricle = "rv.stl"
guide_points = "points.txt"
"""
MESH = '[anatomy]\nmesh = "lv.vtu"\nguide_points = "points.txt"\n'


@pytest.mark.parametrize("text", [SURFACES, MESH], ids=["surfaces", "mesh"])
def test_a_wall_is_read_back(wall, folder, text):
    """140 g, in its own frame, wherever its files say: from open surfaces and from tetrahedra."""
    found, notes = _wall(parse_case(text, "case", folder))
    filled = pv.read(folder / "lv.vtu").volume if text == MESH else 0.140 / 1050 * 1e9  # [mm³]
    assert found.mask.sum() * 1.5**3 == pytest.approx(filled, rel=0.05)
    np.testing.assert_allclose(found.frame.base, wall.frame.base, atol=1e-6)
    np.testing.assert_allclose(found.frame.axis, wall.frame.axis, atol=1e-6)
    assert found.frame.anterior_insert == pytest.approx(120.0, abs=0.01)
    assert notes == [] or all("triangles" in n for n in notes)
    x = np.stack([wall.point(0.5, a, 0.5) for a in (0.0, 90.0, 200.0)])
    assert (
        found.inside(x).all() and not found.inside(x + 12 * MM * wall.frame.radial(np.array([0.0, 90.0, 200.0]))).any()
    )


def test_a_left_tree_is_read_named_and_laid_on(wall, folder):
    """As it lies, and placed: LAD and LCx are found; with names of the file's own; a wrong name is refused."""
    asked = '[vessels]\nleft = "left.swc"\nmissing = ["RCA"]\n'
    trunks, notes = _trunks(parse_case(asked + "place = false\n", "case", folder), wall)
    assert {"LM", "LAD", "LCx", "RCA", "PDA"} <= set(trunks.branch_names) and trunks.inlet_names == ("LM", "RCA")
    assert any("taken as it lies" in n for n in notes) and any("branches named from geometry" in n for n in notes)
    assert float(trunks.length[trunks.root == 0].max()) <= 0.8 * MM * (1 + 1e-9)
    placed, notes = _trunks(parse_case(asked, "case", folder), wall)
    scale = float(next(n for n in notes if "scale" in n).split("scale ")[1].split(",")[0])
    assert scale == pytest.approx(1.0, abs=0.1)
    lad = np.flatnonzero(np.asarray(placed.branch) == placed.branch_names.index("LAD"))
    assert np.abs(wall.signed_distance(np.asarray(placed.position)[np.asarray(placed.head)[lad]])).max() < 2 * MM
    named = asked + 'place = false\nnames = { b1 = "LAD", b0 = "LCx" }\n'
    ours, _ = _trunks(parse_case(named, "case", folder), wall)
    assert {"LM", "LAD", "LCx"} <= set(ours.branch_names)
    with pytest.raises(perfsim.InputError, match="no branch 'c9'"):
        _trunks(parse_case(asked + 'names = { c9 = "LAD" }\n', "case", folder), wall)
    with pytest.raises(perfsim.InputError, match="no branch is called LCx"):
        _trunks(parse_case(asked + 'names = { b1 = "LAD" }\n', "case", folder), wall)


# Surroundings ----------------------------------------------------------------------------------------------------


def test_the_blood_pool_by_hand(wall):
    """Its volume is that of the cavity by quadrature, and its cells lie half a cell from the corner of the wall's box."""
    pool = BloodPool.of(wall, 2e-3)
    z = np.linspace(0.0, wall.frame.cavity_length, 20_001)
    inner = wall.epicardial_radius(z, 0.0) - wall.wall_thickness(z, 0.0)
    assert float(pool.volume.sum()) == pytest.approx(np.trapezoid(np.pi * inner**2, z), rel=0.02)
    low, _ = wall.bounds()
    np.testing.assert_allclose(pool.volume, 8e-9)
    offset = (np.asarray(pool.center) - low) / 2e-3
    np.testing.assert_allclose(offset - np.floor(offset), 0.5, atol=1e-6)


def test_voxels_see_three_deviations_far():
    """Volumes within 3σ and the margin of a voxel are its sources, σ² = (fwhm/2.355)² + (h² + voxel²)/12; others are not."""
    volumes, _ = box([0.06] * 3, [12] * 3)
    axis = LongAxis.of(EllipsoidWall().frame)
    point = np.random.default_rng(0).uniform(0.0, 0.06, (40, 3))
    view = Voxels.at(volumes, axis, point, 7e-3, 4e-3, margin=2e-3)
    reach = 3.0 * np.sqrt((7e-3 / 2.354820045) ** 2 + (5e-3**2 + 4e-3**2) / 12) + 2e-3
    far = np.linalg.norm(np.asarray(volumes.center)[None] - point[:, None], axis=2)
    for k in range(40):
        seen = np.asarray(view.source)[k]
        assert sorted(seen[seen < 1728].tolist()) == np.flatnonzero(far[k] <= reach).tolist()
    for fwhm in (0.9e-3, 31e-3):
        with pytest.raises(perfsim.InputError, match="give 1 to 30 mm"):
            Voxels.at(volumes, axis, point, fwhm, 4e-3)
    with pytest.raises(perfsim.InputError, match="none of the 1 voxels lies within"):
        Voxels.at(volumes, axis, np.full((1, 3), 1.0), 7e-3, 4e-3)


# A wall of voxels -------------------------------------------------------------------------------------------------


STEP = 1.5 * MM


@pytest.fixture(scope="module")
def cup():
    """Voxels of 1.5 mm: outer radius 24 mm, inner 15 mm but 10 between 0 and 90°; base at z = 0, 60 mm deep, floor 9 mm."""
    x = STEP * (np.arange(-20, 21) + 0.5)
    z = STEP * (np.arange(-46, 8) + 0.5)  # base at z = 0; the apex points down
    X, Y, Z = np.meshgrid(x, x, z, indexing="ij")
    radius, angle = np.hypot(X, Y), np.degrees(np.arctan2(Y, X))
    inner = np.where(np.abs(angle + 45) < 45, 10 * MM, 15 * MM)
    mask = (radius < 24 * MM) & (Z < 0) & (Z > -60 * MM) & ~((radius < inner) & (Z > -51 * MM))
    frame = Frame(np.zeros(3), np.array([0.0, 0, -1]), np.array([1.0, 0, 0]), 1.0, 1.0)
    return MaskWall(mask, np.array([x[0], x[0], z[0]]), STEP, frame)


def test_a_wall_of_voxels_by_hand(cup):
    """Lengths, radii, thickness and depth of the cup, to a voxel or two; angles run against y, for z points down."""
    assert cup.frame.length == pytest.approx(60 * MM, abs=0.1 * MM)
    assert cup.frame.cavity_length == pytest.approx(51 * MM, abs=1.6 * MM)
    low, high = cup.bounds()
    np.testing.assert_allclose(low, [-24.75 * MM, -24.75 * MM, -60.75 * MM], atol=1.51 * MM)
    np.testing.assert_allclose(high, [24.75 * MM, 24.75 * MM, 0.75 * MM], atol=1.51 * MM)
    z, angle = np.array([20, 20, 20, 35.0]) * MM, np.array([45.0, 135.0, 225.0, 315.0])
    np.testing.assert_allclose(cup.epicardial_radius(z, angle), 24 * MM, atol=0.8 * MM)
    np.testing.assert_allclose(cup.wall_thickness(z, angle), MM * np.array([14, 9, 9, 9.0]), atol=1.4 * MM)
    assert cup.wall_thickness(np.array([0.0]), np.array([300.0])).shape == (1,)
    across = np.array([[-(15 + 9 * s) * MM, 0.0, -25 * MM] for s in (0.05, 0.25, 0.5, 0.75, 0.95)])
    np.testing.assert_allclose(cup.depth(across), [0.95, 0.75, 0.5, 0.25, 0.05], atol=0.08)
    below = np.array([[0.0, 0.0, -(51 + 9 * s) * MM] for s in (0.25, 0.5, 0.75)])
    np.testing.assert_allclose(cup.depth(below), [0.75, 0.5, 0.25], atol=0.1)


def test_distances_from_a_wall_of_voxels(cup):
    """Negative inside; in the cavity, above the base, and far outside the grid, where the way to it is added."""
    x = MM * np.array([[-19.5, 0, -25], [0, 0, -25], [-33, 0, -25], [-124, 0, -25], [0, 19, -66], [-20, 0, 60]])
    expected = MM * np.array([-4.5, 10.0, 9.0, 100.0, 6.0, 60.0])
    np.testing.assert_allclose(cup.signed_distance(x), expected, atol=1.0 * MM)
    assert cup.inside(x).tolist() == [True, False, False, False, False, False]
    far = cup.signed_distance(MM * np.array([[-1000.0, 0, -25]]))
    assert far[0] == pytest.approx(976 * MM, abs=1.0 * MM)


def test_masks_that_are_no_wall(cup):
    frame = Frame(np.zeros(3), np.array([0.0, 0, -1]), np.array([1.0, 0, 0]), 1.0, 1.0)
    solid = np.ones((20, 20, 20), bool)
    for mask, origin, words in (
        (np.zeros((4, 4, 4), bool), np.zeros(3), "mask is empty"), (solid, np.array([0, 0, 1.0]), "above the base"),
        (solid, np.full(3, -0.03), "encloses no cavity"),
    ):  # fmt: skip
        with pytest.raises(perfsim.InputError, match=words):
            MaskWall(mask, origin, STEP, frame)


def test_winding_numbers_of_a_cube():
    """1 inside, 0 outside, ½ on a face, ⅛ at a corner; turned inside out -1; without one face less its solid angle over 4π."""
    cube = pv.Cube(x_length=2, y_length=2, z_length=2).triangulate().clean()
    vertices, faces = np.asarray(cube.points, float), np.asarray(cube.faces).reshape(-1, 4)[:, 1:]
    seen = np.array([[0.0, 0, 0], [0.5, -0.3, 0.2], [3, 0, 0], [0, 9, 9], [1 - 1e-9, 0.2, 0.1], [1 + 1e-9, 0.2, 0.1]])
    outward = np.sign(winding_number(seen[:1], vertices, faces))[0]
    w = outward * winding_number(seen, vertices, faces)
    np.testing.assert_allclose(w, [1, 1, 0, 0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(winding_number(seen, vertices, faces[:, ::-1]), -outward * w, atol=1e-9)
    open_ = faces[~(vertices[faces][:, :, 0] > 0.9).all(1)]
    assert len(open_) == 10
    h = np.array([1.0, 2.0, 4.0])  # a square of side 2 seen from h before its middle: 4 arctan(1/(h √(h² + 2)))
    missing = 4 * np.arctan(1 / (h * np.sqrt(h**2 + 2))) / (4 * np.pi)
    at = np.stack([1 - h, 0 * h, 0 * h], 1)
    whole = np.where(np.abs(at[:, 0]) < 1, 1.0, 0.0)
    inside = h < 2
    found = outward * winding_number(at, vertices, open_)
    np.testing.assert_allclose(found[inside], (whole - missing)[inside], atol=1e-9)
    assert found[2] == pytest.approx(-missing[2], abs=1e-9)


def test_winding_numbers_of_many_triangles():
    """A sphere of 1680 triangles: dipoles of far parts change w by no more than 0.05, inside and outside."""
    ball = pv.Sphere(radius=10.0, theta_resolution=30, phi_resolution=30)
    vertices, faces = np.asarray(ball.points, float), np.asarray(ball.faces).reshape(-1, 4)[:, 1:]
    x = np.random.default_rng(0).uniform(-15, 15, (300, 3))
    x = x[np.abs(np.linalg.norm(x, axis=1) - 10) > 0.5]
    expected = np.linalg.norm(x, axis=1) < 10
    found = winding_number(x, vertices, faces)
    assert np.abs(found - expected).max() < 0.05


# Courses of the embedded arteries ------------------------------------------------------------------------------------

THROUGH = {
    # branch: places that it passes on its way, (share u of the way to the apex, angle [°], depth)
    "LAD": [(0.08, 120, 0), (0.5, 120, 0)], "D1": [(0.52, 84, 0)], "D2": [(0.72, 90, 0)], "OM1": [(0.3, 40, 0)],
    "OM2": [(0.3, -8, 0)], "LCx": [(0.025, 115 - 143 / 7, 0), (0.05, 115 - 2 * 143 / 7, 0), (0.05, 115 - 5 * 143 / 7, 0)],
    "S1": [(0.21, 129, 0.25), (0.23, 154, 0.5)], "S2": [(0.37, 129, 0.25), (0.39, 154, 0.5)],
    "S3": [(0.53, 129, 0.25), (0.55, 154, 0.5)], "S4": [(0.69, 129, 0.25), (0.71, 154, 0.5)],
    "PDA": [(0.3, 241, 0)], "PLV": [(0.05, 260, 0)], "PL1": [(0.3, 260, 0)], "PL2": [(0.3, 280, 0)],
    "IS1": [(0.14, 232, 0.25), (0.16, 224, 0.45)], "IS2": [(0.28, 232, 0.25), (0.3, 224, 0.45)],
    "IS3": [(0.42, 232, 0.25), (0.44, 224, 0.45)],
}  # fmt: skip


def off_a_branch(network, name: str, x: np.ndarray) -> float:
    """Distance of a point from a branch [m]."""
    on = np.flatnonzero(np.asarray(network.branch) == network.branch_names.index(name))
    tails, heads = (np.asarray(network.position)[np.asarray(n)[on]] for n in (network.tail, network.head))
    way = heads - tails
    share = np.clip(np.sum((x - tails) * way, 1) / np.sum(way**2, 1), 0.0, 1.0)
    return float(np.linalg.norm(tails + share[:, None] * way - x, axis=1).min())


def test_branches_pass_the_places_they_are_said_to(wall):
    """Each within 0.1 mm; nodes are 0.8 mm apart."""
    trunks = coronary_trunks(wall)
    for name, places in THROUGH.items():
        for u, angle, depth in places:
            assert off_a_branch(trunks, name, wall.point(u, angle, depth)) < 0.1 * MM, (name, u, angle)
    f = wall.frame
    fork, ostium = wall.point(0.0, 115.0), ends(trunks)["LM"][0]
    assert off_a_branch(trunks, "LM", 0.5 * (ostium + fork) - 1 * MM * f.axis) < 0.02 * MM
    length = np.asarray(trunks.length)
    for name in ("LAD", "LCx", "RCA", "OM1"):
        on = np.asarray(trunks.branch) == trunks.branch_names.index(name)
        assert np.abs(length[on][1:-1] - 0.8 * MM).max() < 0.02 * MM, name


def test_which_branches_there_are(wall):
    """By dominance; only the roots that are asked for, with all that hangs on them; another word is refused."""
    names = {d: set(coronary_trunks(wall, d).branch_names) for d in ("right", "co", "left")}
    assert names["right"] - names["co"] == {"PLV"} and names["co"] == names["left"]
    assert {"PL1", "PL2", "PDA", "IS1", "IS3"} <= names["left"]
    right = coronary_trunks(wall, only=("RCA",))
    assert right.inlet_names == ("RCA",) and set(right.branch_names) == {
        "RCA", "conus", "SAN", "RV1", "RV2", "PDA", "IS1", "IS2", "IS3", "PLV", "PL1", "PL2",
    }  # fmt: skip
    left = coronary_trunks(wall, "left", only=("LM",))
    assert {"PDA", "PL1", "IS2"} <= set(left.branch_names) and "RV1" not in left.branch_names
    with pytest.raises(perfsim.InputError, match="dominance 'both' is unknown"):
        coronary_trunks(wall, "both")


def test_walls_of_impossible_mass():
    for mass in (0.02, 1.0, -0.1):
        with pytest.raises(perfsim.InputError, match=f"{mass * 1e3:.4g} g is not between 20 and 1000 g"):
            EllipsoidWall(mass)
    assert EllipsoidWall(0.0201).thickness > 1 * MM


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[treatment]]\nkind = "stent"\nbranch = "LADD"\nstart = "1 mm"\nend = "2 mm"', r"treatment\[0\]: there is no branch 'LADD': did you mean 'LAD'"),
        ('[[treatment]]\nkind = "stent"\nbranch = "D1"\nstart = "1 mm"\nend = "400 mm"', r"treatment\[0\]: 400 mm does not lie on D1, which is \d+"),
        ('[[treatment]]\nkind = "graft"\nbranch = "D1"\nposition = "400 mm"\ndiameter = "3 mm"\nlength = "90 mm"', "does not lie on D1"),
        ("[tissue]\ntone = { LADD = 0.5 }", "there is no territory 'LADD'"),
        ('[[stenosis]]\nbranch = "LCy"\nposition = "1 mm"\ndiameter_reduction = 0.5\nlength = "2 mm"', "there is no branch 'LCy'"),
    ],
)  # fmt: skip
def test_places_that_the_heart_lacks(text, words):
    with pytest.raises(perfsim.InputError, match=words):
        read_anatomy(parse_case(text))
