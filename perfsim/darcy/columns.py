"""Padded lists with one row per slot and one column per owner: sums over neighbors as a few contiguous gathers.

A sum over the sides of all cells is one pass over all cells per side. On a CPU this is four times as fast as the same
gather with the sides of a cell beside each other, and on a GPU neighboring threads read neighboring numbers; nothing is
scattered, so results are the same to the bit every time.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

Slots = Int[Array, "slots owners"]


def take(x: Shaped[Array, " n"], index: Int[Array, "*any"]) -> Shaped[Array, "*any"]:
    """x[index], for indices that are known to be valid."""
    return x.at[index].get(mode="promise_in_bounds")


def across(x: Float[Array, "sides n"], twin: Int[Array, "sides n"]) -> Float[Array, "sides n"]:
    """What each side's neighbor has on its side of the same face: y = Px with `ControlVolumes.twin`.

    JAX transposes a gather into a scatter, one number at a time on a CPU. P only exchanges pairs, so P = Pᵀ = P⁻¹, and
    as the solution of the symmetric system Py = x it is its own transpose: a gather in both modes, and under `vmap`.
    """

    def exchange(x):
        return take(x.ravel(), twin.ravel()).reshape(twin.shape)

    return jax.lax.custom_linear_solve(exchange, x, lambda _, b: exchange(b), symmetric=True)


def rows(x: Float[Array, "slots n"]) -> list[Float[Array, " n"]]:
    """The rows of x. What slices an array one by one is transposed into a sum of arrays that are nearly all zero."""
    return [row[0] for row in jax.lax.split(x, (1,) * x.shape[0])]


def sum_slots(x: Float[Array, " n"], slots: Slots) -> Float[Array, " owners"]:
    """Sum of x over each owner's list; padding points one past the end of x."""
    padded = jnp.append(x, jnp.zeros(1, x.dtype))
    total = take(padded, slots[0])
    for slot in slots[1:]:
        total = total + take(padded, slot)
    return total


def sum_rows(x: Float[Array, "slots n"]) -> Float[Array, " n"]:
    """Sum over the slots, one contiguous pass each. XLA's reduction over the first axis takes four times as long on a
    CPU: it computes what it sums in the order of the result. Where many gather from the sum take `jnp.sum`, which XLA
    does not compute anew for each of them.
    """
    first, *others = rows(x)
    return sum(others, first)
