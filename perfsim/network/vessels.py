"""`VesselNetwork`: a forest of vessels as arrays.

A vessel is a straight piece of centerline between two nodes, with the lumen radius at both ends and a linear taper
between them; a named `branch` (LAD, D1, ...) is a path of vessels. Vessels are stored in depth-first order from the
inlets, so that everything downstream of a vessel is one contiguous range: sums over subtrees are differences of one
cumulative sum, differentiable and without scatter.
"""

import dataclasses

from perfsim._arrays import on_device
from perfsim.network.centerlines import Centerlines
from perfsim.precision import require_float64

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class VesselNetwork(eqx.Module):
    """Vessels, nodes, and where blood enters and leaves. Build one with `VesselNetwork.build`."""

    position: Float[Array, "nodes 3"]
    """node coordinates [m]"""
    lumen: Float[Array, "vessels 2"]
    """radius at tail and head [m]; used where `measured`, else recomputed from the radius law"""
    coordinate: Float[Array, "vessels 2"]
    """arc length of tail and head along the vessel's branch [m]"""
    root_radius: Float[Array, " inlets"]
    """healthy proximal lumen radius r₀ of each inlet [m], the anchor of the radius law"""
    exponent: Float[Array, ""]
    """γ of the radius law r = r₀ (Q/Q₀)^(1/γ)"""
    demand: Float[Array, " terminals"]
    """design flow of each terminal, as the tissue volume it feeds [m³]"""
    outlet_demand: Float[Array, " outlets"]
    """design flow of each lumped outlet, as an equivalent tissue volume [m³]"""
    tail: Int[Array, " vessels"]
    head: Int[Array, " vessels"]
    flipped: Bool[Array, " vessels"]
    """the vessel points towards its inlet (a confluence): blood from the first inlet runs from head to tail"""
    measured: Bool[Array, " vessels"]
    """the lumen comes from an image or a table (True) or from the radius law (False)"""
    root: Int[Array, " vessels"]
    """the inlet that the vessel hangs on"""
    subtree_end: Int[Array, " vessels"]
    """vessels e+1 … subtree_end[e]-1 lie downstream of vessel e"""
    branch: Int[Array, " vessels"]
    inlets: Int[Array, " inlets"]
    terminals: Int[Array, " terminals"]
    """nodes that feed control volumes"""
    outlets: Int[Array, " outlets"]
    """nodes that end in a lumped outlet"""
    branch_names: tuple[str, ...] = eqx.field(static=True)
    inlet_names: tuple[str, ...] = eqx.field(static=True)
    outlet_names: tuple[str, ...] = eqx.field(static=True)

    @classmethod
    def build(cls, *arguments, **options) -> "VesselNetwork":
        """A network from host arrays, checked and ordered: the arguments are those of `Centerlines.build`."""
        return cls.of(Centerlines.build(*arguments, **options))

    @classmethod
    def of(cls, lines: Centerlines) -> "VesselNetwork":
        """Centerlines on the device. Raises `InputError` where jax lacks float64."""
        require_float64()
        fields = {f.name: getattr(lines, f.name) for f in dataclasses.fields(lines)}
        return cls(**{k: on_device(v) if isinstance(v, np.ndarray) else v for k, v in fields.items()})

    @property
    def length(self) -> Float[Array, " vessels"]:
        """Vessel lengths [m]."""
        return jnp.linalg.norm(self.position[self.head] - self.position[self.tail], axis=-1)

    @property
    def far(self) -> Int[Array, " vessels"]:
        """The end of each vessel that lies away from its inlet."""
        return jnp.where(self.flipped, self.tail, self.head)

    @property
    def near(self) -> Int[Array, " vessels"]:
        """The end of each vessel that lies towards its inlet."""
        return jnp.where(self.flipped, self.head, self.tail)

    def downstream_sum(self, at_node: Float[Array, " nodes"] | Float[np.ndarray, " nodes"]) -> Float[Array, " vessels"]:
        """Sum of a nodal quantity over everything downstream of each vessel, its far end included."""
        total = jnp.concatenate([jnp.zeros(1, at_node.dtype), jnp.cumsum(at_node[self.far])])
        return total[self.subtree_end] - total[:-1]

    def design_flow(self) -> tuple[Float[Array, " vessels"], Float[Array, " inlets"]]:
        """Design flow [m³ of tissue] through each vessel and each inlet: what lies downstream of it."""
        at_node = jnp.zeros(len(self.position), self.demand.dtype).at[self.terminals].add(self.demand)
        at_node = at_node.at[self.outlets].add(self.outlet_demand)
        flow = self.downstream_sum(at_node)
        inlet_flow = jnp.zeros(len(self.inlets), at_node.dtype).at[self.root].add(at_node[self.far])
        return flow, inlet_flow


def vessel_into(network: VesselNetwork | Centerlines) -> np.ndarray:
    """For every node the vessel that leads to it from its inlet, -1 at inlets (host)."""
    into = np.full(len(network.position), -1)
    into[np.asarray(network.far)] = np.arange(len(network.tail))
    return into


def vessel_above(network: VesselNetwork | Centerlines) -> np.ndarray:
    """For every vessel the one upstream of it, -1 at inlets (host)."""
    far, tail, head = (np.asarray(getattr(network, name)) for name in ("far", "tail", "head"))
    return vessel_into(network)[np.where(far == head, tail, head)]
