"""Studies on a simulation: interventions, sensitivities."""

from perfsim.study.intervention import collateral, dilate, graft, occlude
from perfsim.study.lumen import lumen_gain, sensitivity

__all__ = ["collateral", "dilate", "graft", "lumen_gain", "occlude", "sensitivity"]
