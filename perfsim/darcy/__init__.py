"""Flow through the myocardium: control volumes, the finite-volume operator, its solver."""

from perfsim.darcy.cartesian import box, cut_cells
from perfsim.darcy.certificate import error_bound
from perfsim.darcy.corrected import CorrectedOperator, Correction, correction
from perfsim.darcy.fibers import along_fibers, fibers
from perfsim.darcy.krylov import LinearSolve, conjugate_gradients, gmres
from perfsim.darcy.multigrid import Multigrid
from perfsim.darcy.operator import DarcyOperator, FiniteVolumes, operator, transmissibility
from perfsim.darcy.polyhedra import CellSamples, mesh_cells, tetrahedra_in_box
from perfsim.darcy.solve import SolveInfo, solve
from perfsim.darcy.volumes import ControlVolumes, Samples

__all__ = [
    "CellSamples",
    "ControlVolumes",
    "CorrectedOperator",
    "Correction",
    "DarcyOperator",
    "FiniteVolumes",
    "LinearSolve",
    "Multigrid",
    "Samples",
    "SolveInfo",
    "along_fibers",
    "box",
    "conjugate_gradients",
    "correction",
    "cut_cells",
    "error_bound",
    "fibers",
    "gmres",
    "mesh_cells",
    "operator",
    "solve",
    "tetrahedra_in_box",
    "transmissibility",
]
