"""Flow through the myocardium: control volumes, the finite-volume operator, its solver."""

from perfsim.darcy.cartesian import box, cut_cells
from perfsim.darcy.krylov import conjugate_gradients
from perfsim.darcy.operator import DarcyOperator, FiniteVolumes, operator, transmissibility
from perfsim.darcy.volumes import ControlVolumes, Samples

__all__ = [
    "ControlVolumes",
    "DarcyOperator",
    "FiniteVolumes",
    "Samples",
    "box",
    "conjugate_gradients",
    "cut_cells",
    "operator",
    "transmissibility",
]
