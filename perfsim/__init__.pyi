from ._results import RESULTS, InputError, SimulationError
from ._runtime import enable_compile_cache
from .anatomy import EllipsoidWall, MaskWall, coronary_trunks
from .cohorts import reference_heart, synthetic_patient
from .coupling import GraphNetwork, Simulation, Solution, certify, check, check_inputs, pulsatile, simulate
from .darcy import FiniteVolumes, cut_cells
from .flow import JetExpansion, Steady, YoungTsai
from .growth import grow
from .inverse import fit, identifiability, posterior
from .network import Lesions, VesselNetwork
from .observe import aha17
from .precision import enable_x64
from .study import collateral, dilate, graft, occlude, sensitivity

__version__: str
__all__ = [
    "RESULTS",
    "EllipsoidWall",
    "FiniteVolumes",
    "GraphNetwork",
    "InputError",
    "JetExpansion",
    "Lesions",
    "MaskWall",
    "Simulation",
    "SimulationError",
    "Solution",
    "Steady",
    "VesselNetwork",
    "YoungTsai",
    "__version__",
    "aha17",
    "certify",
    "check",
    "check_inputs",
    "collateral",
    "coronary_trunks",
    "cut_cells",
    "dilate",
    "enable_compile_cache",
    "enable_x64",
    "fit",
    "graft",
    "grow",
    "identifiability",
    "occlude",
    "posterior",
    "pulsatile",
    "reference_heart",
    "sensitivity",
    "simulate",
    "synthetic_patient",
]
