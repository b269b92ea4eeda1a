"""`fit`: maximum a posteriori through the whole simulator."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from perfsim._results import RESULTS, InputError
from perfsim.coupling import Pulsatile, Simulation, TissueMethod
from perfsim.flow import Steady
from perfsim.inverse.blocks import Free
from perfsim.inverse.fields import ToneField
from perfsim.inverse.gauss_newton import Dense, Krylov, Point, Step, Trust, Work
from perfsim.inverse.model import Model
from perfsim.inverse.problem import Problem, problem
from perfsim.observe import Measurement

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Float

FEW = 80
"""parameters, or data, up to which the whole Jacobian is computed"""
EXACT = 0.5e-4
"""½ residual² per datum below which a fit without a prior has converged: a hundred times closer than the noise"""
DAMPING, DAMPING_MOST = 1e-2, 1e20
"""starting damping of a fit without a prior over twice its misfit, and where there is no more hope"""
Progress = Callable[[int, float], None]


@dataclasses.dataclass(frozen=True)
class Fit:
    """A fit: where it ended and what that took. `sim` and `data` hold the fitted values."""

    problem: Problem
    free: tuple[str | Free | ToneField, ...]
    """as they were asked for"""
    names: list[str]
    units: list[str]
    """of each parameter's display values"""
    xi: np.ndarray
    """fitted parameters, in standard deviations of what was known before"""
    before: np.ndarray
    """starting values in display units"""
    after: np.ndarray
    cost_before: float
    """½ Σ residual² of the data at the start"""
    cost_after: float
    """½ Σ residual², data and prior, at the end"""
    iterations: int
    work: Work
    result: RESULTS
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
) -> Fit:
    """Fit named leaves of a simulation, and of the instruments, to measurements.

    Minimizes ½|r(ξ)|² + ½|ξ|²: residuals of the data in standard deviations, parameters in standard deviations of
    their population around the simulation's own values, in coordinates where they are positive or bounded by
    construction (`inverse.parameters`). `prior=False` drops the second sum.

    Arguments: `data` (see `observe.measurements`); `free` names in `PARAMETERS`, paths of leaves, `Free` for groups,
    `ToneField` for fields; `method` "dense" (Levenberg-Marquardt with the whole Jacobian), "krylov" (Gauss-Newton by
    conjugate gradients), "lbfgs", or "auto": dense up to 80 parameters or data; `tolerance` distance from the optimum
    in standard deviations of the posterior; `progress(iteration, cost)`; `checkpoint` a file (.npz) that is written
    after every step and from which an interrupted fit goes on to the same answer. A fit that does not converge says why
    in `result`. Raises `InputError` for unknown names or states.
    """
    posed, names = problem(sim, data, free, prior=prior, flow=flow, tissue=tissue)
    few = min(posed.size, posed.data_size) <= FEW
    kind = method if method != "auto" else ("dense" if few else "krylov")
    if kind not in ("dense", "krylov", "lbfgs"):
        raise InputError(f"there is no method {method!r}: choose dense, krylov, lbfgs or auto")
    work = Work()
    history: list[tuple[int, float]] = []

    def told(iteration: int, cost: float) -> None:
        history.append((work.solves, cost))
        if progress is not None:
            progress(iteration, cost)

    descent = _lbfgs if kind == "lbfgs" else _marquardt
    xi, before, cost, iterations, result = descent(
        posed,
        Dense if kind == "dense" else Krylov,
        tolerance,
        max_steps,
        told,
        checkpoint,
        work,
    )
    start = jnp.zeros(posed.size)
    return Fit(
        problem=posed,
        free=tuple(free),
        names=names,
        units=[unit for part in posed.blocks for unit in [part.unit] * part.size],
        xi=xi,
        before=np.asarray(posed.values(start)),
        after=np.asarray(posed.values(jnp.asarray(xi))),
        cost_before=before,
        cost_after=cost,
        iterations=iterations,
        work=work,
        result=result,
        fitted=posed.at(jnp.asarray(xi)),
        history=history,
    )


def optimum(posed: Problem, tolerance: float = 0.1, max_steps: int = 50) -> tuple[np.ndarray, float]:
    """(ξ, cost) of a problem's optimum by the dense method."""
    xi, _, cost, _, _ = _marquardt(posed, Dense, tolerance, max_steps, lambda *_: None, None, Work())
    return xi, cost


def _marquardt(posed, linearize, tolerance, max_steps, progress, checkpoint, work):
    """(ξ, starting misfit, cost, iterations, result) by damped Gauss-Newton steps; converged where the step that is
    left is `tolerance` posterior standard deviations long: its decrease of the cost is ½ tolerance².
    """
    state = _resumed(checkpoint, posed)
    here: Point = linearize(posed, state.xi, work)
    if state.iteration == 0:
        state.before = here.cost
        state.trust.damping = 0.0 if posed.prior else DAMPING * 2.0 * here.cost
    if not np.isfinite(here.cost):
        return state.xi, here.cost, here.cost, 0, RESULTS.fit_not_finite
    enough = 0.5 * tolerance**2
    exact = EXACT * _measured(posed.model.data)
    progress(0, here.cost)
    while True:
        if not posed.prior and here.cost <= exact:
            return state.xi, state.before, here.cost, state.iteration, RESULTS.successful
        step: Step = here.step(state.trust, work)
        if step.decrease <= enough * (1.0 if posed.prior else max(1.0, here.cost)):
            return (
                state.xi + step.p * (state.trust.damping == 0),
                state.before,
                here.cost,
                state.iteration,
                RESULTS.successful,
            )
        if state.iteration >= max_steps:
            return state.xi, state.before, here.cost, state.iteration, RESULTS.fit_out_of_steps
        there = linearize(posed, state.xi + step.p, work)
        state.iteration += 1
        gain = (here.cost - there.cost) / step.decrease if np.isfinite(there.cost) else -1.0
        if gain > 0.01:
            state.xi, here = state.xi + step.p, there
        state.trust.adapt(gain, step.curvature, posed.prior)
        progress(state.iteration, here.cost)
        state.write(checkpoint)
        if state.trust.damping > DAMPING_MOST:
            return state.xi, state.before, here.cost, state.iteration, RESULTS.fit_stalled


@dataclasses.dataclass
class _State:
    """All that a fit needs to go on."""

    xi: np.ndarray
    iteration: int = 0
    before: float = np.inf
    trust: Trust = dataclasses.field(default_factory=Trust)

    def write(self, path: Path | None) -> None:
        if path is not None:
            part = path.with_suffix(".part.npz")
            numbers = dataclasses.asdict(self.trust) | {"iteration": self.iteration, "before": self.before}
            np.savez(part, xi=self.xi, **numbers)
            part.replace(path)


def _resumed(path: Path | None, posed: Problem) -> _State:
    """The state in a checkpoint, or the start. Raises `InputError` for a checkpoint of something else."""
    if path is None or not path.exists():
        return _State(np.zeros(posed.size))
    with np.load(path) as saved:
        if saved["xi"].shape != (posed.size,):
            raise InputError(f"{path}: this checkpoint is of {saved['xi'].size} parameters, the fit has {posed.size}")
        known = [f.name for f in dataclasses.fields(Trust)]
        if not set(known) <= set(saved):
            raise InputError(f"{path}: this checkpoint is of another version of perfsim: delete it to start anew")
        trust = Trust(**{name: saved[name].item() for name in known})
        return _State(saved["xi"], int(saved["iteration"]), float(saved["before"]), trust)


def _measured(data: Sequence[Measurement]) -> int:
    return sum(int(np.isfinite(np.asarray(m.value)).sum()) for m in data)


def _objective(xi: Float[Array, " parameters"], posed: Problem):
    return posed.cost(xi, posed.residual(xi)), None


_BFGS: optx.AbstractMinimiser = optx.LBFGS(rtol=1e-9, atol=1e-9)


@eqx.filter_jit
def _lbfgs_step(posed: Problem, xi, state):
    return _BFGS.step(_objective, xi, posed, {}, state, frozenset())


def _lbfgs(posed, _, tolerance, max_steps, progress, checkpoint, work):
    """As `_marquardt`, by optimistix' limited-memory quasi-Newton method; converged where the gradient in the
    coordinates of the prior, of which the distance from the optimum is at most the length, is below `tolerance`.
    """
    if checkpoint is not None:
        raise InputError("a fit by L-BFGS keeps no checkpoint: use the methods dense or krylov")
    xi = jnp.zeros(posed.size)
    shape = jax.eval_shape(lambda x: _objective(x, posed), xi)
    state = _BFGS.init(_objective, xi, posed, {}, shape[0], shape[1], frozenset())
    before = cost = float(_objective(xi, posed)[0])
    work.values += 1
    for iteration in range(20 * max_steps):
        xi, state, _ = _lbfgs_step(posed, xi, state)
        work.values, work.gradients = work.values + 1, work.gradients + 1
        cost, slope = float(state.f_info.f), float(jnp.linalg.norm(state.f_info.grad))
        progress(iteration, cost)
        if not np.isfinite(cost):
            return np.asarray(xi), before, cost, iteration, RESULTS.fit_not_finite
        if iteration and (slope <= tolerance or (not posed.prior and cost <= EXACT * _measured(posed.model.data))):
            return np.asarray(xi), before, cost, iteration, RESULTS.successful
    return np.asarray(xi), before, cost, iteration, RESULTS.fit_out_of_steps
