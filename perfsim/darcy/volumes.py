"""Control volumes and their faces."""

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


class Samples(eqx.Module):
    """Quadrature points of the volumes (host): where in space each volume's tissue lies."""

    point: np.ndarray
    """(samples, 3) [m]"""
    cell: np.ndarray
    """volume each point belongs to, non-decreasing"""
    weight: np.ndarray
    """[m³]"""
