"""A left-ventricular wall from segmented surfaces."""

from pathlib import Path

from perfsim._results import InputError
from perfsim.anatomy import Frame, MaskWall, frame_from_points
from perfsim.units import MM

import numpy as np
import pyvista as pv
from scipy import ndimage
from scipy.spatial import cKDTree

FREE_WALL = 14e-3  # [m]: muscle farther than this from the left cavity belongs to the right ventricle


def read_guide_points(path: str | Path, unit: float = MM) -> dict[str, np.ndarray]:
    """Points by contour type from a biv-me guide-point table (x, y, z, contour type, ...), in metres."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    points: dict[str, list[list[float]]] = {}
    for number, line in enumerate(path.read_text().splitlines()[1:], 2):
        words = line.split("\t")
        try:
            x, y, z = (float(w) * unit for w in words[:3])
            if not np.isfinite([x, y, z]).all():
                raise ValueError("coordinates must be finite")
            points.setdefault(words[3].strip(), []).append([x, y, z])
        except (IndexError, ValueError) as error:
            raise InputError(f"{path}, line {number}: cannot read {line.strip()!r} ({error})") from None
    return {name: np.array(rows) for name, rows in points.items()}


def frame_from_guide_points(points: dict[str, np.ndarray]) -> Frame:
    """The anatomical frame: mitral ring to apex, septum between the right ventricle's inserts.

    Which insert is anterior follows from handedness: (lateral, anterior, towards the apex) is right-handed.
    """
    for name in ("MITRAL_VALVE", "APEX_POINT", "RV_INSERT"):
        if name not in points:
            raise InputError(f"the guide points have no {name}: the long axis and the septum need it")
    base, apex, inserts = points["MITRAL_VALVE"], points["APEX_POINT"][0], points["RV_INSERT"]
    if np.linalg.norm(apex - base.mean(0)) < 1e-3:
        raise InputError("the apex lies at the base: the guide points give no long axis")
    axis = (apex - base.mean(0)) / np.linalg.norm(apex - base.mean(0))
    across = inserts - base.mean(0)
    across -= np.outer(across @ axis, axis)
    anterior = np.cross(axis, -across.mean(0))
    upper, lower = (inserts[side] for side in (across @ anterior > 0, across @ anterior < 0))
    if not len(upper) or not len(lower):
        raise InputError("the guide points need RV_INSERT points on both sides of the septum, anterior and inferior")
    return frame_from_points(base, apex, upper, lower)


def wall_from_surfaces(
    epicardium: str | Path,
    endocardium: str | Path,
    right_ventricle: str | Path,
    frame: Frame,
    *,
    unit: float = MM,
    spacing: float = 1.5e-3,
) -> MaskWall:
    """What lies within the epicardium, outside both cavities, and within 14 mm of the left one.

    Surfaces that are open at the valves are closed there. Arguments: surface files in `unit` [m], the frame [m], and
    the `spacing` of the mask that is made of them [m].
    """
    outer, left, right = (_closed(path) for path in (epicardium, endocardium, right_ventricle))
    grid = _grid(outer.bounds, spacing / unit, margin=1.0)
    points = pv.PolyData(grid.reshape(-1, 3))
    inside, in_left, in_right = (
        points.select_interior_points(s, method="signed_distance")["selected_points"].astype(bool)
        for s in (outer, left, right)
    )
    crossing = float((in_left & ~inside).sum() / max(in_left.sum(), 1))
    if crossing > 0.1:
        raise InputError(
            f"{100 * crossing:.0f} % of the cavity inside {endocardium} lies outside {epicardium}: the surfaces cross, "
            "or are exchanged, or not in one frame and unit"
        )
    near = cKDTree(left.subdivide(1).points).query(points.points, distance_upper_bound=FREE_WALL / unit)[0] < np.inf
    mask = (inside & ~in_left & ~in_right & near).reshape(grid.shape[:3])
    return MaskWall(_solid(mask), grid[0, 0, 0] * unit, spacing, frame)


def wall_from_mesh(path: str | Path, frame: Frame, *, unit: float = MM, spacing: float = 1.5e-3) -> MaskWall:
    """The wall that a volume mesh fills (VTU of tetrahedra, hexahedra, ...). Arguments as in `wall_from_surfaces`."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        mesh = pv.read(path)
    except Exception as error:
        raise InputError(f"{path}: VTK cannot read it ({error})") from None
    if not isinstance(mesh, pv.UnstructuredGrid) or mesh.n_cells == 0:
        raise InputError(f"{path}: is no volume mesh; a wall needs tetrahedra or hexahedra in a .vtu file")
    if float(mesh.compute_cell_sizes(length=False, area=False)["Volume"].min()) <= 0:
        raise InputError(f"{path}: has cells without volume or turned inside out: mend the mesh")
    # a margin that keeps off the faces of regular meshes, where a point would belong to the cells on both sides
    grid = _grid(mesh.bounds, spacing / unit, margin=1.37)
    inside = np.asarray(mesh.find_containing_cell(grid.reshape(-1, 3))) >= 0
    return MaskWall(_solid(inside.reshape(grid.shape[:3])), grid[0, 0, 0] * unit, spacing, frame)


def _grid(bounds, step: float, margin: float) -> np.ndarray:
    """Points (i, j, k, 3) of a cubic grid over VTK bounds, starting `margin` steps outside."""
    low, high = (np.array(bounds[k::2]) for k in (0, 1))
    axes = [np.arange(a - margin * step, b + 2 * step, step) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1)


def _solid(mask: np.ndarray) -> np.ndarray:
    """The largest piece of the mask, without sheets a voxel or two thick (where surfaces almost touch)."""
    label, count = ndimage.label(ndimage.binary_opening(mask))
    if count == 0:
        raise InputError("the surfaces enclose no wall: are they of one heart, in one frame and unit?")
    return label == 1 + np.argmax(np.bincount(label.ravel())[1:])


def _closed(path: str | Path) -> pv.PolyData:
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    surface = pv.read(path).clean().triangulate().fill_holes(1e6)
    if surface.n_open_edges:
        raise InputError(f"{path}: the surface stays open ({surface.n_open_edges} edges) after its holes are filled")
    return surface.compute_normals(auto_orient_normals=True, consistent_normals=True)
