"""The coupled system as a graph of nodes and edges; jraph stays behind this file.

    nodes   pressures: of the tree's nodes, then of the volumes
    edges   vessels (near to far), couplings (terminal to volume), faces (between volumes, each once)

A flux belongs to an edge: what leaves one end enters the other, whatever its coefficient is.
"""

from collections.abc import Callable
from typing import Any

from perfsim._extras import needed
from perfsim.coupling.potential import Graph
from perfsim.coupling.system import CoupledSystem
from perfsim.darcy.columns import take
from perfsim.flow.edges import vessel_flow

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class FVGraph(eqx.Module):
    """The coupled system as a graph, with features on nodes and edges."""

    graph: Any
    """a `jraph.GraphsTuple`"""
    present: Bool[Array, " edges"]
    """False for what only fills lists up"""
    face_slot: Int[Array, " faces"]
    """place of each face in the flat list of sides; past its end where padded"""
    side_face: Int[Array, "sides volumes"]
    """face of each side; the number of faces where padded"""
    tree_nodes: int = eqx.field(static=True)
    vessels: int = eqx.field(static=True)

    @classmethod
    def of(cls, links: Graph) -> "FVGraph":
        """Who is connected to whom, without features."""
        nodes, neighbor = links.nodes, links.volumes.neighbor
        n = neighbor.shape[1]
        slot, side_face = _faces(neighbor)
        terminal = jnp.append(links.terminal_node, 0)[links.couplings.terminal]
        fed = jnp.broadcast_to(jnp.arange(n), terminal.shape)
        senders = [links.forest.parent, terminal.ravel(), nodes + slot % n]
        receivers = [
            jnp.arange(links.forest.roots, nodes),
            nodes + fed.ravel(),
            nodes + jnp.append(neighbor.ravel(), 0)[slot],
        ]
        present = [
            jnp.ones(senders[0].shape, bool),
            (links.couplings.terminal < len(links.terminal_node)).ravel(),
            slot < neighbor.size,
        ]
        bare = _bare(nodes + n, jnp.concatenate(senders), jnp.concatenate(receivers))
        return cls(bare, jnp.concatenate(present), slot, side_face, nodes, len(senders[0]))

    @classmethod
    def of_mesh(cls, neighbor: Int[Array, "sides volumes"]) -> "FVGraph":
        """The wall alone, or one of its coarser meshes: volumes and the faces between them."""
        slot, side_face = _faces(neighbor)
        n = neighbor.shape[1]
        bare = _bare(n, slot % n, jnp.append(neighbor.ravel(), 0)[slot])
        return cls(bare, slot < neighbor.size, slot, side_face, 0, 0)

    @property
    def faces(self) -> int:
        return len(self.face_slot)

    @property
    def kind(self) -> Float[Array, "edges 3"]:
        """One-hot: vessel, coupling, face."""
        edges = len(self.present)
        which = (jnp.arange(edges) >= self.vessels).astype(int) + (jnp.arange(edges) >= edges - self.faces)
        return jax.nn.one_hot(which, 3, dtype=self.graph.nodes.dtype)

    def on_faces(self, at_sides: Float[Array, "sides volumes"]) -> Float[Array, " faces"]:
        """What belongs to a face, as its first volume sees it; 0 where padded."""
        return jnp.append(at_sides.ravel(), 0.0)[self.face_slot]

    def on_sides(self, of_faces: Float[Array, " faces"], padding: float) -> Float[Array, "sides volumes"]:
        """The same number on both sides of a face."""
        return jnp.append(of_faces, padding)[self.side_face]

    def fluxes(self, system: CoupledSystem, links: Graph, p0, p) -> Float[Array, " edges"]:
        """Flow from sender to receiver on every edge at these pressures [mL/min]."""
        vessels = system.vessels
        through = vessel_flow(vessels.drops(links.forest, p0), vessels.R, vessels.S)
        supplied = system.supplies(links.couplings, p0[links.terminal_node], p)
        at = jnp.concatenate([p0, p])
        drop = take(at, self.graph.senders[-self.faces :]) - take(at, self.graph.receivers[-self.faces :])
        return jnp.concatenate([through, supplied.ravel(), self.on_faces(system.transmissibility) * drop])

    def outflow(self, fluxes: Float[Array, " edges"]) -> Float[Array, " nodes"]:
        """What leaves every node along its edges, every flux once with either sign."""
        count = len(self.graph.nodes)
        left = jax.ops.segment_sum(fluxes, self.graph.senders, count)
        return left - jax.ops.segment_sum(fluxes, self.graph.receivers, count)

    def with_features(self, nodes: Float[Array, "nodes f"], edges: Float[Array, "edges g"]) -> "FVGraph":
        """The same graph with these numbers on it."""
        return eqx.tree_at(lambda g: (g.graph.nodes, g.graph.edges), self, (nodes, edges))

    def passed(self, edge: Callable, node: Callable) -> "FVGraph":
        """A round of messages: e' = edge(e, h_i + h_j, (h_i - h_j)²), the same seen from either end, then
        h' = node(h, mean of e' over the edges at the node).
        """
        count, there = len(self.graph.nodes), self.present[:, None]
        ones = self.present.astype(self.graph.nodes.dtype)
        ends = (jax.ops.segment_sum(ones, i, count) for i in (self.graph.senders, self.graph.receivers))
        degree = jnp.maximum(sum(ends), 1.0)[:, None]

        def edges(e, sent, received, _):
            return jnp.where(there, jax.vmap(edge)(e, sent + received, (sent - received) ** 2), 0.0)

        def nodes(h, sent, received, _):
            return jax.vmap(node)(h, (sent + received) / degree)

        return eqx.tree_at(lambda g: g.graph, self, _jraph().GraphNetwork(edges, nodes)(self.graph))


def _jraph():
    """jraph, loaded when a graph is made: most of perfsim does without."""
    with needed("learn"):
        import jraph
    return jraph


def _bare(nodes: int, senders, receivers):
    """A graph without features."""
    return _jraph().GraphsTuple(
        nodes=jnp.zeros((nodes, 0)),
        edges=jnp.zeros((len(senders), 0)),
        senders=senders,
        receivers=receivers,
        globals=None,
        n_node=jnp.array([nodes]),
        n_edge=jnp.array([len(senders)]),
    )


def _faces(neighbor: Int[Array, "sides volumes"]) -> tuple[Int[Array, " faces"], Int[Array, "sides volumes"]]:
    """(place of each face in the flat list of sides, face of every side): a face is listed where its volume of lower
    number sees it.
    """
    sides, n = neighbor.shape
    own, faces = jnp.arange(n), neighbor.size // 2
    first = neighbor > own
    number = jnp.where(first, (jnp.cumsum(first.ravel()) - 1).reshape(sides, n), faces)
    slot = jnp.nonzero(first.ravel(), size=faces, fill_value=neighbor.size)[0]

    def seen(j):  # by the volume of lower number, in the first of its sides that leads to the other
        low, high = jnp.minimum(own, j), jnp.maximum(own, j)
        side = jnp.argmax(neighbor[:, low] == high, axis=0)
        return jnp.where(own == j, faces, number[side, low])

    return slot, jnp.stack([seen(j) for j in neighbor])
