"""Lumped outlets: where vessels end outside the modelled wall."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class LumpedOutlets(eqx.Module):
    """Each outlet node drains through a resistance to a pressure, one row per outlet of the network."""

    resistance: Float[Array, " outlets"] = eqx.field(converter=jnp.asarray)
    """[Pa·s/m³] at maximal dilation"""
    pressure: Float[Array, " outlets"] = eqx.field(converter=jnp.asarray)
    """[Pa]"""
    demand: Float[Array, " outlets"] = eqx.field(converter=jnp.asarray)
    """flow that autoregulation maintains while it can [m³/s]; used in autoregulated states"""


def no_outlets() -> LumpedOutlets:
    """A network whose every end feeds the wall."""
    return LumpedOutlets(jnp.zeros(0), jnp.zeros(0), jnp.zeros(0))
