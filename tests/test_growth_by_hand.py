"""Growth on figures small enough to compute by hand: what repair and tolerances would hide."""

import dataclasses

import perfsim
from perfsim.anatomy import EllipsoidWall
from perfsim.growth import grow, stub_lines, stub_roots
from perfsim.growth.attach import Arrivals, attach
from perfsim.growth.bifurcation import fermat_points
from perfsim.growth.domain import Ball, Box, EllipsoidShell, OuterLayer, check_bounds, leaves
from perfsim.growth.forest import GrowingForest
from perfsim.growth.index import Pieces, VesselIndex, usual_spacing
from perfsim.growth.relax import push_apart, relax
from perfsim.growth.repair import _take_out, share_error
from perfsim.growth.report import GrowthReport, crown_factor, measure
from perfsim.growth.rules import (
    Rules,
    among,
    closest_points,
    distinct,
    overlaps,
    room,
    split_needs,
    thicker_below,
    with_room,
)
from perfsim.growth.shares import find_price, goal_of
from perfsim.growth.terminals import moved_aside, outer_first, sampled_volume, terminal_points
from perfsim.network import (
    Centerlines,
    no_lesions,
    radii,
    vessel_into,
)

import numpy as np
import pytest
from scipy.optimize import minimize

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


# Placing, relaxing and parting ------------------------------------------------------------------------------------


def thin_forest() -> GrowingForest:
    """Two trunks so thin that no rule matters: on the first `forest`'s tree and a free node at 30 mm, on the second, 60 mm above, one tip."""
    trunk = MM * np.array([[0.0, 0, 0], [10, 0, 0], [20, 0, 0], [30, 0, 0], [0, 60, 0]])
    made = GrowingForest(
        trunk, np.array([0, 0, 0, 0, 1]), np.arange(5) > 0, np.full(2, 1e-7), 3.0, np.array([2.0, 1, 4, 3, 1])
    )
    made.sprout(np.array([1, 2, 4]), MM * np.array([[10.0, 20, 0], [20, -30, 0], [0, 40, 0]]), np.array([0, 2, 3]))
    made.update()
    made.split(np.array([5]), MM * np.array([[10.0, 10, 0]]), MM * np.array([[20.0, 10, 0]]), np.array([1]))
    made.update()
    return made


def flows(f: GrowingForest) -> np.ndarray:
    """Demand below every node, by walking up from each terminal."""
    found = np.zeros(f.size)
    for node in np.flatnonzero(f.terminal >= 0):
        up = int(node)
        while up >= 0:
            found[up] += f.demand[f.terminal[node]]
            up = int(f.parent[up])
    return found


def least_added(f: GrowingForest, point: np.ndarray, demand: float, price) -> tuple[float, int]:
    """(least cost that a terminal adds, the place): every vessel with a free bifurcation point, every free trunk node."""
    flow, x, length = flows(f), f.position, np.linalg.norm
    best = []
    for n in f.free_sprouts():
        best.append((demand ** (2 / 3) * length(point - x[n]) + price[f.root[n]] * demand, int(n)))
    for n in f.grown():
        above = int(f.parent[n])
        widening, up = 0.0, above
        while f.parent[up] >= 0:
            widening += ((flow[up] + demand) ** (2 / 3) - flow[up] ** (2 / 3)) * length(x[up] - x[f.parent[up]])
            up = int(f.parent[up])

        def added(y, n=n, above=above):
            y = MM * y
            new = (flow[n] + demand) ** (2 / 3) * length(y - x[above]) + flow[n] ** (2 / 3) * length(y - x[n])
            return 1e3 * (new + demand ** (2 / 3) * length(y - point) - flow[n] ** (2 / 3) * length(x[n] - x[above]))

        tries = [s * x[above] + (1 - s) * (0.5 * x[n] + 0.5 * point) for s in (0.2, 0.5, 0.8)]
        found = min(
            minimize(added, y / MM, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-10}).fun for y in tries
        )
        best.append((found / 1e3 + widening + price[f.root[n]] * demand, int(n)))
    return min(best)


@pytest.mark.parametrize(
    ("point", "price"),
    [([25, 15, 5], [0, 0]), ([35, 1, 2], [0, 0]), ([4, 35, -3], [0, 0]), ([4, 35, -3], [0, 0.02]), ([21, -25, 9], [0, 0])],
)  # fmt: skip
def test_a_terminal_takes_the_cheapest_place(point, price):
    """Against a general minimizer over every vessel's new bifurcation and every free trunk node; prices decide trees."""
    f, point, price = thin_forest(), MM * np.array([point], float), np.array(price, float)
    everywhere = Rules(Box(np.full(3, -0.2), np.full(3, 0.2)), 1e-6, 5e-3)
    expected, place = least_added(f, point[0], 1.0, price)
    before, root = f.cost(), int(f.root[place])
    points = np.zeros((5, 3))
    points[4] = point
    assert attach(f, everywhere, VesselIndex(f), Arrivals.of(f, points, np.array([4])), price, 0.0).tolist() == [True]
    f.update()
    tip = int(np.flatnonzero(f.terminal == 4)[0])
    assert f.root[tip] == root and (f.parent[tip] < f.trunk) == (place < f.trunk)
    assert f.cost() - before + price[root] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(f.flow[f.trunk :], flows(f)[f.trunk :])


def test_terminals_of_one_batch_take_turns():
    """Two terminals that want the same vessel: the cheaper one has it, the other takes its next best place."""
    f = thin_forest()
    f.demand[3:] = [1.0, 1.0]
    f.remove(np.flatnonzero(f.terminal == 3))
    f.update()
    points = np.zeros((5, 3))
    points[3:] = MM * np.array([[21.0, -20, 4], [21, -20, 3]])
    everywhere = Rules(Box(np.full(3, -0.2), np.full(3, 0.2)), 1e-6, 5e-3)
    lone = int(np.flatnonzero(f.terminal == 2)[0])
    placed = attach(f, everywhere, VesselIndex(f), Arrivals.of(f, points, np.array([3, 4])), np.zeros(2), 0.0)
    assert placed.all() and sorted(f.placed().tolist()) == [0, 1, 2, 3, 4]
    assert f.terminal[f.sibling(np.array([lone]))].tolist() == [4]


class Hollow:
    """Everything but a ball."""

    def __init__(self, center, radius):
        self.center, self.radius = np.asarray(center), radius

    def signed_distance(self, x):
        return self.radius - np.linalg.norm(np.asarray(x) - self.center, axis=-1)


@pytest.mark.parametrize(
    ("between", "clash"), [("nothing", 9.0), ("a hole", 0.0), ("a vessel", 9.0), ("a vessel", 0.0)]
)
def test_new_vessels_stay_in_the_domain_and_off_others(between, clash):
    """10 mm from one vessel and 17 mm from another: the far one where a hole is in between, or a fat vessel that is dear."""
    trunk = MM * np.array([[0.0, 0, 0], [40, -20, 0], [10, -5, 12]])
    f = GrowingForest(trunk, np.arange(3), np.ones(3, bool), np.array([1e-9, 1e-9, 4e-3]), 3.0, np.ones(4))
    tips = MM * np.array([[20.0, 0, 0], [25, -25, 0], [10, -5, -12]])
    f.sprout(
        np.arange(2 + (between == "a vessel")),
        tips[: 2 + (between == "a vessel")],
        np.arange(2 + (between == "a vessel")),
    )
    f.sprouts[:] = False
    f.update()
    hole = Hollow(MM * np.array([10.0, -5, 0]), 4 * MM if between == "a hole" else 0.0)
    points = MM * np.array([[0.0, 0, 0]] * 3 + [[10, -10, 0]])
    arrivals = Arrivals.of(f, points, np.array([3]))
    assert attach(f, Rules(hole, 1e-6, 1e-3), VesselIndex(f), arrivals, np.zeros(3), clash).all()
    near = between == "nothing" or (between == "a vessel" and clash == 0.0)
    assert f.root[np.flatnonzero(f.terminal == 3)].tolist() == [0 if near else 1]


def test_bifurcations_relax_to_the_least_cost():
    """Two in a row between a trunk, three terminals of demands 2, 1 and 4: where a general minimizer puts them."""
    f = GrowingForest(np.zeros((1, 3)), np.zeros(1, int), [True], [1e-6], 3.0, np.array([2.0, 1.0, 4.0]))
    ends = MM * np.array([[20.0, 10, 0], [25, -5, 8], [12, -14, -3]])
    f.sprout(np.array([0]), ends[:1], np.array([0]))
    f.split(np.array([1]), MM * np.array([[5.0, 1, 0]]), ends[1:2], np.array([1]))
    f.split(np.array([2]), MM * np.array([[3.0, 0, 0]]), ends[2:], np.array([2]))
    relax(f, Rules(Box(np.full(3, -0.2), np.full(3, 0.2)), 1e-6, 5e-3), sweeps=200)

    def cost(y):
        a, b = y.reshape(2, 3)
        far = ends / MM
        legs = (7, a), (4, a - far[2]), (3, a - b), (2, b - far[0]), (1, b - far[1])
        return sum(q ** (2 / 3) * np.linalg.norm(x) for q, x in legs)

    best = minimize(cost, np.array([6.0, 0, 0, 15, 2, 2]), method="BFGS", options={"gtol": 1e-7})
    assert f.cost() == pytest.approx(MM * best.fun, rel=1e-8)
    np.testing.assert_allclose(f.position[[4, 2]] / MM, best.x.reshape(2, 3), atol=1e-3)


def test_bifurcations_relax_no_farther_than_rules_allow():
    """From a thick vessel whose optimum lies too close to its end: length 1.08 · 2 r, and inside a slab."""
    made = GrowingForest(np.zeros((1, 3)), np.zeros(1, int), [True], [1 * MM], 3.0, np.array([1.0, 1.0]))
    made.sprout(np.array([0]), MM * np.array([[8.0, 20, 0]]), np.array([0]))
    made.split(np.array([1]), MM * np.array([[6.0, 0, 0]]), MM * np.array([[8.0, -20, 0]]), np.array([1]))
    relax(made, Rules(Box(np.full(3, -0.2), np.full(3, 0.2)), 1e-6, 5e-3), sweeps=20)
    np.testing.assert_allclose(made.position[2], [1.08 * 2.0 * MM, 0, 0], atol=1e-9)
    slab = Box(MM * np.array([-50.0, -50, -1]), MM * np.array([50.0, 50, 1]))
    bent = thin_forest()
    bent.position[bent.terminal >= 0, 2] = 0.9 * MM
    fork = int(bent.forks()[0])
    start = bent.position[fork].copy()
    relax(bent, Rules(slab, 1e-6, 5e-3), sweeps=5)
    assert slab.signed_distance(bent.position[fork]) <= 0.0 and (bent.position[fork] != start).any()


@pytest.mark.parametrize("demand", [1.0, 8.0])
def test_overlapping_vessels_are_pushed_apart(demand):
    """Each tip moves along z by its share of what is missing, as a lever at s of its vessel; the cheaper one more."""
    f = crossing()
    f.demand[1] = demand
    f.update()
    found = among(f, np.array([2]), np.array([3]))
    before, deficit = f.position.copy(), float(found.deficit[0])
    push_apart(f, Rules(Box(np.full(3, -0.2), np.full(3, 0.2)), 1e-6, 5e-3), found, eager=1.5)
    moved = f.position - before
    np.testing.assert_allclose(moved[:, :2], 0.0, atol=1e-12)
    first = demand ** (2 / 3) / (1 + demand ** (2 / 3))  # the first vessel's part is the second's cost over both
    for tip, sign, share, s in ((2, -1.0, first, 0.25), (3, 1.0, 1 - first, 2 / 3)):
        expected = sign * 1.5 * deficit * share * s / (s**2 + (1 - s) ** 2)
        assert moved[tip, 2] == pytest.approx(expected, rel=1e-9)


def test_shares_of_roots_and_their_errors():
    f = thin_forest()
    np.testing.assert_allclose(share_error(f, np.array([0.5, 0.5])), [0.2, -0.2], atol=1e-12)  # 7 of 10, 3 of 10
    assert f.root_flow().tolist() == [7.0, 3.0]


def test_the_index_finds_what_is_near():
    """Against distances to all pieces, before and after vessels were moved, taken out and added."""
    rng = np.random.default_rng(4)
    f = GrowingForest(np.zeros((1, 3)), np.zeros(1, int), [True], [1 * MM], 3.0, np.ones(60))
    points = 0.02 * rng.uniform(-1, 1, (60, 3))
    f.sprout(np.array([0]), points[:1], np.array([0]))
    for k in range(1, 50):
        node = rng.choice(f.grown(), 1)
        f.split(node, 0.5 * (f.position[node] + f.position[f.parent[node]]), points[k : k + 1], np.array([k]))
    f.update()
    index = VesselIndex(f, slack=0.1)
    spacing = usual_spacing(f.length(f.grown()))
    asked = 0.02 * rng.uniform(-1, 1, (20, 3))
    for changed in range(3):
        pieces = Pieces.of(f, f.grown(), 0.1, spacing)
        far = np.linalg.norm(asked[:, None] - pieces.middle, axis=2)
        found = index.nearest(asked, 6)
        np.testing.assert_array_equal(found[:, 0], pieces.node[np.argmin(far, axis=1)])
        known = {frozenset(p) for p in zip(*(x.tolist() for x in index.touching()), strict=True)}
        i, j = np.triu_indices(len(pieces.node), 1)
        near = np.linalg.norm(pieces.middle[i] - pieces.middle[j], axis=1) <= pieces.reach[i] + pieces.reach[j]
        pairs = {
            frozenset((a, b)) for a, b in zip(pieces.node[i[near]].tolist(), pieces.node[j[near]].tolist(), strict=True)
        }
        new = pairs if changed == 0 else {p for p in pairs if p & set(index.last_changed.tolist())}
        assert {p for p in new if len(p) == 2} <= known <= pairs | {frozenset((n,)) for n in pieces.node.tolist()}
        if changed == 0:
            f._position[f.grown()[:2]] += 1 * MM
        else:
            f.remove(np.flatnonzero(f.terminal == 7))
            f.update()
            node = f.grown()[-1:]
            f.split(node, 0.5 * (f.position[node] + f.position[f.parent[node]]), points[55:56], np.array([55]))
            f.update()
        index.refresh()


# Reports, points and what is asked wrongly ------------------------------------------------------------------------


def test_a_report_by_hand():
    """Of the seven nodes: cost and volume in sums over four vessels; what is short, outside, and through each other."""
    f = forest()
    radius = 2 * MM * (np.array([2.0, 3.0, 1.0, 4.0]) / 7) ** (1 / 3)  # of the vessels to 3, 4, 5 and 6
    length = MM * np.array([10.0, 10, 10, 30])
    hole = Rules(Hollow(MM * np.array([20.0, -15, 0]), 3 * MM), 1e-6, 1e-3)  # in the middle of the longest vessel
    found = measure(f, hole, ("LM",), 1e-6, 2, {"attach": 1.0, "part": 0.5})
    assert (found.terminals, found.dropped, found.depth, found.shares) == (3, 2, 1, {"LM": 1.0})
    assert found.cost == pytest.approx(np.sum((np.array([2, 3, 1, 4]) / 7) ** (2 / 3) * length))
    assert found.volume == pytest.approx(np.sum(np.pi * radius**2 * length))
    assert (found.outside_share, found.short_share) == (0.25, 0.0) and np.isnan(found.crown_factor[0])
    assert str(found).startswith("3 terminals, 2 dropped, 1 bifurcations deep, on LM 100.0 %; cost 0.0")
    assert str(found).endswith("0 far and 0 near overlaps; 1.50 s")
    fat = GrowingForest(f.position[:3], np.zeros(3, int), [False, True, True], [7 * MM], 3.0, f.demand)
    for name in ("size", "_parent", "_child", "_terminal", "_position", "_alive", "_root", "_flow"):
        setattr(fat, name, getattr(f, name))
    fat.update()
    crowded = measure(fat, hole, ("LM",), 1e-6, 0, {})
    assert (crowded.short_share, crowded.far_overlaps, crowded.near_overlaps) == (0.25, 1, 0)
    assert (overlaps(fat).first.tolist(), overlaps(fat).second.tolist()) == ([4], [6])  # 10 mm apart, 5.3 and 5.8 wide


def test_overlaps_with_one_vessel_between_are_near():
    """A vessel that comes back to that above the one it hangs on, 1 mm beside it."""
    f = GrowingForest(np.zeros((1, 3)), np.zeros(1, int), [True], [1 * MM], 3.0, np.ones(3))
    f.sprout(np.array([0]), MM * np.array([[20.0, 10, 0]]), np.array([0]))
    f.split(np.array([1]), MM * np.array([[20.0, 0, 0]]), MM * np.array([[40.0, 0, 0]]), np.array([1]))
    f.split(np.array([1]), MM * np.array([[20.0, 5, 0]]), MM * np.array([[10.0, 1, 0]]), np.array([2]))
    f.update()
    found = overlaps(f)
    assert (found.first.tolist(), found.second.tolist(), found.near.tolist()) == ([2], [5], [True])


def test_a_growth_that_drops_more_than_a_hundredth_has_failed():
    report = GrowthReport(19_800, 200, 1.0, 1e-6, 1, {"a": 1.0}, 0, 0, 0.0, 0.0, (0.4, 0.0), {})
    assert report.result is perfsim.RESULTS.successful
    assert dataclasses.replace(report, terminals=19_799, dropped=201).result is perfsim.RESULTS.growth_incomplete


def test_points_of_a_domain():
    """A ball's volume to a percent; points inside it, coarse to fine; those of the outer layer first; moved ones stay."""
    ball = Ball(np.array([5 * MM, 0, 0]), 10 * MM)
    assert sampled_volume(ball, 50_000) == pytest.approx(4 / 3 * np.pi * 1e-6, rel=0.01)
    points = terminal_points(ball, 500, 3)
    assert points.shape == (500, 3) and (ball.signed_distance(points) < 0).all()
    np.testing.assert_array_equal(terminal_points(ball, 40, 3), points[:40])
    assert np.linalg.norm(points.mean(0) - [5 * MM, 0, 0]) < 0.3 * MM
    assert np.mean(np.linalg.norm(points - [5 * MM, 0, 0], axis=1) < 5 * MM) == pytest.approx(1 / 8, abs=0.03)
    with pytest.raises(perfsim.InputError, match="none of 114688 points"):
        terminal_points(
            EllipsoidShell(np.full(3, 2.0), np.full(3, 1.0), 1.0), 5, 0
        )  # an inner surface outside the outer
    moved = moved_aside(ball, points, np.arange(0, 500, 2), 0.2 * MM, np.random.default_rng(0))
    assert moved.shape == (250, 3) and (ball.signed_distance(moved) < 0).all()
    assert np.sqrt(np.mean(np.sum((moved - points[::2]) ** 2, 1))) == pytest.approx(0.2 * MM, rel=0.12)
    shell = EllipsoidShell(np.full(3, 20 * MM), np.full(3, 30 * MM), 15 * MM)
    points = terminal_points(shell, 100, 0)
    order, count = outer_first(shell, points, 7, 0.25)
    assert count == 7 and (shell.depth(points[order[:7]]) < 0.25).all() and sorted(order.tolist()) == list(range(100))
    assert (np.diff(order[7:]) > 0).all() and outer_first(shell, points, 0, 0.25)[1] == 0
    with pytest.raises(perfsim.InputError, match="needs a domain with `depth`"):
        outer_first(ball, points, 3, 0.25)


def test_a_shell_by_hand():
    """Between spheres of 20 and 30 mm below z = 15: distances, depths and bounds."""
    shell = EllipsoidShell(np.full(3, 20.0), np.full(3, 30.0), 15.0)
    x = np.array([[0.0, 0, -25], [0, 22, 0], [0, 18, 0], [33, 0, 0], [0, 22, 16.0]])
    np.testing.assert_allclose(shell.signed_distance(x[:4]), [-5.0, -2.0, 2.0, 3.0], rtol=1e-9)
    assert shell.signed_distance(x[4]) == pytest.approx(1.0)
    np.testing.assert_allclose(shell.depth(x[:4]), [0.5, 0.8, 1.0, 0.0], rtol=1e-9)
    np.testing.assert_allclose(shell.bounds(), [[-30, -30, -30], [30, 30, 15]])
    np.testing.assert_allclose(EllipsoidShell(np.full(3, 1.0), np.array([3.0, 4, 5]), 9.0).bounds()[1], [3, 4, 5])


CUBE = Box(np.full(3, -10 * MM), np.full(3, 10 * MM))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"terminals": 0}, "at least one"), ({"points": np.zeros((3, 2))}, r"shape \(n, 3\)"),
        ({"points": np.zeros((0, 3))}, "shape"), ({"points": np.full((2, 3), np.nan)}, "finite"),
        ({"points": np.array([[0.0, 0, 0], [0, 0, 0.011]])}, "point 1, .* does not"), ({"demand": np.ones(7)}, "20 finite"),
        ({"demand": -np.ones(20)}, "demand must be"), ({"demand": np.zeros(20)}, "not all zero"),
        ({"demand": np.full(20, np.inf)}, "demand must be"), ({"demand": np.append(np.ones(19), -1.0)}, "demand must be"),
        ({"attach": ("no",)}, "attach names 'no'"), ({"shares": {"no": 1.0}}, "shares names 'no'"),
    ],
)  # fmt: skip
def test_what_cannot_be_grown(options, words):
    with pytest.raises(perfsim.InputError, match=words):
        grow(CUBE, stub_lines([[-10 * MM, 0, 0]], [[-1, 0, 0]], [0.1 * MM], ("a",)), **({"terminals": 20} | options))


def test_trunks_sprout_near_the_domain_and_off_the_base():
    """At 3.98 mm off, not at 4.02; not from the left main, the circumflex, the right artery and its posterolateral."""
    for off, grows in ((3.98, True), (4.02, False)):
        root = stub_lines([[-10 * MM - off * MM, 0, 0]], [[-1, 0, 0]], [0.1 * MM])
        if grows:
            assert grow(CUBE, root, 5)[1].terminals == 5
        else:
            with pytest.raises(perfsim.InputError, match="no trunk lies on the domain"):
                grow(CUBE, root, 5)
    for name in ("LM", "LCx", "RCA", "PLV"):
        lines = stub_lines([[-10 * MM, 0, 0]], [[-1, 0, 0]], [0.1 * MM], (name,))
        with pytest.raises(perfsim.InputError, match="no trunk lies on the domain"):
            grow(CUBE, lines, 5)
        assert grow(CUBE, lines, 5, attach=(name,))[1].terminals == 5


def test_trunks_sprout_a_diameter_apart():
    """Nodes every 0.25 mm of a trunk 1.2 mm wide: what grows leaves it at places at least 1.2 mm apart, and some so."""
    x = MM * np.linspace(-9.0, 9.0, 73)
    lines = Centerlines.build(
        np.stack([x, 0 * x, 0 * x], 1), np.arange(72), np.arange(72) + 1, np.full(72, 0.6 * MM), inlets=[0],
        branch=np.zeros(72, int), branch_names=("a",), inlet_names=("a",),
    )  # fmt: skip
    network, _ = grow(CUBE, lines, 150, demand=lambda p: np.where(p[:, 0] > 0, 1.0, 0.0))
    own = network.branch == network.branch_names.index("grown")
    leaves_at = np.sort(network.position[np.setdiff1d(network.tail[own], network.head[own])][:, 0])
    assert len(leaves_at) >= 8 and np.diff(leaves_at).min() == pytest.approx(1.25 * MM, abs=1e-9)
    assert network.demand.mean() == pytest.approx(1.0) and network.demand.min() == pytest.approx(1e-6, rel=1e-3)


def test_stubs_are_two_radii_long():
    lines = stub_lines([[1.0, 2, 3], [4, 5, 6]], [[0, 0, 2.0], [3, 4, 0]], [0.5, 0.25])
    np.testing.assert_allclose(lines.position, [[1, 2, 4], [4.3, 5.4, 6], [1, 2, 3], [4, 5, 6]])
    assert lines.tail.tolist() == [0, 1] and lines.head.tolist() == [2, 3] and lines.inlet_names == ("root0", "root1")
    with pytest.raises(perfsim.InputError, match="2 positions, 1 directions, 2 radii, 2 names"):
        stub_lines([[1.0, 2, 3], [4, 5, 6]], [[0, 0, 2.0]], [0.5, 0.25])


def test_the_least_price_that_was_tried_is_returned():
    """Roots that hardly respond, and such that lose share faster: the goal is met to 0.4 %, prices add up to nothing."""
    goal = np.array([0.5, 0.3, 0.2])
    for slope in (0.4, 1.0, 3.5):
        shares = lambda price, slope=slope: np.array([0.4, 0.4, 0.2]) - slope * (price - price.mean())  # noqa: E731
        price = find_price(shares, goal)
        assert np.abs(shares(price) - goal).max() < 0.004 and price.sum() == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_array_equal(find_price(lambda price: goal, goal), np.zeros(3))


# Stages of growth --------------------------------------------------------------------------------------------------


class Slab(Box):
    """A box whose depth is that below its floor at z = 0, over 5 mm."""

    def depth(self, x):
        return np.asarray(x)[..., 2] / (5 * MM)


def test_an_epicardial_stage_keeps_its_arteries_outside():
    """A fifth of the terminals first, in the outer fifth of a slab: the bifurcations that they make stay there."""
    slab = Slab(MM * np.array([-10.0, -10, 0]), MM * np.array([10.0, 10, 5]))
    root = stub_lines([[-10 * MM, 0, 0.3 * MM]], [[-1, 0, 0]], [0.05 * MM], ("a",))
    told = []
    network, report = grow(
        slab, root, 60, epicardial=0.2, seed=2, progress=lambda done, total: told.append((done, total))
    )
    plain, _ = grow(slab, root, 60, seed=2)

    def outside(net) -> int:
        fork = np.flatnonzero((np.bincount(net.tail, minlength=len(net.position)) == 2) & (vessel_into(net) >= 0))
        return int((slab.depth(net.position[fork]) < 0.2).sum())

    assert outside(network) >= 11 > outside(plain) and report.terminals == 60 and told[-1] == (60, 60)
    assert set(report.seconds) == {"terminals", "epicardial", "attach", "relax", "part", "finish"}


def test_crowded_vessels_part():
    """A root so thick that vessels run through each other while they grow: in the end none do, and all stay in the cube."""
    root = stub_lines([[-10 * MM, 0, 0]], [[-1, 0, 0]], [0.8 * MM], ("a",))
    network, report = grow(CUBE, root, 60, exponent=3.0, seed=3)
    assert report.far_overlaps == 0 and report.near_overlaps == 0 and report.dropped == 0 and report.short_share < 0.02
    own = network.branch == network.branch_names.index("grown")
    assert CUBE.signed_distance(network.position[network.head[own]]).max() <= 0.0
