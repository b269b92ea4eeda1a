"""How finely: cells by length, steps by what the scheme bears."""

import dataclasses
from typing import NamedTuple

from perfsim.flow.pulsatile.arteries import Arteries
from perfsim.flow.pulsatile.grid import Grid, cells
from perfsim.flow.pulsatile.scheme import scheme

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SPEED_MARGIN = 1.2
"""what waves may exceed the resting wave speed by, the stream's own velocity included, before a run is unstable"""


class Limit(NamedTuple):
    """What bounds the time step."""

    dt: float
    """[s]"""
    where: str
    """the vessel, and why"""


def discretize(
    arteries: Arteries, dx: float | np.ndarray = 1e-3, *, cfl: float = 0.9, samples: int = 200, steps: int | None = None
) -> Grid:
    """Cells of at most `dx` [m], one number or one per vessel, two a vessel at least, and a number of steps a cycle.

    The steps, a multiple of `samples`, follow from the CFL number against the resting wave speed with a margin of 20 %,
    and from friction and the viscous wall where these are faster (see `time_limit`), unless `steps` says how many. Host
    only: the arteries must hold numbers. Raises `InputError` where a grid cannot be made.
    """
    grid = cells(arteries, dx, samples)
    if steps is None:
        steps = int(np.ceil(float(arteries.period) / (cfl * time_limit(arteries, grid).dt)))
    return dataclasses.replace(grid, steps=max(1, -(-steps // samples)))


def time_limit(arteries: Arteries, grid: Grid) -> Limit:
    """The step that the scheme bears at most, and what bounds it (host)."""
    names = np.array(arteries.names)[np.asarray(grid.vessel)]
    limits = [
        Limit(float(np.min(dt)), f"{names[int(np.argmin(dt))]}, {why}")
        for why, dt in jax.device_get(_limits(arteries, grid)).items()
    ]
    return min(limits, key=lambda limit: limit.dt)


@eqx.filter_jit
def _limits(arteries: Arteries, grid: Grid) -> dict[str, Float[Array, " cells"]]:
    """The step that each cause allows in each cell [s]."""
    s = scheme(arteries, grid)
    speed = SPEED_MARGIN * jnp.sqrt(s.resting_slope() / s.rho)
    found = {"the wave speed": s.dx / speed, "friction": 1.0 / jnp.maximum(s.resting_drag(), 1e-30)}
    if s.spread is not None:
        found["the viscous wall"] = s.dx**2 / (4.0 * jnp.maximum(s.spread, 1e-30))
    return found
