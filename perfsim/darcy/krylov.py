"""Preconditioned conjugate gradients."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def conjugate_gradients(
    matvec: Callable[[Array], Array],
    precondition: Callable[[Array], Array],
    b: Float[Array, " n"],
    rtol: Float[Array, ""] | float,
    max_steps: int,
) -> tuple[Float[Array, " n"], Int[Array, ""]]:
    """Solve A x = b for symmetric positive definite A from x = 0, until Σ|r| ≤ rtol Σ|b|.

    The 1-norm is the flow that goes missing, the quantity we want to be small. The residual is recomputed every
    20 steps, so that the recursion cannot claim what it has not reached. Directions are made orthogonal by differences
    of residuals (Polak and Ribière), which forgives a preconditioner that rounds. Returns (x, steps).
    """
    goal = rtol * jnp.sum(jnp.abs(b))

    def body(state):
        x, r, old, d, rz_old, k = state
        z = precondition(r)
        rz = jnp.sum(r * z)
        d = z + jnp.where(k > 0, jnp.sum((r - old) * z) / jnp.where(rz_old > 0, rz_old, 1.0), 0.0) * d
        Ad = matvec(d)
        curvature = jnp.sum(d * Ad)
        alpha = jnp.where(curvature > 0, rz / jnp.where(curvature > 0, curvature, 1.0), 0.0)
        x = x + alpha * d
        following = jax.lax.cond((k + 1) % 20 == 0, lambda: b - matvec(x), lambda: r - alpha * Ad)
        return x, following, r, d, rz, k + 1

    def unfinished(state):
        _, r, _, _, rz, k = state
        return (jnp.sum(jnp.abs(r)) > goal) & (k < max_steps) & (rz > 0)

    zero = jnp.zeros_like(b)
    state = zero, b, zero, zero, jnp.ones((), b.dtype), jnp.zeros((), int)
    x, _, _, _, _, steps = jax.lax.while_loop(unfinished, body, state)
    return x, steps
