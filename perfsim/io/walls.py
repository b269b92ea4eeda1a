"""A left-ventricular wall from segmented surfaces or a volume mesh."""

from pathlib import Path

from perfsim._extras import needed
from perfsim._results import InputError
from perfsim.anatomy import Frame, MaskWall
from perfsim.io.meshes import load
from perfsim.io.surfaces import EXTENT, Surface
from perfsim.io.trees import UNITS
from perfsim.units import MM

import numpy as np
import scipy

with needed("io"):
    import pyvista as pv

FREE_WALL = 14e-3  # [m]: muscle farther than this from the left cavity belongs to the right ventricle
CROSSING = 0.1  # share of a cavity that may lie where it cannot before its surfaces are said to cross


def wall_from_surfaces(
    epicardium: Surface,
    endocardium: Surface,
    right_ventricle: Surface,
    frame: Frame,
    *,
    unit: float = MM,
    spacing: float = 1.5e-3,
) -> MaskWall:
    """What lies within the epicardium, outside both cavities, and within 14 mm of the left one.

    Openings at the valves are closed where the winding number passes ½. Arguments: surfaces in `unit` [m], the frame
    [m], and the `spacing` of the mask that is made of them [m]. Raises `InputError` for surfaces that are not the size
    of a heart, that cross, or that enclose no wall.
    """
    for surface in (epicardium, endocardium, right_ventricle):
        surface.check_unit(unit)
    grid = _grid(np.stack([endocardium.vertices.min(0), endocardium.vertices.max(0)]), spacing, FREE_WALL, unit)
    points = grid.reshape(-1, 3)
    axis = (frame.base + np.linspace(0.2, 0.7, 26)[:, None] * frame.length * frame.axis) / unit
    if endocardium.inside(axis).mean() < 0.5:
        hint = "it is exchanged with the right ventricle" if right_ventricle.inside(axis).mean() > 0.5 else "one frame?"
        raise InputError(f"{endocardium.source}: the long axis of the guide points does not run inside it: {hint}")
    near = endocardium.distance(points, FREE_WALL / unit) < np.inf
    within, in_left, in_right = (s.inside(points[near]) for s in (epicardium, endocardium, right_ventricle))
    _complain_of_crossing(in_left, ~within, endocardium, "lies outside", epicardium)
    _complain_of_crossing(in_left, in_right, endocardium, "lies inside", right_ventricle)
    mask = np.zeros(len(points), bool)
    mask[near] = within & ~in_left & ~in_right
    return MaskWall(_solid(mask.reshape(grid.shape[:3])), grid[0, 0, 0] * unit, spacing, frame)


def _complain_of_crossing(cavity, wrong, surface: Surface, relation: str, other: Surface) -> None:
    share = float((cavity & wrong).sum() / max(cavity.sum(), 1))
    if share > CROSSING:
        raise InputError(
            f"{100 * share:.0f} % of the cavity inside {surface.source} {relation} {other.source}: the surfaces cross, "
            "or are exchanged, or not in one frame and unit"
        )


def wall_from_mesh(path: str | Path, frame: Frame, *, unit: float = MM, spacing: float = 1.5e-3) -> MaskWall:
    """The wall that a volume mesh fills (VTU of tetrahedra, hexahedra, ...). Arguments as in `wall_from_surfaces`.

    Raises `InputError` for a mesh that is not the size of a heart, and as `read_volume_mesh`.
    """
    mesh = read_volume_mesh(path)
    size = float(np.ptp(np.reshape(mesh.bounds, (3, 2)), axis=1).max())
    if not EXTENT[0] <= size * unit <= EXTENT[1]:
        hint = ", ".join(repr(u) for u, s in UNITS.items() if EXTENT[0] <= size * s <= EXTENT[1]) or "none fits"
        raise InputError(
            f"{path}: is {size:.4g} units long, {size * unit * 1e3:.4g} mm in the unit given: no heart; set "
            f"anatomy.unit to {hint}"
        )
    # a margin that keeps off the faces of regular meshes, where a point would belong to the cells on both sides
    grid = _grid(np.reshape(mesh.bounds, (3, 2)).T, spacing, 1.37 * spacing, unit)
    inside = np.asarray(mesh.find_containing_cell(grid.reshape(-1, 3))) >= 0
    return MaskWall(_solid(inside.reshape(grid.shape[:3])), grid[0, 0, 0] * unit, spacing, frame)


def read_volume_mesh(path: str | Path) -> pv.UnstructuredGrid:
    """Read the volume cells of a VTU; vertices, lines and faces are left out.

    Raises `InputError` naming the file, the cell and what is wrong where a volume is not positive.
    """
    return volume_mesh_with_notes(path)[0]


def volume_mesh_with_notes(path: str | Path) -> tuple[pv.UnstructuredGrid, list[str]]:
    """As `read_volume_mesh`, with what was left out, in sentences."""
    path = Path(path)
    mesh = load(path)
    if not isinstance(mesh, pv.UnstructuredGrid) or mesh.n_cells == 0:
        raise InputError(f"{path}: is no volume mesh; a wall needs tetrahedra or hexahedra in a .vtu file")
    mesh, notes = _volumes(path, mesh)
    volume = np.asarray(mesh.compute_cell_sizes(length=False, area=False)["Volume"])
    volume = volume * np.sign(volume.sum())  # files of either handedness, but of one
    bad = np.flatnonzero(~(volume > 0))
    if len(bad):
        raise InputError(
            f"{path}: cell {bad[0]} has the volume {volume[bad[0]]:.3g} ({len(bad)} of {mesh.n_cells} cells have none "
            "or are turned inside out): mend the mesh"
        )
    return mesh, notes


def _volumes(path: Path, mesh: pv.UnstructuredGrid) -> tuple[pv.UnstructuredGrid, list[str]]:
    """The cells that have three dimensions, and a sentence about the others."""
    kinds, first, count = np.unique(np.asarray(mesh.celltypes), return_index=True, return_counts=True)
    solid = np.array([mesh.GetCell(int(i)).GetCellDimension() == 3 for i in first])
    if solid.all():
        return mesh, []
    others = ", ".join(f"{n} {pv.CellType(int(k)).name}" for k, n in zip(kinds[~solid], count[~solid], strict=True))
    if not solid.any():
        raise InputError(f"{path}: holds {others}: no volumes; a wall needs tetrahedra or hexahedra")
    kept = mesh.extract_cells(np.isin(np.asarray(mesh.celltypes), kinds[solid]))
    return kept, [f"{others} cells have no volume: they were left out"]


def _grid(corners: np.ndarray, spacing: float, margin: float, unit: float) -> np.ndarray:
    """Points (i, j, k, 3) in `unit` of a grid of `spacing` [m] over a box (two corners in `unit`) and a margin [m]."""
    axes = [np.arange(a - margin / unit, b + (margin + spacing) / unit, spacing / unit) for a, b in corners.T]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1)


def _solid(mask: np.ndarray) -> np.ndarray:
    """The largest piece of the mask, without sheets a voxel or two thick (where surfaces almost touch)."""
    label, count = scipy.ndimage.label(scipy.ndimage.binary_opening(mask))
    if count == 0:
        raise InputError("the surfaces enclose no wall: are they of one heart, in one frame and unit?")
    return label == 1 + np.argmax(np.bincount(label.ravel())[1:])
