"""Inverse fitting: free parameters, priors, maximum a posteriori."""

from perfsim.inverse.blocks import Free
from perfsim.inverse.comparison import Comparison, comparisons
from perfsim.inverse.fields import Matern, ToneField
from perfsim.inverse.fit import Fit, fit
from perfsim.inverse.goodness import Goodness, goodness
from perfsim.inverse.held import left_out
from perfsim.inverse.identifiability import (
    Confounded,
    Identifiability,
    Value,
    identifiability,
    next_measurement,
    profile,
)
from perfsim.inverse.model import Model
from perfsim.inverse.parameters import PARAMETERS, Parameter, throat_errors
from perfsim.inverse.posterior import Ensemble, Posterior, posterior
from perfsim.inverse.problem import Problem, problem
from perfsim.inverse.quantities import Quantity, clinical_quantities, clinical_table
from perfsim.inverse.ridge import Ridge, ridge
from perfsim.inverse.verdict import Verdict, verdicts

__all__ = [
    "PARAMETERS",
    "Comparison",
    "Confounded",
    "Ensemble",
    "Fit",
    "Free",
    "Goodness",
    "Identifiability",
    "Matern",
    "Model",
    "Parameter",
    "Posterior",
    "Problem",
    "Quantity",
    "Ridge",
    "ToneField",
    "Value",
    "Verdict",
    "clinical_quantities",
    "clinical_table",
    "comparisons",
    "fit",
    "goodness",
    "identifiability",
    "left_out",
    "next_measurement",
    "posterior",
    "problem",
    "profile",
    "ridge",
    "throat_errors",
    "verdicts",
]
