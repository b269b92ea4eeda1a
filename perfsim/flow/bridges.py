"""Bridges: vessels that close loops, as grafts and collaterals do."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Bridges(eqx.Module):
    """Each joins two nodes of the network by a resistance; what flows is positive from the first to the second."""

    nodes: Int[Array, "bridges 2"]
    """nodes of the network"""
    resistance: Float[Array, " bridges"] = eqx.field(converter=jnp.asarray)
    """[Pa·s/m³]"""


def no_bridges() -> Bridges:
    """A network that is a forest."""
    return Bridges(jnp.zeros((0, 2), int), jnp.zeros(0))
