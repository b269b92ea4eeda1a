"""Residuals and their derivatives by the chain rule: free parameters ξ → numbers of the model → flow → residuals.

The link in the middle holds the simulator. Its programs know nothing of the problem, so that all problems of hearts of
one size share them (`coupling.linearization`). The first link and the last are small programs of each problem.
"""

import dataclasses

from perfsim._results import RESULTS
from perfsim.coupling import Solution
from perfsim.coupling.linearization import linearize, numbers
from perfsim.coupling.simulate import attempt, without_states
from perfsim.flow import Steady
from perfsim.inverse.model import Model
from perfsim.inverse.problem import Problem
from perfsim.precision import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

WIDTH = 4
"""tangents or cotangents in one product, where there are several: another number would be another program"""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A problem solved at some parameters."""

    xi: np.ndarray
    model: Model
    solution: Solution
    r: np.ndarray
    """residuals in standard deviations; NaN where a solve failed"""
    cost: float
    """½|r|² + ½|ξ|², without a prior the first alone; NaN where a solve failed"""

    @property
    def failed(self) -> dict[str, RESULTS]:
        """The states whose solve failed, and why."""
        found = {name: RESULTS(int(result)) for name, result in self.solution.results.items()}
        return {name: result for name, result in found.items() if result is not RESULTS.successful}


def evaluate(
    problem: Problem, xi: np.ndarray, *, every_state: bool = False, near: Solution | None = None
) -> Evaluation:
    """Solve a problem at parameters ξ in the states that were measured, or in every one, starting near a solution."""
    model = model_at(problem, jnp.asarray(xi))
    states = None if every_state else problem.states
    solution = attempt(model.sim, problem.flow, problem.tissue, states, near)
    r = np.asarray(_misfit(model, solution, problem.skipped))
    return Evaluation(np.asarray(xi), model, solution, r, float(problem.cost(np.asarray(xi), r)))


class Linearized:
    """The derivative J of a problem's residuals at an evaluation, with the flow solved once.

    It is exact, or takes so many `passes` in place of each linear solve (see `Steady`). A beat is not its mean: it is
    marched again, and its derivative is exact.
    """

    def __init__(self, problem: Problem, here: Evaluation, passes: int | None = None):
        flow = problem.flow
        if isinstance(flow, Steady):
            flow = dataclasses.replace(flow, given=True, passes=None if passes is None else jnp.asarray(passes))
        self.problem, self.here = problem, here
        self._flows = {
            name: linearize(here.model.sim, name, here.solution[name], flow, problem.tissue) for name in problem.states
        }
        self._solution = Solution({name: here.solution[name] for name in problem.states})

    def tangents(self, directions: np.ndarray) -> np.ndarray:
        """J times each row: (rows, parameters) → (rows, data)."""
        return _in_blocks(self._tangents, directions)

    def cotangents(self, weights: np.ndarray) -> np.ndarray:
        """Jᵀ times each row: (rows, data) → (rows, parameters)."""
        return _in_blocks(self._cotangents, weights)

    def _tangents(self, block: Float[Array, "rows parameters"]) -> Float[Array, "rows data"]:
        model, states = _model_tangents(self.problem, jnp.asarray(self.here.xi), block)
        found = {name: flow.tangents((without_states(model.sim), states[name])) for name, flow in self._flows.items()}
        return _misfit_tangents(self.here.model, self._solution, self.problem.skipped, model, found)

    def _cotangents(self, block: Float[Array, "rows data"]) -> Float[Array, "rows parameters"]:
        model, found = _misfit_cotangents(self.here.model, self._solution, self.problem.skipped, block)
        pulled = {name: flow.cotangents(found[name]) for name, flow in self._flows.items()}
        return _model_cotangents(self.problem, jnp.asarray(self.here.xi), model, pulled)


def _in_blocks(product, rows: np.ndarray) -> np.ndarray:
    """Products with all rows, a few at a time; one alone is not filled up."""
    width = 1 if len(rows) == 1 else WIDTH
    out = []
    for start in range(0, len(rows), width):
        block = rows[start : start + width]
        filled = np.concatenate([block, np.zeros((width - len(block), rows.shape[1]))])
        out.append(np.asarray(product(jnp.asarray(filled)))[: len(block)])
    return np.concatenate(out)


@eqx.filter_jit
def model_at(problem: Problem, xi: Float[Array, " parameters"]) -> Model:
    """The simulation and the instruments with these parameters; no number is weakly typed, for other programs' sake."""
    return cast(problem.at(xi), "f64")


@eqx.filter_jit
def _misfit(model: Model, solution: Solution, skipped: int) -> Float[Array, " data"]:
    return model.misfit(solution, skipped)


def _numbers_at(problem: Problem, xi):
    """What the flow and the residuals take of the parameters: (numbers of the model, of the measured states)."""
    model = problem.at(xi)
    states = {s.name: s.unnamed() for s in model.sim.states if s.name in problem.states}
    return numbers((model, states))


@eqx.filter_jit
def _model_tangents(problem: Problem, xi, block):
    return cast(jax.vmap(lambda v: jax.jvp(lambda z: _numbers_at(problem, z), (xi,), (v,))[1])(block), "f64")


@eqx.filter_jit
def _model_cotangents(problem: Problem, xi, model, pulled):
    """`pulled` are the cotangents that the flow of each state hands back."""

    def numbers_and_shared(xi):
        model, states = _numbers_at(problem, xi)
        return model, {name: (without_states(model.sim), state) for name, state in states.items()}

    _, pull = jax.vjp(numbers_and_shared, xi)
    return jax.vmap(lambda *each: pull(each)[0])(model, pulled)


def _residual_of(model: Model, solution: Solution, skipped: int):
    """(the numbers of model and flow, residuals as a function of them)."""
    at, rest = eqx.partition((model, solution.states), eqx.is_inexact_array)

    def residual(at):
        model, states = eqx.combine(at, rest)
        return model.misfit(Solution(states), skipped)

    return at, residual


@eqx.filter_jit
def _misfit_tangents(model: Model, solution: Solution, skipped: int, of_model, of_flow):
    at, residual = _residual_of(model, solution, skipped)
    return jax.vmap(lambda *each: jax.jvp(residual, (at,), (each,))[1])(of_model, of_flow)


@eqx.filter_jit
def _misfit_cotangents(model: Model, solution: Solution, skipped: int, block):
    at, residual = _residual_of(model, solution, skipped)
    _, pull = jax.vjp(residual, at)
    return jax.vmap(lambda w: pull(w)[0])(block)
