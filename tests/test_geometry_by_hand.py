"""Trees, growth and anatomy on figures small enough to compute by hand: what repair and tolerances would hide."""

import dataclasses

import perfsim
from perfsim.anatomy import EllipsoidWall
from perfsim.anatomy.placement import _anterior_groove, _circumflex_course, _project
from perfsim.growth.bifurcation import fermat_points
from perfsim.growth.domain import Ball, Box, OuterLayer, check_bounds, leaves
from perfsim.growth.forest import GrowingForest
from perfsim.growth.index import Pieces, usual_spacing
from perfsim.growth.report import crown_factor
from perfsim.growth.rules import among, closest_points, distinct, room, split_needs, thicker_below, with_room
from perfsim.growth.shares import find_price, goal_of
from perfsim.io.build import FrameMismatch, same_frame
from perfsim.network import (
    VesselNetwork,
    branch_table,
    contract,
    lumen_volume,
    murray_cost,
    no_lesions,
    pressure_drop,
    radii,
    relabel,
    resample,
    stenosis,
    union,
    vessel_into,
)
from perfsim.network.divide import divide
from perfsim.network.topology import accumulate, depths, unbranched_runs

import numpy as np
import pytest

MM = 1e-3


# Growing forests -------------------------------------------------------------------------------------------------


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


def test_bifurcations_slide_until_both_halves_fit():
    ends = np.array([[[0.0, 0, 0], [10, 0, 0], [5, 8, 0]]])
    x, fits = with_room(np.array([[1.0, 0, 0]]), ends, np.array([[3.0, 4.0, 1.0]]))
    np.testing.assert_allclose(x, [[3.0, 0, 0]])
    assert fits.tolist() == [True]
    x, fits = with_room(np.array([[9.0, 0, 0]]), ends, np.array([[3.0, 4.0, 1.0]]))
    np.testing.assert_allclose(x, [[6.0, 0, 0]])
    assert fits.tolist() == [True]
    assert with_room(np.array([[5.0, 0, 0]]), ends, np.array([[6.0, 5.0, 1.0]]))[1].tolist() == [False]
    assert with_room(np.array([[5.0, 0, 0]]), ends, np.array([[3.0, 4.0, 9.0]]))[1].tolist() == [False]


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
    pairs = distinct(np.array([5, 3, 3, 4]), np.array([3, 5, 3, 6]))
    assert pairs.T.tolist() == [[3, 5], [4, 6]]


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
    a, b = np.array([[0.0, 0, 0]]), np.array([[10.0, 0, 0]])
    s, t, gap = closest_points(a, b, np.array([c], float), np.array([d], float))
    for found, value in zip((s[0], t[0], gap[0]), expected, strict=True):
        assert value is None or found == pytest.approx(value)
    x, y = a + s[:, None] * (b - a), np.array([c]) + t[:, None] * (np.array([d], float) - np.array([c]))
    assert np.linalg.norm(x - y) == pytest.approx(expected[2])


def test_fermat_points_by_hand():
    """Equal weights on an equilateral triangle: its middle. A weight above the other two: that end. Unequal: 120° no more."""
    ends = np.array([[0.0, 0, 0], [2, 0, 0], [1, np.sqrt(3), 0]])
    found = fermat_points(np.stack([ends] * 3), np.array([[1.0, 1, 1], [1, 3, 1], [1, 1, 1.2]]))
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


# Networks --------------------------------------------------------------------------------------------------------

POSITION = 1e-2 * np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 1, 0], [3, -1, 0]])


def y_tree(**options) -> VesselNetwork:
    """A trunk of two vessels in series that splits in two."""
    given = {"tail": [0, 1, 2, 2], "head": [1, 2, 3, 4], "lumen": MM * np.array([2.0, 2.0, 1.0, 1.0]), "inlets": [0]}
    return VesselNetwork.build(POSITION, **(given | {"outlets": [3, 4]} | options))


def test_a_piece_that_nothing_reaches_is_refused():
    """Two separate vessels, one inlet, no loop anywhere."""
    position = 1e-2 * np.array([[0.0, 0, 0], [1, 0, 0], [5, 0, 0], [6, 0, 0]])
    with pytest.raises(
        perfsim.InputError, match=r"1 vessels are reached from no inlet, the first is 1 \(node 2 to node 3\)"
    ):
        VesselNetwork.build(position, [0, 2], [1, 3], [1e-3, 1e-3], inlets=[0])
    both = VesselNetwork.build(position, [0, 2], [1, 3], [1e-3, 2e-3], inlets=[2, 0])
    assert both.root.tolist() == [0, 1] and both.tail.tolist() == [2, 0] and both.root_radius.tolist() == [2e-3, 1e-3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tail": [0, 1, 2, 2, 3], "head": [1, 2, 3, 4, 4], "lumen": [1e-3] * 5}, "closes a loop"),
        ({"tail": [0, 1, 2, 2, 0], "head": [1, 2, 3, 4, 1], "lumen": [1e-3] * 5}, "closes a loop"),
        ({"head": [1, 2, 3, 5]}, "head of vessel 3 is node 5"), ({"tail": [0, 1, -1, 2]}, "tail of vessel 2 is node -1"),
        ({"tail": [], "head": [], "lumen": []}, "no vessels"), ({"lumen": [1e-3, 1e-3, 0.0, 1e-3]}, "vessel 2 .* radius"),
        ({"head": [1, 2, 3, 2]}, "zero length"),
    ],
)  # fmt: skip
def test_networks_that_cannot_be(change, words):
    with pytest.raises(perfsim.InputError, match=words):
        y_tree(**change)


def test_a_confluence_flows_backwards():
    """Two inlets at the ends of the arms: the first is the root, the other arm points towards it."""
    tree = VesselNetwork.build(
        POSITION[[0, 1, 2, 3, 4]], [3, 4, 2, 1], [2, 2, 1, 0], MM * np.ones(4), inlets=[3, 4], outlets=[0]
    )
    assert tree.tail.tolist() == [3, 2, 1, 4] and tree.flipped.tolist() == [False, False, False, True]
    assert tree.far.tolist() == [2, 1, 0, 4] and tree.near.tolist() == [3, 2, 1, 2] and tree.root.tolist() == [0] * 4


def test_order_and_arc_lengths_by_hand():
    tree = y_tree(branch=[0, 0, 0, 1], branch_names=("a", "b"))
    root2 = np.sqrt(2.0)
    np.testing.assert_allclose(tree.coordinate, 1e-2 * np.array([[0, 1], [1, 2], [2, 2 + root2], [0, root2]]))
    assert tree.subtree_end.tolist() == [4, 4, 3, 4] and vessel_into(tree).tolist() == [-1, 0, 1, 2, 3]
    np.testing.assert_allclose(tree.length, 1e-2 * np.array([1, 1, root2, root2]))
    assert branch_table(tree).T.tolist() == [[0, 1, 2], [3, 4, 4]] or branch_table(tree).tolist() == [
        [0, 3],
        [1, 4],
        [2, 4],
    ]
    forest = contract(tree)
    assert forest.parent.tolist() == [0, 1, 1] and forest.node.tolist() == [0, 2, 3, 4]
    assert forest.contracted.tolist() == [0, -1, 1, 2, 3] and forest.levels.tolist() == [[0, 3], [1, 2]]
    assert contract(tree, keep=[1]).chains == 4
    assert accumulate(np.array([-1, 0, 1, 1]), np.array([1, 2, 4, 8])).tolist() == [1, 3, 7, 11]
    assert depths(np.array([-1, 0, 1, 1])).tolist() == [0, 1, 2, 2]
    runs, names = unbranched_runs(np.array([0, 1, 2, 2]), np.array([1, 2, 3, 4]), 5)
    assert runs.tolist() == [0, 0, 1, 2] and names == ("b0", "b1", "b2")


def test_cost_volume_and_pressure_of_a_y():
    """Demands 1 and 3, γ = 3, r₀ = 2 mm: every vessel by the radius law, friction 8μL/(πr⁴)."""
    tree = y_tree(measured=[False] * 4, root_radius=[2 * MM], exponent=3.0, outlet_demand=[1.0, 3.0])
    share, length = np.array([1.0, 1.0, 0.25, 0.75]), 1e-2 * np.array([1, 1, np.sqrt(2), np.sqrt(2)])
    r = 2 * MM * share ** (1 / 3)
    np.testing.assert_allclose(radii(tree, no_lesions()), r[:, None] * np.ones(2), rtol=1e-12)
    assert float(murray_cost(tree)) == pytest.approx(float(np.sum(share ** (2 / 3) * length)))
    assert float(lumen_volume(tree)) == pytest.approx(float(np.sum(np.pi * r**2 * length)))
    drop = 8 * 3.5e-3 * length / (np.pi * r**4) * 4e-7 * share
    expected = [drop[0], drop[0] + drop[1], drop[:2].sum() + drop[2], drop[:2].sum() + drop[3]]
    np.testing.assert_allclose(pressure_drop(tree, 1e-7), expected, rtol=1e-9)


def test_friction_and_volume_of_a_taper():
    """∫ 8μ/(πr⁴) ds and ∫ πr² ds of a cone from 2 to 1 mm over 1 cm, by quadrature."""
    cone = VesselNetwork.build(POSITION[:2], [0], [1], [[2 * MM, 1 * MM]], inlets=[0], outlets=[1], outlet_demand=[1.0])
    s = np.linspace(0, 1, 200_001)
    r = 2 * MM - s * MM
    assert float(lumen_volume(cone)) == pytest.approx(np.trapezoid(np.pi * r**2, s) * 1e-2, rel=1e-8)
    friction = np.trapezoid(8 * 3.5e-3 / (np.pi * r**4), s) * 1e-2
    assert float(pressure_drop(cone, 1e-6)[0]) == pytest.approx(friction * 1e-6, rel=1e-8)


def test_a_lesion_by_hand():
    """On the plateau d/D, beyond a shoulder of 2.5 mm nothing, halfway down the shoulder the mean of the two."""
    x = MM * np.arange(0.0, 40.1, 0.25)
    count = len(x) - 1
    tube = VesselNetwork.build(
        np.stack([x, 0 * x, 0 * x], 1), np.arange(count), np.arange(count) + 1, np.full(count, 1.5 * MM), inlets=[0],
        outlets=[count],
    )  # fmt: skip
    lesion = stenosis(tube, "vessel", 20 * MM, 0.6, 10 * MM)
    found = np.asarray(radii(tube, lesion))[:, 0] / (1.5 * MM)
    at = np.asarray(tube.coordinate)[:, 0] / MM
    value = lambda s: found[np.argmin(np.abs(at - s))]  # noqa: E731
    assert [value(s) for s in (15.0, 20.0, 25.0)] == pytest.approx([0.4] * 3)
    assert [value(s) for s in (13.75, 26.25)] == pytest.approx([0.7, 0.7])
    assert [value(s) for s in (12.5, 27.5, 5.0)] == pytest.approx([1.0] * 3)
    for reduction in (-0.01, 0.971):
        with pytest.raises(perfsim.InputError, match=r"not between 0 and 0\.97"):
            stenosis(tube, "vessel", 20 * MM, reduction, 10 * MM)
    for place in (-1e-3, 41.1 * MM):
        with pytest.raises(perfsim.InputError, match="does not lie on"):
            stenosis(tube, "vessel", place, 0.5, 10 * MM)


def test_cutting_joining_and_renaming():
    """Pieces no longer than asked; inlets, names and demands of both; a shared name is refused."""
    tapered = y_tree(lumen=MM * np.array([[2.0, 1.8], [1.8, 1.5], [1.0, 0.8], [0.9, 0.7]]), outlet_demand=[1.0, 3.0])
    fine = resample(tapered, 4 * MM)
    assert np.bincount(np.asarray(fine.branch)).tolist() == [3 + 3 + 4 + 4]
    first = np.flatnonzero(np.asarray(fine.tail) == 0)[0]
    np.testing.assert_allclose(fine.lumen[first], MM * np.array([2.0, 2.0 - 0.2 / 3]))
    cut = divide(tapered, np.array([2, 1, 1, 3]))
    assert len(cut.tail) == 7 and float(cut.length.sum()) == pytest.approx(float(tapered.length.sum()))
    np.testing.assert_allclose(cut.lumen[:2], MM * np.array([[2.0, 1.9], [1.9, 1.8]]))
    np.testing.assert_allclose(cut.coordinate[:2], MM * np.array([[0, 5], [5, 10]]))
    other = relabel(tapered, np.zeros(4, int), ("other",), position=POSITION + 1.0, inlet_names=("there",))
    both = union(tapered, other)
    assert both.inlets.tolist() == [0, 5] and both.inlet_names == ("inlet0", "there")
    assert both.branch_names == ("vessel", "other") and both.branch.tolist() == [0] * 4 + [1] * 4
    assert both.outlet_demand.tolist() == [1, 3, 1, 3] and both.outlets.tolist() == [3, 4, 8, 9]


# Anatomy ---------------------------------------------------------------------------------------------------------


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
    """Distances 0 to 9 mm outside: median 4.5, 95th percentile 8.55 mm, each to a whole millimetre."""
    wall = EllipsoidWall()
    off = MM * np.linspace(0.0, 9.9, 12)
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
