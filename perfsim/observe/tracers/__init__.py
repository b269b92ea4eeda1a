"""Tracers: from blood flow to activity, and back."""

from perfsim.observe.tracers.curves import Curve, Frames, decay_correction
from perfsim.observe.tracers.exchange import Exchange, ExtendedTofts, by_integration
from perfsim.observe.tracers.extraction import AMMONIA, RUBIDIUM, RenkinCrone
from perfsim.observe.tracers.kinetics import convolved, frame_means
from perfsim.observe.tracers.regions import Region, RegionFit, fit_regions
from perfsim.observe.tracers.tissue import DENSITY, Ammonia, Rubidium, Tracer, Water, ammonia_alone
from perfsim.physiology import HALF_LIFE

__all__ = [
    "AMMONIA",
    "DENSITY",
    "HALF_LIFE",
    "RUBIDIUM",
    "Ammonia",
    "Curve",
    "Exchange",
    "ExtendedTofts",
    "Frames",
    "Region",
    "RegionFit",
    "RenkinCrone",
    "Rubidium",
    "Tracer",
    "Water",
    "ammonia_alone",
    "by_integration",
    "convolved",
    "decay_correction",
    "fit_regions",
    "frame_means",
]
