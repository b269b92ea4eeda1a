"""Control volumes straight from a volume mesh."""

from collections.abc import Callable
from pathlib import Path

from perfsim._extras import needed
from perfsim._results import InputError
from perfsim.darcy import CellSamples, ControlVolumes, mesh_cells
from perfsim.io.walls import read_volume_mesh
from perfsim.units import MM

import numpy as np

with needed("io"):
    import pyvista as pv


def volumes_from_mesh(
    path: str | Path, *, unit: float = MM, depth: Callable[[np.ndarray], np.ndarray] | None = None
) -> tuple[ControlVolumes, CellSamples]:
    """Every cell of a volume mesh (VTU) of tetrahedra or of hexahedra as a control volume.

    Arguments: the file's `unit` [m]; `depth` of points [m] across the wall, such as `wall.depth`. Raises `InputError`
    naming the file for other or mixed cells, and for what `darcy.mesh_cells` refuses.
    """
    mesh = read_volume_mesh(path)
    kinds = {int(k): np.asarray(cells) for k, cells in mesh.cells_dict.items()}
    usable = {int(pv.CellType.TETRA), int(pv.CellType.HEXAHEDRON)}
    if len(kinds) != 1 or not usable >= set(kinds):
        found = ", ".join(f"{len(cells)} {pv.CellType(kind).name}" for kind, cells in kinds.items())
        raise InputError(f"{path}: has {found}: volumes are made of tetrahedra or of hexahedra only; triangulate it")
    try:
        return mesh_cells(np.asarray(mesh.points, float) * unit, next(iter(kinds.values())), depth)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
