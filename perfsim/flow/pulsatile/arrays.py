"""Converters of fields: numbers and lists become arrays, so that a new value never means a new compilation."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def vector(x) -> Float[Array, " places"]:
    """One number per place."""
    return jnp.atleast_1d(jnp.asarray(x, float))


def rows(x) -> Float[Array, "places columns"]:
    """One row per place."""
    return jnp.atleast_2d(jnp.asarray(x, float))


def scalar(x) -> Float[Array, ""]:
    """One number."""
    return jnp.asarray(x, float)


def indices(x) -> Int[Array, " places"]:
    """One index per place."""
    return jnp.atleast_1d(jnp.asarray(x, int))


def pairs(x) -> Int[Array, "places 2"]:
    """Two indices per place."""
    return jnp.reshape(jnp.asarray(x, int), (-1, 2))
