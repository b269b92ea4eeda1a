"""Steps of Gauss-Newton with Levenberg and Marquardt's damping, with few parameters and with many.

With H = JᵀJ + I (without a prior: JᵀJ) and g = Jᵀr + ξ a step is p = -(H + λI)⁻¹ g. Few parameters: J by one tangent
each. Many: conjugate gradients, a tangent and an adjoint per iteration, all with the flow solved once.

Where data are far more certain than what was known before, the posterior is a narrow, curved valley, which straight
steps leave. So a step is bent: with r'' the second derivative of r along p, a = -(H + λI)⁻¹ Jᵀr'' and the step is
p + a/2 while a is the smaller part (geodesic acceleration: Transtrum and Sethna 2012, arXiv 1201.5885), for one more
value.

optimistix' least-squares solvers do the same; but their state holds the linearized program, which is then compiled anew
for every patient. Here the compiled functions take the problem as an argument, and patients of one size share them.
"""

import abc
import dataclasses

from perfsim.darcy import conjugate_gradients
from perfsim.inverse.problem import Problem

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

    @property
    def solves(self) -> int:
        return self.values + self.gradients + self.tangents


@dataclasses.dataclass(frozen=True)
class Step:
    """A proposal."""

    p: np.ndarray
    decrease: float
    """of the cost, by the model that proposed it"""
    curvature: float
    """pᵀHp/|p|², what damping compares with"""


class Point(abc.ABC):
    """The problem linearized somewhere."""

    cost: float
    """½|r|² + ½|ξ|²"""

    @abc.abstractmethod
    def step(self, damping: float, work: Work) -> Step:
        """The step with damping λ."""


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
        r, J = (_by_columns if columns else _by_rows)(problem, jnp.asarray(xi))
        work.values += 1
        work.tangents += len(xi) if columns else 0
        work.gradients += 0 if columns else len(r)
        self.problem, self.xi = problem, xi
        self.r, self.J, self.prior = np.asarray(r), np.asarray(J), float(problem.prior)
        known = self.prior * np.asarray(xi)
        self.cost = 0.5 * float(self.r @ self.r) + 0.5 * float(known @ known)
        self.gradient = self.J.T @ self.r + known

    def step(self, damping, work):
        p = self._solved(self.gradient, damping)
        Jp = self.J @ p
        bend = float(Jp @ Jp + self.prior * p @ p)
        r = np.asarray(_residual(self.problem, jnp.asarray(self.xi + PROBE * p)))
        work.values += 1
        second = 2.0 / PROBE * ((r - self.r) / PROBE - Jp)
        whole = np.asarray(bent(p, self._solved(self.J.T @ second, damping)))
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
        self.cost = float(_cost(problem, self.xi))
        work.values += 1

    def step(self, damping, work):
        p, slope, bend, iterations = _krylov_step(self.problem, self.xi, jnp.asarray(damping))
        work.values += 1
        work.gradients += 2 + int(iterations)
        work.tangents += int(iterations)
        return Step(np.asarray(p), -float(slope) - 0.5 * float(bend), float(bend) / max(float(p @ p), 1e-300))


@eqx.filter_jit
def _by_columns(problem: Problem, xi: Float[Array, " parameters"]):
    r, tangent = jax.linearize(problem.residual, xi)
    return r, jax.vmap(tangent, out_axes=1)(jnp.eye(xi.shape[0]))


@eqx.filter_jit
def _by_rows(problem: Problem, xi: Float[Array, " parameters"]):
    r, adjoint = jax.vjp(problem.residual, xi)
    return r, jax.vmap(adjoint)(jnp.eye(r.shape[0]))[0]


@eqx.filter_jit
def _cost(problem: Problem, xi: Float[Array, " parameters"]):
    return problem.cost(xi, problem.residual(xi))


@eqx.filter_jit
def _krylov_step(problem: Problem, xi: Float[Array, " parameters"], damping):
    r, tangent = jax.linearize(problem.residual, xi)
    adjoint = jax.linear_transpose(tangent, xi)
    gradient = adjoint(r)[0] + problem.prior * xi

    def H(v):
        return adjoint(tangent(v))[0] + problem.prior * v

    def solved(b):
        return conjugate_gradients(lambda v: H(v) + damping * v, lambda v: v, b, ACCURACY, MOST)

    p, iterations = solved(-gradient)
    along = tangent(p)
    second = 2.0 / PROBE * ((problem.residual(xi + PROBE * p) - r) / PROBE - along)
    acceleration, more = solved(-adjoint(second)[0])
    return bent(p, acceleration), gradient @ p, along @ along + problem.prior * (p @ p), iterations + more


@eqx.filter_jit
def _residual(problem: Problem, xi: Float[Array, " parameters"]):
    return problem.residual(xi)
