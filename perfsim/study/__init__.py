"""Studies on a simulation: interventions, sensitivities."""

from perfsim.study.intervention import collateral, dilate, graft, occlude
from perfsim.study.lumen import lumen_gain, sensitivity
from perfsim.study.reading import misread

__all__ = ["collateral", "dilate", "graft", "lumen_gain", "misread", "occlude", "sensitivity"]
