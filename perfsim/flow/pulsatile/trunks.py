"""Chains of a vessel network as compliant vessels: where a finely sampled centerline becomes a few tapered tubes."""

from perfsim._arrays import on_device
from perfsim._results import InputError
from perfsim.network import VesselNetwork, contract

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class Trunks(eqx.Module):
    """Vessels in series, end to end, between inlets, junctions and ends. See `trunks`; holds no parameter."""

    tail: Int[Array, " chains"]
    """nodes, numbered from 0 for the trunks alone"""
    head: Int[Array, " chains"]
    node: Int[Array, " nodes"]
    """their numbers in the network"""
    vessel: Int[Array, " trunk_vessels"]
    """vessels of the network that are trunks, in its order"""
    chain: Int[Array, " trunk_vessels"]
    """the chain each of them belongs to"""
    knot_vessel: Int[Array, "chains knots"]
    knot_fraction: Float[Array, "chains knots"]
    """how far along that vessel the knot lies, from the end near the inlet"""
    flipped: Bool[Array, "chains knots"]
    last: Int[Array, " chains"]
    """the vessel that each chain ends with"""

    def sum(self, per_vessel: Float[Array, " vessels"]) -> Float[Array, " chains"]:
        """Sum over the vessels of each chain."""
        return jnp.zeros(len(self.tail)).at[self.chain].add(per_vessel[self.vessel])

    def radius(self, lumen: Float[Array, "vessels 2"]) -> Float[Array, "chains knots"]:
        """Lumen radius at evenly spaced knots along each chain."""
        ends = lumen[self.knot_vessel]
        near = jnp.where(self.flipped, ends[..., 1], ends[..., 0])
        far = jnp.where(self.flipped, ends[..., 0], ends[..., 1])
        return near + self.knot_fraction * (far - near)


def trunks(network: VesselNetwork, of: np.ndarray | None = None, knots: int = 17) -> Trunks:
    """The chains of a network, or of those of its vessels that `of` marks, split where other vessels leave (host).

    Raises `InputError` where the vessels marked do not reach an inlet.
    """
    count = len(network.tail)
    of = np.ones(count, bool) if of is None else np.asarray(of, bool)
    near, far = np.asarray(network.near), np.asarray(network.far)
    attached = np.intersect1d(near[~of], np.concatenate([far[of], near[of]]))
    forest = contract(network, keep=attached)
    vessel = np.flatnonzero(of)
    _, chain = np.unique(np.asarray(forest.chain)[vessel], return_inverse=True)
    runs = np.split(vessel, np.flatnonzero(np.diff(chain)) + 1)  # a chain's vessels stand side by side
    last = np.array([run[-1] for run in runs])
    node, ends = np.unique(np.concatenate([near[[run[0] for run in runs]], far[last]]), return_inverse=True)
    tail, head = np.split(ends, 2)
    inlets = np.asarray(network.inlets)
    loose = np.setdiff1d(node[tail], np.concatenate([node[head], inlets]))
    if len(loose):
        raise InputError(f"trunk node {loose[0]} hangs on a vessel that is no trunk: mark all vessels above it as well")
    at, fraction = _knots(np.asarray(network.length), runs, knots)
    return Trunks(
        tail=on_device(tail), head=on_device(head), node=on_device(node), vessel=on_device(vessel),
        chain=on_device(chain), knot_vessel=on_device(at), knot_fraction=on_device(fraction),
        flipped=on_device(np.asarray(network.flipped)[at]), last=on_device(last),
    )  # fmt: skip


def _knots(length, runs: list[np.ndarray], knots: int) -> tuple[np.ndarray, np.ndarray]:
    """The vessel that each knot lies in, and how far along it."""
    at, fraction = np.zeros((len(runs), knots), int), np.zeros((len(runs), knots))
    for c, own in enumerate(runs):
        reached = np.cumsum(length[own])
        x = np.linspace(0.0, reached[-1], knots)
        i = np.minimum(np.searchsorted(reached, x, side="left"), len(own) - 1)
        at[c] = own[i]
        fraction[c] = np.clip((x - reached[i] + length[own[i]]) / length[own[i]], 0.0, 1.0)
    return at, fraction
