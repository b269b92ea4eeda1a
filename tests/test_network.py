"""Vessel networks: orders, sums, round trips, checks."""

import perfsim
from perfsim.cohorts import reference_heart
from perfsim.network import (
    KASSAB,
    VesselNetwork,
    asymmetry,
    compare_kassab,
    contract,
    crown_exponents,
    diameter_defined_orders,
    from_networkx,
    morphometry,
    no_lesions,
    path_sum,
    radii,
    stenosis,
    strahler_orders,
    to_networkx,
    vessel_into,
)

import equinox as eqx
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest


def y_tree(**options):
    """A trunk of two vessels in series that splits into two; node 2 is the fork."""
    position = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 1, 0], [3, -1, 0]]) * 1e-2
    return VesselNetwork.build(
        position, [2, 0, 1, 2], [3, 1, 2, 4], [1e-3, 2e-3, 2e-3, 1e-3], inlets=[0], outlets=[3, 4], **options
    )


def test_networkx_round_trip_is_lossless(small_heart):
    network = small_heart.sim.network
    assert eqx.tree_equal(from_networkx(to_networkx(network)), network)


def test_plain_digraph():
    graph = nx.DiGraph()
    for name, x in (("ostium", 0.0), ("fork", 0.01), ("a", 0.02), ("b", 0.015)):
        graph.add_node(name, position=(x, 0.0 if name != "b" else 0.01, 0.0), radius=1e-3)
    graph.add_edges_from([("ostium", "fork"), ("fork", "a"), ("fork", "b")])
    network = from_networkx(graph)
    assert len(network.outlets) == 2 and len(network.inlets) == 1
    del graph.nodes["a"]["radius"]
    with pytest.raises(perfsim.InputError, match="radius"):
        from_networkx(graph)


def test_downstream_sums_match_graph_traversal(small_heart):
    """Design flow through a vessel is what its descendants feed, by an independent traversal."""
    network = small_heart.sim.network
    graph = to_networkx(network)
    flow, inlet_flow = network.design_flow()
    weight = np.zeros(len(network.position))
    weight[np.asarray(network.terminals)] += np.asarray(network.demand)
    weight[np.asarray(network.outlets)] += np.asarray(network.outlet_demand)
    for v in np.random.default_rng(0).integers(0, len(flow), 25):
        head = int(network.head[v])
        below = weight[head] + sum(weight[n] for n in nx.descendants(graph, head))
        assert float(flow[v]) == pytest.approx(below, rel=1e-12)
    assert float(inlet_flow.sum()) == pytest.approx(weight.sum(), rel=1e-12)


def test_radius_law():
    """r = r0 (Q/Q0)^(1/γ): equal daughters of a γ = 3 tree are 2^(-1/3) of the parent."""
    network = y_tree(measured=[False] * 4, root_radius=[2e-3], exponent=3.0, outlet_demand=[1.0, 1.0])
    r = radii(network, no_lesions())
    outlets = np.isin(np.asarray(network.head), [3, 4])
    np.testing.assert_allclose(r[~outlets], 2e-3, rtol=1e-14)
    np.testing.assert_allclose(r[outlets], 2e-3 * 2 ** (-1 / 3), rtol=1e-14)


def test_lesion_narrows_its_branch_only(small_heart):
    network = small_heart.sim.network
    lesion = stenosis(network, "LAD", 0.03, 0.5, 0.01)
    ratio = np.asarray(radii(network, lesion) / radii(network, no_lesions()))
    lad = np.asarray(network.branch) == network.branch_names.index("LAD")
    assert ratio[~lad].min() == 1.0
    assert ratio[lad].min() == pytest.approx(0.5, abs=1e-12)


def test_series_vessels_contract():
    forest = contract(y_tree())
    assert forest.chains == 3 and forest.levels.shape[0] == 2
    np.testing.assert_allclose(forest.chain_sum(jnp.ones(4)), [2, 1, 1])


def test_branch_coordinates_run_along_the_branch(small_heart):
    network = small_heart.sim.network
    lad = np.asarray(network.branch) == network.branch_names.index("LAD")
    s = np.asarray(network.coordinate)[lad]
    np.testing.assert_allclose(s[1:, 0], s[:-1, 1], rtol=1e-12)
    assert s[0, 0] == 0.0 and 0.1 < s[-1, 1] < 0.15


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lumen": [1e-3, -2e-3, 2e-3, 1e-3]}, "radius"),
        ({"lumen": [1e-3, np.nan, 2e-3, 1e-3]}, "radius"),
        ({"head": [3, 1, 2, 3]}, "loop"),
        ({"head": [3, 1, 2, 9]}, "node 9"),
        ({"tail": [2, 1, 1, 2]}, "zero length"),
        ({"inlets": [3], "tail": [2, 0, 0, 2], "head": [3, 1, 1, 4]}, "loop|no inlet"),
    ],
)
def test_bad_networks_are_refused(change, words):
    arguments = {"tail": [2, 0, 1, 2], "head": [3, 1, 2, 4], "lumen": [1e-3, 2e-3, 2e-3, 1e-3], "inlets": [0]} | change
    position = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 1, 0], [3, -1, 0]]) * 1e-2
    with pytest.raises(perfsim.InputError, match=words):
        VesselNetwork.build(position, **arguments)


@pytest.mark.parametrize(
    ("branch", "position", "reduction", "length", "words"),
    [
        ("LAT", 0.01, 0.5, 0.01, "LAD"),
        ("LAD", 9.0, 0.5, 0.01, "mm long"),
        ("LAD", 0.01, 1.2, 0.01, "1.2"),
        ("LAD", 0.01, 0.5, 0.0, "positive"),
    ],
)
def test_impossible_stenoses_are_refused(small_heart, branch, position, reduction, length, words):
    with pytest.raises(perfsim.InputError, match=words):
        stenosis(small_heart.sim.network, branch, position, reduction, length)


@pytest.mark.parametrize("dominance", ["right", "left", "co"])
def test_dominance_moves_the_inferior_wall(dominance):
    from perfsim.coupling import territory_of_terminals

    sim = reference_heart(terminals=200, spacing=5e-3, dominance=dominance).sim
    index, names = territory_of_terminals(sim.network)
    volume = np.asarray(sim.network.demand)
    share = dict(zip(names, np.bincount(index, volume) / volume.sum(), strict=True))
    if dominance == "left":
        assert "RCA" not in share and share["LCx"] > 0.45
    else:
        assert 0.1 < share["RCA"] < 0.36


def binary_tree(levels: int, gamma: float = 3.0) -> VesselNetwork:
    """A symmetric tree: every vessel splits in two, lengths and radii fall from level to level."""
    position, tail, head, radius = [np.zeros(3), np.array([0, 0, -1.0])], [0], [1], [1.0]
    front = [1]
    for k in range(1, levels):
        new = []
        for node in front:
            for side in (-1, 1):
                way = np.array([side, 0.3 * side * (k % 2), -1.0]) * 0.7**k
                position.append(position[node] + way)
                tail.append(node)
                head.append(len(position) - 1)
                radius.append(2 ** (-k / gamma))
                new.append(len(position) - 1)
        front = new
    return VesselNetwork.build(
        np.array(position) * 1e-2, tail, head, np.array(radius) * 1e-3, inlets=[0], outlets=front
    )


def test_orders_of_a_symmetric_tree():
    """Order = height, one element per vessel, two of the next lower order from each: by Strahler and by diameter."""
    tree = binary_tree(6)
    diameter = 2.0 * np.asarray(tree.lumen).mean(1)
    order = strahler_orders(tree)
    assert np.bincount(order)[1:].tolist() == [32, 16, 8, 4, 2, 1]
    assert np.array_equal(diameter_defined_orders(tree, diameter), order)
    found = morphometry(tree, diameter)
    assert {n: count for n, (count, _, _) in found.by_order().items()} == {1: 32, 2: 16, 3: 8, 4: 4, 5: 2, 6: 1}
    np.testing.assert_allclose(found.connectivity, 2.0 * np.eye(6, k=1))
    assert asymmetry(tree, diameter) == pytest.approx(np.ones(31))


def test_elements_are_vessels_in_series():
    """A trunk of three vessels of one order with a thin lateral is one element, its diameter the length-weighted mean."""
    x = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [4, 0, 0], [1, 1, 0], [4, 1, 0], [4, -1, 0]]) * 1e-2
    radius = np.array([1.0, 1.0, 0.9, 0.1, 0.1, 0.1]) * 1e-3
    tree = VesselNetwork.build(x, [0, 1, 2, 1, 3, 3], [1, 2, 3, 4, 5, 6], radius, inlets=[0], outlets=[4, 5, 6])
    diameter = 2.0 * np.asarray(tree.lumen).mean(1)
    found = morphometry(tree, diameter, 1 + (diameter > 1e-3))
    count, mean, length = found.by_order()[2]
    assert count == 1 and length == pytest.approx(0.04) and mean == pytest.approx(2e-3 * (1 + 1 + 2 * 0.9) / 4)
    assert found.connectivity[0, 1] == 3.0


def test_crown_exponents_of_a_fractal():
    """Radii 2^(-k/3), lengths 0.7^k: Q ~ D³ exactly; Lc ~ 2^(-k), so that D ~ Lc^(1/3) where crowns are deep."""
    tree = binary_tree(13)
    diameter = 2.0 * np.asarray(tree.lumen)[:, 0]
    found = crown_exponents(tree, diameter, (diameter / 2e-3) ** 3)
    assert found["Q~D"] == pytest.approx(3.0, abs=1e-9)
    assert found["D~Lc"] == pytest.approx(1 / 3, abs=0.03)


def test_kassab_tables():
    """Counts fall by a factor of about 3.5 an order, diameters grow by about 1.8 (Kassab 1993, Table 4)."""
    for artery, ratios in (("LAD", (3.51, 1.84)), ("LCx", (3.57, 1.89)), ("RCA", (3.50, 1.81))):
        table = KASSAB[artery]
        order = np.arange(1, len(table.count) + 1)
        assert np.exp(-np.polyfit(order, np.log(table.count), 1)[0]) == pytest.approx(ratios[0], rel=0.02)
        assert np.exp(np.polyfit(order, np.log(table.diameter), 1)[0]) == pytest.approx(ratios[1], rel=0.02)
        assert (np.diff(table.bounds) > 0).all()
    with pytest.raises(perfsim.InputError, match="choose LAD, LCx, RCA"):
        compare_kassab(binary_tree(3), np.ones(7), "LCX")


def test_path_sums_walk_from_the_inlet():
    tree = y_tree()
    value = jnp.arange(1.0, len(tree.tail) + 1)
    found, into = np.asarray(path_sum(tree, value)), vessel_into(tree)
    for v in range(len(tree.tail)):
        total, at = 0.0, v
        while at >= 0:
            total += float(value[at])
            at = int(into[np.asarray(tree.tail)[at] if not tree.flipped[at] else np.asarray(tree.head)[at]])
        assert found[v] == pytest.approx(total)
