"""`fit`: maximum a posteriori by Levenberg-Marquardt through the whole simulator."""

import dataclasses
from collections.abc import Callable
from typing import Any

from perfsim._results import InputError
from perfsim.coupling import Simulation, simulate
from perfsim.flow import Steady
from perfsim.inverse import parameters
from perfsim.inverse.observation import Observation

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx

EXACT = 0.5e-4
"""½ residual² per datum below which a fit has converged: a hundred times closer than the noise"""
DAMPING = 0.1
"""starting damping of Levenberg-Marquardt is the square of this, relative to the starting misfit"""


@dataclasses.dataclass(frozen=True)
class FitReport:
    """How a fit went."""

    names: list[str]
    before: np.ndarray
    after: np.ndarray
    sd: np.ndarray
    """standard deviation of each fitted value from the curvature at the optimum, in the value's unit"""
    learned: np.ndarray
    """share of the population's variance that the data remove, 0 (prior only) to 1, in the fit's coordinates"""
    cost_before: float
    """½ Σ residual², data and prior"""
    cost_after: float
    iterations: int
    solves: int
    """a state solved counts one, a tangent of it one"""
    converged: bool


def fit(
    sim: Simulation,
    data: tuple[Observation, ...] | list[Observation],
    free: tuple[str, ...] = ("tone", "throat"),
    *,
    prior: bool = True,
    rtol: float = 1e-6,
    max_steps: int = 50,
    flow: Steady | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[Simulation, FitReport]:
    """Fit named leaves of a simulation to MBF.

    Minimizes ½ Σ ((model - data)/sd)² + ½ Σ ((z - z₀)/spread)², z the free parameters in coordinates where they are
    positive or bounded by construction (`inverse.parameters`), z₀ the simulation's own values. `prior=False` drops the
    second sum. Levenberg-Marquardt with Jacobians by forward tangents, one implicit solve each.

    Arguments: `data` observations; `free` names in `parameters.PARAMETERS`; `rtol` relative step at which to stop;
    `progress(iteration, cost)`. Raises `InputError` for unknown names or states.
    """
    if not data:
        raise InputError("there is nothing to fit: give at least one observation")
    known = {s.name for s in sim.states}
    for observation in data:
        if observation.state not in known:
            raise InputError(
                f"an observation is of the state {observation.state!r}; the simulation has {sorted(known)}"
            )
    free = tuple(free)
    labels = parameters.names(sim, free)
    states = tuple(sorted({o.state for o in data}))
    z0, spread = parameters.gather(sim, free), parameters.spreads(sim, free)
    flow = Steady() if flow is None else flow

    def residual(z, args):
        base, data, z0 = args
        trial = parameters.scatter(base, free, z)
        solution = simulate(trial, flow=flow, states=states)
        parts = [o.residual(trial, solution) for o in data]
        return jnp.concatenate([*parts, (z - z0) / spread] if prior else parts), None

    before = simulate(sim, flow=flow, states=states)
    cost_before = 0.5 * sum(float(jnp.sum(o.residual(sim, before) ** 2)) for o in data)
    size = sum(int(np.isfinite(np.asarray(o.value)).sum()) for o in data)
    z, jacobian, cost, iterations, converged = _levenberg_marquardt(
        residual, z0, (sim, tuple(data), z0), cost_before, EXACT * size, rtol, max_steps, progress
    )
    fitted = parameters.scatter(sim, free, z)
    slope = np.diag(jax.jacfwd(lambda z: parameters.values(parameters.scatter(sim, free, z), free))(z))
    covariance = np.linalg.pinv(jacobian.T @ jacobian, hermitian=True)
    report = FitReport(
        names=labels,
        before=np.asarray(parameters.values(sim, free)),
        after=np.asarray(parameters.values(fitted, free)),
        sd=np.abs(slope) * np.sqrt(np.maximum(np.diag(covariance), 0.0)),
        learned=1.0 - np.clip(np.diag(covariance) / np.asarray(spread) ** 2, 0.0, 1.0),
        cost_before=cost_before,
        cost_after=cost,
        iterations=iterations,
        solves=len(states) * (1 + iterations * (1 + len(z0))),
        converged=converged,
    )
    return fitted, report


class _Marquardt(optx.AbstractGaussNewton):
    """optimistix's Levenberg-Marquardt with a trust region that opens quickly once steps succeed."""

    rtol: float
    atol: float
    norm: Callable = optx.max_norm
    descent: optx.AbstractDescent = optx.DampedNewtonDescent()
    search: optx.AbstractSearch = optx.ClassicalTrustRegion(high_cutoff=0.5, high_constant=4.0)
    verbose: Callable = lambda **_: None


def _levenberg_marquardt(residual, z, args, cost_before, exact, rtol, max_steps, progress):
    """optimistix's solver, one compiled step at a time, so that progress can be shown from the host.

    Residuals are divided by their starting size, so that the solver's unit of damping fits any data.
    """
    size = DAMPING * np.sqrt(2.0 * max(cost_before, 1e-12))

    def scaled(z, args):
        value, aux = residual(z, args)
        return value / size, aux

    solver = _Marquardt(rtol=rtol, atol=rtol)
    f_struct, aux_struct = jax.eval_shape(lambda z: scaled(z, args), z)
    tags: frozenset[object] = frozenset()
    step = eqx.filter_jit(lambda z, state, args: solver.step(scaled, z, args, {}, state, tags))
    state: Any = solver.init(scaled, z, args, {}, f_struct, aux_struct, tags)
    done = False
    for iteration in range(max_steps + 1):  # step 0 evaluates the start and proposes; it moves nothing
        z, state, _ = step(z, state, args)
        cost = float(state.f_info.as_min()) * size**2
        if progress is not None:
            progress(iteration, cost)
        finished, result = solver.terminate(scaled, z, args, {}, state, tags)
        done = cost <= exact or (bool(finished) and bool(result == optx.RESULTS.successful))
        if done:
            break
    return z, np.asarray(state.f_info.jac.as_matrix()) * size, cost, iteration, done
