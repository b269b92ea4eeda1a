"""Control volumes and their faces."""

import dataclasses

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int


class ControlVolumes(eqx.Module):
    """A face-based mesh; neighbor lists are padded to a rectangle (ELL), so that sums over faces are gathers."""

    center: Float[Array, "volumes 3"]
    """centroids [m]"""
    volume: Float[Array, " volumes"]
    """[m³]"""
    depth: Float[Array, " volumes"]
    """transmural depth, 0 epicardium to 1 endocardium"""
    conductor: Float[Array, " faces"]
    """face area over distance between the two cell centers [m]"""
    face_cells: Int[Array, "faces 2"]
    neighbor: Int[Array, "volumes sides"]
    """neighbors of each volume, padded with the number of volumes"""
    face: Int[Array, "volumes sides"]
    """the face to each neighbor, padded with the number of faces"""


@dataclasses.dataclass(frozen=True)
class Samples:
    """The mesh on the host: quadrature points that tell where each volume's tissue lies, and the grid behind it."""

    point: np.ndarray
    """(samples, 3) [m]"""
    cell: np.ndarray
    """volume each point belongs to, non-decreasing"""
    weight: np.ndarray
    """[m³]"""
    index: np.ndarray
    """(volumes, 3) grid index of each volume"""
    origin: np.ndarray
    """center of grid cell (0, 0, 0) [m]"""
    spacing: float
    """[m]"""
    shape: tuple[int, ...]
    """grid cells per direction"""

    def on_grid(self, values: np.ndarray, fill: float = np.nan) -> np.ndarray:
        """Values of the volumes as a three-dimensional array, `fill` outside the wall."""
        grid = np.full(self.shape, fill)
        grid[tuple(self.index.T)] = np.asarray(values)
        return grid
