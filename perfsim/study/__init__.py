"""Studies on a simulation: interventions, sensitivities."""

from perfsim.study.intervention import dilate, occlude, sensitivity

__all__ = ["dilate", "occlude", "sensitivity"]
