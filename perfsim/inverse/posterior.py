"""What is known after a fit: the Gauss-Newton Laplace approximation, and quantities sampled through the model.

At the optimum the posterior of ξ is close to N(ξ̂, (I + JᵀJ)⁻¹). JᵀJ has few eigenvalues above 1, the directions of
which the data say more than was known before (Bui-Thanh, Ghattas, Martin and Stadler 2013, SIAM J Sci Comput 35:A2494);
with JᵀJ ≈ U Λ Uᵀ the covariance is I - U Λ/(1 + Λ) Uᵀ, and ξ̂ + n - U (1 - (1 + Λ)^-½) Uᵀ n with n ~ N(0, I) a draw.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from perfsim._results import InputError
from perfsim.coupling import Solution
from perfsim.inverse.fit import FEW, Fit
from perfsim.inverse.gauss_newton import Dense, Work
from perfsim.inverse.problem import Problem

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

NEGLIGIBLE = 0.05
"""eigenvalue below which a direction counts as not informed at all: its deviation falls by 2.5 %"""
BLOCK, MOST = 32, 1024
"""directions tried at a time, and at most, where eigenvalues are found by random products"""


@dataclasses.dataclass(frozen=True)
class Posterior:
    """The posterior of a fit."""

    fit: Fit
    eigenvalues: np.ndarray
    """of JᵀJ, the prior-whitened Fisher information, largest first"""
    directions: np.ndarray
    """(parameters, eigenvalues), columns of unit length"""
    work: Work

    @property
    def _taken(self) -> np.ndarray:
        """Λ/(1 + Λ): the share of the prior variance that the data take from each direction."""
        return self.eigenvalues / (1.0 + self.eigenvalues)

    @property
    def sd(self) -> np.ndarray:
        """Posterior over prior standard deviation of every parameter."""
        return np.sqrt(np.maximum(1.0 - (self.directions**2) @ self._taken, 0.0))

    def covariance(self, rows: np.ndarray) -> np.ndarray:
        """Posterior covariance of some of the parameters, in units of the prior."""
        U = self.directions[rows]
        return np.eye(len(U)) - (U * self._taken) @ U.T

    def times_covariance(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, parameters) times the posterior covariance."""
        return rows - (rows @ self.directions * self._taken) @ self.directions.T

    def draw(self, count: int, seed: int = 0) -> np.ndarray:
        """(count, parameters) draws of ξ, in pairs that lie opposite each other."""
        half = np.random.default_rng(seed).normal(size=((count + 1) // 2, len(self.fit.xi)))
        half = half - (half @ self.directions * (1.0 - (1.0 + self.eigenvalues) ** -0.5)) @ self.directions.T
        return self.fit.xi + np.concatenate([half, -half])[:count]

    def sample(self, quantities: Callable[[Solution], Any], count: int = 100, seed: int = 0) -> "Ensemble":
        """Quantities of `count` draws, each through the whole model.

        `quantities(solution)` returns an array or a dictionary of them; what it needs of the geometry it brings along.
        Draws carry weights, posterior over Laplace density, so that what the approximation gets wrong is corrected
        as far as they reach. All states of the simulation are solved.
        """
        xi = self.draw(count, seed)
        values, cost = self._sent_through(quantities, xi)
        log_weight = np.array([self.laplace_cost(x) for x in xi]) - cost
        return Ensemble(values, _truncated(np.where(np.isfinite(cost), log_weight, -np.inf)))

    def before(self, quantities: Callable[[Solution], Any], count: int = 64, seed: int = 0) -> "Ensemble":
        """The same of draws from what was known before the data."""
        xi = np.random.default_rng(seed).normal(size=(count, len(self.fit.xi)))
        values, cost = self._sent_through(quantities, xi)
        return Ensemble(values, np.isfinite(cost) / max(np.isfinite(cost).sum(), 1))

    def _sent_through(self, quantities, xi: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """(quantities, ½|r|² + ½|ξ|²) of every draw."""
        found, costs = [], []
        for x in jnp.asarray(xi):
            solution, cost = _through_the_model(self.fit.problem, x)
            value = quantities(solution)
            found.append({k: np.asarray(v) for k, v in (value if isinstance(value, dict) else {"": value}).items()})
            costs.append(float(cost))
        self.work.values += len(xi)
        return {k: np.stack([f[k] for f in found]) for k in found[0]}, np.array(costs)

    def laplace_cost(self, xi: np.ndarray) -> float:
        """½ (ξ - ξ̂)ᵀ (I + JᵀJ) (ξ - ξ̂)."""
        off = xi - self.fit.xi
        return 0.5 * float(off @ off + self.eigenvalues @ (self.directions.T @ off) ** 2)


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Weighted draws of quantities."""

    values: dict[str, np.ndarray]
    """(draws, ...) by name; "" for a quantity without one"""
    weight: np.ndarray
    """of the draws, they sum to 1"""

    @property
    def effective(self) -> float:
        """Number of equally weighted draws that would say as much."""
        return float(1.0 / np.sum(self.weight**2))

    def mean(self, name: str = "") -> np.ndarray:
        return np.tensordot(self.weight, self.values[name], 1)

    def sd(self, name: str = "") -> np.ndarray:
        return np.sqrt(np.tensordot(self.weight, (self.values[name] - self.mean(name)) ** 2, 1))

    def quantile(self, q: float, name: str = "") -> np.ndarray:
        """Weighted quantile, linear between draws; the k-th of n equal ones is that of k/(n + 1), so that one more draw
        falls below it just as often (Hyndman and Fan 1996, Am Stat 50:361, definition 6).
        """
        value, n = self.values[name], self.effective
        flat = value.reshape(len(value), -1)
        order = np.argsort(flat, axis=0)
        weight = self.weight[order]
        at = (n * (np.cumsum(weight, axis=0) - 0.5 * weight) + 0.5) / (n + 1.0)
        columns = [np.interp(q, a, f[o]) for a, f, o in zip(at.T, flat.T, order.T, strict=True)]
        return np.array(columns).reshape(value.shape[1:])

    def interval(self, level: float = 0.9, name: str = "") -> tuple[np.ndarray, np.ndarray]:
        """The central interval of this probability."""
        return self.quantile(0.5 - 0.5 * level, name), self.quantile(0.5 + 0.5 * level, name)

    def probability(self, event: Callable[[np.ndarray], np.ndarray], name: str = "") -> np.ndarray:
        """Of an event, e.g. `lambda ffr: ffr <= 0.8`."""
        return np.tensordot(self.weight, np.asarray(event(self.values[name]), float), 1)


def posterior(fit: Fit) -> Posterior:
    """The Laplace approximation at the end of a fit. Raises `InputError` for a fit without a prior."""
    if not fit.problem.prior:
        raise InputError("a fit without a prior has no posterior: leave out prior=False")
    work = Work()
    if min(fit.problem.size, fit.problem.data_size) <= FEW:
        J = Dense(fit.problem, fit.xi, work).J
        _, s, V = np.linalg.svd(J, full_matrices=False)
        return Posterior(fit, s**2, V.T, work)
    eigenvalues, directions = _leading(fit.problem, fit.xi, work)
    return Posterior(fit, eigenvalues, directions, work)


def _leading(problem: Problem, xi: np.ndarray, work: Work) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of JᵀJ down to `NEGLIGIBLE` and their directions, from products with random vectors (Halko,
    Martinsson and Tropp 2011, SIAM Rev 53:217); how many it takes depends on the data, not on the parameters.
    """
    rng, at = np.random.default_rng(0), jnp.asarray(xi)
    basis = np.zeros((len(xi), 0))
    image = np.zeros((len(xi), 0))
    while True:
        fresh = rng.normal(size=(len(xi), BLOCK))
        fresh = np.asarray(_products(problem, at, jnp.asarray(fresh.T))).T  # one power step towards the large ones
        for _ in range(2):
            fresh = fresh - basis @ (basis.T @ fresh)
        fresh, _ = np.linalg.qr(fresh)
        basis = np.concatenate([basis, fresh], axis=1)
        image = np.concatenate([image, np.asarray(_products(problem, at, jnp.asarray(fresh.T))).T], axis=1)
        work.values, work.gradients = work.values + 2, work.gradients + 2 * BLOCK
        work.tangents += 2 * BLOCK
        small = basis.T @ image
        eigenvalues, turn = np.linalg.eigh(0.5 * (small + small.T))
        if np.sort(eigenvalues)[: BLOCK // 2].max() < NEGLIGIBLE or basis.shape[1] >= min(MOST, len(xi)):
            order = np.argsort(eigenvalues)[::-1]
            return np.maximum(eigenvalues[order], 0.0), basis @ turn[:, order]


@eqx.filter_jit
def _products(problem: Problem, xi: Float[Array, " parameters"], rows: Float[Array, "block parameters"]):
    """JᵀJ times each row."""
    _, tangent = jax.linearize(problem.residual, xi)
    adjoint = jax.linear_transpose(tangent, xi)
    return jax.lax.map(lambda v: adjoint(tangent(v))[0], rows)


@eqx.filter_jit
def _through_the_model(problem: Problem, xi: Float[Array, " parameters"]):
    """(solution in all states, ½|r|² + ½|ξ|²)."""
    model, solution = problem.solved(xi, every_state=True)
    return solution, problem.cost(xi, problem.misfit(model, solution))


def _truncated(log_weight: np.ndarray) -> np.ndarray:
    """Normalized importance weights, none more than √n times the mean (Ionides 2008, J Comput Graph Stat 17:295)."""
    weight = np.exp(log_weight - np.max(log_weight))
    weight = np.minimum(weight, np.sqrt(len(weight)) * np.mean(weight))
    return weight / np.sum(weight)
