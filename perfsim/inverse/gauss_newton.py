"""Steps of Gauss-Newton with Levenberg and Marquardt's damping, with few parameters and with many.

With H = JᵀJ + I (without a prior: JᵀJ) and g = Jᵀr + ξ a step is p = -(H + λI)⁻¹ g. Few parameters: J by one tangent
each. Many: conjugate gradients, a tangent and an adjoint per iteration, all with the flow solved once.

The optimum is where g vanishes, so g is exact. H only says where to look for it: its products take a few passes of the
flow's preconditioner in place of each linear solve. That is another J, but one linear map, so that JᵀJ is symmetric and
positive; with two passes it is off by about a percent and costs a tenth of a solve. Data far more certain than what was
known before need a better one: passes double after a step that fell short of what its model promised.

Where data are far more certain than what was known before, the posterior is a narrow, curved valley, which straight
steps leave. So a step is bent: with r'' the second derivative of r along p, a = -(H + λI)⁻¹ Jᵀr'' and the step is
p + a/2 while a is the smaller part (geodesic acceleration: Transtrum and Sethna 2012, arXiv 1201.5885), for one more
value. With the whole Jacobian that is next to nothing; with products it waits for a step that fell short.

optimistix' least-squares solvers do the same; but their state holds the linearized program, which is then compiled anew
for every patient. Here the compiled functions take the problem as an argument, and patients of one size share them.
"""

import abc
import dataclasses
import math

from perfsim._results import RESULTS
from perfsim.coupling import Solution
from perfsim.darcy import conjugate_gradients
from perfsim.flow import Steady
from perfsim.inverse.problem import Problem, Results

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@dataclasses.dataclass
class Work:
    """What a fit cost, in solves of all measured states: a value counts one, a gradient one more, a tangent one."""

    values: int = 0
    gradients: int = 0
    tangents: int = 0
    passes: int = 0
    """of the preconditioner, in products that are not exact"""
    value_passes: int = 0
    """those that the first value took: its linear steps, one each"""
    failed: int = 0
    """values whose solve failed; no step to them was taken"""

    @property
    def solves(self) -> int:
        return self.values + self.gradients + self.tangents + math.ceil(self.passes / max(self.value_passes, 1))

    def products(self, problem: Problem, passes: int, count: int) -> None:
        """Count products with the approximate J or its transpose; a beat's derivative is exact."""
        if isinstance(problem.flow, Steady):
            self.passes += passes * len(problem.states) * count
        else:
            self.tangents += count


@dataclasses.dataclass(frozen=True)
class Step:
    """A proposal."""

    p: np.ndarray
    decrease: float
    """of the cost, by the model that proposed it"""
    curvature: float
    """pᵀHp/|p|², what damping compares with"""


FAILED_STEP = Step(np.full(0, np.nan), np.nan, np.nan)
"""where a derivative could not be computed"""
PASSES, PASSES_MOST = 2, 8
"""of the flow's preconditioner in a product with J: at first, and where it is as good as a solve"""
GOOD = 0.75
"""gain below which a step fell short"""


@dataclasses.dataclass
class Trust:
    """How far linearized problems have held so far."""

    damping: float = 0.0
    """λ"""
    passes: int = PASSES
    bent: bool = False

    def adapt(self, gain: float, curvature: float, prior: bool) -> None:
        """Less damping after good steps, more after bad ones; with a prior none where it is not needed.

        `gain` is what a step decreased the cost by over what its model promised, which had the curvature pᵀHp/|p|².
        """
        if gain < GOOD:
            self.passes, self.bent = min(2 * self.passes, PASSES_MOST), True
        if gain > 0.5:
            self.damping /= 6.0
            if prior and self.damping < 0.01 * curvature:
                self.damping = 0.0
        elif gain <= 0.25:
            self.damping = max(4.0 * self.damping, 0.1 * curvature)


def failures(results: Results) -> dict[str, RESULTS]:
    """The states whose solve failed, and why (host)."""
    found = {name: RESULTS(int(result)) for name, result in results.items()}
    return {name: result for name, result in found.items() if result is not RESULTS.successful}


class Point(abc.ABC):
    """The problem linearized somewhere."""

    cost: float
    """½|r|² + ½|ξ|²; NaN where a solve failed"""
    failed: dict[str, RESULTS]
    """the states whose solve failed, and why"""

    @abc.abstractmethod
    def step(self, trust: Trust, work: Work) -> Step:
        """The step of a model that is trusted so far."""


ACCURACY, MOST = 0.25, 60
"""relative accuracy of conjugate gradients, and their most iterations"""
PROBE = 0.1
"""part of a step at whose end r is evaluated for its second derivative"""
BEND = 0.75
"""most of a step that may be acceleration"""


def bent(p, acceleration):
    """p + a/2, or p where the acceleration is no correction any more."""
    small = jnp.linalg.norm(acceleration) <= BEND * jnp.linalg.norm(p)
    return p + jnp.where(small & jnp.all(jnp.isfinite(acceleration)), 0.5, 0.0) * jnp.nan_to_num(acceleration)


class Dense(Point):
    """With the whole Jacobian: by columns where parameters are fewer than data, else by rows, one adjoint each."""

    def __init__(self, problem: Problem, xi: np.ndarray, work: Work):
        columns = len(xi) <= problem.data_size
        r, J, results = (_by_columns if columns else _by_rows)(problem, jnp.asarray(xi))
        self.failed = failures(results)
        work.values, work.failed = work.values + 1, work.failed + bool(self.failed)
        work.tangents += len(xi) if columns else 0
        work.gradients += 0 if columns else len(r)
        self.problem, self.xi = problem, xi
        self.r, self.J, self.prior = np.asarray(r), np.asarray(J), float(problem.prior)
        known = self.prior * np.asarray(xi)
        self.cost = 0.5 * float(self.r @ self.r) + 0.5 * float(known @ known)
        self.gradient = self.J.T @ self.r + known

    def step(self, trust, work):
        if not np.isfinite(self.J).all():
            return FAILED_STEP
        p = self._solved(self.gradient, trust.damping)
        Jp = self.J @ p
        bend = float(Jp @ Jp + self.prior * p @ p)
        r = np.asarray(_residual(self.problem, jnp.asarray(self.xi + PROBE * p)))
        work.values += 1
        second = 2.0 / PROBE * ((r - self.r) / PROBE - Jp)
        whole = np.asarray(bent(p, self._solved(self.J.T @ second, trust.damping)))
        return Step(whole, -float(self.gradient @ p) - 0.5 * bend, bend / max(float(p @ p), 1e-300))

    def _solved(self, g: np.ndarray, damping: float) -> np.ndarray:
        """-(H + λI)⁻¹ g."""
        J, shift = self.J, self.prior + damping
        if J.shape[1] <= J.shape[0]:
            return -np.linalg.lstsq(J.T @ J + shift * np.eye(len(g)), g, rcond=1e-14)[0]
        # (JᵀJ + s)⁻¹ = (1 - Jᵀ (JJᵀ + s)⁻¹ J)/s
        shift = max(shift, 1e-12 * float(np.sum(J**2)))
        return -(g - J.T @ np.linalg.solve(J @ J.T + shift * np.eye(len(J)), J @ g)) / shift


class Krylov(Point):
    """With products of the Jacobian and its transpose with vectors."""

    def __init__(self, problem: Problem, xi: np.ndarray, work: Work):
        self.problem, self.xi = problem, jnp.asarray(xi)
        cost, self.solution = _value(problem, self.xi)
        self.cost, self.gradient, self.failed = float(cost), None, failures(self.solution.results)
        work.values, work.failed = work.values + 1, work.failed + bool(self.failed)
        work.value_passes = work.value_passes or sum(int(s.counters.krylov) for s in self.solution.states.values())

    def step(self, trust, work):
        if self.gradient is None:
            self.gradient = _gradient(self.problem, self.xi, self.solution)
            work.gradients += 1
        at = self.problem, self.xi, self.solution
        how = jnp.asarray(trust.damping), jnp.asarray(trust.passes)
        p, bend, iterations = _straight(*at, self.gradient, *how)
        work.products(self.problem, trust.passes, 2 * int(iterations) + 1)
        decrease = -float(self.gradient @ p) - 0.5 * float(bend)
        curvature = float(bend) / max(float(p @ p), 1e-300)
        if not np.isfinite(decrease):
            return FAILED_STEP
        if trust.bent:
            p, iterations = _bent(*at, p, *how)
            work.values += 1
            work.products(self.problem, trust.passes, 2 * int(iterations) + 2)
        return Step(np.asarray(p), decrease, curvature)


@eqx.filter_jit
def _by_columns(problem: Problem, xi: Float[Array, " parameters"]):
    r, tangent, results = jax.linearize(problem.residual_and_results, xi, has_aux=True)
    return r, jax.vmap(tangent, out_axes=1)(jnp.eye(xi.shape[0])), results


@eqx.filter_jit
def _by_rows(problem: Problem, xi: Float[Array, " parameters"]):
    r, adjoint, results = jax.vjp(problem.residual_and_results, xi, has_aux=True)
    return r, jax.vmap(adjoint)(jnp.eye(r.shape[0]))[0], results


@eqx.filter_jit
def _value(problem: Problem, xi: Float[Array, " parameters"]):
    """(cost, solution); the cost is NaN where a solve failed."""
    model, solution = problem.solved(xi)
    return problem.cost(xi, problem.misfit(model, solution)), solution


@eqx.filter_jit
def _gradient(problem: Problem, xi: Float[Array, " parameters"], solution: Solution):
    r, adjoint = jax.vjp(problem.around(solution), xi)
    return adjoint(r)[0] + problem.prior * xi


def _approximate(problem: Problem, xi, solution: Solution, damping, passes):
    """(r, v → about Jv, its transpose, b → about (H + λI)⁻¹ b with the iterations that took)."""
    r, tangent = jax.linearize(problem.around(solution, passes), xi)
    transposed = jax.linear_transpose(tangent, xi)

    def damped(v):
        return transposed(tangent(v))[0] + (problem.prior + damping) * v

    return r, tangent, transposed, lambda b: conjugate_gradients(damped, lambda v: v, b, ACCURACY, MOST)[:2]


@eqx.filter_jit
def _straight(problem: Problem, xi: Float[Array, " parameters"], solution: Solution, gradient, damping, passes):
    """(p, pᵀHp, iterations)."""
    _, tangent, _, solved = _approximate(problem, xi, solution, damping, passes)
    p, iterations = solved(-gradient)
    along = tangent(p)
    return p, along @ along + problem.prior * (p @ p), iterations


@eqx.filter_jit
def _bent(problem: Problem, xi: Float[Array, " parameters"], solution: Solution, p, damping, passes):
    """(the step that starts along p, iterations)."""
    r, tangent, transposed, solved = _approximate(problem, xi, solution, damping, passes)
    ahead = problem.residual(xi + PROBE * p, near=solution)
    second = 2.0 / PROBE * ((ahead - r) / PROBE - tangent(p))
    acceleration, iterations = solved(-transposed(second)[0])
    return bent(p, acceleration), iterations


@eqx.filter_jit
def _residual(problem: Problem, xi: Float[Array, " parameters"]):
    return problem.residual(xi)
