"""Cartesian control volumes cut by the wall's surface."""

from collections.abc import Callable

from perfsim._results import InputError
from perfsim.darcy.volumes import ControlVolumes, Samples
from perfsim.network import padded_rows

import jax.numpy as jnp
import numpy as np

SUBCELLS = 3  # per direction


def cut_cells(wall, spacing: float) -> tuple[ControlVolumes, Samples]:
    """Cut a cubic grid with the wall (anything with `bounds`, `inside`, `depth`, see `anatomy.Wall`).

    Each grid cell is split into 3³ subcells; volumes, centroids, depths and open face areas are sums over the
    subcells whose centers lie inside. `spacing` [m]. Raises `InputError` where the wall is thinner than the grid
    can see.
    """
    if not spacing > 0:
        raise InputError(f"a mesh spacing of {spacing * 1e3:.4g} mm is not positive")
    low, high = (np.asarray(b, float) for b in wall.bounds())
    shape = np.maximum(np.ceil((high - low) / spacing - 1e-9).astype(int), 1)
    if shape.prod() > 2e8:
        raise InputError(
            f"a mesh spacing of {spacing * 1e3:.4g} mm needs {shape.prod():.2g} grid cells: choose a larger one"
        )
    low = 0.5 * (low + high) - 0.5 * spacing * shape  # center the grid on the wall
    return _cut(low, shape, spacing, wall.inside, wall.depth)


def box(size, shape) -> tuple[ControlVolumes, Samples]:
    """A rectangular block of `size` (3,) [m] divided evenly into `shape` cells of equal edge length."""
    size, shape = np.asarray(size, float), np.asarray(shape, int)
    spacing = size[0] / shape[0]
    return _cut(np.zeros(3), shape, spacing, lambda x: np.ones(len(x), bool), lambda x: x[:, 0] / size[0])


def _cut(low, shape, h, inside: Callable, depth: Callable) -> tuple[ControlVolumes, Samples]:
    s = SUBCELLS
    axes = [low[k] + h / s * (np.arange(shape[k] * s) + 0.5) for k in range(3)]
    solid = np.empty(shape * s, bool)
    for i, x in enumerate(axes[0]):  # slice by slice keeps the peak memory small
        plane = np.stack(np.meshgrid([x], axes[1], axes[2], indexing="ij"), -1).reshape(-1, 3)
        solid[i] = inside(plane).reshape(solid.shape[1:])
    blocks = solid.reshape(shape[0], s, shape[1], s, shape[2], s)
    count = blocks.sum((1, 3, 5))
    cells = np.argwhere(count > 0)
    if len(cells) < 8:
        raise InputError(
            f"the mesh has {len(cells)} volumes: the spacing of {h * 1e3:.4g} mm is too coarse for this wall"
        )
    number = np.full(shape, -1)
    number[tuple(cells.T)] = np.arange(len(cells))
    at = np.argwhere(solid)
    point = np.stack([axes[k][at[:, k]] for k in range(3)], -1)
    cell = number[tuple((at // s).T)]
    order = np.argsort(cell, kind="stable")
    point, cell = point[order], cell[order]
    n = np.bincount(cell, minlength=len(cells))
    pairs, conductor = _faces(solid, number, h)
    neighbor, face = _neighbors(pairs, len(cells))
    mean = np.stack([np.bincount(cell, column) for column in (*point.T, depth(point))]) / n
    volumes = ControlVolumes(
        center=jnp.asarray(mean[:3].T),
        volume=jnp.asarray(n * (h / s) ** 3),
        depth=jnp.asarray(mean[3]),
        conductor=jnp.asarray(conductor),
        face_cells=jnp.asarray(pairs),
        neighbor=jnp.asarray(neighbor),
        face=jnp.asarray(face),
    )
    weight = np.full(len(cell), (h / s) ** 3)
    return volumes, Samples(point, cell, weight, cells, low + 0.5 * h, h, tuple(int(n) for n in shape))


def _faces(solid, number, h):
    """Cell pairs that share open subfaces, and open area over distance [m]."""
    s, pairs, conductor = SUBCELLS, [], []
    for k in range(3):
        a, b = np.moveaxis(solid, k, 0), np.moveaxis(number, k, 0)
        open_ = a[s - 1 : -1 : s] & a[s::s]
        shape = open_.shape
        open_ = open_.reshape(shape[0], shape[1] // s, s, shape[2] // s, s).sum((2, 4))
        where = open_ > 0
        pairs.append(np.stack([b[:-1][where], b[1:][where]], 1))
        conductor.append(open_[where] * (h / s) ** 2 / h)
    return np.concatenate(pairs), np.concatenate(conductor)


def _neighbors(pairs, cells):
    """Padded neighbor and face lists."""
    both = np.concatenate([pairs, pairs[:, ::-1]])
    face = np.tile(np.arange(len(pairs)), 2)
    return padded_rows(both[:, 0], both[:, 1], cells, fill=cells), padded_rows(both[:, 0], face, cells, fill=len(pairs))
