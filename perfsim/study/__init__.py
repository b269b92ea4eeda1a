"""Studies on a simulation: interventions, sensitivities."""

from perfsim.study.intervention import dilate, occlude
from perfsim.study.lumen import lumen_gain, sensitivity

__all__ = ["dilate", "lumen_gain", "occlude", "sensitivity"]
