"""Inverse fitting: free parameters, priors, maximum a posteriori."""

from perfsim.inverse.fields import Matern, ToneField
from perfsim.inverse.fit import Fit, fit
from perfsim.inverse.parameters import PARAMETERS, Free, Parameter
from perfsim.inverse.posterior import Ensemble, Posterior, posterior
from perfsim.inverse.problem import Problem, problem

__all__ = [
    "PARAMETERS",
    "Ensemble",
    "Fit",
    "Free",
    "Matern",
    "Parameter",
    "Posterior",
    "Problem",
    "ToneField",
    "fit",
    "posterior",
    "problem",
]
