"""Descent to the optimum by damped Gauss-Newton steps, with checkpoints."""

import dataclasses
from collections.abc import Sequence

from perfsim._results import RESULTS, SimulationError
from perfsim.inverse.checkpoint import Checkpoint, Progress
from perfsim.inverse.gauss_newton import Dense, Point, Step, Work
from perfsim.inverse.problem import Problem
from perfsim.observe import Measurement

import numpy as np

EXACT = 0.5e-4
"""½ residual² per datum below which a fit without a prior has converged: a hundred times closer than the noise"""
SLACK = 4.0
"""an undamped step may promise this many times the decrease at which a fit has converged, after a step was rejected"""
DAMPING, DAMPING_MOST = 1e-2, 1e20
"""starting damping of a fit without a prior over twice its misfit, and where there is no more hope"""


@dataclasses.dataclass(frozen=True)
class End:
    """Where a descent ended."""

    xi: np.ndarray
    before: float
    cost: float
    iterations: int
    result: RESULTS
    failed: dict[str, RESULTS]


def optimum(posed: Problem, tolerance: float = 0.1, max_steps: int = 50) -> tuple[np.ndarray, float]:
    """(ξ, cost) of a problem's optimum by the dense method. Raises `SimulationError` if it does not converge."""
    end = marquardt(posed, Dense, tolerance, max_steps, lambda *_: None, None, Work())
    if end.result is not RESULTS.successful:
        raise SimulationError(f"the fit did not converge: {end.result.message}", end)
    return end.xi, end.cost


def marquardt(posed, linearize, tolerance, max_steps, progress, checkpoint: Checkpoint | None, work) -> End:
    """Damped Gauss-Newton steps; converged where the step that is left is `tolerance` posterior standard deviations
    long: its decrease of the cost is ½ tolerance². No step is taken to values whose solve failed.
    """
    state = (checkpoint and checkpoint.read()) or Progress(np.zeros(posed.size))
    here: Point = linearize(posed, state.xi, work)
    failed = here.failed
    if state.iteration == 0:
        state.before = here.cost
        state.trust.damping = 0.0 if posed.prior else DAMPING * 2.0 * here.cost

    def end(result: RESULTS, xi: np.ndarray | None = None) -> End:
        return End(state.xi if xi is None else xi, state.before, here.cost, state.iteration, result, failed)

    if failed:
        return end(RESULTS.fit_solve_failed)
    if not np.isfinite(here.cost):
        return end(RESULTS.fit_not_finite)
    enough = 0.5 * tolerance**2
    exact = EXACT * measured(posed.model.data)
    progress(0, here.cost)
    while True:
        if not posed.prior and here.cost <= exact:
            return end(RESULTS.successful)
        step: Step = here.step(state.trust, work)
        if not np.isfinite(step.decrease):
            return end(RESULTS.fit_derivative_failed)
        limit = enough * (1.0 if posed.prior else max(1.0, here.cost))
        if step.decrease <= limit:
            if (
                state.rejected
                and here.step(dataclasses.replace(state.trust, damping=0.0), work).decrease > SLACK * limit
            ):
                return end(RESULTS.fit_stalled)  # damping alone made the promise small
            return end(RESULTS.successful, state.xi + step.p * (state.trust.damping == 0))
        if state.iteration >= max_steps:
            return end(RESULTS.fit_out_of_steps)
        there = linearize(posed, state.xi + step.p, work)
        failed = there.failed
        state.iteration += 1
        gain = (here.cost - there.cost) / step.decrease if np.isfinite(there.cost) else -1.0
        state.rejected = gain <= 0.01
        if not state.rejected:
            state.xi, here = state.xi + step.p, there
        state.trust.adapt(gain, step.curvature, posed.prior)
        progress(state.iteration, here.cost)
        if checkpoint is not None:
            checkpoint.write(state)
        if state.trust.damping > DAMPING_MOST:
            return end(RESULTS.fit_stalled)


def measured(data: Sequence[Measurement]) -> int:
    return sum(int(np.isfinite(np.asarray(m.value)).sum()) for m in data)
