"""`fit`: maximum a posteriori through the whole simulator."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from perfsim._results import RESULTS, InputError, SimulationError
from perfsim.coupling import Pulsatile, Simulation, TissueMethod
from perfsim.flow import Steady
from perfsim.inverse.blocks import Free
from perfsim.inverse.checkpoint import Checkpoint, owner
from perfsim.inverse.descent import marquardt
from perfsim.inverse.fields import ToneField
from perfsim.inverse.gauss_newton import Dense, Krylov, Work
from perfsim.inverse.lbfgs import lbfgs
from perfsim.inverse.linearized import model_at
from perfsim.inverse.model import Model
from perfsim.inverse.problem import Problem, problem
from perfsim.observe import Measurement

import jax.numpy as jnp
import numpy as np

_log = logging.getLogger(__name__)
FEW = 80
"""parameters, or data, up to which the whole Jacobian is computed"""
Progress = Callable[[int, float], None]


@dataclasses.dataclass(frozen=True)
class Fit:
    """Result of `fit`. `sim` and `data` hold the fitted values."""

    problem: Problem
    free: tuple[str | Free | ToneField, ...]
    """the `free` argument of `fit`"""
    names: list[str]
    """of the parameters"""
    units: list[str]
    """of each parameter's display values"""
    xi: np.ndarray
    """fitted parameters, in standard deviations of their prior"""
    before: np.ndarray
    """starting values in display units"""
    after: np.ndarray
    """fitted values in display units"""
    cost_before: float
    """½ Σ residual² of the data at the start"""
    cost_after: float
    """½ Σ residual², data and prior, at the end"""
    iterations: int
    work: Work
    result: RESULTS
    failed: dict[str, RESULTS]
    """the states whose solve failed at the last values that were tried, and why"""
    fitted: Model
    history: list[tuple[int, float]]
    """(solves of all states so far, cost) at the start and after each iteration"""

    @property
    def sim(self) -> Simulation:
        return self.fitted.sim

    @property
    def data(self) -> tuple[Measurement, ...]:
        """The measurements, with fitted poses and scales."""
        return self.fitted.data

    @property
    def converged(self) -> bool:
        return self.result is RESULTS.successful

    @property
    def message(self) -> str:
        """Why the fit ended; of solves that failed, in which state, why, and what to change."""
        solves = [f"State {state!r}: {result.message}" for state, result in self.failed.items()]
        return " ".join([self.result.message, *([] if self.converged else solves)])

    @property
    def solves(self) -> int:
        """Solves of single states: a value with its gradient counts two, a tangent one."""
        return len(self.problem.states) * self.work.solves


def fit(
    sim: Simulation,
    data: Sequence[Measurement],
    free: Sequence[str | Free | ToneField] = ("tone", "throat"),
    *,
    prior: bool = True,
    method: str = "auto",
    tolerance: float = 0.1,
    max_steps: int = 50,
    flow: Steady | Pulsatile | None = None,
    tissue: TissueMethod | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    throw: bool = True,
) -> Fit:
    """Fit named leaves of a simulation, and of the instruments, to measurements.

    Minimizes ½|r(ξ)|² + ½|ξ|²: residuals of the data in standard deviations, parameters in standard deviations of
    their population around the simulation's own values, in coordinates where they are positive or bounded by
    construction (`inverse.parameters`). `prior=False` drops the second sum.

    Arguments: `data` (see `observe.measurements`); `free` names in `PARAMETERS`, paths of leaves, `Free` for groups,
    `ToneField` for fields; `method` "dense" (Levenberg-Marquardt with the whole Jacobian), "krylov" (Gauss-Newton by
    conjugate gradients), "lbfgs", or "auto": dense up to 80 parameters or data; `tolerance` distance from the optimum
    in standard deviations of the posterior; `progress(iteration, cost)`; `checkpoint` a file (.npz) that is written
    after every step and from which an interrupted fit, of the same patient, data and parameters, goes on to the same
    answer. No step is taken to values whose solve failed.

    Raises `InputError` for unknown names or states, starting values out of bounds and data without a number, and
    `SimulationError` for a fit that does not converge; with `throw=False` the fit is returned as it ended, with its
    `result` and `message`.
    """
    _check_options(method, tolerance, max_steps)
    posed, names = problem(sim, data, free, prior=prior, flow=flow, tissue=tissue)
    few = min(posed.size, posed.data_size) <= FEW
    kind = method if method != "auto" else ("dense" if few else "krylov")
    work = Work()
    history: list[tuple[int, float]] = []

    def report(iteration: int, cost: float) -> None:
        history.append((work.solves, cost))
        _log.info("fit: step %d, misfit %.6g, %d solves", iteration, cost, work.solves)
        if progress is not None:
            progress(iteration, cost)

    if kind == "lbfgs":
        end = lbfgs(posed, tolerance, max_steps, report, checkpoint, work)
    else:
        point = Dense if kind == "dense" else Krylov
        saved = None if checkpoint is None else Checkpoint(checkpoint, owner(posed, names))
        end = marquardt(posed, point, tolerance, max_steps, report, saved, work)
    started, fitted = (model_at(posed, jnp.asarray(xi)) for xi in (np.zeros(posed.size), end.xi))
    found = Fit(
        problem=posed,
        free=tuple(free),
        names=names,
        units=[unit for part in posed.blocks for unit in [part.unit] * part.size],
        xi=end.xi,
        before=np.asarray(posed.values_in(started)),
        after=np.asarray(posed.values_in(fitted)),
        cost_before=end.before,
        cost_after=end.cost,
        iterations=end.iterations,
        work=work,
        result=end.result,
        failed=end.failed,
        fitted=fitted,
        history=history,
    )
    if throw and not found.converged:
        raise SimulationError(f"the fit did not converge: {found.message}", found)
    return found


def _check_options(method: str, tolerance: float, max_steps: int) -> None:
    if method not in ("auto", "dense", "krylov", "lbfgs"):
        raise InputError(f"there is no method {method!r}: choose dense, krylov, lbfgs or auto")
    if not 0.0 < tolerance <= 1.0:
        raise InputError(f"tolerance is {tolerance:g}: give a number of standard deviations above 0, 1 at most")
    if max_steps < 1 or int(max_steps) != max_steps:
        raise InputError(f"max_steps is {max_steps}: give a whole number from 1")
