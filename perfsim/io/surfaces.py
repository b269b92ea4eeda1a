"""Triangulated surfaces of the heart, open at the valves as segmentations leave them."""

import dataclasses
from pathlib import Path

from perfsim._extras import needed
from perfsim._results import InputError
from perfsim.anatomy.winding import winding_number
from perfsim.io.meshes import load
from perfsim.io.trees import UNITS

import numpy as np
import scipy

with needed("io"):
    import pyvista as pv

EXTENT = (40e-3, 300e-3)
"""[m], the longest side of a plausible ventricle or heart"""


@dataclasses.dataclass(frozen=True, eq=False)
class Surface:
    """Triangles that face outwards. Lengths are in the file's unit."""

    source: str
    vertices: np.ndarray
    triangles: np.ndarray
    openings: tuple[float, ...]
    """width of each ring of free edges"""
    pieces: int
    inverted: bool
    """the file's triangles faced inwards; they were turned"""
    inconsistent: int
    """edges of the file along which neighbouring triangles faced opposite ways"""

    @property
    def extent(self) -> np.ndarray:
        """Size along x, y, z."""
        return np.ptp(self.vertices, axis=0)

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Which points (n, 3) lie within, openings closed where the winding number passes ½."""
        low, high = self.vertices.min(0), self.vertices.max(0)
        margin = 0.1 * (high - low)
        points = np.asarray(points, float)
        near = ((points >= low - margin) & (points <= high + margin)).all(1)
        found = np.zeros(len(points), bool)
        found[near] = winding_number(points[near], self.vertices, self.triangles) > 0.5
        return found

    def volume(self) -> float:
        """Enclosed volume, openings closed by cones to their middles."""
        return _signed_volume(self.vertices, self.triangles, _rings(self.triangles))

    def distance(self, points: np.ndarray, limit: float) -> np.ndarray:
        """Distance of points to the vertices of the surface divided once, infinite beyond the limit."""
        fine = pv.PolyData.from_regular_faces(self.vertices, self.triangles).subdivide(1)
        return scipy.spatial.cKDTree(fine.points).query(points, distance_upper_bound=limit)[0]

    def check_unit(self, unit: float) -> None:
        """Raise `InputError` where the surface is not the size of a heart in `unit` [m]."""
        size = float(self.extent.max())
        if not EXTENT[0] <= size * unit <= EXTENT[1]:
            hint = ", ".join(repr(u) for u in self.plausible_units()) or "none fits; is it a heart?"
            raise InputError(
                f"{self.source}: is {size:.4g} units long, {size * unit * 1e3:.4g} mm in the unit given: no heart; "
                f"set anatomy.unit to {hint}"
            )

    def problems(self) -> list[str]:
        """What was wrong with the file's triangles and is mended, or cannot be, in sentences."""
        found = []
        if self.inverted:
            found.append("its triangles face inwards: they were turned")
        if self.inconsistent:
            found.append(f"neighboring triangles face opposite ways along {self.inconsistent} edges: they were turned")
        if self.pieces > 1:
            found.append(f"{self.pieces} loose pieces: all are used; remove what does not belong to the surface")
        return found

    def plausible_units(self) -> list[str]:
        """Units in which the surface is the size of a ventricle or heart."""
        size = float(self.extent.max())
        return [name for name, u in UNITS.items() if EXTENT[0] <= size * u <= EXTENT[1]]


def read_surface(path: str | Path) -> Surface:
    """Read OBJ, STL, PLY or VTP; coincident points are merged, triangles turned to face outwards.

    Raises `InputError` naming the file where it cannot be read, holds no triangles, or has points that are not finite.
    """
    path = Path(path)
    mesh = load(path).extract_surface(algorithm="dataset_surface").triangulate()
    mesh = mesh.clean()
    triangles = np.asarray(mesh.faces).reshape(-1, 4)[:, 1:] if mesh.n_cells else np.zeros((0, 3), int)
    if not len(triangles) or not np.ptp(np.asarray(mesh.points), axis=0).min() > 0:
        raise InputError(f"{path}: holds no triangles that enclose anything")
    turned = mesh.compute_normals(consistent_normals=True, auto_orient_normals=False, split_vertices=False)
    vertices, faces = np.asarray(turned.points, float), np.asarray(turned.faces).reshape(-1, 4)[:, 1:]
    rings = _rings(faces)
    if _signed_volume(vertices, faces, rings) < 0:
        faces = faces[:, ::-1]
    inverted = _divergence((np.asarray(mesh.points, float) - vertices.mean(0))[triangles]) < 0
    widths = tuple(sorted((float(np.linalg.norm(np.ptp(vertices[r], axis=0))) for r in rings), reverse=True))
    pieces = int(turned.connectivity().point_data["RegionId"].max()) + 1
    return Surface(str(path), vertices, faces, widths, pieces, inverted, _disagreeing(triangles))


def _rings(triangles: np.ndarray) -> list[np.ndarray]:
    """Vertices of each ring of free edges, in the order in which the triangles pass them."""
    edges = _edges(triangles)
    _, inverse, count = np.unique(np.sort(edges, 1), axis=0, return_inverse=True, return_counts=True)
    after: dict[int, list[int]] = {}  # two rings may touch at a vertex
    for a, b in edges[count[inverse.ravel()] == 1].tolist():
        after.setdefault(a, []).append(b)
    rings = []
    while after:
        ring = [next(iter(after))]
        while ring[-1] in after:
            ways = after[ring[-1]]
            at = ways.pop()
            if not ways:
                del after[ring[-1]]
            ring.append(at)
        rings.append(np.array(ring[:-1]))
    return rings


def _edges(triangles: np.ndarray) -> np.ndarray:
    """The three edges of every triangle, each in the direction in which the triangle passes it."""
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


def _signed_volume(vertices: np.ndarray, triangles: np.ndarray, rings: list[np.ndarray]) -> float:
    """∮ x·n dA / 3 over the triangles and, across each ring, a cone to its middle."""
    total = _divergence(vertices[triangles])
    for ring in rings:
        a, b = vertices[ring], vertices[np.roll(ring, -1)]
        total += _divergence(np.stack([b, a, np.broadcast_to(a.mean(0), a.shape)], 1))
    return total


def _divergence(corner: np.ndarray) -> float:
    return float(np.einsum("ij,ij->", corner[:, 0], np.cross(corner[:, 1], corner[:, 2]))) / 6.0


def _disagreeing(triangles: np.ndarray) -> int:
    """Edges that two triangles run through in the same direction."""
    edges = _edges(triangles)
    return len(edges) - len(np.unique(edges, axis=0))
