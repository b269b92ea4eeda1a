"""Newton's iteration for the stationary point of a convex potential."""

from collections.abc import Callable
from typing import NamedTuple

from perfsim._outcome import is_traced, poison
from perfsim._results import RESULTS, InputError
from perfsim.units import fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

CERTIFY_BELOW = 20.0
"""a certificate is tried once the imbalance is below this many times the accuracy"""
LOOSEST = 0.1
"""greatest imbalance that may be asked for: what is further off is no flow"""
ROUND_OFFS = 100.0
"""the flow balance is never asked for closer than this many round-offs"""


def _fraction(accuracy: float | str | None) -> float | None:
    return None if accuracy is None else fraction(accuracy)


class Steady(eqx.Module):
    """Steady flow: how the pressure field is solved for. Numbers are traced: other values compile nothing anew."""

    tolerance: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=1e-11)
    """flow imbalance over the inflow at which Newton stops; never below 100 round-offs. What rounding of its
    neighbors' pressures can do to the balance of a node is not counted."""
    accuracy: float | None = eqx.field(static=True, default=None, converter=_fraction)
    """stop as soon as no volume's MBF can be further from the solution's than this part of the wall's mean: a number,
    or text such as "0.5%"; proved, not estimated (see `coupling.enclosure`). Flows balance only as far, and gradients
    are those at the field reached. None: solve to `tolerance`, as networks without a wall always are.
    """
    max_steps: Int[Array, ""] = eqx.field(converter=jnp.asarray, default=60)
    """maximum number of Newton steps"""
    max_krylov: Int[Array, ""] = eqx.field(converter=jnp.asarray, default=2000)
    """maximum number of conjugate-gradient steps in one linear solve"""
    passes: Int[Array, ""] | int | None = None
    """If set, derivatives use this many preconditioned Richardson steps instead of a full linear solve: a linear map
    that is symmetric where the Hessian is. Each step is worth one to two digits. None: solve to round-off.
    """
    given: bool = eqx.field(static=True, default=False)
    """take the starting field for the solution, whatever its balance; the iteration is then not even compiled"""

    def __check_init__(self):
        """Refuse numbers that no solve can keep to; under `jit` nothing can be refused."""
        if is_traced((self.tolerance, self.max_steps, self.max_krylov)):
            return
        if not np.all((np.asarray(self.tolerance) >= 0.0) & (np.asarray(self.tolerance) <= LOOSEST)):
            raise InputError(
                f"tolerance is {np.asarray(self.tolerance):.4g}: give a part of the inflow from 0 to {LOOSEST:g} that "
                "may be out of balance"
            )
        for name in ("max_steps", "max_krylov"):
            if not jnp.issubdtype(getattr(self, name).dtype, jnp.integer):
                raise InputError(f"{name} is {np.asarray(getattr(self, name))}: give a whole number of steps")


class Counters(eqx.Module):
    """What a solve did."""

    result: Int[Array, ""]
    """a value of `RESULTS`"""
    newton: Int[Array, ""]
    """number of Newton steps"""
    krylov: Int[Array, ""]
    """number of conjugate-gradient steps in all"""
    imbalance: Float[Array, ""]
    """Σ|residual| over the inflow, as far as it exceeds the rounding of each node"""


class Balance(NamedTuple):
    """The flow balance at a pressure field, in one unit of flow."""

    left: Float[Array, " n"]
    """net outflow of every node: the gradient of the potential"""
    inflow: Float[Array, ""]
    """the scale of the flow"""


def imbalance(here: Balance, x: Float[Array, " n"], conductance: Float[Array, " n"]) -> Float[Array, ""]:
    """Σ max(|left| - rounding, 0) over the inflow.

    Pressures of p are known to εp. With edges of conductance g to its neighbors a node's balance is therefore uncertain
    by up to 2εp Σg, however well the equations are solved: short trunks conduct a thousand times better than the wall.
    """
    rounding = 2.0 * jnp.finfo(x.dtype).eps * jnp.max(jnp.abs(x)) * conductance
    left = jnp.abs(here.left)
    beyond = jnp.where(left <= rounding, 0.0, left - rounding)  # a maximum could lose what is not a number on a CPU
    return jnp.sum(beyond) / jnp.maximum(jnp.abs(here.inflow), 1e-30)


class _Iteration(NamedTuple):
    x: Float[Array, " n"]
    error: Float[Array, ""]
    steps: Int[Array, ""]
    krylov: Int[Array, ""]
    missed: Bool[Array, ""]
    """a linear solve ran out of steps"""
    proved: Bool[Array, ""]
    """x is certified to be accurate enough"""
    picard: Bool[Array, ""]
    """the next step is one"""
    done: Bool[Array, ""]


def minimize(
    balance: Callable[[Array], Balance],
    step: Callable[[Array, Array, Array, Array], tuple[Array, Array, Array]],
    start: Float[Array, " n"],
    conductance: Float[Array, " n"],
    method: Steady,
    certify: Callable[[Array], tuple[Array, Array]] | None = None,
) -> tuple[Float[Array, " n"], Counters]:
    """Find where `balance(x).left`, the gradient of a convex potential, vanishes.

    Arguments: `balance(x)`; `step(x, F, rtol, picard)`, which solves the Newton system J d = -F, or where `picard` is
    true that of the laws' chords, and returns (d, linear iterations, whether it met rtol); `conductance`, the largest
    sum of each node's edges, by which rounding is judged (see `imbalance`); `certify(x)`, which returns (a better
    field, whether it is proved to be accurate enough).

    Along d the potential has the slope F(x + t d)·d, which rises monotonically from its negative value at t = 0; t is
    halved until the slope is at most half of that in size or negative, so the potential always falls. A Newton step
    that has to be cut starts too far off, say with a demand that a closed vessel cannot carry. After it comes a Picard
    step, which keeps pressures between those of inlets and veins.

    Returns (x, what the solve did). A field that is not finite is returned as NaN.
    """
    tolerance = jnp.maximum(method.tolerance, ROUND_OFFS * jnp.finfo(start.dtype).eps).astype(start.dtype)
    zero, no = jnp.zeros((), int), jnp.zeros((), bool)

    def evaluate_and_step(state: _Iteration) -> _Iteration:
        """One evaluation of the balance and, unless it is good enough, the step that follows from it."""
        x, proved = state.x, no
        here = balance(x)
        if certify is not None and method.accuracy is not None:
            near = imbalance(here, x, conductance) < CERTIFY_BELOW * method.accuracy
            x, proved = jax.lax.cond(near, certify, lambda x: (x, no), x)
            here = balance(x)
        error = imbalance(here, x, conductance)
        done = (error <= tolerance) | proved | ~jnp.isfinite(error) | (state.steps >= method.max_steps)

        def onward():
            # inexact Newton: solve no tighter than the quadratic convergence can use
            rtol = jnp.clip(0.1 * error, 0.2 * tolerance / error, 1e-3)
            d, inner, met = step(x, here.left, rtol, state.picard)
            t = _line_search(lambda x: balance(x).left, x, here.left, d)
            missed = jnp.logical_not(met) & (inner >= method.max_krylov)
            picard = (t < 1.0) & ~state.picard
            return _Iteration(x + t * d, error, state.steps + 1, state.krylov + inner, missed, no, picard, missed)

        def stay():
            return _Iteration(x, error, state.steps, state.krylov, state.missed, proved, no, ~no)

        return jax.lax.cond(done, stay, onward)

    if method.given:
        error = imbalance(balance(start), start, conductance)
        return start, Counters(_result(error, jnp.inf, no, no), zero, zero, error)
    begin = _Iteration(start, jnp.asarray(jnp.inf, start.dtype), zero, zero, no, no, no, no)
    end = jax.lax.while_loop(lambda state: ~state.done, evaluate_and_step, begin)
    result = _result(end.error, tolerance, end.proved, end.missed)
    x = poison(end.x, result == RESULTS.not_finite)
    return x, Counters(result, end.steps, end.krylov, end.error)


def _result(error, tolerance, proved, missed) -> Int[Array, ""]:
    """The outcome of an iteration that ended with this imbalance."""
    met = (error <= tolerance) | proved
    ended = jnp.where(met, RESULTS.successful, RESULTS.newton_not_converged)
    ended = jnp.where(missed, RESULTS.linear_not_converged, ended)
    return jnp.where(jnp.isfinite(error), ended, RESULTS.not_finite)


def _line_search(gradient, x, F, d):
    """t, halved from 1 until the slope of the potential along x + t d is at most half its starting size."""
    slope0 = jnp.sum(F * d)

    def too_far(state):
        _, slope, tries = state
        return (slope > 0.5 * jnp.abs(slope0)) & (tries < 30)

    def halve(state):
        t, _, tries = state
        t = 0.5 * t
        return t, jnp.sum(gradient(x + t * d) * d), tries + 1

    start = jnp.full((), 2.0, x.dtype), jnp.full((), jnp.inf, x.dtype), jnp.zeros((), int)
    return jax.lax.while_loop(too_far, halve, start)[0]
