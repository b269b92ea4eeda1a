"""Centerlines in VTP: VMTK's and SimVascular's, read as trees and written."""

from pathlib import Path
from typing import TYPE_CHECKING

from perfsim._extras import needed
from perfsim._results import InputError
from perfsim.io.bundles import EXACT, tree_of_paths
from perfsim.io.bundles import Path as Line
from perfsim.io.meshes import load
from perfsim.io.parents import tree_from_parents
from perfsim.io.polylines import paths_from_inlets
from perfsim.io.vtk_files import save_mesh
from perfsim.network import Centerlines
from perfsim.units import MM

import numpy as np

with needed("io"):
    import pyvista as pv

if TYPE_CHECKING:
    from perfsim.network import VesselNetwork

RADII = ("MaximumInscribedSphereRadius", "Radius", "radius", "radius_mm")
AREAS = ("CenterlineSectionArea",)


def read_centerlines(path: str | Path, unit: float = MM) -> Centerlines:
    """Read a VTP of polylines with a radius (or section area) at every point; lengths are in `unit` [m].

    VMTK writes one polyline per path from the inlet to an outlet, so shared stretches appear several times, and
    differ once lines were smoothed or resampled one by one: lines are one vessel until they part by a radius
    (`perfsim.io.bundles`). The inlet of each connected piece is the end where most polylines start, or else its
    thickest end (`perfsim.io.polylines`). Every unbranched run is one branch, `b0`, `b1`, ...; other ends become lumped
    outlets. Raises `InputError` where there are no lines or no radii, and with the place where lines close a loop or
    it cannot be told how they hang together.
    """
    path = Path(path)
    mesh = load(path)
    if not isinstance(mesh, pv.PolyData):
        raise InputError(f"{path}: holds no polygonal data; centerlines are polylines in a .vtp file")
    lines = _polylines(path, mesh)
    radius = _radius(path, mesh)
    position = np.asarray(mesh.points, float)
    used = np.unique(np.concatenate(lines))
    if not (np.isfinite(position[used]).all() and np.isfinite(radius[used]).all() and (radius[used] > 0).all()):
        bad = int(used[np.argmin(np.isfinite(position[used]).all(1) & (radius[used] > 0))])
        raise InputError(
            f"{path}: point {bad} has the radius {radius[bad]} at {position[bad]}: both must be finite, > 0"
        )
    near = EXACT * float(np.median(radius[used]))
    named = [_distinct(f"line {k + 1}", position[l], radius[l], near) for k, l in enumerate(lines)]
    named = [line for line in named if len(line.points) > 1]
    if not named:
        raise InputError(f"{path}: all points of the centerlines coincide")
    trees = [tree_of_paths(paths, str(path)) for paths in paths_from_inlets(named, str(path))]
    start = np.cumsum([0, *(len(parent) for _, _, parent in trees)])
    parent = np.concatenate([np.where(up < 0, -1, up + s) for (_, _, up), s in zip(trees, start, strict=False)])
    nodes, radii = (np.concatenate([tree[k] for tree in trees]) for k in (0, 1))
    return tree_from_parents(nodes * unit, radii * unit, parent, str(path))


def _distinct(name: str, points: np.ndarray, radius: np.ndarray, near: float) -> Line:
    """A line without points that coincide with the one before; both its ends stay where they are."""
    keep = [0]
    for k in range(1, len(points)):
        if np.linalg.norm(points[k] - points[keep[-1]]) > near:
            keep.append(k)
    if len(keep) > 1:
        keep[-1] = max(keep[-1], len(points) - 1) if np.linalg.norm(points[-1] - points[keep[-1]]) > 0 else keep[-1]
    return Line(name, points[keep], radius[keep])


def write_centerlines(path: Path, network: "Centerlines | VesselNetwork") -> None:
    """The tree's geometry alone: one polyline per branch with MaximumInscribedSphereRadius, in mm, as VMTK has it."""
    branch, tail, head = (np.asarray(getattr(network, f)) for f in ("branch", "tail", "head"))
    lumen = np.asarray(network.lumen) * 1e3
    points: list[np.ndarray] = []
    radius, lines, label = [], [], []
    for index in range(len(network.branch_names)):
        on = np.flatnonzero(branch == index)
        if not len(on):
            continue
        lines.append(np.concatenate([[len(on) + 1], sum(map(len, points)) + np.arange(len(on) + 1)]))
        points.append(np.asarray(network.position)[np.concatenate([tail[on[:1]], head[on]])] * 1e3)
        radius.append(np.concatenate([lumen[on[:1], 0], lumen[on, 1]]))
        label.append(np.full(len(on) + 1, index))
    mesh = pv.PolyData(np.concatenate(points), lines=np.concatenate(lines))
    mesh.point_data["MaximumInscribedSphereRadius"] = np.concatenate(radius)
    mesh.point_data["BranchId"] = np.concatenate(label)
    save_mesh(path, mesh)


def _polylines(path: Path, mesh: pv.PolyData) -> list[np.ndarray]:
    cells = mesh.GetLines()
    points, start = (np.asarray(pv.convert_array(a)) for a in (cells.GetConnectivityArray(), cells.GetOffsetsArray()))
    lines = [line for line in np.split(points, start[1:-1]) if len(line) > 1]
    if not lines:
        raise InputError(f"{path}: holds no lines; a surface is no centerline")
    return lines


def _radius(path: Path, mesh: pv.PolyData) -> np.ndarray:
    for name in RADII:
        if name in mesh.point_data and np.ndim(mesh.point_data[name]) == 1:
            return np.asarray(mesh.point_data[name], float)
    for name in AREAS:
        if name in mesh.point_data and np.ndim(mesh.point_data[name]) == 1:
            return np.sqrt(np.maximum(np.asarray(mesh.point_data[name], float), 0.0) / np.pi)
    have = ", ".join(mesh.point_data.keys()) or "none"
    raise InputError(f"{path}: no radius at its points; needs {RADII[0]} or {AREAS[0]}, has the arrays: {have}")
