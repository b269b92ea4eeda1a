"""Flow through the myocardium: control volumes, the finite-volume operator, its solver."""

from perfsim.darcy.cartesian import box, cut_cells
from perfsim.darcy.certificate import error_bound
from perfsim.darcy.krylov import conjugate_gradients
from perfsim.darcy.multigrid import Multigrid
from perfsim.darcy.operator import DarcyOperator, FiniteVolumes, operator, transmissibility
from perfsim.darcy.solve import solve
from perfsim.darcy.volumes import ControlVolumes, Samples

__all__ = [
    "ControlVolumes",
    "DarcyOperator",
    "FiniteVolumes",
    "Multigrid",
    "Samples",
    "box",
    "conjugate_gradients",
    "cut_cells",
    "error_bound",
    "operator",
    "solve",
    "transmissibility",
]
