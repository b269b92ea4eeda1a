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
        x, r, z, d, rz, k = state
        Ad = matvec(d)
        curvature = jnp.sum(d * Ad)
        alpha = jnp.where(curvature > 0, rz / jnp.where(curvature > 0, curvature, 1.0), 0.0)
        x, old = x + alpha * d, r
        r = jax.lax.cond((k + 1) % 20 == 0, lambda: b - matvec(x), lambda: r - alpha * Ad)
        z = precondition(r)
        rz_next = jnp.sum(r * z)
        d = z + jnp.sum((r - old) * z) / jnp.where(rz > 0, rz, 1.0) * d
        return x, r, z, d, rz_next, k + 1

    def unfinished(state):
        _, r, _, _, rz, k = state
        return (jnp.sum(jnp.abs(r)) > goal) & (k < max_steps) & (rz > 0)

    z = precondition(b)
    state = jnp.zeros_like(b), b, z, z, jnp.sum(b * z), jnp.zeros((), int)
    x, _, _, _, _, steps = jax.lax.while_loop(unfinished, body, state)
    return x, steps
