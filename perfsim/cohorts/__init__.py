"""Hearts to compute on: the reference heart and synthetic patients."""

from perfsim.cohorts.heart import Heart, Stenosis, build_heart, lesions, reference_heart
from perfsim.cohorts.patients import Patient, synthetic_patient

__all__ = ["Heart", "Patient", "Stenosis", "build_heart", "lesions", "reference_heart", "synthetic_patient"]
