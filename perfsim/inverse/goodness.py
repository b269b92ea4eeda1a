"""Whether a fitted model explains its data at all: without that no interval means anything.

Before the data y are seen, a linear model with parameters ξ ~ N(0, I) and errors of one standard deviation predicts
r(0) ~ N(0, I + JJᵀ), and the least value of |r(ξ)|² + |ξ|² is r(0)ᵀ (I + JJᵀ)⁻¹ r(0). It is therefore distributed as
χ² with as many degrees of freedom as there are data, whatever J is: parameters that the fit had to pull far from their
population count like residuals. A second test looks at the largest residual by itself, which finds one bad segment
among many good ones.
"""

import dataclasses

from perfsim.inverse.linearized import evaluate
from perfsim.inverse.posterior import Posterior
from perfsim.observe import Activity, Cuff, Measurement, Scan, Segments, Wire

import numpy as np
import scipy

DOUBT = 0.01
"""probability of a misfit at least as large, of either test, below which the data are not explained"""
REFUSED = 1e-6
"""probability below which nothing derived from the fit may be used"""
NAMED = 4
"""data named in a verdict, at most"""


@dataclasses.dataclass(frozen=True)
class Goodness:
    """How well a fit explains its data."""

    chi2: float
    """least |r|² + |ξ|²; without a prior |r|² alone"""
    data: int
    """number of data"""
    effective: float
    """parameters that the data determine, Σ λ/(1 + λ) over the eigenvalues λ of JᵀJ"""
    probability: float
    """of a misfit as large or larger, where model, priors and noise are right"""
    residuals: dict[str, float]
    """of each datum, fitted minus measured [standard deviations]"""
    probability_of_largest: float
    """that the largest of so many residuals is as large or larger"""

    @property
    def explained(self) -> bool:
        """Whether neither test doubts the model."""
        return min(self.probability, self.probability_of_largest) >= DOUBT

    @property
    def usable(self) -> bool:
        """Whether what follows from the fit may be used, with whatever doubts."""
        return self.probability >= REFUSED

    @property
    def missed(self) -> dict[str, float]:
        """The data that are missed, the worst first: residuals beyond what the largest of so many would be."""
        n = max(len(self.residuals), 1)
        limit = float(scipy.stats.norm.isf(0.5 * DOUBT / n))
        far = {name: r for name, r in self.residuals.items() if abs(r) > limit}
        return dict(sorted(far.items(), key=lambda item: -abs(item[1])))

    @property
    def verdict(self) -> str:
        """One sentence."""
        numbers = f"χ² {self.chi2:.4g} of {self.data} data, P {self.probability:.2g}"
        if self.explained:
            return f"The model explains the data ({numbers})."
        missed = list(self.missed.items())
        worst = ", ".join(f"{name} by {r:+.1f}" for name, r in missed[:NAMED])
        worst += f" and {len(missed) - NAMED} more" * (len(missed) > NAMED)
        misses = f" It misses {worst} standard deviations." if missed else ""
        if not self.usable:
            return f"The model does not explain the data: nothing that follows from it may be used ({numbers}).{misses}"
        if missed and self.probability >= DOUBT:
            return f"The model explains all data but some ({numbers}).{misses}"
        return f"The model hardly explains the data ({numbers}): look at the residuals before using it.{misses}"


def goodness(known: Posterior) -> Goodness:
    """Test whether the fit behind a posterior explains its data.

    Arguments: `known`, the posterior of a fit that converged (of another the misfit is what it had reached).

    Returns the two tests with the residuals by name. Residuals of Student's t or of correlated noise are compared with
    the normal distribution like the others.

    Source: the module's docstring.
    """
    here = evaluate(known.fit.problem, known.fit.xi)
    measurements = known.fit.problem.model.data
    names = [name for m in measurements for name in datum_names(m)]
    seen = [bool(s) for m in measurements for s in np.ravel(np.isfinite(np.asarray(m.value)))]
    residuals = {name: float(r) for name, r, there in zip(names, here.r, seen, strict=True) if there}
    n = len(residuals)
    chi2, eigenvalues = 2.0 * here.cost, known.eigenvalues
    largest = max(map(abs, residuals.values()), default=0.0)
    return Goodness(
        chi2=chi2,
        data=n,
        effective=float(np.sum(eigenvalues / (1.0 + eigenvalues))),
        probability=float(scipy.stats.chi2.sf(chi2, n)),
        residuals=residuals,
        probability_of_largest=float(-np.expm1(n * np.log1p(-2.0 * scipy.stats.norm.sf(largest)))),
    )


def datum_names(measurement: Measurement) -> list[str]:
    """What each number of a measurement is called, e.g. "segment 4 (rest)", in the order of its residuals."""
    if isinstance(measurement, Wire):
        return [f"the wire's reading ({measurement.state})"]
    if isinstance(measurement, Cuff):
        return [f"the cuff's reading ({measurement.state})"]
    if isinstance(measurement, Scan | Activity):
        what = "segment" if isinstance(measurement.view, Segments) else "place"
        size = measurement.value.shape
        if isinstance(measurement, Scan):
            return [f"{what} {k + 1} ({state})" for state in measurement.states for k in range(size[1])]
        return [f"{what} {k + 1}, frame {j + 1} ({measurement.state})" for k in range(size[0]) for j in range(size[1])]
    return [f"{type(measurement).__name__} {k + 1}" for k in range(measurement.value.size)]
