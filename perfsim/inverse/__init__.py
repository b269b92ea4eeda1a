"""Inverse fitting: free parameters, observations, maximum a posteriori."""

from perfsim.inverse.fit import FitReport, fit
from perfsim.inverse.observation import Observation
from perfsim.inverse.parameters import PARAMETERS, Parameter

__all__ = ["PARAMETERS", "FitReport", "Observation", "Parameter", "fit"]
