"""What is known after a fit: the Gauss-Newton Laplace approximation, and quantities sampled through the model.

At the optimum the posterior of ξ is close to N(ξ̂, (I + JᵀJ)⁻¹). JᵀJ has few eigenvalues above 1, the directions of
which the data say more than was known before (Bui-Thanh, Ghattas, Martin and Stadler 2013, SIAM J Sci Comput 35:A2494);
with JᵀJ ≈ U Λ Uᵀ the covariance is I - U Λ/(1 + Λ) Uᵀ, and ξ̂ + n - U (1 - (1 + Λ)^-½) Uᵀ n with n ~ N(0, I) a draw.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from perfsim._results import RESULTS, InputError, SimulationError
from perfsim.coupling import Solution
from perfsim.inverse.fit import FEW, Fit
from perfsim.inverse.gauss_newton import Dense, Work
from perfsim.inverse.linearized import Linearized, evaluate
from perfsim.inverse.problem import Problem

import numpy as np

NEGLIGIBLE = 0.05
"""eigenvalue below which a direction counts as not informed at all: its deviation falls by 2.5 %"""
FEWEST = 25
"""draws whose largest weights make a tail"""
BLOCK, MOST = 32, 1024
"""directions tried at a time, and at most, where eigenvalues are found by random products"""


class Proposal(Protocol):
    """A distribution of ξ to draw from."""

    def draw(self, count: int, seed: int = 0) -> np.ndarray:
        """(count, parameters) draws."""

    def energy(self, xi: np.ndarray) -> np.ndarray:
        """-log of the density at rows ξ, up to a constant."""


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

    def sample(
        self,
        quantities: Callable[[Solution], Any],
        count: int = 100,
        seed: int = 0,
        along: "Proposal | None" = None,
        most: int | None = None,
    ) -> "Ensemble":
        """Sample quantities from the posterior: `count` draws, each through the whole model.

        `quantities(solution)` returns an array or a dictionary of them; what it needs of the geometry it brings along.
        Draws are those of the Laplace approximation, or of a distribution `along` (see `ridge`). They carry weights,
        posterior over this density and Pareto-smoothed, so that what the approximation gets wrong is corrected as far
        as they reach. Where weights are not reliable, as many draws again are taken until there are `most` of them. All
        states of the simulation are solved. Draws whose solve failed are dropped and counted. Raises `SimulationError`
        if all of them failed.
        """
        source = self if along is None else along
        parts, taken = [], 0
        while True:
            drawn = source.draw(count, seed + taken)
            parts.append(self._solve_draws(quantities, drawn))
            taken += count
            xi, cost = (np.concatenate([part[k] for part in parts]) for k in (0, 2))
            weight, k_hat = pareto_smoothed(source.energy(xi) - cost)
            values = {k: np.concatenate([part[1][k] for part in parts]) for k in parts[0][1]}
            found = Ensemble(values, weight, failed=taken - len(xi), k_hat=k_hat, xi=xi)
            if found.reliable or taken >= (most or 0):
                return found

    def before(self, quantities: Callable[[Solution], Any], count: int = 64, seed: int = 0) -> "Ensemble":
        """Sample quantities from the prior, likewise."""
        drawn = np.random.default_rng(seed).normal(size=(count, len(self.fit.xi)))
        xi, values, _ = self._solve_draws(quantities, drawn)
        return Ensemble(values, np.full(len(xi), 1.0 / len(xi)), failed=count - len(xi), xi=xi)

    def _solve_draws(self, quantities, xi: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
        """(draws whose solve succeeded, their quantities, their ½|r|² + ½|ξ|²)."""
        kept, found, costs = [], [], []
        failed: dict[str, RESULTS] = {}
        for x in xi:
            there = evaluate(self.fit.problem, x, every_state=True)
            if there.failed or not np.isfinite(there.cost):
                failed |= there.failed
                continue
            value = quantities(there.solution)
            found.append({k: np.asarray(v) for k, v in (value if isinstance(value, dict) else {"": value}).items()})
            costs.append(there.cost)
            kept.append(x)
        self.work.values, self.work.failed = self.work.values + len(xi), self.work.failed + len(xi) - len(kept)
        if not kept:
            causes = " ".join(f"State {state!r}: {result.message}" for state, result in failed.items())
            raise SimulationError(f"{RESULTS.draws_failed.message} {causes}")
        return np.stack(kept), {k: np.stack([f[k] for f in found]) for k in found[0]}, np.array(costs)

    def energy(self, xi: np.ndarray) -> np.ndarray:
        """½ (ξ - ξ̂)ᵀ (I + JᵀJ) (ξ - ξ̂) of each row."""
        off = xi - self.fit.xi
        return 0.5 * (np.sum(off**2, axis=-1) + (off @ self.directions) ** 2 @ self.eigenvalues)


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Weighted draws of quantities."""

    values: dict[str, np.ndarray]
    """(draws, ...) by name; "" for a quantity without one"""
    weight: np.ndarray
    """of the draws, they sum to 1"""
    failed: int = 0
    """draws that were dropped because their solve failed"""
    xi: np.ndarray | None = None
    """(draws, parameters), standard normal before the data"""
    k_hat: float | None = None
    """shape of the Pareto distribution of the largest weights; None for draws without weights"""

    @property
    def effective(self) -> float:
        """Effective sample size: the number of equally weighted draws that would say as much."""
        return float(1.0 / np.sum(self.weight**2))

    @property
    def k_limit(self) -> float:
        """k̂ above which weighted means of so many draws are not reliable: min(1 - 1/log₁₀ S, 0.7) (Vehtari, Simpson,
        Gelman, Yao and Gabry 2024, J Mach Learn Res 25:72)."""
        return min(1.0 - 1.0 / float(np.log10(max(len(self.weight), 2))), 0.7)

    @property
    def reliable(self) -> bool:
        """Whether k̂ is at most its limit."""
        return self.k_hat is None or bool(self.k_hat <= self.k_limit)

    def lines(self) -> list[str]:
        """What to know of these draws before using them, in sentences."""
        out = []
        if self.k_hat is not None:
            sizes = f"{len(self.weight)} draws, effective sample size {self.effective:.0f}"
            out.append(f"Pareto k̂ of the weights: {self.k_hat:.2f} (limit {self.k_limit:.2f}); {sizes}.")
        if not self.reliable:
            out.append(
                "The weights are dominated by a few draws, so the intervals are not reliable: take more draws, or free "
                "fewer parameters."
            )
        if self.failed:
            total = self.failed + len(self.weight)
            out.append(f"{self.failed} of {total} draws could not be solved and were left out.")
        return out

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


def posterior(fit: Fit, *, throw: bool = True) -> Posterior:
    """Compute the Laplace approximation of the posterior at the end of a fit.

    Raises `InputError` for a fit without a prior; `SimulationError` for a fit that did not converge (`throw=False`
    takes where it ended for the optimum), or where the derivative of the simulation cannot be computed.
    """
    if not fit.problem.prior:
        raise InputError("a fit without a prior has no posterior: leave out prior=False")
    if not fit.converged and throw:
        raise SimulationError(f"the fit did not converge, so it has no posterior: {fit.message}", fit)
    known = _laplace(fit)
    if not (np.isfinite(known.eigenvalues).all() and np.isfinite(known.directions).all()):
        raise SimulationError(RESULTS.fit_derivative_failed.message)
    return known


def _laplace(fit: Fit) -> Posterior:
    work = Work()
    if min(fit.problem.size, fit.problem.data_size) <= FEW:
        J = Dense(fit.problem, fit.xi, work).J
        if not np.isfinite(J).all():
            return Posterior(fit, np.full(1, np.nan), np.full((len(fit.xi), 1), np.nan), work)
        _, s, V = np.linalg.svd(J, full_matrices=False)
        return Posterior(fit, s**2, V.T, work)
    eigenvalues, directions = _leading(fit.problem, fit.xi, work)
    return Posterior(fit, eigenvalues, directions, work)


def _leading(problem: Problem, xi: np.ndarray, work: Work) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of JᵀJ down to `NEGLIGIBLE` and their directions, from products with random vectors (Halko,
    Martinsson and Tropp 2011, SIAM Rev 53:217); how many it takes depends on the data, not on the parameters.
    """
    rng, linear = np.random.default_rng(0), Linearized(problem, evaluate(problem, xi))
    work.values += 1
    basis = np.zeros((len(xi), 0))
    image = np.zeros((len(xi), 0))
    while True:
        fresh = rng.normal(size=(len(xi), BLOCK))
        fresh = linear.cotangents(linear.tangents(fresh.T)).T  # one power step towards the large ones
        for _ in range(2):
            fresh = fresh - basis @ (basis.T @ fresh)
        fresh, _ = np.linalg.qr(fresh)
        basis = np.concatenate([basis, fresh], axis=1)
        image = np.concatenate([image, linear.cotangents(linear.tangents(fresh.T)).T], axis=1)
        work.gradients += 2 * BLOCK
        work.tangents += 2 * BLOCK
        if not np.isfinite(image).all():
            return np.full(1, np.nan), basis[:, :1] * np.nan
        small = basis.T @ image
        eigenvalues, turn = np.linalg.eigh(0.5 * (small + small.T))
        if np.sort(eigenvalues)[: BLOCK // 2].max() < NEGLIGIBLE or basis.shape[1] >= min(MOST, len(xi)):
            order = np.argsort(eigenvalues)[::-1]
            return np.maximum(eigenvalues[order], 0.0), basis @ turn[:, order]


def pareto_smoothed(log_ratio: np.ndarray) -> tuple[np.ndarray, float]:
    """(normalized importance weights, k̂): the largest ones are replaced by quantiles of a generalized Pareto
    distribution fitted to them (Vehtari et al. 2024, J Mach Learn Res 25:72; by arviz-stats). Fewer than 25 draws are
    not smoothed: their tail says nothing, and k̂ is infinite.
    """
    from arviz_stats.base import array_stats  # here, not above: it takes a moment to load, and few need it

    if len(log_ratio) < FEWEST:
        log_weight, k_hat = log_ratio, np.inf
    else:
        log_weight, k_hat = array_stats.psislw(-log_ratio)  # it takes log-likelihoods, whose ratios are inverse
    weight = np.exp(log_weight - np.max(log_weight))
    return weight / np.sum(weight), float(k_hat)
