"""Preconditioned Krylov solvers: conjugate gradients, and GMRES for what is not symmetric."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class LinearSolve(NamedTuple):
    """What a linear solver found."""

    x: Float[Array, " n"]
    steps: Int[Array, ""]
    """number of products with the matrix"""
    left: Float[Array, ""]
    """Σ|b - A x| over Σ|b|: the tolerance was met where this is at most `rtol`"""


def conjugate_gradients(
    matvec: Callable[[Array], Array],
    precondition: Callable[[Array], Array],
    b: Float[Array, " n"],
    rtol: Float[Array, ""] | float,
    max_steps: Int[Array, ""] | int,
) -> LinearSolve:
    """Solve A x = b for symmetric positive definite A from x = 0, until Σ|r| ≤ rtol Σ|b|.

    The 1-norm is the flow that goes missing, the quantity we want to be small. The residual is recomputed every
    20 steps, so that the recursion cannot claim what it has not reached. Directions are made orthogonal by differences
    of residuals (Polak and Ribière), which forgives a preconditioner that rounds.
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
    x, r, _, _, _, steps = jax.lax.while_loop(unfinished, body, state)
    return LinearSolve(x, steps, _left(r, b))


def _left(r, b) -> Float[Array, ""]:
    """Σ|r| over Σ|b|, 0 where nothing was asked for."""
    asked = jnp.sum(jnp.abs(b))
    return jnp.sum(jnp.abs(r)) / jnp.where(asked == 0, 1.0, asked)


def gmres(
    matvec: Callable[[Array], Array],
    precondition: Callable[[Array], Array],
    b: Float[Array, " n"],
    rtol: Float[Array, ""] | float,
    max_steps: Int[Array, ""] | int,
    restart: int = 40,
) -> LinearSolve:
    """Solve A x = b for any A from x = 0, until Σ|r| ≤ rtol Σ|b| in the true residual.

    Flexible GMRES (Saad 1993): preconditioned on the right, so that what is minimized is the residual itself, and the
    preconditioned directions kept, so that a preconditioner may round. The 2-norm that it knows is compared with the
    1-norm at each restart; as many directions as `restart` are kept at a time.
    """
    goal = rtol * jnp.sum(jnp.abs(b))

    def cycle(state):
        x, r, k, _ = state
        size = jnp.linalg.norm(r)
        near = 0.7 * goal / jnp.sum(jnp.abs(r))  # of the 2-norm, if both fall alike
        dx, steps = _arnoldi(matvec, precondition, r / size, near, jnp.minimum(restart, max_steps - k), restart)
        x = x + size * dx
        following = b - matvec(x)
        stuck = jnp.linalg.norm(following) > 0.9 * size
        return x, following, k + steps, stuck

    def unfinished(state):
        _, r, k, stuck = state
        return (jnp.sum(jnp.abs(r)) > goal) & (k < max_steps) & ~stuck

    start = jnp.zeros_like(b), b, jnp.zeros((), int), jnp.zeros((), bool)
    x, r, steps, _ = jax.lax.while_loop(unfinished, cycle, start)
    return LinearSolve(x, steps, _left(r, b))


def _arnoldi(matvec, precondition, v, rtol, max_steps, restart: int):
    """(x, steps) with |v - A x| ≤ rtol for |v| = 1 or as small as so many steps make it."""
    n, m, dtype = v.shape[0], restart, v.dtype
    start = (
        jnp.zeros((m + 1, n), dtype).at[0].set(v),
        jnp.zeros((m, n), dtype),
        jnp.eye(m + 1, m, dtype=dtype),  # columns not reached stay a triangle's
        jnp.zeros(m + 1, dtype).at[0].set(1.0),
        jnp.zeros((m, 2), dtype),
        jnp.zeros((), int),
    )

    def body(state):
        V, Z, R, g, turns, k = state
        z = precondition(V[k])
        w = matvec(z)
        h = V @ w
        w = w - h @ V
        again = V @ w  # twice is enough (Kahan, Parlett)
        w, h = w - again @ V, h + again
        size = jnp.linalg.norm(w)
        V = V.at[k + 1].set(w / jnp.where(size > 0, size, 1.0))
        h = h.at[k + 1].set(size)
        h = jax.lax.fori_loop(0, k, lambda i, h: _turned(h, i, turns[i]), h)
        length = jnp.hypot(h[k], h[k + 1])
        turn = jnp.stack([h[k], h[k + 1]]) / jnp.where(length > 0, length, 1.0)
        h = _turned(h, k, turn)
        return V, Z.at[k].set(z), R.at[:, k].set(h), _turned(g, k, turn), turns.at[k].set(turn), k + 1

    def unfinished(state):
        *_, g, _, k = state
        return (jnp.abs(g[k]) > rtol) & (k < max_steps)

    _, Z, R, g, _, k = jax.lax.while_loop(unfinished, body, start)
    used = jnp.arange(m) < k
    y = jax.scipy.linalg.solve_triangular(R[:m], jnp.where(used, g[:m], 0.0))
    return jnp.where(used, y, 0.0) @ Z, k


def _turned(h, i, turn):
    """Rotate entries i and i + 1 by the angle whose cosine and sine are given."""
    a, b = h[i], h[i + 1]
    return h.at[i].set(turn[0] * a + turn[1] * b).at[i + 1].set(turn[0] * b - turn[1] * a)
