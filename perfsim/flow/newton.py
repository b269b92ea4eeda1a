"""Newton's iteration for the stationary point of a convex potential, with its derivative."""

from collections.abc import Callable

from perfsim._results import RESULTS
from perfsim.units import fraction

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

NEAR = 20.0
"""imbalance over the accuracy wanted from where on a certificate may succeed"""


def _fraction(accuracy: float | str | None) -> float | None:
    return None if accuracy is None else fraction(accuracy)


class Steady(eqx.Module):
    """Steady flow: how the pressure field is solved for."""

    tolerance: float = 1e-11
    """flow imbalance Σ|residual| over the inflow at which Newton stops; never below 100 round-offs"""
    accuracy: float | None = eqx.field(static=True, default=None, converter=_fraction)
    """stop as soon as no volume's MBF can be further from the solution's than this part of the wall's mean: a number,
    or text such as "0.5%"; proved, not estimated (see `coupling.enclosure`). Flows balance only as far, and gradients
    are those at the field reached. None: solve to `tolerance`, as networks without a wall always are.
    """
    max_steps: int = eqx.field(static=True, default=60)
    """of Newton; 0 takes the field that a solve starts from for its solution"""
    max_krylov: int = eqx.field(static=True, default=2000)
    """conjugate-gradient steps allowed in one linear solve"""
    passes: Int[Array, ""] | int | None = None
    """what derivatives take in place of a linear solve: so many stationary steps with its preconditioner, a linear map
    that is symmetric where the Hessian is. Each is worth one to two digits. None: solve to round-off.
    """


class Counters(eqx.Module):
    """What a solve did."""

    result: Int[Array, ""]
    """a value of `RESULTS`"""
    newton: Int[Array, ""]
    krylov: Int[Array, ""]
    """conjugate-gradient steps in all"""
    imbalance: Float[Array, ""]
    """Σ|residual| over the inflow"""


def minimize(
    residual: Callable[[Array], Array],
    step: Callable[[Array, Array, Array], tuple[Array, Array]],
    start: Float[Array, " n"],
    scale: Callable[[Array], Array],
    method: Steady,
    enough: Callable[[Array], tuple[Array, Array]] | None = None,
) -> tuple[Float[Array, " n"], Counters]:
    """Find where `residual`, the gradient of a convex potential, vanishes.

    `step(x, F, rtol)` solves the Newton system J d = -F and returns (d, linear iterations). Along d the potential has
    the slope F(x + t d)·d, which rises monotonically from its negative value at t = 0; t is halved until the slope
    is at most half of that in size or negative, so the potential always falls. `scale(x)` is the inflow [same units
    as F].
    """

    eps = jnp.finfo(start.dtype).eps
    tolerance = jnp.maximum(method.tolerance, 100.0 * eps)
    floor = jnp.maximum(100.0 * tolerance, 2e4 * eps)

    def imbalance(x, F):
        return jnp.sum(jnp.abs(F)) / jnp.maximum(jnp.abs(scale(x)), 1e-30)

    def body(state):
        x, F, error, steps, krylov, _, done = state
        if enough is not None and method.accuracy is not None:
            x, done = jax.lax.cond(error < NEAR * method.accuracy, enough, lambda x: (x, done), x)
            F = residual(x)
            error = imbalance(x, F)

        def onward():
            # inexact Newton: solve no tighter than the quadratic convergence can use
            rtol = jnp.clip(0.1 * error, 0.2 * tolerance / error, 1e-3)
            d, inner = step(x, F, rtol)
            y, G = _line_search(residual, x, F, d)
            new = imbalance(y, G)
            # at round-off the balance cannot improve further: near the goal, or near what pressures of this precision
            # can balance (short trunks conduct a thousand times better than the wall), that is an end as well
            return y, G, new, steps + 1, krylov + inner, (new > 0.5 * error) & (new < floor)

        def here():
            return x, F, error, steps, krylov, jnp.zeros((), bool)

        return *(onward() if enough is None else jax.lax.cond(done, here, onward)), done

    def unfinished(state):
        _, _, error, steps, _, stalled, done = state
        return (error > tolerance) & (steps < method.max_steps) & ~stalled & ~done

    F = residual(start)
    zero = jnp.zeros((), int)
    state = start, F, imbalance(start, F), zero, zero, jnp.zeros((), bool), jnp.zeros((), bool)
    if method.max_steps > 0:
        state = jax.lax.while_loop(unfinished, body, state)
    x, F, error, steps, krylov, stalled, done = state
    result = jnp.where(
        ~jnp.isfinite(error),
        RESULTS.not_finite,
        jnp.where((error <= tolerance) | stalled | done, RESULTS.successful, RESULTS.newton_not_converged),
    )
    return x, Counters(result, steps, krylov, error)


def _line_search(residual, x, F, d):
    """Halve t from 1 until the slope of the potential along d is at most half its starting size."""
    slope0 = jnp.sum(F * d)

    def too_far(state):
        _t, _, slope, tries = state
        return (slope > 0.5 * jnp.abs(slope0)) & (tries < 30)

    def halve(state):
        t, _, _, tries = state
        F = residual(x + 0.5 * t * d)
        return 0.5 * t, F, jnp.sum(F * d), tries + 1

    F1 = residual(x + d)
    one = jnp.ones((), x.dtype)
    t, F, _, _ = jax.lax.while_loop(too_far, halve, (one, F1, jnp.sum(F1 * d), jnp.zeros((), int)))
    return x + t * d, F
