"""Coarser and coarser meshes of the same region: cells in one cube of the doubled grid are one coarse cell."""

import dataclasses

from perfsim._arrays import on_device
from perfsim._results import InputError
from perfsim.network.topology import padded_columns

import equinox as eqx
import numpy as np
import scipy
from jaxtyping import Array, Float, Int

BOTTOM = 100
"""cells at which a direct solve takes over"""


class Coarsening(eqx.Module):
    """The step from one mesh to the next coarser one; integers and lengths only, made once per mesh."""

    aggregate: Int[Array, " cells"]
    """the coarse cell each cell is part of"""
    members: Int[Array, "slots coarse"]
    """cells of each coarse cell, padded with their number"""
    bundle: Int[Array, "parts coarsefaces"]
    """faces of each coarse face, each as a flat position among the finer cells' sides"""
    stretch: Float[Array, "parts coarsefaces"]
    """distance of the cells on both sides of each of these faces over that of the coarse cells, 0 where padded"""
    neighbor: Int[Array, "sides coarse"]
    """see `ControlVolumes`"""
    face: Int[Array, "sides coarse"]
    """the coarse face to each neighbor, padded with their number"""


@dataclasses.dataclass(frozen=True)
class _Mesh:
    center: np.ndarray
    volume: np.ndarray
    pairs: np.ndarray
    distance: np.ndarray
    side: np.ndarray
    """flat position of each face among the sides of all cells"""
    code: np.ndarray


def coarsen(
    center: np.ndarray, volume: np.ndarray, face_cells: np.ndarray, face: np.ndarray, code: np.ndarray
) -> tuple[Coarsening, ...]:
    """All coarsenings down to `BOTTOM` cells (host).

    Cells are binned into cubes of twice, four times, ... the edge. Arguments: centers (cells, 3) [m], volumes (cells,)
    [m³], cells on both sides of each face, faces of each cell (see `neighbors`), and the place of each cell's cube on
    the curve of `morton_codes`. Raises `InputError` where that decreases.
    """
    if not (code[1:] >= code[:-1]).all():
        at = int(np.argmax(code[1:] < code[:-1]))
        raise InputError(f"volume {at + 1} comes before volume {at} on the curve: sort volumes by their `morton_codes`")
    center, volume, pairs = np.asarray(center), np.asarray(volume), np.asarray(face_cells, np.int32)
    mesh = _Mesh(center, volume, pairs, _distance(center, pairs), _sides(face, len(pairs)), code)
    levels = []
    while len(mesh.volume) > BOTTOM and mesh.code.max() > 0:
        step, mesh = _coarsened(mesh)
        if step is not None:
            levels.append(step)
    return tuple(levels)


def morton_codes(cube: np.ndarray) -> np.ndarray:
    """Place of each cube of a grid, given by its indices (n, 3) ≥ 0, on the Z-shaped curve: their bits in turn.

    Those in one cube of any doubled size follow each other.
    """
    code = np.zeros(len(cube), np.int64)
    for k in range(3):
        bits = cube[:, k].astype(np.int64)
        for shift, mask in _SPREAD:
            bits = (bits | bits << shift) & mask
        code |= bits << k
    return code


_SPREAD = (
    (32, 0x1F00000000FFFF), (16, 0x1F0000FF0000FF), (8, 0x100F00F00F00F00F),
    (4, 0x10C30C30C30C30C3), (2, 0x1249249249249249),
)  # fmt: skip


def neighbors(pairs: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbor and face lists (sides, cells); a missing neighbor is the cell itself, a missing face their number."""
    first, second = pairs.T
    number = np.tile(np.arange(1, len(pairs) + 1, dtype=np.int32), 2)
    rows = scipy.sparse.coo_matrix(
        (number, (np.append(first, second), np.append(second, first))), (cells, cells)
    ).tocsr()
    owner = np.repeat(np.arange(cells, dtype=np.int32), np.diff(rows.indptr))
    beside = padded_columns(owner, rows.indices, cells, np.arange(cells))
    return beside, padded_columns(owner, rows.data - 1, cells, len(pairs))


def twins(face: np.ndarray, faces: int) -> np.ndarray:
    """Flat position, among the sides of all cells, of each side as its neighbor sees it; its own where there is none.

    Arguments: the face of each side (sides, cells), `faces` where there is none.
    """
    own = np.arange(face.size, dtype=np.int32).reshape(face.shape)
    both = np.bincount(face.ravel(), own.ravel(), faces + 1)[face]  # a face's two positions, added
    return np.where(face == faces, own, both - own).astype(np.int32)


def _sides(face: np.ndarray, faces: int) -> np.ndarray:
    """Where each face is found in the flattened lists of faces (sides, cells)."""
    side = np.zeros(faces + 1, np.int32)
    side[face.ravel()] = np.arange(face.size)
    return side[:-1]


def _coarsened(mesh: _Mesh) -> tuple[Coarsening | None, _Mesh]:
    code = mesh.code >> 3
    first = np.flatnonzero(np.append(True, code[1:] != code[:-1]))
    if len(first) == len(code):
        return None, dataclasses.replace(mesh, code=code)
    size = np.diff(np.append(first, len(code)))
    aggregate = np.repeat(np.arange(len(first), dtype=np.int32), size)
    volume = np.add.reduceat(mesh.volume, first)
    center = np.stack([np.add.reduceat(x * mesh.volume, first) for x in mesh.center.T], 1) / volume[:, None]
    a, b = aggregate[mesh.pairs[:, 0]], aggregate[mesh.pairs[:, 1]]
    crossing = np.flatnonzero(a != b)
    a, b = a[crossing], b[crossing]
    key = np.minimum(a, b) * np.int64(len(first)) + np.maximum(a, b)
    order = np.argsort(key)
    key, fine = key[order], crossing[order]
    new = np.append(True, key[1:] != key[:-1])[: len(key)]
    coarse = np.cumsum(new) - 1
    pairs = np.stack(np.divmod(key[new], len(first)), 1).astype(np.int32)
    distance = _distance(center, pairs)
    apart = distance[coarse] > 0  # compartments of one volume are not, nor are their aggregates
    stretch = np.where(apart, np.minimum(mesh.distance[fine] / np.where(apart, distance[coarse], 1.0), 1.0), 1.0)
    slot = padded_columns(coarse, np.arange(len(fine)), len(pairs), len(fine))
    neighbor, face = neighbors(pairs, len(first))
    step = Coarsening(
        aggregate=on_device(aggregate),
        members=on_device(padded_columns(aggregate, np.arange(len(code), dtype=np.int32), len(first), len(code))),
        bundle=on_device(np.append(mesh.side[fine], np.int32(0))[slot]),
        stretch=on_device(np.append(stretch, 0.0)[slot]),
        neighbor=on_device(neighbor),
        face=on_device(face),
    )
    return step, _Mesh(center, volume, pairs, distance, _sides(face, len(pairs)), code[first])


def _distance(center: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    square = np.zeros(len(pairs))
    for x in center.T:  # one coordinate at a time: there may be millions of faces
        square += (x[pairs[:, 0]] - x[pairs[:, 1]]) ** 2
    return np.sqrt(square)
