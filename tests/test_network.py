"""Vessel networks: orders, sums, round trips, checks."""

import perfsim
from perfsim.cohorts import reference_heart
from perfsim.network import VesselNetwork, contract, from_networkx, no_lesions, radii, stenosis, to_networkx

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
