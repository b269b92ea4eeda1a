"""VTK files for ParaView: the network as lines, the wall as voxels. Coordinates in mm, LPS like ITK and SimVascular."""

from pathlib import Path

from perfsim._extras import needed
from perfsim.coupling import Simulation, Solution
from perfsim.coupling.system import vessel_laws
from perfsim.coupling.territories import trunk_branch
from perfsim.darcy import CellSamples, Samples
from perfsim.io.vtk_files import add_names, save_mesh
from perfsim.network import VesselNetwork, no_lesions, radii
from perfsim.observe import ffr
from perfsim.units import ML_MIN, MMHG

import numpy as np

with needed("io"):
    import pyvista as pv


def write_network(path: Path, sim: Simulation, solution: Solution) -> None:
    """Vessels as lines with radius_mm, flow_mL_min, pressure_mmHg and pd_pa of each state (use a Tube filter)."""
    network = sim.network
    head, radius = np.asarray(network.head), np.asarray(vessel_laws(sim).radius)
    mesh = _as_lines(network, radius)
    mesh.cell_data["branch"] = trunk_branch(network)
    mesh.cell_data["grown"] = np.asarray(~network.measured & (network.branch == len(network.branch_names) - 1)).astype(
        int
    )
    at_node = np.zeros(len(network.position))
    at_node[head] = radius[:, 1] * 1e3
    roots = np.asarray(network.inlets)
    at_node[roots] = np.asarray(network.root_radius) * 1e3
    mesh.point_data["radius_mm"] = at_node
    for name, state in solution.in_order():
        mesh.cell_data[f"flow_mL_min_{name}"] = np.asarray(state.flow) / ML_MIN
        mesh.cell_data[f"pd_pa_{name}"] = np.asarray(ffr(state))
        mesh.point_data[f"pressure_mmHg_{name}"] = np.asarray(state.total_pressure) / MMHG
    save_mesh(path, mesh)


def write_geometry(path: Path, network: VesselNetwork) -> None:
    """A network without a solution: vessels as lines with radius_mm, branch, grown and the demand they feed."""
    mesh = _as_lines(network, np.asarray(radii(network, no_lesions())))
    mesh.cell_data["branch"] = np.asarray(network.branch)
    mesh.cell_data["grown"] = (~np.asarray(network.measured)).astype(int)
    mesh.cell_data["demand"] = np.asarray(network.design_flow()[0])
    save_mesh(path, mesh)


def _as_lines(network: VesselNetwork, radius: np.ndarray) -> pv.PolyData:
    """Every vessel as a line, with its mean radius and the names of the branches."""
    tail, head = np.asarray(network.tail), np.asarray(network.head)
    lines = np.column_stack([np.full(len(tail), 2), tail, head]).ravel()
    mesh = pv.PolyData(np.asarray(network.position) * 1e3, lines=lines)
    mesh.cell_data["radius_mm"] = radius.mean(1) * 1e3
    add_names(mesh, "branch_names", network.branch_names)
    return mesh


def write_tissue(
    path: Path, sim: Simulation, solution: Solution, samples: Samples | CellSamples, cell_data: dict
) -> None:
    """Control volumes as voxels, or as the cells of their mesh, with MBF, pressure and what `cell_data` adds."""
    points, cells = samples.cells()
    kind = pv.CellType.TETRA if cells.shape[1] == 4 else pv.CellType.HEXAHEDRON
    mesh = pv.UnstructuredGrid({kind: cells}, points * 1e3)
    volumes = sim.parts()[0]
    mesh.cell_data["volume_mm3"] = np.asarray(volumes.volume) * 1e9
    mesh.cell_data["depth"] = np.asarray(volumes.depth)
    for name, values in cell_data.items():
        mesh.cell_data[name] = np.asarray(values)
    for name, state in solution.in_order():
        mesh.cell_data[f"mbf_{name}"] = np.asarray(state.mbf)
        mesh.cell_data[f"pressure_mmHg_{name}"] = np.asarray(state.tissue_pressure) / MMHG
    if {"rest", "hyperemia"} <= set(solution.states):
        mesh.cell_data["mfr"] = np.asarray(solution.mfr)
    save_mesh(path, mesh)
