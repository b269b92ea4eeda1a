"""Centerlines in VTP: VMTK's and SimVascular's, read as trees and written."""

from pathlib import Path
from typing import TYPE_CHECKING

from perfsim._extras import needed
from perfsim._results import InputError
from perfsim.io.meshes import load
from perfsim.io.vtk_files import save_mesh
from perfsim.network import Centerlines, depths, unbranched_runs
from perfsim.units import MM

import numpy as np
import scipy

with needed("io"):
    import pyvista as pv

if TYPE_CHECKING:
    from perfsim.network import VesselNetwork

RADII = ("MaximumInscribedSphereRadius", "Radius", "radius", "radius_mm")
AREAS = ("CenterlineSectionArea",)


def read_centerlines(path: str | Path, unit: float = MM) -> Centerlines:
    """Read a VTP of polylines with a radius (or section area) at every point; lengths are in `unit` [m].

    VMTK writes one polyline per path from the inlet to an outlet, so shared stretches appear several times: points
    that coincide (to a hundredth of the median radius) are merged, as are doubled segments. The inlet of each
    connected piece is the end where most polylines start, or else its thickest end. Every unbranched run is one branch,
    `b0`, `b1`, ...; other ends become lumped outlets. Raises `InputError` where there are no lines, no radii, or loops.
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
    label = _merged(position, 0.01 * float(np.median(radius[used])))
    ends = np.concatenate([np.stack([label[l[:-1]], label[l[1:]]], 1) for l in lines])
    ends = ends[ends[:, 0] != ends[:, 1]]
    if not len(ends):
        raise InputError(f"{path}: all points of the centerlines coincide")
    edges = np.unique(np.sort(ends, 1), axis=0)
    nodes, edges = np.unique(edges, return_inverse=True)
    edges = edges.reshape(-1, 2)
    first = np.array([int(np.flatnonzero(label == n)[0]) for n in nodes])
    starts = np.array([int(np.searchsorted(nodes, label[l[0]])) for l in lines])
    _, piece = scipy.sparse.csgraph.connected_components(
        scipy.sparse.coo_matrix((np.ones(len(edges)), edges.T), (len(nodes), len(nodes))), directed=False
    )
    inlets = [_inlet(path, edges, starts, radius[first], np.flatnonzero(piece == p)) for p in range(piece.max() + 1)]
    return tree_from_edges(position[first] * unit, radius[first] * unit, edges, inlets, str(path))


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


def tree_from_edges(position, radius, edges, inlets: list[int], source: str) -> Centerlines:
    """A network from undirected edges: directed away from the inlets, unbranched runs as branches, ends as outlets."""
    try:
        parent = _parents(len(position), edges, inlets)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from None
    head = np.flatnonzero(parent >= 0)
    head = head[np.argsort(depths(parent)[head], kind="stable")]
    tail = parent[head]
    branch, names = unbranched_runs(tail, head, len(position))
    ends = head[np.bincount(tail, minlength=len(position))[head] == 0]
    used = np.zeros(len(position), bool)
    used[head] = used[tail] = True
    number = np.cumsum(used) - 1
    try:
        return Centerlines.build(
            position[used], number[tail], number[head], np.stack([radius[tail], radius[head]], 1),
            inlets=number[inlets],
            outlets=number[ends], branch=branch, branch_names=names,
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


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


def _merged(position: np.ndarray, tolerance: float) -> np.ndarray:
    """A label per point, the same for points within the tolerance of each other."""
    finite = np.where(np.isfinite(position), position, 0.0)
    _, label = np.unique(np.round(finite / tolerance).astype(np.int64), axis=0, return_inverse=True)
    return label.ravel()


def _inlet(path: Path, edges: np.ndarray, starts: np.ndarray, radius: np.ndarray, piece: np.ndarray) -> int:
    """Where blood enters one connected piece."""
    degree = np.bincount(edges.ravel(), minlength=len(radius))
    ends = piece[degree[piece] == 1]
    if not len(ends):
        raise InputError(f"{path}: a piece of the centerlines has no free end, so no inlet: it forms a closed loop")
    counts = np.bincount(starts, minlength=len(radius))[ends]
    return int(ends[np.argmax(counts)] if counts.max() > 1 else ends[np.argmax(radius[ends])])


def _parents(count: int, edges: np.ndarray, inlets: list[int]) -> np.ndarray:
    """Parent of each node by breadth-first search from the inlets; raises `ValueError` for a loop."""
    ends = np.concatenate([edges, edges[:, ::-1]])
    ends = ends[np.argsort(ends[:, 0], kind="stable")]
    start = np.searchsorted(ends[:, 0], np.arange(count + 1))
    parent, seen, queue = np.full(count, -1), np.zeros(count, bool), list(inlets)
    seen[queue] = True
    for node in queue:
        for other in ends[start[node] : start[node + 1], 1].tolist():
            if not seen[other]:
                seen[other], parent[other] = True, node
                queue.append(other)
    if len(edges) > len(queue) - len(inlets):
        raise ValueError("the centerlines close a loop: a tree is required; remove one segment of the loop")
    return parent
