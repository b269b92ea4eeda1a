"""Cartesian control volumes cut by the wall's surface."""

import dataclasses
from collections.abc import Callable

from perfsim._results import InputError
from perfsim.darcy.coarsening import morton_codes
from perfsim.darcy.volumes import SUBCELLS, ControlVolumes, Samples

import numpy as np


def cut_cells(wall, spacing: float, *, faces: bool = False) -> tuple[ControlVolumes, Samples]:
    """Cut a cubic grid with the wall (anything with `bounds`, `inside`, `depth`, see `anatomy.Wall`).

    Each grid cell is split into 3³ subcells; volumes, centroids, depths and open face areas are sums over the
    subcells whose centers lie inside. `spacing` [m]; `faces` for permeability tensors, as along fibers. Raises
    `InputError` where the wall is thinner than the grid can see.
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
    return _cut(low, shape, spacing, wall.inside, wall.depth, faces)


def box(size, shape, *, faces: bool = False) -> tuple[ControlVolumes, Samples]:
    """A rectangular block of `size` (3,) [m] divided evenly into `shape` cells, which must be cubes."""
    size, shape = np.asarray(size, float), np.asarray(shape, int)
    spacing = size[0] / shape[0]
    if not np.allclose(size, spacing * shape, rtol=1e-6):
        raise InputError(f"a block of {size.tolist()} m in {shape.tolist()} cells has no cubes: make size/cells equal")
    return _cut(np.zeros(3), shape, spacing, lambda x: np.ones(len(x), bool), lambda x: x[:, 0] / size[0], faces)


def _cut(low, shape, h, inside: Callable, depth: Callable, faces: bool) -> tuple[ControlVolumes, Samples]:
    cut = _layers(low, shape, h, inside, depth)
    if len(cut.cells) < 8:
        raise InputError(
            f"the mesh has {len(cut.cells)} volumes: the spacing of {h * 1e3:.4g} mm is too coarse for this wall"
        )
    code = morton_codes(cut.cells)
    order = np.argsort(code)
    cells, mean = cut.cells[order], cut.mean[order]
    number = np.full(int(np.prod(shape)), -1, np.int32)
    number[np.ravel_multi_index(cells.T, shape)] = np.arange(len(cells))
    pairs, sub = number[cut.faces], h / SUBCELLS
    pairs.sort(axis=1)
    by_first = np.argsort(pairs[:, 0], kind="stable")
    pairs, size = pairs[by_first], cut.open[by_first] * sub**2
    oriented = {}
    if faces:
        way = cells[pairs[:, 1]] - cells[pairs[:, 0]]  # one step along one axis
        middle = low + h * (0.5 * (cells[pairs[:, 0]] + cells[pairs[:, 1]]) + 0.5)
        oriented = {"area": way * size[:, None], "face_center": middle}
    volumes = ControlVolumes.build(
        center=mean[:, :3],
        volume=cut.count[order] * sub**3,
        depth=mean[:, 3],
        conductor=size / h,
        face_cells=pairs,
        code=code[order],
        **oriented,
    )
    return volumes, Samples(cells, cut.bits[order], low + 0.5 * h, h, tuple(int(n) for n in shape))


@dataclasses.dataclass(frozen=True)
class _Layer:
    """One layer of grid cells, or several."""

    cells: np.ndarray
    """(n, 3) grid indices of those that hold a subcell"""
    count: np.ndarray
    """subcells inside"""
    mean: np.ndarray
    """(n, 4) their mean position and depth"""
    bits: np.ndarray
    """which they are: bit 9 a + 3 b + c for the a-th along x, b-th along y, c-th along z"""
    faces: np.ndarray
    """(m, 2) flat grid indices of cells that share open subfaces, in this layer and with the one before"""
    open: np.ndarray
    """how many subfaces each shares"""
    last: np.ndarray
    """subcells inside on the side of the next layer"""


def _layers(low, shape, h: float, inside: Callable, depth: Callable) -> _Layer:
    """All layers in one: cut one by one along x, so that only cells, faces and one bit per subcell are kept."""
    layers, before = [], np.zeros((shape[1] * SUBCELLS, shape[2] * SUBCELLS), bool)
    for i in range(shape[0]):
        layers.append(_layer(low, i, shape, h, inside, depth, before))
        before = layers[-1].last
    names = [field.name for field in dataclasses.fields(_Layer) if field.name != "last"]
    together = {name: np.concatenate([getattr(layer, name) for layer in layers]) for name in names}
    return _Layer(last=before, **together)


def _layer(low, i: int, shape, h: float, inside: Callable, depth: Callable, before: np.ndarray) -> _Layer:
    s = SUBCELLS
    across = [low[k] + h / s * (np.arange(shape[k] * s) + 0.5) for k in (1, 2)]
    points = np.stack(np.meshgrid(low[0] + h / s * (np.arange(s) + s * i + 0.5), *across, indexing="ij"), -1)
    solid = np.empty(points.shape[:3], bool)
    for a in range(s):
        solid[a] = inside(points[a].reshape(-1, 3)).reshape(solid.shape[1:])
    value = np.zeros((*solid.shape, 4))
    value[solid, :3] = points[solid]
    value[solid, 3] = depth(points[solid]) if solid.any() else 0.0
    blocks = (s, shape[1], s, shape[2], s)
    count = solid.reshape(blocks).astype(np.int32).sum((0, 2, 4))
    bit = (1 << np.arange(s**3, dtype=np.int32)).reshape(s, 1, s, 1, s)
    bits = np.where(solid.reshape(blocks), bit, 0).sum((0, 2, 4)).astype(np.int32)
    at = np.nonzero(count)
    mean = value.reshape(*blocks, 4).sum((0, 2, 4))[at] / count[at][:, None]
    flat = np.arange(shape[1] * shape[2], dtype=np.int32).reshape(shape[1], shape[2]) + i * shape[1] * shape[2]
    faces, open_ = [], []
    for first, second, shared, sides in (
        (flat - shape[1] * shape[2], flat, (before & solid[0])[None], (s, s)),
        (flat[:-1], flat[1:], solid[:, s - 1 : -1 : s] & solid[:, s::s], (1, s)),
        (flat[:, :-1], flat[:, 1:], solid[:, :, s - 1 : -1 : s] & solid[:, :, s::s], (s, 1)),
    ):
        blocks = (len(shared), first.shape[0], sides[0], first.shape[1], sides[1])
        number = shared.reshape(blocks).astype(np.int32).sum((0, 2, 4))
        faces.append(np.stack([first[number > 0], second[number > 0]], 1))
        open_.append(number[number > 0])
    cells = np.stack([np.full(len(at[0]), i), *at], 1).astype(np.int32)
    return _Layer(cells, count[at], mean, bits[at], np.concatenate(faces), np.concatenate(open_), solid[-1])
