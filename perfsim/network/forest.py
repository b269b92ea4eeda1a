"""The forest that solvers see: chains of vessels between branching points, by level from the inlets.

Vessels in series carry one flow, so a chain of them is one edge whose resistances add. What is left has a few
levels (tens, not the thousands of a finely sampled centerline), and a tree solve is one sweep over the levels.
"""

from perfsim._arrays import on_device
from perfsim.network.centerlines import GROWN
from perfsim.network.topology import padded_columns
from perfsim.network.vessels import VesselNetwork

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Forest(eqx.Module):
    """Chains, contracted nodes and levels. Contracted nodes are the inlets, then the far end of each chain."""

    chain: Int[Array, " vessels"]
    """the chain each vessel belongs to, non-decreasing in vessel order"""
    parent: Int[Array, " chains"]
    """contracted node at the near end of each chain (its far end is node `roots + chain`)"""
    sign: Float[Array, " vessels"]
    """+1 where the vessel points away from its inlet, else -1"""
    levels: Int[Array, "levels width"]
    """chain indices by distance from the inlets, padded with the number of chains"""
    children: Int[Array, "contracted children"]
    """chains that leave each contracted node, padded with the number of chains"""
    node: Int[Array, " contracted"]
    """network node of each contracted node"""
    contracted: Int[Array, " nodes"]
    """contracted node of each network node, or -1 inside a chain"""
    roots: int = eqx.field(static=True)

    @property
    def chains(self) -> int:
        return self.parent.shape[0]

    def chain_sum(self, per_vessel: Float[Array, " vessels"]) -> Float[Array, " chains"]:
        """Sum over the vessels of each chain."""
        return jnp.zeros(self.chains, per_vessel.dtype).at[self.chain].add(per_vessel, indices_are_sorted=True)


def contract(network: VesselNetwork, keep: np.ndarray | tuple[int, ...] = ()) -> Forest:
    """Contract a network's series vessels (host, once per topology); nodes to `keep` end chains as well."""
    tail, head, flipped = (np.asarray(getattr(network, f)) for f in ("tail", "head", "flipped"))
    near, far = np.where(flipped, head, tail), np.where(flipped, tail, head)
    nodes = len(network.position)
    degree = np.bincount(tail, minlength=nodes) + np.bincount(head, minlength=nodes)
    kept = degree != 2
    for special in (network.inlets, network.terminals, network.outlets, keep):
        kept[np.asarray(special, int)] = True
    roots = list(dict.fromkeys(int(n) for n in np.asarray(network.inlets) if not (far == n).any()))
    contracted = np.full(nodes, -1)
    contracted[roots] = np.arange(len(roots))
    chain = np.zeros(len(tail), int)
    near_ends: list[int] = []
    chain_of_far: dict[int, int] = {}
    for v in range(len(tail)):  # depth-first order: the vessel above v in a chain is v - 1
        if kept[near[v]]:
            chain[v] = len(near_ends)
            near_ends.append(int(contracted[near[v]]))
        else:
            chain[v] = chain_of_far[int(near[v])]
        if kept[far[v]]:
            contracted[far[v]] = len(roots) + chain[v]
        else:
            chain_of_far[int(far[v])] = chain[v]
    parent = np.array(near_ends, int)
    node = np.full(len(roots) + len(parent), -1)
    inside = contracted >= 0
    node[contracted[inside]] = np.flatnonzero(inside)
    return Forest(
        chain=on_device(chain),
        parent=on_device(parent),
        sign=on_device(np.where(flipped, -1.0, 1.0)),
        levels=on_device(_levels(parent, len(roots))),
        children=on_device(_children(parent, len(node))),
        node=on_device(node),
        contracted=on_device(contracted),
        roots=len(roots),
    )


def branch_table(network: VesselNetwork) -> Int[Array, "steps branches"]:
    """Vessels of each named branch in order from its origin, padded with the number of vessels.

    Grown vessels, which are uniform tubes, are left out.
    """
    branch = np.asarray(network.branch)
    named = np.flatnonzero(np.array([name != GROWN for name in network.branch_names])[branch])
    table = padded_rows(branch[named], named, len(network.branch_names), fill=len(branch))
    return on_device(table.T)


def _levels(parent, roots):
    depth = np.zeros(len(parent), int)
    for c, p in enumerate(parent):
        depth[c] = 0 if p < roots else depth[p - roots] + 1
    return padded_rows(depth, np.arange(len(parent)), depth.max() + 1, fill=len(parent))


def _children(parent, contracted):
    return padded_rows(parent, np.arange(len(parent)), contracted, fill=len(parent))


def padded_rows(row, value, rows, fill):
    """Lists of `value` by `row` as one rectangular array, padded with `fill`."""
    return np.ascontiguousarray(padded_columns(row, value, rows, fill).T)
