"""Hearts to compute on: the reference heart and synthetic patients."""

from perfsim.cohorts.heart import Heart, Stenosis, build_heart, lesions, reference_heart

__all__ = ["Heart", "Stenosis", "build_heart", "lesions", "reference_heart"]
