"""Control volumes and their faces."""

import dataclasses
from collections.abc import Iterator

from perfsim._arrays import on_device
from perfsim.darcy.coarsening import Coarsening, coarsen, neighbors, twins
from perfsim.darcy.faces import Faces
from perfsim.precision import require_float64

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int

SUBCELLS = 3
"""per direction and grid cell"""


class ControlVolumes(eqx.Module):
    """A face-based mesh; neighbor lists are padded (see `columns`), so that sums over faces are gathers.

    Build one with `ControlVolumes.build`.
    """

    center: Float[Array, "volumes 3"]
    """centroids [m]"""
    volume: Float[Array, " volumes"]
    """[m³]"""
    depth: Float[Array, " volumes"]
    """transmural depth, 0 epicardium to 1 endocardium"""
    neighbor: Int[Array, "sides volumes"]
    """neighbors of each volume; itself where there are fewer"""
    twin: Int[Array, "sides volumes"]
    """flat position of each side as its neighbor sees it; its own where there is none"""
    conductor: Float[Array, "sides volumes"]
    """area of the face to each neighbor over the distance of the two centers [m], the same seen from both sides"""
    levels: tuple[Coarsening, ...]
    """coarser meshes, the finest first"""
    faces: Faces | None = None
    """for permeability that is not along the faces' normals"""

    @classmethod
    def build(cls, center, volume, depth, conductor, face_cells, code, area=None, face_center=None) -> "ControlVolumes":
        """Neighbor lists and coarser meshes from host arrays, `conductor` by face; volumes in the order of their
        `morton_codes`. With area vectors (from the first cell of a face to the second) and middles also its `faces`.
        Raises `InputError` for another order, and where jax lacks float64.
        """
        require_float64()
        face_cells = np.asarray(face_cells, np.int32)
        neighbor, face = neighbors(face_cells, len(volume))
        return cls(
            center=on_device(center),
            volume=on_device(volume),
            depth=on_device(depth),
            neighbor=on_device(neighbor),
            twin=on_device(twins(face, len(face_cells))),
            conductor=on_device(np.append(conductor, 0.0)[face]),
            levels=coarsen(center, volume, face_cells, face, code),
            faces=None if area is None else Faces.build(center, face_cells, face, area, face_center),
        )


@dataclasses.dataclass(frozen=True)
class Samples:
    """The mesh on the host: the subcells that tell where each volume's tissue lies, and the grid behind it."""

    index: np.ndarray
    """(volumes, 3) grid index of each volume"""
    inside: np.ndarray
    """which subcells of each volume lie inside: bit 9 a + 3 b + c for the a-th along x, b-th along y, c-th along z"""
    origin: np.ndarray
    """center of grid cell (0, 0, 0) [m]"""
    spacing: float
    """[m]"""
    shape: tuple[int, ...]
    """grid cells per direction"""

    def weight(self, volume: np.ndarray) -> np.ndarray:
        """Volume of a subcell of each of these volumes [m³]."""
        return np.full(len(volume), (self.spacing / SUBCELLS) ** 3)

    def points(self, chunk: int = 100_000) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(volumes, centers of their subcells (n, 3) [m]), so many volumes at a time, in their order."""
        offset = (np.stack(np.unravel_index(np.arange(SUBCELLS**3), (SUBCELLS,) * 3), 1) + 0.5) / SUBCELLS - 0.5
        bit = 1 << np.arange(SUBCELLS**3)
        for start in range(0, len(self.index), chunk):
            cell, k = np.nonzero(self.inside[start : start + chunk, None] & bit)
            yield start + cell, self.origin + self.spacing * (self.index[start + cell] + offset[k])

    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        """(corners (m, 3) [m], their numbers (volumes, 8) in VTK's order) of the grid cells of the volumes."""
        corner = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]])
        at, number = np.unique((self.index[:, None] + corner).reshape(-1, 3), axis=0, return_inverse=True)
        return self.origin + self.spacing * (at - 0.5), number.reshape(-1, 8)

    def on_grid(self, values: np.ndarray, fill: float = np.nan) -> np.ndarray:
        """Values of the volumes as a three-dimensional array, `fill` outside the wall."""
        grid = np.full(self.shape, fill)
        grid[tuple(self.index.T)] = np.asarray(values)
        return grid
