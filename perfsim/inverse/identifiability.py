"""What the data tell and what they cannot: informed directions, confounded parameters, the next measurement."""

import dataclasses
import re
from collections.abc import Sequence

from perfsim._results import RESULTS, SimulationError
from perfsim.coupling import Solution, check
from perfsim.inverse.descent import optimum
from perfsim.inverse.fit import Fit
from perfsim.inverse.gauss_newton import Dense
from perfsim.inverse.linearized import evaluate
from perfsim.inverse.posterior import Posterior
from perfsim.inverse.problem import problem
from perfsim.observe import Imaging, Measurement, Scan

import equinox as eqx
import jax.numpy as jnp
import numpy as np

CONFOUNDED = 0.5
"""correlation from which two parameters are named together"""
UNKNOWN = 0.9
"""posterior over prior standard deviation from which the data say next to nothing"""


@dataclasses.dataclass(frozen=True)
class Confounded:
    """Two parameters of which the data determine a combination better than either."""

    first: str
    second: str
    correlation: float
    spread: float
    """posterior standard deviation of the worst-determined combination, over the prior's"""

    def __str__(self) -> str:
        return f"{in_words(self.first)} against {in_words(self.second)}, correlation {self.correlation:+.2f}"


@dataclasses.dataclass(frozen=True)
class Identifiability:
    """What a fit's data say of its parameters."""

    names: list[str]
    """of the parameters that are no field's"""
    sd: np.ndarray
    """posterior over prior standard deviation of each"""
    eigenvalues: np.ndarray
    """of the prior-whitened Fisher information: n times the prior's own, largest first"""
    parameters: int
    """all, a field's included"""
    confounded: list[Confounded]
    """the most correlated pairs, the worst first"""

    @property
    def informed(self) -> int:
        """Directions of which the data say more than was known before."""
        return int(np.sum(self.eigenvalues > 1.0))

    @property
    def unknown(self) -> list[str]:
        """Parameters that are as uncertain as before."""
        return [n for n, s in zip(self.names, self.sd, strict=True) if s > UNKNOWN]

    def lines(self) -> list[str]:
        """The statement, in sentences."""
        out = [f"The data inform {self.informed} of {self.parameters} directions."]
        if self.confounded:
            worst = self.confounded[0]
            out.append(
                f"Worst told apart: {worst}; their worst combination keeps {100 * worst.spread:.0f} % of its prior "
                "uncertainty."
            )
            out += [f"Also: {pair}." for pair in self.confounded[1:]]
        if self.unknown:
            out.append(f"Not informed by these data: {', '.join(map(in_words, self.unknown))}.")
        return out


def identifiability(known: Posterior, most: int = 3) -> Identifiability:
    """The statement of a posterior, with at most so many confounded pairs."""
    named = [k for k, n in enumerate(known.fit.names) if not n.startswith("tone field")]
    names = [known.fit.names[k] for k in named]
    covariance = known.covariance(np.array(named, int)) if named else np.zeros((0, 0))
    sd = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    correlation = covariance / np.outer(sd, sd)
    pairs = [
        Confounded(names[i], names[j], float(correlation[i, j]), _worst(covariance[np.ix_([i, j], [i, j])]))
        for i in range(len(names))
        for j in range(i)
        if abs(correlation[i, j]) >= CONFOUNDED
    ]
    pairs.sort(key=lambda p: -abs(p.correlation))
    return Identifiability(names, sd, known.eigenvalues, len(known.fit.names), pairs[:most])


def _worst(covariance: np.ndarray) -> float:
    return float(np.sqrt(np.linalg.eigvalsh(covariance)[-1]))


@dataclasses.dataclass(frozen=True)
class Value:
    """What a further measurement would tell."""

    name: str
    bits: float
    """of information on all parameters together: how often it halves their uncertainty"""
    sd: dict[str, float]
    """posterior standard deviation of each parameter with it, over that without it"""


def next_measurement(known: Posterior, candidates: dict[str, Measurement]) -> list[Value]:
    """Measurements that could be made next, the most telling first.

    With C the posterior covariance and J the Jacobian of a candidate's residuals at the fitted parameters, it gains
    ½ log₂ det(I + J C Jᵀ), and leaves C - C Jᵀ (I + J C Jᵀ)⁻¹ J C. Each is taken at what the fit predicts of it, so
    that its `value` does not matter. A scan by an `instrument` that has scanned before shares its scale and pose.
    """
    if not candidates:
        return []
    fit = known.fit
    solution = check(evaluate(fit.problem, fit.xi, every_state=True).solution)
    added = tuple(_as_predicted(fit, solution, m) for m in candidates.values())
    base = fit.problem.model
    posed, names = problem(base.sim, (*base.data, *added), fit.free, flow=fit.problem.flow, tissue=fit.problem.tissue)
    posed = dataclasses.replace(posed, skipped=len(base.data))
    place = {n: k for k, n in enumerate(names)}
    old = np.array([place[n] for n in fit.names])
    xi = np.zeros(len(names))
    xi[old] = fit.xi
    J = Dense(posed, xi, known.work).J
    if not np.isfinite(J).all():
        raise SimulationError(RESULTS.fit_derivative_failed.message)
    out, start = [], 0
    for name, measurement in zip(candidates, added, strict=True):
        rows = J[start : start + measurement.value.size]
        start += measurement.value.size
        spread = rows.copy()  # J C: parameters that the candidate brings along have their prior
        spread[:, old] = known.times_covariance(rows[:, old])
        inner = np.eye(len(rows)) + spread @ rows.T
        left = known.sd**2 - np.sum(spread[:, old] * np.linalg.solve(inner, spread[:, old]), axis=0)
        sd = np.sqrt(np.maximum(left, 0.0)) / known.sd
        bits = 0.5 * float(np.linalg.slogdet(inner)[1]) / np.log(2.0)
        out.append(Value(name, bits, dict(zip(fit.names, map(float, sd), strict=True))))
    return sorted(out, key=lambda v: -v.bits)


def _as_predicted(fit: Fit, solution: Solution, measurement: Measurement) -> Measurement:
    """The measurement, had it read what the fit predicts; pose and scale are left at their start."""
    there = measurement
    if isinstance(measurement, Imaging):
        same = [s for s in fit.fitted.images if s.instrument == measurement.instrument]
        if same:
            there = eqx.tree_at(lambda m: m.pose, there, same[0].pose)
        scans = [s for s in same if isinstance(s, Scan)]
        if scans and isinstance(there, Scan):
            there = eqx.tree_at(lambda m: m.log_scale, there, scans[0].log_scale)
    return eqx.tree_at(lambda m: m.value, measurement, there.predict(fit.sim, solution))


def profile(fit: Fit, name: str, steps: Sequence[float] = (-2.0, -1.0, 0.0, 1.0, 2.0)) -> tuple[np.ndarray, np.ndarray]:
    """Profile likelihood of one parameter: (its values in display units, least -log posterior with it held there).

    `steps` are prior standard deviations from the starting value. Everything else is fitted again at each.
    """
    k = fit.names.index(name)
    values, cost = [], []
    for step in steps:
        held = dataclasses.replace(fit.problem, held=jnp.full(fit.problem.size, jnp.nan).at[k].set(step))
        xi, best = optimum(held)
        xi = np.asarray(xi).copy()
        xi[k] = step
        values.append(float(fit.problem.values(jnp.asarray(xi))[k]))
        cost.append(best + 0.5 * step**2)
    return np.array(values), np.array(cost)


_WORDS = {
    "tone": "{} microvascular tone",
    "terminal_tone": "tone of {}",
    "throat": "{} stenosis{}",
    "severity": "{} stenosis{}",
    "lumen": "the lumen scale",
    "pressure": "aortic pressure ({})",
    "demand": "resting demand",
    "scale": "the program's scale",
    "state_scale": "the scale of {}",
    "rotation": "rotation of the map",
    "tilt": "tilt of the map ({})",
    "shift": "shift of the map ({})",
    "delay": "delay of the blood curve ({})",
    "arterial": "arterial blood volume",
    "mobility": "tissue permeability",
    "drainage": "venous conductance",
    "supply": "supply conductance",
}


def in_words(name: str) -> str:
    """A parameter's name as one says it: "tone[LAD]" is "LAD microvascular tone"."""
    found = re.fullmatch(r"(\w+)(?:\[(.*)\])?", name)
    if found is None or found[1] not in _WORDS:
        return name
    place, _, distance = (found[2] or "").partition("@")
    distance = f" at {distance.replace('mm', ' mm')}" if distance else ""
    text = _WORDS[found[1]].format(place, distance)
    return re.sub(r"\s*\(\)", "", text).strip()
