"""perfsim: a differentiable multiscale simulator of blood flow from the coronary arteries into the heart muscle.

The public names are resolved on first use, so that ``import perfsim`` and ``perfsim --help`` stay light.
"""

from importlib import import_module

from perfsim import _runtime

_runtime.configure()

__version__ = "0.1.0"

_HOME = {
    "RESULTS": "perfsim._results",
    "SimulationError": "perfsim._results",
    "InputError": "perfsim._results",
    "VesselNetwork": "perfsim.network",
    "Lesions": "perfsim.network",
    "EllipsoidWall": "perfsim.anatomy",
    "MaskWall": "perfsim.anatomy",
    "coronary_trunks": "perfsim.anatomy",
    "grow": "perfsim.growth",
    "Steady": "perfsim.flow",
    "JetExpansion": "perfsim.flow",
    "YoungTsai": "perfsim.flow",
    "FiniteVolumes": "perfsim.darcy",
    "cut_cells": "perfsim.darcy",
    "Simulation": "perfsim.coupling",
    "Solution": "perfsim.coupling",
    "simulate": "perfsim.coupling",
    "check": "perfsim.coupling",
    "check_inputs": "perfsim.coupling",
    "reference_heart": "perfsim.cohorts",
    "synthetic_patient": "perfsim.cohorts",
    "aha17": "perfsim.observe",
    "fit": "perfsim.inverse",
    "dilate": "perfsim.study",
    "occlude": "perfsim.study",
    "sensitivity": "perfsim.study",
}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'perfsim' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__():
    return sorted(__all__)
