"""Networks on figures small enough to compute by hand: order, sums, lesions, pieces and unions."""

import perfsim
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
