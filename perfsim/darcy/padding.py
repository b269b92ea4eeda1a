"""Meshes of different walls brought to common shapes."""

import dataclasses

from perfsim._arrays import on_device
from perfsim._results import InputError
from perfsim.darcy.coarsening import Coarsening
from perfsim.darcy.volumes import ControlVolumes

import numpy as np
from jaxtyping import Array

EMPTY = 1e-9
"""volume of an added cell, over the mean cell"""


def rung(n: int) -> int:
    """The least of 1, 2, 3, 4, 6, 8, 12, 16, 23, 32, ... (steps of √2) that is not below n."""
    k = max(0, int(np.floor(2.0 * np.log2(max(n, 1)))) - 1)
    while (size := int(np.ceil(2.0 ** (k / 2) - 1e-9))) < n:
        k += 1
    return size


def pad_volumes(volumes: ControlVolumes, count: int) -> ControlVolumes:
    """The mesh with `count` volumes, the added ones next to nothing, connected to nothing; coarser meshes likewise.

    Sizes of the coarser meshes follow from `count` where it leaves room, so that meshes of one size share them. A mesh
    with `faces` cannot be padded. Raises `InputError` for such a mesh, and for a `count` below its size.
    """
    n = len(volumes.volume)
    more = count - n
    if more < 0:
        raise InputError(f"a mesh of {n} volumes cannot be padded to {count}: give at least {n}")
    if volumes.faces is not None:
        raise InputError("a mesh with `faces`, as for fibers, cannot be padded: leave `faces` out when it is made")
    own = np.arange(n, count)
    levels, cells = [], (n, count)
    sides, coarse = volumes.neighbor.shape[0], count
    for level in volumes.levels:
        coarse = max(-(-coarse // 4), rung(level.members.shape[1] + 1))
        levels.append(_pad_level(level, *cells, coarse))
        cells = level.members.shape[1], coarse
    center, volume, neighbor = (np.asarray(x) for x in (volumes.center, volumes.volume, volumes.neighbor))
    twin = _sides_of(np.asarray(volumes.twin), n, count)
    own_sides = count * np.arange(sides, dtype=twin.dtype)[:, None] + own.astype(twin.dtype)
    return dataclasses.replace(
        volumes,
        center=filled(center, count, center.mean(0)),
        volume=filled(volume, count, EMPTY * volume.mean()),
        depth=filled(volumes.depth, count, 0.5),
        neighbor=on_device(np.concatenate([neighbor, np.tile(own.astype(neighbor.dtype), (sides, 1))], 1)),
        twin=on_device(np.concatenate([twin, own_sides], 1)),
        conductor=on_device(np.pad(np.asarray(volumes.conductor), ((0, 0), (0, more)))),
        levels=tuple(levels),
    )


def filled(x, count: int, value) -> Array:
    """x with rows of a value added, `count` in all. On the host: jax would compile a program for every size."""
    x = np.asarray(x)
    rest = np.broadcast_to(np.asarray(value, x.dtype), (count - len(x), *x.shape[1:]))
    return on_device(np.concatenate([x, rest]))


def _pad_level(level: Coarsening, n: int, count: int, coarse: int) -> Coarsening:
    """A coarsening of n cells and of its coarse cells, with added ones: those of the finer mesh join the last coarse
    cell, which keeps out of it (its members are none), so that nothing reaches them.
    """
    members, bundle, face, neighbor = (np.asarray(x) for x in (level.members, level.bundle, level.face, level.neighbor))
    old, sides = members.shape[1], len(neighbor)
    faces = bundle.shape[1]
    room = max(3 * coarse, rung(faces))

    def widened(x, width, fill):
        return np.pad(x, ((0, 0), (0, width - x.shape[1])), constant_values=fill)

    def slots(x, width, fill):
        x = widened(x, width, fill)
        return on_device(np.pad(x, ((0, rung(len(x)) - len(x)), (0, 0)), constant_values=fill))

    extra = np.broadcast_to(np.arange(old, coarse, dtype=neighbor.dtype), (sides, coarse - old))
    return Coarsening(
        aggregate=filled(level.aggregate, count, coarse - 1),
        members=slots(np.where(members == n, count, members), coarse, count),
        bundle=slots(_sides_of(bundle, n, count), room, 0),
        stretch=slots(np.asarray(level.stretch), room, 0.0),
        neighbor=on_device(np.concatenate([neighbor, extra], axis=1)),
        face=on_device(widened(np.where(face == faces, room, face), coarse, room)),
    )


def _sides_of(flat, n: int, count: int):
    """Flat positions among (sides, n) as those among (sides, count)."""
    return flat // n * count + flat % n
