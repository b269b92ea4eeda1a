"""Hearts to compute on: the reference heart and synthetic patients."""

from perfsim.cohorts.heart import GrownHeart, Heart, Stenosis, couple, grow_heart, lesions, reference_heart
from perfsim.cohorts.patients import Patient, synthetic_patient

__all__ = [
    "GrownHeart",
    "Heart",
    "Patient",
    "Stenosis",
    "couple",
    "grow_heart",
    "lesions",
    "reference_heart",
    "synthetic_patient",
]
