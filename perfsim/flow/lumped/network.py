"""A network of lumped elements between nodes."""

from perfsim.flow.lumped.elements import Element, Vessel

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class LumpedNetwork(eqx.Module):
    """Elements of each kind, joined at nodes: what meets at a node has one pressure, and its flows sum to zero.

    Units are any in which flow times resistance is pressure.
    """

    vessels: tuple[Vessel, ...]
    """groups of vessels"""
    ends: tuple[Element, ...]
    """groups of inlets and outlets"""
    period: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    """[s]"""
    nodes: int = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    """of the vessels whose pressure and flow are wanted"""
    wanted: Int[Array, " wanted"] = eqx.field(converter=jnp.asarray)
    """their places in the groups, one group after the other"""

    @property
    def groups(self) -> tuple[Element, ...]:
        """All elements, vessels first."""
        return (*self.vessels, *self.ends)


class LumpedCycle(eqx.Module):
    """One cycle of a lumped network; a vessel's places are its start and its end."""

    time: Float[Array, " times"]
    """[s], of the steps from the start of the cycle"""
    period: Float[Array, ""]
    pressure: Float[Array, "times places=2 vessels"]
    flow: Float[Array, "times places=2 vessels"]
