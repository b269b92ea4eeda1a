"""Tetrahedra and hexahedra as control volumes."""

import dataclasses
from collections.abc import Callable, Iterator
from itertools import product

from perfsim._results import InputError
from perfsim.darcy.coarsening import morton_codes
from perfsim.darcy.volumes import ControlVolumes

import numpy as np
import scipy

FACES = {
    4: np.array([[1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1]]),
    8: np.array([[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]),
}
"""corners of the faces of a cell, outwards, in VTK's order of corners"""
_HALVES = np.array([[0.75, 0.25], [0.25, 0.75]])
INSIDE = {
    4: (0.25 - 5**0.5 / 20) + 5**-0.5 * np.eye(4),
    8: np.array([np.kron(np.kron(z, y), x)[[0, 1, 3, 2, 4, 5, 7, 6]] for z, y, x in product(_HALVES, repeat=3)]),
}
"""corner weights of the points that stand for the parts of a cell"""


@dataclasses.dataclass(frozen=True)
class CellSamples:
    """A few points inside each cell, which tell where its tissue lies; and the surface of the mesh."""

    vertices: np.ndarray
    """(m, 3) of the mesh [m]"""
    corner: np.ndarray
    """(volumes, 4 or 8) numbers of the corners of each volume"""
    cell: np.ndarray
    """the cell of the mesh that each volume is"""
    part: np.ndarray
    """volume [m³] that each of the points of a volume stands for"""
    boundary: np.ndarray
    """(faces,) volume of each face on the surface"""
    boundary_area: np.ndarray
    """(faces, 3) outward normal times area [m²]"""
    boundary_corners: np.ndarray
    """(faces, 3 or 4, 3) [m]"""

    def points(self, chunk: int = 100_000) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(volumes, points (n, 3) [m]), so many volumes at a time, in their order."""
        inside = INSIDE[self.corner.shape[1]]
        for start in range(0, len(self.corner), chunk):
            corners = self.vertices[self.corner[start : start + chunk]]
            at = np.einsum("pc,ncx->npx", inside, corners)
            yield np.repeat(np.arange(start, start + len(corners)), len(inside)), at.reshape(-1, 3)

    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        """(corners (m, 3) [m], their numbers (volumes, 4 or 8) in VTK's order)."""
        return self.vertices, self.corner

    def weight(self, volume: np.ndarray) -> np.ndarray:
        """Tissue that one point of each of these volumes stands for [m³]."""
        return self.part[volume]


def mesh_cells(
    points: np.ndarray, cells: np.ndarray, depth: Callable[[np.ndarray], np.ndarray] | None = None
) -> tuple[ControlVolumes, CellSamples]:
    """Control volumes from tetrahedra (n, 4) or hexahedra (n, 8), by the numbers of their corners in VTK's order.

    Arguments: corners (m, 3) [m]; `depth` of points across the wall, 0 epicardium to 1 endocardium (0.5 if left out).
    Raises `InputError` for cells without volume or turned inside out, faces that more than two cells claim, loose
    parts, and numbers that name no point.
    """
    points, cells = np.asarray(points, float), np.asarray(cells)
    if cells.ndim != 2 or cells.shape[1] not in FACES or len(cells) == 0:
        raise InputError(f"cells of shape {cells.shape} are no mesh: give tetrahedra (n, 4) or hexahedra (n, 8)")
    bad = np.flatnonzero(((cells < 0) | (cells >= len(points))).any(1))
    if len(bad):
        raise InputError(f"cell {bad[0]} names points {cells[bad[0]].tolist()}; they run from 0 to {len(points) - 1}")
    center, volume = _centroids(points, cells)
    size = np.cbrt(volume.mean())
    code = morton_codes(np.floor((center - center.min(0)) / size).astype(int))
    order = np.argsort(code, kind="stable")
    center, volume, cells, code = center[order], volume[order], cells[order], code[order]
    pairs, area, middle, single = _shared_faces(points, cells, center, order)
    _check_whole(pairs, len(cells), order)
    d = center[pairs[:, 1]] - center[pairs[:, 0]]
    along = np.einsum("fx,fx->f", area, d)
    bad = np.flatnonzero(~(along > 0))
    if len(bad):
        i, j = order[pairs[bad[0]]]
        raise InputError(f"cells {i} and {j} lie on the wrong sides of the face between them: the mesh is tangled")
    volumes = ControlVolumes.build(
        center=center,
        volume=volume,
        depth=np.full(len(center), 0.5) if depth is None else np.asarray(depth(center)),
        conductor=np.einsum("fx,fx->f", area, area) / along,
        face_cells=pairs,
        code=code,
        area=area,
        face_center=middle,
    )
    return volumes, CellSamples(points, cells, order, volume / len(INSIDE[cells.shape[1]]), *single)


def tetrahedra_in_box(size: float, n: int, jitter: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(corners, tetrahedra) of a cube of `size` [m], six in each of n³ smaller ones, inner corners moved at random by
    up to `jitter` of the spacing.
    """
    corner = np.stack(np.meshgrid(*[np.arange(n + 1)] * 3, indexing="ij"), -1).reshape(-1, 3).astype(float)
    inner = (corner > 0) & (corner < n)
    corner += jitter * np.random.default_rng(seed).uniform(-1.0, 1.0, corner.shape) * inner
    stride = np.array([(n + 1) ** 2, n + 1, 1])
    low = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3) @ stride
    tets = []
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2)):  # Kuhn's six
        path = np.cumsum([0, stride[a], stride[b], stride[c]])
        even = (a, b, c) in ((0, 1, 2), (1, 2, 0), (2, 0, 1))
        tets.append(low[:, None] + (path if even else path[[0, 2, 1, 3]]))
    return corner * (size / n), np.concatenate(tets)


def _centroids(points, cells) -> tuple[np.ndarray, np.ndarray]:
    """Centers and volumes, by the tetrahedra between a cell's middle and triangles around the middles of its faces."""
    corners = points[cells]
    middle = corners.mean(1)
    volume, moment = np.zeros(len(cells)), np.zeros((len(cells), 3))
    for face in FACES[cells.shape[1]]:
        ring = corners[:, face]
        hub = ring.mean(1)
        for k in range(len(face)):
            a, b = ring[:, k] - middle, ring[:, (k + 1) % len(face)] - middle
            part = np.einsum("nx,nx->n", np.cross(a, b), hub - middle) / 6.0
            volume += part
            moment += part[:, None] * (middle + (a + b + hub - middle) / 4.0)
    if (volume < 0).all():  # files of either handedness, but of one
        volume, moment = -volume, -moment
    bad = np.flatnonzero(~(volume > 1e-9 * np.abs(volume).mean()))
    if len(bad):
        raise InputError(
            f"cell {bad[0]} has the volume {volume[bad[0]]:.3g} m³ ({len(bad)} of {len(cells)} cells have none or are "
            "turned inside out): mend the mesh"
        )
    return moment / volume[:, None], volume


def _shared_faces(points, cells, center, order):
    """(cells on both sides, area vector from the first to the second, middle) of each face, and of those on the
    surface their only cell, outward area vector and corners.
    """
    local = FACES[cells.shape[1]]
    corners = cells[:, local].reshape(-1, local.shape[1])
    owner = np.repeat(np.arange(len(cells)), len(local))
    _, same, count = np.unique(np.sort(corners, axis=1), axis=0, return_inverse=True, return_counts=True)
    same = same.ravel()
    if count.max() > 2:
        shared = order[owner[same == np.argmax(count)]]
        raise InputError(f"cells {shared.tolist()} all claim one face: the mesh is not a division of space")
    by_face = np.argsort(same, kind="stable")
    start = np.searchsorted(same[by_face], np.arange(len(count)))
    first, second = by_face[start], by_face[np.minimum(start + 1, len(by_face) - 1)]
    ring = points[corners[first]]
    area = 0.5 * sum(np.cross(ring[:, k], ring[:, (k + 1) % ring.shape[1]]) for k in range(ring.shape[1]))
    middle = ring.mean(1)
    area *= np.sign(np.einsum("fx,fx->f", area, middle - center[owner[first]]))[:, None]
    twice = count == 2
    pairs = np.stack([owner[first[twice]], owner[second[twice]]], 1).astype(np.int32)
    turn = pairs[:, 0] > pairs[:, 1]
    pairs.sort(axis=1)
    inner = np.where(turn[:, None], -area[twice], area[twice])
    along = np.lexsort((pairs[:, 1], pairs[:, 0]))
    single = owner[first[~twice]], area[~twice], ring[~twice]
    return pairs[along], inner[along], middle[twice][along], single


def _check_whole(pairs, count, order) -> None:
    graph = scipy.sparse.coo_matrix((np.ones(len(pairs), bool), pairs.T), (count, count))
    parts, label = scipy.sparse.csgraph.connected_components(graph, directed=False)
    if parts > 1:
        size = np.bincount(label)
        loose = order[np.flatnonzero(label == np.argmin(size))[0]]
        raise InputError(
            f"the mesh falls into {parts} parts that share no faces (the smallest has {size.min()} cells, cell {loose} "
            "among them): merge duplicate points or drop the loose cells"
        )
