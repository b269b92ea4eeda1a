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

Derivatives of the simulator are products by programs that all problems of hearts of one size share
(`inverse.linearized`); what happens to the few numbers in between happens on the host.
"""

import abc
import dataclasses
import functools
import math

from perfsim._results import RESULTS
from perfsim.flow import Steady
from perfsim.inverse.linearized import Linearized, evaluate
from perfsim.inverse.problem import Problem

import numpy as np
import scipy


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


def bent(p: np.ndarray, acceleration: np.ndarray) -> np.ndarray:
    """p + a/2, or p where the acceleration is no correction any more."""
    small = np.linalg.norm(acceleration) <= BEND * np.linalg.norm(p)  # no NaN is
    return p + 0.5 * acceleration if small else p


class Dense(Point):
    """With the whole Jacobian: by columns where parameters are fewer than data, else by rows, one adjoint each."""

    def __init__(self, problem: Problem, xi: np.ndarray, work: Work):
        self.problem, self.work, self.prior = problem, work, float(problem.prior)
        self.here = evaluate(problem, xi)
        self.xi, self.r, self.cost, self.failed = self.here.xi, self.here.r, self.here.cost, self.here.failed
        work.values, work.failed = work.values + 1, work.failed + bool(self.failed)

    @functools.cached_property
    def J(self) -> np.ndarray:
        linear, (parameters, data) = Linearized(self.problem, self.here), (len(self.xi), len(self.r))
        if parameters <= data:
            self.work.tangents += parameters
            return linear.tangents(np.eye(parameters)).T
        self.work.gradients += data
        return linear.cotangents(np.eye(data))

    @property
    def gradient(self) -> np.ndarray:
        return self.J.T @ self.r + self.prior * self.xi

    def step(self, trust, work):
        if not np.isfinite(self.J).all():
            return FAILED_STEP
        p = self._solved(self.gradient, trust.damping)
        Jp = self.J @ p
        bend = float(Jp @ Jp + self.prior * p @ p)
        r = evaluate(self.problem, self.xi + PROBE * p).r
        work.values += 1
        second = 2.0 / PROBE * ((r - self.r) / PROBE - Jp)
        whole = bent(p, self._solved(self.J.T @ second, trust.damping))
        return Step(whole, -float(self.gradient @ p) - 0.5 * bend, bend / max(float(p @ p), 1e-300))

    def _solved(self, g: np.ndarray, damping: float) -> np.ndarray:
        """-(H + λI)⁻¹ g; NaN of what is not finite."""
        J, shift = self.J, self.prior + damping
        if not np.isfinite(g).all():
            return np.full(len(g), np.nan)
        if J.shape[1] <= J.shape[0]:
            return -np.linalg.lstsq(J.T @ J + shift * np.eye(len(g)), g, rcond=1e-14)[0]
        # (JᵀJ + s)⁻¹ = (1 - Jᵀ (JJᵀ + s)⁻¹ J)/s
        shift = max(shift, 1e-12 * float(np.sum(J**2)))
        return -(g - J.T @ np.linalg.solve(J @ J.T + shift * np.eye(len(J)), J @ g)) / shift


class Krylov(Point):
    """With products of the Jacobian and its transpose with vectors."""

    def __init__(self, problem: Problem, xi: np.ndarray, work: Work):
        self.problem, self.work = problem, work
        self.here = evaluate(problem, xi)
        self.xi, self.cost, self.failed = self.here.xi, self.here.cost, self.here.failed
        work.values, work.failed = work.values + 1, work.failed + bool(self.failed)
        states = self.here.solution.states.values()
        work.value_passes = work.value_passes or sum(int(s.counters.krylov) for s in states)

    @functools.cached_property
    def gradient(self) -> np.ndarray:
        self.work.gradients += 1
        exact = Linearized(self.problem, self.here)
        return exact.cotangents(self.here.r[None])[0] + self.problem.prior * self.xi

    def step(self, trust, work):
        if not np.isfinite(self.gradient).all():
            return FAILED_STEP
        about = Linearized(self.problem, self.here, trust.passes)
        p, iterations = self._solved(about, -self.gradient, trust.damping)
        along = about.tangents(p[None])[0]
        work.products(self.problem, trust.passes, 2 * iterations + 1)
        bend = float(along @ along + self.problem.prior * (p @ p))
        decrease = -float(self.gradient @ p) - 0.5 * bend
        if not np.isfinite(decrease):
            return FAILED_STEP
        if trust.bent:
            ahead = evaluate(self.problem, self.xi + PROBE * p, near=self.here.solution).r
            second = 2.0 / PROBE * ((ahead - self.here.r) / PROBE - along)
            acceleration, iterations = self._solved(about, -about.cotangents(second[None])[0], trust.damping)
            work.values += 1
            work.products(self.problem, trust.passes, 2 * iterations + 1)
            p = bent(p, acceleration)
        return Step(p, decrease, bend / max(float(p @ p), 1e-300))

    def _solved(self, about: Linearized, b: np.ndarray, damping: float) -> tuple[np.ndarray, int]:
        """(about (H + λI)⁻¹ b, iterations that it took)."""
        taken = 0

        def product(v: np.ndarray) -> np.ndarray:
            nonlocal taken
            taken += 1
            return about.cotangents(about.tangents(v.reshape(1, -1)))[0] + (self.problem.prior + damping) * v.ravel()

        if not np.isfinite(b).all():
            return np.full(len(b), np.nan), 0
        H = scipy.sparse.linalg.LinearOperator((len(b), len(b)), product, dtype=float)
        return scipy.sparse.linalg.cg(H, b, rtol=ACCURACY, maxiter=MOST)[0], taken
