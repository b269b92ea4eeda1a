"""Fences against XLA's fusion: what many use is computed once and kept in memory.

XLA fuses what is cheap into everything that uses it. Where each number is gathered by six neighbors, and theirs by six
again, the same sum over a volume's faces would be made 36 times.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def materialize(f: Callable[[Array], Array], x: Array) -> Array:
    """f(x), computed once: XLA merges neither f into what uses f(x), nor what makes x into f.

    It does not look into a branch, if it cannot tell how that is decided. A GPU, which would wait for the host at each,
    computes f(x) as it stands. The decision rests on x: neither may x be a constant of the program, nor can f(x), as a
    linear function, be transposed (`jax.linear_transpose`; gradients by `jax.vjp` can).
    """
    if jax.default_backend() != "cpu":
        return f(x)

    def nothing(x):
        return jnp.zeros_like(jax.eval_shape(f, x))

    return jax.lax.cond(_never(jax.lax.stop_gradient(x)), nothing, f, x)


def keep_rows(x: Float[Array, "rows n"]) -> Float[Array, "rows n"]:
    """x, whose rows were computed one by one, as one array in memory.

    XLA finds the row behind a slice of what was put together, and computes it anew for each use. A barrier hides it;
    it is taken away before XLA fuses, so that for a single row it does nothing (see `materialize`), but costs nothing
    and has a transpose.
    """
    return jax.lax.optimization_barrier(x)


def hold(x: Float[Array, " places"]) -> Float[Array, " places"]:
    """x in memory, its idle first and last place alike, and its derivative likewise.

    Long chains of cheap operations are computed many times over, forward and backward. XLA does not look through a
    scatter, nor through the scatter that is its transpose: the cheapest fence where a step has a dozen, on the CPU and
    the GPU, and the only one of these that also stands in the derivative.
    """
    ends = jnp.array([0, len(x) - 1])
    return x.at[ends].set(x[0], unique_indices=True, indices_are_sorted=True)


@jax.custom_batching.custom_vmap
def _never(x: Array) -> Bool[Array, ""]:
    """False, for no number is greater than infinity; XLA does not know."""
    return x.ravel()[0] > jnp.inf


@_never.def_vmap
def _(size, batched, x):
    """One answer for the whole batch: a branch with many answers would be a choice between both results."""
    return _never(x[0]), False
