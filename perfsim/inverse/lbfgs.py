"""Descent to the optimum by a limited-memory quasi-Newton method (L-BFGS-B of scipy)."""

from perfsim._results import RESULTS, InputError
from perfsim.inverse.descent import EXACT, End, measured
from perfsim.inverse.linearized import Linearized, evaluate

import numpy as np
import scipy


def lbfgs(posed, tolerance, max_steps, progress, checkpoint, work) -> End:
    """As `marquardt`, by scipy's L-BFGS-B; converged where the gradient in the coordinates of the prior, of which the
    distance from the optimum is at most the length, is below `tolerance`. Where a solve failed the line search is told
    a cost far above the start's, so that it turns back.
    """
    if checkpoint is not None:
        raise InputError("a fit by L-BFGS keeps no checkpoint: use the methods dense or krylov")
    exact = EXACT * measured(posed.model.data)
    costs: list[float] = []
    slopes: dict[bytes, float] = {}
    failed: dict[str, RESULTS] = {}

    def objective(xi: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal failed
        here = evaluate(posed, xi)
        cost, failed = here.cost, here.failed
        slope = Linearized(posed, here).cotangents(here.r[None])[0] + posed.prior * xi
        work.values, work.gradients, work.failed = work.values + 1, work.gradients + 1, work.failed + bool(failed)
        costs.append(cost)
        if costs[1:] and not (np.isfinite(cost) and np.isfinite(slope).all()):
            return 1e3 * (1.0 + abs(costs[0])), np.zeros_like(xi)
        slopes[xi.tobytes()] = float(np.linalg.norm(slope))
        return cost, slope

    done = RESULTS.fit_stalled
    iterations = 0

    def after_iteration(intermediate_result) -> None:
        nonlocal done, iterations
        cost = float(intermediate_result.fun)
        progress(iterations, cost)
        iterations += 1
        flat = slopes.get(np.asarray(intermediate_result.x).tobytes(), np.inf) <= tolerance
        if flat or (not posed.prior and cost <= exact):
            done = RESULTS.successful
            raise StopIteration

    start = np.zeros(posed.size)
    before, slope = objective(start)
    if failed or not np.isfinite(before):
        return End(start, before, before, 0, RESULTS.fit_solve_failed if failed else RESULTS.fit_not_finite, failed)
    if not np.isfinite(slope).all():
        return End(start, before, before, 0, RESULTS.fit_derivative_failed, failed)
    found = scipy.optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", callback=after_iteration,
        options={"maxiter": 20 * max_steps, "maxfun": 40 * max_steps, "ftol": 0.0, "gtol": 0.0},
    )  # fmt: skip
    if done is not RESULTS.successful and found.status == 1:
        done = RESULTS.fit_out_of_steps
    return End(np.asarray(found.x), before, float(found.fun), iterations, done, failed)
