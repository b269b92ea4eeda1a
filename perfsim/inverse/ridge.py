"""Draws along a ridge: where a stenosis and its microvessels explain the data equally well.

One normal distribution at the optimum does not reach along a long, bent ridge, and the tails decide. So each severity
is held at a row of values s_k on both sides of the optimum, and the other parameters are fitted again. Around each of
these points m_k, with the Hessian H = I + JᵀJ there, lies a normal distribution

    ξ_j ~ N(s_k, h_k²),    ξ_i | ξ_j ~ N(m_i - H_ii⁻¹ H_ij (ξ_j - s_k), H_ii⁻¹),    i all parameters but j,

and the draws come from their mixture, with the weights e^(-cost(m_k)) |H_ii|^(-½) h_k of Laplace's marginal
distribution of ξ_j. What is wrong with the mixture, importance weights put right.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from perfsim.inverse.fit import FEW
from perfsim.inverse.gauss_newton import Dense
from perfsim.inverse.posterior import Posterior

import numpy as np
import scipy

SEVERITY = ("throat[", "severity[")
GROWTH, STEPS = 1.3, 10
"""factor from one step along the ridge to the next, and most of them on either side"""
KERNEL = 0.75
"""h over the step"""
BEYOND, HOPELESS = 6.0, 30.0
"""logarithms of density below the highest at which the ridge has ended: beyond the reading, and short of it"""
FIRM = 0.05
"""decrease of the cost that a step may leave"""
UNIFORM = 0.15
"""part of the draws that go to all points of the ridge alike"""


@dataclasses.dataclass(frozen=True)
class Component:
    """One normal distribution of a mixture."""

    mean: np.ndarray
    factor: np.ndarray
    """lower triangular L, the covariance is LLᵀ"""
    log_mass: float
    """logarithm of its weight, up to a constant"""

    def log_density(self, xi: np.ndarray) -> np.ndarray:
        """Logarithm of the density at rows ξ, up to the constant that all share."""
        z = scipy.linalg.solve_triangular(self.factor, (xi - self.mean).T, lower=True)
        return -0.5 * np.sum(z**2, axis=0) - float(np.sum(np.log(np.diag(self.factor))))


@dataclasses.dataclass(frozen=True)
class Ridge:
    """A mixture of normal distributions along the ridges of a posterior."""

    components: tuple[Component, ...]
    weight: np.ndarray

    def draw(self, count: int, seed: int = 0) -> np.ndarray:
        """(count, parameters) draws, from each component as many as its weight asks for."""
        rng = np.random.default_rng(seed)
        edges = np.cumsum(self.weight) / np.sum(self.weight)
        chosen = np.searchsorted(edges, (np.arange(count) + rng.uniform()) / count).clip(0, len(edges) - 1)
        z = rng.normal(size=(count, len(self.components[0].mean)))
        return np.stack(
            [self.components[k].mean + self.components[k].factor @ x for k, x in zip(chosen, z, strict=True)]
        )

    def energy(self, xi: np.ndarray) -> np.ndarray:
        """-log of the density at rows ξ, up to a constant."""
        logs = np.stack([np.log(w) + c.log_density(xi) for w, c in zip(self.weight, self.components, strict=True)])
        return -scipy.special.logsumexp(logs, axis=0)


def ridge(known: Posterior) -> Ridge | None:
    """Find the ridges of a posterior along the severities of its stenoses.

    Arguments: `known`, the posterior of a fit.

    Returns a mixture to draw from (`Posterior.sample`, argument `along`); None where no severity is free, or where so
    many parameters are that only products with the Jacobian are at hand.
    """
    names = known.fit.names
    severities = [k for k, name in enumerate(names) if name.startswith(SEVERITY)]
    if not severities or len(names) > FEW:
        return None
    rows = [list(along(known, j)) for j in severities]
    return mixture([row for row in rows if row]) if any(rows) else None


def mixture(rows: Sequence[Sequence[Component]]) -> Ridge:
    """One distribution of the components along several ridges, each as heavy as the others."""
    components = [c for row in rows for c in row]
    mass = np.concatenate([np.array([c.log_mass for c in row]) - max(c.log_mass for c in row) for row in rows])
    near = mass > -BEYOND
    weight = (1.0 - UNIFORM) * np.exp(mass) / np.exp(mass).sum() + UNIFORM * near / near.sum()
    kept = weight > np.exp(-HOPELESS)
    return Ridge(tuple(c for c, k in zip(components, kept, strict=True) if k), weight[kept])


def along(known: Posterior, j: int) -> Iterator[Component]:
    """The components along ξ_j: at the optimum, then away from it on either side."""
    step = float(known.sd[j])
    top = _Held.at(known, j, known.fit.xi)
    if top is None:
        return
    highest = top.log_marginal
    yield top.component(KERNEL * step)
    for side in (-1.0, 1.0):
        here, size = top, step
        for _ in range(STEPS):
            following = _Held.at(known, j, here.predicted(side * size))
            if following is None:
                break
            here = following
            yield here.component(KERNEL * size)
            highest = max(highest, here.log_marginal)
            short = side * here.xi[j] < 0.0  # of the reading, ξ_j = 0, beyond which another optimum may lie
            if here.log_marginal < highest - (HOPELESS if short else BEYOND):
                break
            size *= GROWTH


@dataclasses.dataclass(frozen=True)
class _Held:
    """The optimum of all parameters but ξ_j."""

    j: int
    xi: np.ndarray
    cost: float
    H: np.ndarray

    @classmethod
    def at(cls, known: Posterior, j: int, start: np.ndarray) -> "_Held | None":
        """By a few Gauss-Newton steps from `start`; None where solves fail or steps do not lower the cost."""
        rest = np.arange(len(start)) != j
        here = Dense(known.fit.problem, start, known.work)
        for _ in range(8):
            if not np.isfinite(here.cost) or not np.isfinite(here.J).all():
                return None
            H = np.eye(len(start)) + here.J.T @ here.J
            p = np.zeros(len(start))
            p[rest] = -np.linalg.solve(H[np.ix_(rest, rest)], here.gradient[rest])
            if -0.5 * here.gradient @ p <= FIRM:
                return cls(j, here.xi, here.cost, H)
            ahead = _lower(known, here, p)
            if ahead is None:
                return None
            here = ahead
        return None

    @property
    def _rest(self) -> np.ndarray:
        return np.arange(len(self.xi)) != self.j

    def _slope(self) -> np.ndarray:
        """Of the other parameters along ξ_j: -H_ii⁻¹ H_ij."""
        i = self._rest
        return -np.linalg.solve(self.H[np.ix_(i, i)], self.H[i, self.j])

    def predicted(self, step: float) -> np.ndarray:
        """Where the ridge should be a step of ξ_j further on."""
        out = self.xi.copy()
        out[self.j] += step
        out[self._rest] += step * self._slope()
        return out

    @property
    def log_marginal(self) -> float:
        """Laplace's marginal density of ξ_j here, up to a constant."""
        i = self._rest
        return -self.cost - 0.5 * float(np.linalg.slogdet(self.H[np.ix_(i, i)])[1])

    def component(self, width: float) -> Component:
        """The normal distribution around this point, as wide along ξ_j."""
        i, j, n = self._rest, self.j, len(self.xi)
        slope = self._slope()
        covariance = np.empty((n, n))
        covariance[j, j] = width**2
        covariance[i, j] = covariance[j, i] = width**2 * slope
        covariance[np.ix_(i, i)] = np.linalg.inv(self.H[np.ix_(i, i)]) + width**2 * np.outer(slope, slope)
        return Component(self.xi, np.linalg.cholesky(covariance), self.log_marginal + float(np.log(width)))


def _lower(known: Posterior, here: Dense, p: np.ndarray) -> Dense | None:
    """A point along p at which the cost is lower."""
    for _ in range(5):
        there = Dense(known.fit.problem, here.xi + p, known.work)
        if there.cost < here.cost:
            return there
        p = 0.5 * p
    return None
