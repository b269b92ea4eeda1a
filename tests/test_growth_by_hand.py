"""Growth on figures small enough to compute by hand: what repair and tolerances would hide."""

import dataclasses

import perfsim
from perfsim.anatomy import EllipsoidWall
from perfsim.growth import grow, stub_roots
from perfsim.growth.bifurcation import fermat_points
from perfsim.growth.domain import Ball, Box, OuterLayer, check_bounds, leaves
from perfsim.growth.forest import GrowingForest
from perfsim.growth.index import Pieces, usual_spacing
from perfsim.growth.repair import _take_out
from perfsim.growth.report import crown_factor
from perfsim.growth.rules import among, closest_points, distinct, room, split_needs, thicker_below, with_room
from perfsim.growth.shares import find_price, goal_of
from perfsim.network import (
    no_lesions,
    radii,
    vessel_into,
)

import numpy as np
import pytest

MM = 1e-3


def forest() -> GrowingForest:
    """A trunk of three nodes along x; from node 1 a sprout to a fork with two terminals, from node 2 one terminal.

    Nodes: 0, 1, 2 trunk; 3 and 5 tips, 4 the fork above them, 6 the lone tip. Demands 2, 1 and 4; γ = 3, r₀ = 2 mm.
    """
    made = GrowingForest(
        MM * np.array([[0.0, 0, 0], [10, 0, 0], [20, 0, 0]]), np.zeros(3, int), [False, True, True], [2 * MM], 3.0,
        np.array([2.0, 1.0, 4.0]),
    )  # fmt: skip
    made.sprout(np.array([1]), MM * np.array([[10.0, 20, 0]]), np.array([0]))
    made.split(np.array([3]), MM * np.array([[10.0, 10, 0]]), MM * np.array([[20.0, 10, 0]]), np.array([1]))
    made.sprout(np.array([2]), MM * np.array([[20.0, -30, 0]]), np.array([2]))
    made.update()
    return made


def test_forest_by_hand():
    """Flows, depths, radii, cost and paths of the seven nodes."""
    f = forest()
    assert f.parent.tolist() == [-1, -1, -1, 4, 1, 4, 2] and f.child[4].tolist() == [3, 5]
    assert f.flow.tolist() == [0, 3, 4, 2, 3, 1, 4] and f.depth.tolist() == [0, 0, 0, 2, 1, 2, 1]
    assert f.root_flow().tolist() == [7.0] and f.terminal.tolist() == [-1, -1, -1, 0, -1, 1, 2]
    np.testing.assert_allclose(
        f.radius(np.array([7.0, 3.0]), np.zeros(2, int)), 2 * MM * np.array([1, (3 / 7) ** (1 / 3)])
    )
    np.testing.assert_allclose(f.length(np.array([3, 4, 5, 6])), MM * np.array([10, 10, 10, 30]))
    cost = 10 * MM * (2 ** (2 / 3) + 3 ** (2 / 3) + 1) + 30 * MM * 4 ** (2 / 3)
    assert f.cost() == pytest.approx(cost) and f.unit_cost() == pytest.approx(cost / 7)
    assert f.sibling(np.array([3, 5])).tolist() == [5, 3]
    assert f.below(np.array([4])).tolist() == [3, 4, 5] and f.tips_below(np.array([4, 6])).tolist() == [3, 5, 6]
    assert f.grown().tolist() == [3, 4, 5, 6] and f.forks().tolist() == [4] and f.free_sprouts().tolist() == []
    assert f.count_below(np.array([4]))[0] == pytest.approx(3 / (7 / 3))
    assert sorted(f.placed().tolist()) == [0, 1, 2]


def test_what_more_demand_costs_on_its_way():
    """Σ ((Q + d)^α - Q^α) L from a tip to its trunk, for a large demand exactly, for a usual one by its share."""
    f, alpha = forest(), 2 / 3
    large = 10.0
    by_hand = 10 * MM * ((2 + large) ** alpha - 2**alpha + (3 + large) ** alpha - 3**alpha)
    assert f.path_cost(np.array([3]), np.array([large]))[0] == pytest.approx(by_hand)
    unit = 7 / 3
    usual = 10 * MM * ((2 + unit) ** alpha - 2**alpha + (3 + unit) ** alpha - 3**alpha)
    assert f.path_cost(np.array([3]), np.array([0.5 * unit]))[0] == pytest.approx(0.5 * usual)


def test_terminals_are_taken_out():
    """With a tip its fork goes, and the sibling hangs on what was above; a lone tip frees its trunk node."""
    f = forest()
    assert f.remove(np.array([5])).tolist() == [1]
    f.update()
    assert f.parent[3] == 1 and f.child[1].tolist() == [3, -1] and f.flow[[1, 2, 3]].tolist() == [2, 4, 2]
    f = forest()
    assert f.remove(np.array([6])).tolist() == [2] and f.child[2, 0] == -1 and f.free_sprouts().tolist() == [2]
    assert sorted(forest().clear().tolist()) == [0, 1, 2]


def test_a_subtree_is_hung_elsewhere():
    """A tip goes from its fork onto the vessel to node 6: a new fork there, the old one gone, the flows moved with it."""
    f = forest()
    f.move(np.array([5]), np.array([6]), MM * np.array([[20.0, -15, 0]]))
    f.update()
    fork = f.parent[5]
    assert f.parent[6] == fork and f.parent[fork] == 2 and f.parent[3] == 1 and sorted(f.child[fork]) == [5, 6]
    np.testing.assert_allclose(f.position[fork], MM * np.array([20, -15, 0]))
    assert f.flow[[1, 2, 3, 5, 6, fork]].tolist() == [2, 5, 2, 1, 4, 5]


def test_pinned_bifurcations_stay():
    f = forest()
    assert not f.carries_pinned().any()
    f.pin()
    assert f.forks().tolist() == [] and f.carries_pinned().tolist() == [False, True, False, False, True, False, False]


def test_lengths_that_a_new_bifurcation_needs():
    """1.08 times the greater of two radii of one's own and the sum of those above and below, for all three vessels."""
    f = forest()
    radius = lambda flow: 2 * MM * (flow / 7.0) ** (1 / 3)  # noqa: E731
    for upper in (4.5, 1.5):  # more than what already flows above, and less
        lower, new, below = 1.0, upper - 1.0, 0.9 * MM
        found = split_needs(f, np.array([4]), np.array([3]), *(np.array([x]) for x in (upper, lower, new, below)))[0]
        over = radius(max(3.0, upper))
        own = radius(upper), radius(lower), radius(new)
        expected = [
            max(2 * own[0], over + max(own[1], own[2])), max(2 * own[1], own[0] + radius(2.0)),
            max(2 * own[2], own[0] + below),
        ]  # fmt: skip
        np.testing.assert_allclose(found, 1.08 * np.array(expected), rtol=1e-12)
    np.testing.assert_allclose(thicker_below(f, np.array([4, 6])), [radius(2.0), radius(4.0)])
    assert room(np.array([1.0]), np.array([0.5]), np.array([0.7])).tolist() == [2.0]
    assert room(np.array([1.0]), np.array([1.5]), np.array([0.7])).tolist() == [2.2]


AWAY = np.array([7.0, -3.0, 2.0])
"""added to all points: what is only right about the origin is wrong"""


def test_bifurcations_slide_until_both_halves_fit():
    ends = AWAY + np.array([[[0.0, 0, 0], [10, 0, 0], [5, 8, 0]]])

    def slid(at, need):
        x, fits = with_room(AWAY + np.array([[at, 0.0, 0]]), ends, np.array([need]))
        return (x - AWAY)[0].tolist(), fits.tolist()

    assert slid(1.0, [3.0, 4.0, 1.0]) == ([3.0, 0, 0], [True])
    assert slid(9.0, [3.0, 4.0, 1.0]) == ([6.0, 0, 0], [True])
    assert slid(5.0, [3.0, 4.0, 1.0]) == ([5.0, 0, 0], [True])
    assert slid(5.0, [6.0, 5.0, 1.0])[1] == [False] and slid(5.0, [3.0, 4.0, 9.0])[1] == [False]


def crossing() -> GrowingForest:
    """Two sprouts that cross at right angles 0.3 mm apart: at a quarter of the first, at two thirds of the second."""
    trunk = MM * np.array([[0.0, 0, 0], [10, -20, 0.3]])
    made = GrowingForest(trunk, np.zeros(2, int), [True, True], [1 * MM], 3.0, np.array([1.0, 1.0]))
    made.sprout(np.array([0, 1]), MM * np.array([[40.0, 0, 0], [10, 10, 0.3]]), np.array([0, 1]))
    made.update()
    return made


def test_overlaps_name_who_is_where():
    """s along the first vessel, t along the second, the sum of radii less the distance."""
    f = crossing()
    found = among(f, np.array([2]), np.array([3]))
    assert (found.first.tolist(), found.second.tolist()) == ([2], [3])
    assert found.s[0] == pytest.approx(0.25) and found.t[0] == pytest.approx(2 / 3)
    radius = MM * 0.5 ** (1 / 3)
    assert found.deficit[0] == pytest.approx(2 * radius - 0.3 * MM) and found.near.tolist() == [False]
    turned = among(f, np.array([3]), np.array([2]))
    assert turned.first.tolist() == [3] and turned.s[0] == pytest.approx(2 / 3)
    assert len(among(f, np.array([2]), np.array([2])).first) == 0  # a vessel does not overlap itself
    wide = among(f, np.array([2]), np.array([3]), slack=0.5)
    assert wide.deficit[0] == pytest.approx(3 * radius - 0.3 * MM)


def test_vessels_that_meet_do_not_overlap():
    """They share the fork; a cousin one vessel away is near."""
    f = forest()
    assert len(among(f, np.array([3, 3]), np.array([5, 4])).first) == 0
    pairs = distinct(np.array([5, 3, 3, 4, 6, 4]), np.array([3, 5, 3, 6, 4, 6]))
    assert pairs.T.tolist() == [[3, 5], [4, 6]]


def test_what_is_taken_out_goes_with_all_below_it():
    """Both terminals of a bifurcation, in whatever order they are numbered."""
    for demand in (0, 1):
        f = forest()
        f.terminal[[3, 5]] = [demand, 1 - demand]
        assert sorted(_take_out(f, np.array([4])).tolist()) == [0, 1]
        assert f.grown().tolist() == [6] and f.free_sprouts().tolist() == [1]


def test_growth_reports_what_a_traversal_finds():
    """Depth, cost, volume and shares of a small tree, counted on the network that came out."""
    root = stub_roots([[-10 * MM, 0, 0], [10 * MM, 0, 0]], [[-1, 0, 0], [1, 0, 0]], [0.3 * MM, 0.2 * MM], ("a", "b"))
    network, report = grow(Box(np.full(3, -10 * MM), np.full(3, 10 * MM)), root, 60, exponent=3.0, seed=2)
    tail = np.asarray(network.tail)
    own = np.asarray(network.branch) == network.branch_names.index("grown")
    into, children = vessel_into(network), np.bincount(tail, minlength=len(network.position))
    depth = []
    for node in np.asarray(network.terminals):
        forks, v = 0, int(into[node])
        while v >= 0 and own[v]:
            forks += bool(own[v] and children[tail[v]] == 2)
            v = int(into[tail[v]])
        depth.append(forks)
    assert report.depth == max(depth) and (report.terminals, report.dropped) == (60, 0)
    flow, length = np.asarray(network.design_flow()[0])[own], np.asarray(network.length)[own]
    radius = np.asarray(radii(network, no_lesions()))[own, 0]
    assert report.cost == pytest.approx(np.sum((flow / 60) ** (2 / 3) * length), rel=1e-9)
    assert report.volume == pytest.approx(np.sum(np.pi * radius**2 * length), rel=1e-9)
    share = np.bincount(np.asarray(network.root)[into[np.asarray(network.terminals)]], minlength=2) / 60
    assert report.shares == {"a": pytest.approx(share[0]), "b": pytest.approx(share[1])}
    assert report.short_share == pytest.approx(np.mean(length < 2.0 * radius)) and str(report).startswith(
        "60 terminals, 0 dropped"
    )


@pytest.mark.parametrize(
    ("c", "d", "expected"),
    [
        ([5, 1, -3], [5, 1, 7], (0.5, 0.3, 1.0)),  # skew
        ([-4, 0, 3], [-4, 0, 9], (0.0, 0.0, 5.0)),  # beyond the start of the one, before the start of the other
        ([13, 4, 0], [13, 9, 0], (1.0, 0.0, 5.0)),
        ([2, 3, 0], [8, 3, 0], (None, None, 3.0)),  # parallel
        ([4, 2, 0], [4, 2, 0], (0.4, None, 2.0)),  # a point
    ],
)
def test_closest_points_of_segments(c, d, expected):
    a, b, c, d = (AWAY + np.array([x], float) for x in ([0, 0, 0], [10, 0, 0], c, d))
    s, t, gap = closest_points(a, b, c, d)
    for found, value in zip((s[0], t[0], gap[0]), expected, strict=True):
        assert value is None or found == pytest.approx(value)
    x, y = a + s[:, None] * (b - a), c + t[:, None] * (d - c)
    assert np.linalg.norm(x - y) == pytest.approx(expected[2])


def test_fermat_points_by_hand():
    """Equal weights on an equilateral triangle: its middle. A weight above the other two: that end. Unequal: 120° no more."""
    ends = np.array([[0.0, 0, 0], [2, 0, 0], [1, np.sqrt(3), 0]])
    found = fermat_points(AWAY + np.stack([ends] * 3), np.array([[1.0, 1, 1], [1, 3, 1], [1, 1, 1.2]])) - AWAY
    np.testing.assert_allclose(found[0], [1, np.sqrt(3) / 3, 0], atol=1e-12)
    np.testing.assert_allclose(found[1], ends[1], atol=1e-12)
    # forces balance: Σ w e = 0, on the axis of symmetry 2 · 1 · sin(φ) = 1.2 at the height where the two legs lean so
    lean = np.arcsin(0.6)
    np.testing.assert_allclose(found[2], [1, np.tan(lean), 0], atol=1e-9)


def test_shares_and_prices():
    assert goal_of({"RCA": 0.3, "LM": 0.7}, ("LM", "RCA")).tolist() == [0.7, 0.3]
    for shares, words in (
        ({"LAD": 1.0}, "'LAD'"),
        ({"LM": 1.2, "RCA": -0.2}, "not be negative"),
        ({"LM": 0.9}, "sum to 0.9"),
    ):
        with pytest.raises(perfsim.InputError, match=words):
            goal_of(shares, ("LM", "RCA"))
    goal = np.array([0.6, 0.4])
    linear = lambda price: np.array([0.5, 0.5]) - 1.7 * price  # noqa: E731
    np.testing.assert_allclose(linear(find_price(linear, goal)), goal, atol=0.004)


def test_domains_by_hand():
    box, ball = Box(np.zeros(3), np.array([2.0, 4.0, 6.0])), Ball(np.array([1.0, 0, 0]), 2.0)
    np.testing.assert_allclose(box.signed_distance(np.array([[1, 1, 1], [1, 3.5, 3], [3, 2, 2]])), [-1.0, -0.5, 1.0])
    np.testing.assert_allclose(ball.signed_distance(np.array([[1, 0, 0], [4, 0, 0]])), [-2.0, 1.0])
    np.testing.assert_allclose(ball.bounds(), [[-1, -2, -2], [3, 2, 2]])
    with pytest.raises(perfsim.InputError, match="hold no volume"):
        check_bounds(Box(np.zeros(3), np.array([1.0, 0.0, 1.0])))
    # a chord of the ball stays in it, one past a tangent leaves it, one from a point a little outside may
    a, b = np.array([[1.0, 0, 0], [-3, 0, 0], [1, 2.05, 0]]), np.array([[1.0, 1.9, 0], [5, 0, 0], [1, 0, 0]])
    assert leaves(ball, a, b, 1e-3, 0.1).tolist() == [False, False, False]
    inner = np.array([[1.0, 1.99, 0]]), np.array([[2.99, 0.0, 0]])
    assert leaves(ball, *inner, 1e-3, 0.1).tolist() == [False]
    around = Ball(np.zeros(3), 1.0)
    outside = dataclasses.make_dataclass("Outside", [])()
    outside.signed_distance = lambda x: -around.signed_distance(x)
    assert leaves(outside, np.array([[-2.0, 0, 0]]), np.array([[2.0, 0, 0]]), 1e-3, 0.1).tolist() == [True]
    assert leaves(outside, np.array([[-2.0, 1.1, 0]]), np.array([[2.0, 1.1, 0]]), 1e-3, 0.1).tolist() == [False]


def symmetric(generations: int, c: float, volume: float) -> GrowingForest:
    """A tree that splits evenly, vessels of generation k as long as c V_k^(1/3), V_k = V/2^k."""
    n = 2**generations
    f = GrowingForest(np.zeros((1, 3)), np.zeros(1, int), [True], [1 * MM], 3.0, np.ones(n))
    f.size = 2 * n
    for i in range(1, 2 * n):  # vessel i has the daughters 2i and 2i + 1
        above, k = (i // 2, int(np.log2(i)))
        f._parent[i], f._alive[i] = above, True
        f._position[i] = f._position[above] + [0.0, 0.0, c * (volume * 2.0**-k) ** (1 / 3)]
        if i < n:
            f._child[i] = [2 * i, 2 * i + 1]
        else:
            f._terminal[i] = i - n
    f._child[0, 0] = 1
    f.update()
    return f


@pytest.mark.parametrize("c", [0.3, 0.45])
def test_crown_factor_of_a_symmetric_tree(c):
    """What is read off a tree that was made with a c is that c; without crowns of 32 to 127 terminals it is NaN."""
    mean, deviation = crown_factor(symmetric(7, c, 1e-6), 1e-6)
    assert mean == pytest.approx(c, rel=1e-9) and deviation < 1e-12
    assert np.isnan(crown_factor(symmetric(4, c, 1e-6), 1e-6)[0])


def test_the_outer_layer_of_a_wall():
    wall = EllipsoidWall()
    layer = OuterLayer(wall, 0.25, wall.thickness)
    x = np.stack([wall.point(0.5, 40.0, depth) for depth in (0.1, 0.4)])
    found = layer.signed_distance(x)
    assert found[0] < 0 < found[1] and found[1] == pytest.approx((wall.depth(x[1]) - 0.25) * wall.thickness, rel=1e-9)
    np.testing.assert_array_equal(layer.bounds(), wall.bounds())


def test_vessels_are_cut_into_pieces():
    f = forest()
    pieces = Pieces.of(f, np.array([6, 3]), slack=0.5, spacing=11 * MM)
    assert pieces.node.tolist() == [6, 6, 6, 3]
    np.testing.assert_allclose(pieces.middle, MM * np.array([[20, -5, 0], [20, -15, 0], [20, -25, 0], [10, 15, 0]]))
    radius = 2 * MM * (np.array([4.0, 2.0]) / 7) ** (1 / 3)
    np.testing.assert_allclose(pieces.reach, 5 * MM + 1.5 * radius[[0, 0, 0, 1]])
    assert usual_spacing(np.array([1.0, 2.0, 9.0])) == pytest.approx(2.2)
    one, two = pieces.touching(Pieces.of(f, np.array([5]), spacing=11 * MM))
    assert set(zip(one.tolist(), two.tolist(), strict=True)) <= {(3, 5), (6, 5)} and (3, 5) in zip(
        one.tolist(), two.tolist(), strict=True
    )
