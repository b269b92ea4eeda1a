"""Networks on figures small enough to compute by hand: order, sums, lesions, pieces and unions."""

import perfsim
from perfsim.growth import equal_pressure_radii
from perfsim.network import (
    KASSAB,
    Centerlines,
    VesselNetwork,
    asymmetry,
    branch_table,
    compare_kassab,
    contract,
    crown_exponents,
    diameter_defined_orders,
    lumen_volume,
    morphometry,
    murray_cost,
    no_lesions,
    pressure_drop,
    radii,
    relabel,
    resample,
    stenosis,
    strahler_orders,
    union,
    vessel_into,
)
from perfsim.network.divide import divide
from perfsim.network.topology import accumulate, depths, unbranched_runs

import numpy as np
import pytest

MM = 1e-3


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
    for reduction in (-0.01, 0.981):
        with pytest.raises(perfsim.InputError, match=r"at least 0 and less than 0\.98"):
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


# Morphometry ------------------------------------------------------------------------------------------------------


def test_tables_of_kassab_add_up():
    """Sums of the printed columns [µm, µm, mm, elements], and the first and last diameter between two orders."""
    sums = {
        "LAD": (6507.7, 588.23, 88.325, 579_565), "LCx": (4584.4, 338.23, 85.343, 234_661), "RCA": (6173.5, 435.04, 36.562, 612_708),
    }  # fmt: skip
    bounds = {
        "LAD": (0.5 * (9.73 + 11.0), 0.5 * (1934 + 3176)), "LCx": (0.5 * (9.73 + 11.0), 0.5 * (1154 + 2603)),
        "RCA": (0.5 * (10.14 + 11.4), 0.5 * (1541 + 3218)),
    }  # fmt: skip
    for artery, table in KASSAB.items():
        found = (
            1e6 * table.diameter.sum(),
            1e6 * table.diameter_sd.sum(),
            1e3 * np.nansum(table.length),
            table.count.sum(),
        )
        assert found == pytest.approx(sums[artery], rel=1e-6), artery
        assert (1e6 * table.bounds[0], 1e6 * table.bounds[-1]) == pytest.approx(bounds[artery])
    assert [np.flatnonzero(np.isnan(t.length)).tolist() for t in KASSAB.values()] == [[], [], [10]]


def ladder() -> tuple[Centerlines, np.ndarray]:
    """A trunk of three vessels 2, 2, 1 mm wide with side branches of 1 and 0.5 mm, and a fork of 0.5 and 0.4 mm at its end."""
    x = 1e-2 * np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [4, 1, 0], [4, -2, 0], [1, 1, 0], [2, 3, 0]])
    tail, head = [0, 1, 2, 3, 3, 1, 2], [1, 2, 3, 4, 5, 6, 7]
    wide = MM * np.array([2.0, 2.0, 1.0, 0.5, 0.4, 1.0, 0.5])
    tree = Centerlines.build(x, tail, head, 0.5 * wide, inlets=[0], outlets=[4, 5, 6, 7], outlet_demand=[1.0, 2, 3, 4])
    return tree, 2.0 * tree.lumen[:, 0]


def test_orders_elements_and_connectivity_of_a_ladder():
    """Strahler: ends 1, the trunk 2 throughout. By diameter three orders: the trunk's two wide vessels are one element."""
    tree, diameter = ladder()
    name = {(int(t), int(h)): v for v, (t, h) in enumerate(zip(tree.tail, tree.head, strict=True))}
    trunk = [name[0, 1], name[1, 2], name[2, 3]]
    strahler = strahler_orders(tree)
    assert strahler[trunk].tolist() == [2, 2, 2] and (np.delete(strahler, trunk) == 1).all()
    order = np.ones(7, int)
    order[[name[2, 3], name[1, 6]]], order[trunk[:2]] = 2, 3
    found = morphometry(tree, diameter, order)
    assert found.by_order() == {
        1: (3, pytest.approx((0.5 + 0.4 + 0.5) / 3 * MM), pytest.approx(1e-2 * (np.sqrt(2) + np.sqrt(5) + 3) / 3)),
        2: (2, pytest.approx(1 * MM), pytest.approx(1e-2)), 3: (1, pytest.approx(2 * MM), pytest.approx(2e-2)),
    }  # fmt: skip
    assert found.element[trunk[0]] == found.element[trunk[1]] != found.element[trunk[2]]
    np.testing.assert_allclose(found.connectivity, [[0, 2 / 2, 1], [0, 0, 2], [0, 0, 0]])
    np.testing.assert_allclose(sorted(asymmetry(tree, diameter)), sorted([0.5 / 1.0, 1.0 / 2.0, 0.4 / 0.5]))
    # an element goes on in the thickest daughter of its order; its diameter is a mean by length
    same = morphometry(tree, diameter, np.ones(7, int))
    main = same.element_order[same.element[trunk[0]]], same.element_length[same.element[trunk[0]]]
    long = 1e-2 * np.array([1, 1, 1, np.sqrt(2)])
    assert main == (1, pytest.approx(long.sum()))
    assert same.element_diameter[same.element[trunk[0]]] == pytest.approx(MM * (long @ [2, 2, 1, 0.5]) / long.sum())


def test_orders_by_diameter_part_where_they_say():
    """Two sizes, 1 and 3 mm with deviations: the border lies halfway between D₁ + sd₁ and D₂ - sd₂."""
    n = 9
    x = 1e-2 * np.stack([np.arange(n + 1.0), np.zeros(n + 1), np.zeros(n + 1)], 1)
    side = x[1:n] + 1e-2 * np.eye(3)[1]
    tail, head = [*range(n), *range(1, n)], [*range(1, n + 1), *range(n + 1, 2 * n)]
    thin = np.array([0.8, 0.9, 1.0, 1.1, 1.2, 0.9, 1.0, 1.1])
    wide = MM * np.array([*np.linspace(3.2, 2.8, n), *thin])
    tree = Centerlines.build(
        np.concatenate([x, side]), tail, head, 0.5 * wide, inlets=[0], outlets=[n, *range(n + 1, 2 * n)]
    )
    diameter = 2.0 * tree.lumen[:, 0]
    order = diameter_defined_orders(tree, diameter)
    assert (order == np.where(diameter > 2 * MM, 2, 1)).all()
    a, b = (diameter[order == k] for k in (1, 2))
    border = 0.5 * (a.mean() + a.std() + b.mean() - b.std())
    for factor, expected in ((0.98, 1), (1.02, 2)):  # one side branch just below and just above: it alone changes
        moved = diameter.copy()
        k = int(np.argmin(np.abs(diameter - 1.2 * MM)))
        moved[k] = factor * border
        rest = np.delete(np.arange(len(moved)), k)
        found = diameter_defined_orders(tree, moved, rounds=1)
        assert (found[rest] == order[rest]).all() and found[k] in (expected, order[k])


def test_rows_beside_kassab():
    """By the table's own borders, LAD: 9.3 µm is order 1, 3 mm order 11, each with the measured numbers."""
    tree, _ = ladder()
    diameter = np.where(np.asarray(tree.subtree_end) == np.arange(7) + 1, 9.3e-6, 3.0e-3)
    rows = {r.order: r for r in compare_kassab(tree, diameter, "LAD")}
    assert set(rows) == {1, 11} and (rows[1].count, rows[11].count) == (4, 1)
    assert (rows[1].diameter, rows[1].measured_diameter) == (pytest.approx(9.3e-6), pytest.approx(9.0e-6))
    assert (rows[11].length, rows[11].measured_length) == (pytest.approx(0.03), pytest.approx(0.0479))
    assert (rows[1].measured_count, rows[11].measured_count) == (368_554, 1)


def test_scaling_of_crowns_by_least_squares():
    """ln D over ln Lc and the like over the three stems that have a crown, weighed by octaves of Lc."""
    tree, diameter = ladder()
    flow = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    end, length = np.asarray(tree.subtree_end), np.asarray(tree.length)
    stems = [v for v in range(7) if end[v] > v + 1]
    Lc = np.log([length[v : end[v]].sum() for v in stems])
    Vc = np.log([(0.25 * np.pi * diameter**2 * length)[v : end[v]].sum() for v in stems])
    D, Q = np.log(diameter[stems]), np.log(flow[stems])
    octave = np.floor(Lc / np.log(2)).astype(int).tolist()
    w = np.sqrt([1.0 / octave.count(o) for o in octave])
    fit = lambda x, y: np.polyfit(x, y, 1, w=w)[0]  # noqa: E731
    expected = {"D~Lc": fit(Lc, D), "Vc~Lc": fit(Lc, Vc), "Vc~D": fit(D, Vc), "Q~D": fit(D, Q)}
    assert crown_exponents(tree, diameter, flow) == pytest.approx(expected, rel=1e-9)


def test_all_terminals_at_one_pressure():
    """A lopsided tree of grown vessels, demands 1, 2 and 4: equal pressure drops, Murray's law, the stem as it was."""
    x = 1e-2 * np.array([[0.0, 0, 0], [1, 0, 0], [2, 1, 0], [2, -2, 0], [3, 1, 0], [3, 3, 0]])
    tree = VesselNetwork.build(
        x, [0, 1, 1, 2, 2], [1, 2, 3, 4, 5], np.full(5, 1 * MM), inlets=[0], terminals=[3, 4, 5], demand=[4.0, 1.0, 2.0],
        measured=np.zeros(5, bool), root_radius=[1.5 * MM], exponent=2.7,
    )  # fmt: skip
    found = equal_pressure_radii(tree)
    r, Q, L = np.asarray(found.lumen)[:, 0], np.asarray(tree.design_flow()[0]), np.asarray(tree.length)
    at = {(int(t), int(h)): v for v, (t, h) in enumerate(zip(tree.tail, tree.head, strict=True))}
    drop = lambda *way: sum(Q[at[e]] * L[at[e]] / r[at[e]] ** 4 for e in way)  # noqa: E731
    there = [drop((0, 1), (1, 3)), drop((0, 1), (1, 2), (2, 4)), drop((0, 1), (1, 2), (2, 5))]
    np.testing.assert_allclose(there, there[0], rtol=1e-12)
    assert r[at[0, 1]] == pytest.approx(1.5 * MM) and bool(found.measured.all())
    for above, below in (((0, 1), ((1, 2), (1, 3))), ((1, 2), ((2, 4), (2, 5)))):
        assert r[at[above]] ** 2.7 == pytest.approx(sum(r[at[e]] ** 2.7 for e in below), rel=1e-12)


def test_levels_of_a_deep_tree():
    """A chain of forks, each with an end: chains by their distance from the inlet; children of every fork; ends last."""
    n = 5
    x = 1e-2 * np.concatenate([[[k, 0.0, 0] for k in range(n + 1)], [[k, 1.0, 0] for k in range(1, n)]])
    tail, head = [*range(n), *range(1, n)], [*range(1, n + 1), *range(n + 1, 2 * n)]
    tree = VesselNetwork.build(x, tail, head, np.full(2 * n - 1, MM), inlets=[0], outlets=[n, *range(n + 1, 2 * n)])
    forest = contract(tree)
    depth = {0: 0}
    parent, roots = np.asarray(forest.parent), forest.roots
    for c in range(1, forest.chains):
        depth[c] = depth[int(parent[c]) - roots] + 1
    levels = [sorted(c for c in row if c < forest.chains) for row in np.asarray(forest.levels).tolist()]
    assert levels == [sorted(c for c, d in depth.items() if d == k) for k in range(n)] and forest.chains == 2 * n - 1
    for node, row in enumerate(np.asarray(forest.children).tolist()):
        assert sorted(c for c in row if c < forest.chains) == np.flatnonzero(parent == node).tolist()
    assert forest.chain_sum(tree.length).tolist() == pytest.approx(np.asarray(tree.length).tolist())
