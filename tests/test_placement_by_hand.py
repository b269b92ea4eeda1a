"""Where a tree is laid on a wall, against the coordinates that it is meant to have."""

from perfsim.anatomy import EllipsoidWall
from perfsim.anatomy.placement import _anterior_groove, _carry_main_stem, _circumflex_course, _course, _even, _project
from perfsim.io.build import FrameMismatch, same_frame
from perfsim.network import (
    VesselNetwork,
    relabel,
)

import numpy as np
import pytest

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
