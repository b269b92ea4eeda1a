"""Where a tree is laid on a wall, against the coordinates that it is meant to have."""

from perfsim._results import InputError
from perfsim.anatomy import EllipsoidWall
from perfsim.anatomy.labels import label_left_tree
from perfsim.anatomy.placement import (
    _anterior_groove,
    _carry_main_stem,
    _circumflex_course,
    _course,
    _even,
    _project,
    place_left_tree,
    similarity,
)
from perfsim.io.build import FrameMismatch, same_frame
from perfsim.network import (
    VesselNetwork,
    relabel,
)

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

MM = 1e-3


def test_nodes_between_the_limits_keep_their_height():
    """Placement moves nodes along the radius; only beyond 3 and 98.5 % of the length is height kept to 2 %."""
    wall = EllipsoidWall()
    f = wall.frame
    low, high = 0.03 * f.length, 0.985 * f.length
    z = np.array([low - 5 * MM, low, 0.3 * f.length, 0.9 * f.length, high, high + 4 * MM])
    x = f.base + z[:, None] * f.axis + 0.02 * f.radial(np.full(6, 30.0))
    placed, septal = _project(wall, x)
    found, radius, angle = f.cylindrical(placed)
    expected = np.array([low - 0.02 * 5 * MM, low, z[2], z[3], high, high + 0.02 * 4 * MM])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(radius, wall.epicardial_radius(expected, angle), rtol=1e-9)
    np.testing.assert_allclose(angle, 30.0)
    assert septal == 0


def test_nodes_off_the_septum():
    """Between the inserts a node keeps 2 % of its angle to the nearer groove; beyond them all of it."""
    wall = EllipsoidWall()
    f = wall.frame
    angle = np.array([119.0, 125.0, 170.0, 190.0, 235.0, 241.0])
    placed, septal = _project(wall, f.base + 0.3 * f.length * f.axis + 0.02 * f.radial(angle))
    np.testing.assert_allclose(f.cylindrical(placed)[2], [119.0, 120.1, 121.0, 239.0, 239.9, 241.0], atol=1e-9)
    assert septal == 4


def test_grooves_run_where_they_are_said_to():
    wall = EllipsoidWall()
    z, _, angle = wall.frame.cylindrical(_anterior_groove(wall, 0.9))
    np.testing.assert_allclose(angle, wall.frame.anterior_insert)
    assert len(z) == 30 and (np.diff(z) > 0).all()
    z, _, angle = wall.frame.cylindrical(_circumflex_course(wall, 10.0, 0.5))
    assert angle[0] == pytest.approx(wall.frame.anterior_insert - 5.0) and angle[-1] == pytest.approx(10.0)
    assert (np.diff(angle) < 0).all() and z[-1] > z[0]


def test_the_embedded_wall_by_quadrature():
    """140 g at 1050 kg/m³, by the two radii along the axis; depth 0, ½ and 1 across the wall where the surfaces are round."""
    wall = EllipsoidWall()
    z = np.linspace(0.0, wall.frame.length, 200_001)
    outer = wall.epicardial_radius(z, 0.0)
    inner = outer - wall.wall_thickness(z, 0.0)
    assert np.trapezoid(np.pi * (outer**2 - inner**2), z) * 1050 == pytest.approx(0.140, rel=1e-6)
    middle = np.array([[wall.a + share * wall.thickness, 0.0, 0.0] for share in (1.0, 0.5, 0.0)])
    np.testing.assert_allclose(wall.depth(middle), [0.0, 0.5, 1.0], atol=1e-9)
    np.testing.assert_allclose(wall.signed_distance(middle), [0.0, -0.5 * wall.thickness, 0.0], atol=1e-9)
    assert wall.frame.length - wall.frame.cavity_length == pytest.approx(wall.thickness)
    np.testing.assert_allclose(
        wall.point(0.0, 70.0), wall.frame.base + wall.epicardial_radius(0.0, 0.0) * wall.frame.radial(70.0)
    )
    around, direct = wall.point(1.2, 70.0), wall.point(0.8, 250.0)
    np.testing.assert_allclose(around, direct, atol=1e-12)


def test_how_far_a_tree_lies_from_its_wall():
    """Distances 0 to 9.95 mm outside: median 4.98, 95th percentile 9.45 mm, each to a whole millimetre."""
    wall = EllipsoidWall()
    off = MM * np.linspace(0.0, 9.95, 12)
    x = np.stack([np.full(12, 1.0), np.zeros(12), np.zeros(12)], 1) * (wall.a + wall.thickness + off)[:, None]
    tree = VesselNetwork.build(x, np.arange(11), np.arange(11) + 1, np.full(11, 1 * MM), inlets=[0], outlets=[11])
    assert "its nodes lie 5 mm from the wall's surface (median; 95th percentile 9 mm)" in same_frame(
        tree, wall, "t.swc"
    )
    away = relabel(tree, np.zeros(11, int), ("vessel",), position=x + np.array([7.2 * MM, 0, 0]))
    with pytest.raises(FrameMismatch, match=r"t\.swc: its nodes lie 12 mm .* 95th percentile 17 mm"):
        same_frame(away, wall, "t.swc")
    near = relabel(tree, np.zeros(11, int), ("vessel",), position=x + np.array([7.0 * MM, 0, 0]))
    assert "taken as it lies" in same_frame(near, wall, "t.swc")


def test_the_main_stem_follows_its_end():
    """Its nodes shift by a share of its end's shift that grows from 0 at the ostium as the way along it does."""
    x = MM * np.array([[0.0, 0, 0], [3, 0, 0], [3, 5, 0], [9, 5, 0], [3, 9, 0]])
    tree = VesselNetwork.build(
        x, [0, 1, 2, 2], [1, 2, 3, 4], np.full(4, 1 * MM), inlets=[0], outlets=[3, 4], branch=[0, 0, 1, 2],
        branch_names=("LM", "LAD", "LCx"),
    )  # fmt: skip
    shifted = x + MM * np.array([[1.0, 1, 1], [2, 2, 2], [0, 4, 8], [5, 5, 5], [6, 6, 6]])
    found = _carry_main_stem(tree, x, shifted)
    np.testing.assert_allclose(found[0], x[0])
    np.testing.assert_allclose(found[1], x[1] + 3 / 8 * MM * np.array([0.0, 4, 8]))
    np.testing.assert_allclose(found[2:], shifted[2:])
    np.testing.assert_allclose(_course(tree, "LAD"), [2, 3])
    even = _even(np.array([[0.0, 0, 0], [3, 0, 0], [3, 5, 0]]), 5)
    np.testing.assert_allclose(even, [[0, 0, 0], [2, 0, 0], [3, 1, 0], [3, 3, 0], [3, 5, 0]])


def test_courses_start_and_end_where_they_are_said_to():
    """The groove from u = 0.02 to 0.9, the circumflex from u = 0.04 and the anterior groove - 5° to where it is sent."""
    wall = EllipsoidWall()
    groove = _anterior_groove(wall, 0.9)
    np.testing.assert_allclose(groove[[0, -1]], wall.point(np.array([0.02, 0.9]), np.full(2, 120.0)), atol=1e-12)
    course = _circumflex_course(wall, -40.0, 0.6)
    np.testing.assert_allclose(course[[0, -1]], wall.point(np.array([0.04, 0.6]), np.array([115.0, -40.0])), atol=1e-12)
    along = _circumflex_course(wall, -40.0, 0.04)  # on the base alone
    np.testing.assert_allclose(wall.frame.cylindrical(along)[0], wall.frame.cylindrical(course)[0][0], atol=1e-4)
    step = np.linalg.norm(np.diff(groove, axis=0), axis=1)
    assert np.ptp(step) < 0.02 * step.mean() and len(course) == 30


def test_similarities_are_found_again():
    """Scale 1.3, a rotation and a shift; of a mirrored set of points the best proper rotation, not the mirror."""
    rng = np.random.default_rng(0)
    x, R = rng.normal(size=(20, 3)), Rotation.from_rotvec([0.3, -1.0, 0.5]).as_matrix()
    scale, rotation, shift = similarity(x, 1.3 * x @ R.T + [1.0, 2, 3])
    assert scale == pytest.approx(1.3)
    np.testing.assert_allclose(rotation, R, atol=1e-12)
    np.testing.assert_allclose(shift, [1.0, 2, 3], atol=1e-12)
    scale, rotation, shift = similarity(x, x * [1, 1, -1])
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    off = lambda v: np.sum((np.exp(v[3]) * Rotation.from_rotvec(v[:3]).apply(x) + v[4:] - x * [1, 1, -1]) ** 2)  # noqa: E731
    tries = [np.array([*r, 0.0, 0, 0, 0]) for r in ([0.1, 0, 0], [3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0])]
    best = min(minimize(off, v, method="BFGS").fun for v in tries)
    assert np.sum((scale * x @ rotation.T + shift - x * [1, 1, -1]) ** 2) == pytest.approx(best, rel=1e-5)


def test_a_tree_drawn_along_the_grooves_lies_there_again():
    """Its two branches turned, moved, and shrunk by 1/1.2: found at scale 1.2 with no misfit; at 1/2.5 it fits no heart."""
    wall = EllipsoidWall()
    lad, lcx = _anterior_groove(wall, 1.0), _circumflex_course(wall, -20.0, 0.3)
    R = Rotation.from_rotvec([0.4, 0.2, -0.9]).as_matrix()

    def tree(shrunk: float) -> VesselNetwork:
        start = 0.5 * (lad[0] + lcx[0]) + 8 * MM * np.array([0.0, 0, 1])
        x = np.concatenate([[start], lad, lcx]) @ R.T * shrunk + 0.3
        tail, head = [0, *range(1, 30), 1, *range(31, 60)], [1, *range(2, 31), 31, *range(32, 61)]
        return VesselNetwork.build(
            x,
            tail,
            head,
            np.full(60, 1 * MM),
            inlets=[0],
            branch=[0] + [1] * 29 + [2] * 30,
            branch_names=("LM", "LAD", "LCx"),
        )

    placed, how = place_left_tree(tree(1 / 1.2), wall)
    assert how.scale == pytest.approx(1.2, rel=0.02) and how.rms < 1.5 * MM and how.moved < 1.5 * MM
    assert how.length_ratio == pytest.approx(1.0, abs=0.04)
    found = np.asarray(placed.position)[1:31]
    assert np.linalg.norm(found - lad, axis=1).max() < 5 * MM
    with pytest.raises(InputError, match=r"at no scale between 0\.75 and 1\.33"):
        place_left_tree(tree(1 / 2.5), wall)


def test_nodes_moved_to_the_nearer_groove_are_counted():
    """180° is the middle of the septum: what lies at 179 goes to 120°, what lies at 181 to 240°."""
    wall = EllipsoidWall()
    f = wall.frame
    placed, septal = _project(wall, f.base + 0.4 * f.length * f.axis + 0.02 * f.radial(np.array([179.0, 181.0, 90.0])))
    np.testing.assert_allclose(f.cylindrical(placed)[2], [120 + 0.02 * 59, 240 - 0.02 * 59, 90.0], atol=1e-9)
    assert septal == 2


def test_left_trees_without_names_are_named_by_their_longest_ways():
    """A stem that divides in two ways with side branches: LM, the longer ways LAD and LCx, the rest after what they leave."""
    wall = EllipsoidWall()
    lad, lcx = _anterior_groove(wall, 1.0), _circumflex_course(wall, -20.0, 0.3)
    start = lad[0] + 8 * MM * np.array([0.0, 0, 1])
    x = np.concatenate([[start], lad[::3], lcx[::3], [lad[9] + 9 * MM, lad[18] + 9 * MM, lcx[12] + 9 * MM]])
    tail = [0, *range(1, 10), 1, *range(11, 20), 4, 7, 15]
    head = [1, *range(2, 11), 11, *range(12, 21), 21, 22, 23]
    tree = VesselNetwork.build(x, tail, head, np.full(len(tail), 1 * MM), inlets=[0])
    named, sure = label_left_tree(tree, wall)
    of = dict(
        zip(
            np.asarray(named.head).tolist(),
            np.array(named.branch_names)[np.asarray(named.branch)].tolist(),
            strict=True,
        )
    )
    assert {of[n] for n in range(2, 11)} == {"LAD"} and {of[n] for n in range(11, 21)} == {"LCx"} and of[1] == "LM"
    assert (of[21], of[22], of[23]) == ("LAD-1", "LAD-2", "LCx-1") and named.inlet_names == ("LM",)
    assert sure.misfit < 3 * MM < sure.swapped_misfit
    line = VesselNetwork.build(x[:4], [0, 1, 2], [1, 2, 3], np.full(3, 1 * MM), inlets=[0])
    with pytest.raises(InputError, match="no main stem that divides in two"):
        label_left_tree(line, wall)
