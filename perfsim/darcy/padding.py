"""Meshes of different walls brought to common shapes."""

import dataclasses

from perfsim.darcy.coarsening import Coarsening
from perfsim.darcy.volumes import ControlVolumes

import jax.numpy as jnp
import numpy as np

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
    with `faces` cannot be padded.
    """
    n = len(volumes.volume)
    more = count - n
    assert more >= 0 and volumes.faces is None
    own = jnp.arange(n, count, dtype=volumes.neighbor.dtype)
    levels, cells = [], (n, count)
    sides, coarse = volumes.neighbor.shape[0], count
    for level in volumes.levels:
        coarse = max(-(-coarse // 4), rung(level.members.shape[1] + 1))
        levels.append(_pad_level(level, *cells, coarse))
        cells = level.members.shape[1], coarse
    return dataclasses.replace(
        volumes,
        center=filled(volumes.center, count, jnp.mean(volumes.center, axis=0)),
        volume=filled(volumes.volume, count, EMPTY * jnp.mean(volumes.volume)),
        depth=filled(volumes.depth, count, 0.5),
        neighbor=jnp.concatenate([volumes.neighbor, jnp.tile(own, (sides, 1))], 1),
        twin=jnp.concatenate(
            [_sides_of(volumes.twin, n, count), count * jnp.arange(sides, dtype=own.dtype)[:, None] + own], 1
        ),
        conductor=jnp.pad(volumes.conductor, ((0, 0), (0, more))),
        levels=tuple(levels),
    )


def filled(x, count: int, value):
    """x with rows of a value added, `count` in all."""
    rest = jnp.broadcast_to(jnp.asarray(value, x.dtype), (count - len(x), *x.shape[1:]))
    return jnp.concatenate([x, rest])


def _pad_level(level: Coarsening, n: int, count: int, coarse: int) -> Coarsening:
    """A coarsening of n cells and of its coarse cells, with added ones: those of the finer mesh join the last coarse
    cell, which keeps out of it (its members are none), so that nothing reaches them.
    """
    old, sides = level.members.shape[1], level.neighbor.shape[0]
    faces = level.bundle.shape[1]
    room = max(3 * coarse, rung(faces))

    def slots(x, width, fill):
        x = jnp.pad(x, ((0, 0), (0, width - x.shape[1])), constant_values=fill)
        return jnp.pad(x, ((0, rung(x.shape[0]) - x.shape[0]), (0, 0)), constant_values=fill)

    extra = jnp.broadcast_to(jnp.arange(old, coarse, dtype=level.neighbor.dtype), (sides, coarse - old))
    return Coarsening(
        aggregate=filled(level.aggregate, count, coarse - 1),
        members=slots(jnp.where(level.members == n, count, level.members), coarse, count),
        bundle=slots(_sides_of(level.bundle, n, count), room, 0),
        stretch=slots(level.stretch, room, 0.0),
        neighbor=jnp.concatenate([level.neighbor, extra], axis=1),
        face=jnp.pad(
            jnp.where(level.face == faces, room, level.face), ((0, 0), (0, coarse - old)), constant_values=room
        ),
    )


def _sides_of(flat, n: int, count: int):
    """Flat positions among (sides, n) as those among (sides, count)."""
    return flat // n * count + flat % n
