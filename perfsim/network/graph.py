"""`VesselNetwork` to and from `networkx.DiGraph`, without loss."""

from collections.abc import Hashable

from perfsim._arrays import on_device
from perfsim._results import InputError
from perfsim.network.vessels import VesselNetwork

import jax.numpy as jnp
import networkx as nx
import numpy as np

_PER_VESSEL = ("lumen", "coordinate", "flipped", "measured", "root", "subtree_end", "branch")
_GLOBAL = ("root_radius", "exponent", "demand", "outlet_demand", "inlets", "terminals", "outlets")
_NAMES = ("branch_names", "inlet_names", "outlet_names")


def to_networkx(network: VesselNetwork) -> nx.DiGraph:
    """A graph with one node per network node and one edge per vessel, from tail to head.

    Nodes carry `position` [m]; edges carry the vessel's fields and its `index`; `graph.graph` holds the rest, so
    that `from_networkx` returns the same network to the last bit.
    """
    graph = nx.DiGraph(
        **{name: np.asarray(getattr(network, name)) for name in _GLOBAL},
        **{name: getattr(network, name) for name in _NAMES},
    )
    graph.add_nodes_from((n, {"position": x}) for n, x in enumerate(np.asarray(network.position).tolist()))
    names = ("index", *_PER_VESSEL)
    columns = [range(len(network.tail)), *(np.asarray(getattr(network, name)).tolist() for name in _PER_VESSEL)]
    ends = (np.asarray(x).tolist() for x in (network.tail, network.head))
    rows = zip(*ends, zip(*columns, strict=True), strict=True)
    graph.add_edges_from((a, b, dict(zip(names, values, strict=True))) for a, b, values in rows)
    return graph


def from_networkx(graph: nx.DiGraph, *, inlets: list[Hashable] | None = None, **options) -> VesselNetwork:
    """A network from a graph made by `to_networkx`, or from any directed tree.

    Any other graph needs `position` [m] on its nodes and `radius` [m] on its nodes or edges; `inlets` are then the
    nodes without a predecessor, terminals stay empty, and leaves become lumped outlets. `options` go to
    `VesselNetwork.build`. Raises `InputError` naming the node or edge where an attribute is missing.
    """
    if all(name in graph.graph for name in _GLOBAL + _NAMES):
        return _restore(graph)
    label = {node: i for i, node in enumerate(graph.nodes)}
    for node, data in graph.nodes(data=True):
        if "position" not in data:
            raise InputError(f"node {node!r} has no attribute 'position' (coordinates in metres)")
    edges = list(graph.edges(data=True))
    lumen = np.array([_radii(graph, a, b, data) for a, b, data in edges])
    if inlets is None:
        inlets = [node for node in graph.nodes if graph.in_degree(node) == 0]
    options.setdefault("outlets", [label[n] for n in graph.nodes if graph.out_degree(n) == 0 and n not in inlets])
    return VesselNetwork.build(
        np.array([data["position"] for _, data in graph.nodes(data=True)]),
        [label[a] for a, _, _ in edges],
        [label[b] for _, b, _ in edges],
        lumen,
        inlets=[label[n] for n in inlets],
        **options,
    )


def _radii(graph, a, b, data):
    if "radius" in data:
        return np.broadcast_to(np.asarray(data["radius"], float), 2)
    try:
        return graph.nodes[a]["radius"], graph.nodes[b]["radius"]
    except KeyError:
        raise InputError(f"edge {a!r} → {b!r} has no 'radius' [m], nor do both of its nodes") from None


def _restore(graph: nx.DiGraph) -> VesselNetwork:
    edges = sorted(graph.edges(data=True), key=lambda edge: edge[2]["index"])
    place = nx.get_node_attributes(graph, "position")
    position = np.array([place[n] for n in range(len(place))])
    return VesselNetwork(
        position=on_device(position),
        tail=on_device(np.array([a for a, _, _ in edges])),
        head=on_device(np.array([b for _, b, _ in edges])),
        **{name: on_device(np.array([data[name] for _, _, data in edges])) for name in _PER_VESSEL},
        **{name: jnp.asarray(graph.graph[name]) for name in _GLOBAL},
        **{name: graph.graph[name] for name in _NAMES},
    )
