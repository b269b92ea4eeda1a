"""Solving a case from the host: progress cycle by cycle, and failures with a name."""

import dataclasses
from collections.abc import Callable

from perfsim._results import RESULTS, SimulationError
from perfsim.flow.pulsatile.arteries import Arteries
from perfsim.flow.pulsatile.discretize import time_limit
from perfsim.flow.pulsatile.grid import Grid
from perfsim.flow.pulsatile.march import Cycle, march
from perfsim.flow.pulsatile.periodic import CycleMap, Iteration
from perfsim.flow.pulsatile.scheme import Wave, scheme

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

TOLERANCE = 1e-6
MAX_CYCLES = 60


@dataclasses.dataclass(frozen=True)
class Progress:
    """What is known after a cycle."""

    cycle: int
    change: float
    """what the worst vessel's pressure or flow may still change by, over what it swings by"""
    vessel: str


def solve_periodic(
    arteries: Arteries,
    grid: Grid,
    *,
    tolerance: float = TOLERANCE,
    max_cycles: int = MAX_CYCLES,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Cycle:
    """The periodic cycle, `report` being called after each cycle on the way (host; for code under jit and grad see
    `periodic_cycle`).

    Raises `SimulationError` that names vessel, time and CFL number if the run breaks down, or the vessel that changes
    most if `max_cycles` do not suffice.
    """
    cycle_map, x = _begin(arteries, grid)
    iteration = Iteration.at(x, len(grid.cells))
    done = Progress(0, np.inf, "")
    while done.change > tolerance:
        if done.cycle == max_cycles:
            raise SimulationError(f"{RESULTS.not_periodic.message} (vessel {done.vessel!r}, {done.change:.1e})")
        iteration, cycle = _advance(cycle_map, iteration)
        change = np.asarray(iteration.error)
        if not np.isfinite(change).all():
            check_cycle(arteries, grid, cycle)
        worst = int(np.argmax(change))
        done = Progress(done.cycle + 1, float(change[worst]), arteries.names[worst])
        report(done)
    _, cycle = _advance(cycle_map, Iteration.at(iteration.found, len(grid.cells)))
    return check_cycle(arteries, grid, cycle)


def solve_transient(arteries: Arteries, grid: Grid, start: Wave) -> tuple[Wave, Cycle]:
    """One period from a given state, checked like `solve_periodic`."""
    wave, cycle = _march(arteries, grid, start)
    return wave, check_cycle(arteries, grid, cycle)


def check_cycle(arteries: Arteries, grid: Grid, cycle: Cycle) -> Cycle:
    """The cycle if all of it is finite, else `SimulationError` naming vessel, time, CFL number and remedy (host)."""
    P, Q = np.asarray(cycle.pressure), np.asarray(cycle.flow)
    broken = ~(np.isfinite(P) & np.isfinite(Q)).all(axis=1)  # times, vessels
    if not broken.any() and np.isfinite(np.asarray(cycle.volume)).all():
        return cycle
    time = int(np.argmax(broken.any(axis=1))) if broken.any() else len(P)
    last = max(time - 1, 0)
    speed = courant(arteries, grid, cycle)[last]
    speed = np.where(np.isfinite(speed), speed, 0.0)
    first = np.flatnonzero(broken[time]) if time < len(P) else np.arange(P.shape[2])
    vessel = int(first[np.argmax(speed[first])])
    limit = time_limit(arteries, grid)
    when = float(cycle.time[min(time, len(P) - 1)])
    raise SimulationError(
        f"{RESULTS.wave_not_finite.message} It happened in {arteries.names[vessel]!r} by t = {when:.4g} s of the "
        f"cycle, the CFL number there being {speed[vessel]:.2f} and at most {speed.max():.2f} "
        f"({arteries.names[int(np.argmax(speed))]!r}) at the sample before; the step is "
        f"{float(arteries.period) / (grid.steps * grid.samples):.3g} s, set by {limit.where}."
    )


def courant(arteries: Arteries, grid: Grid, cycle: Cycle) -> np.ndarray:
    """CFL number (|u| + c) Δt/Δx of each vessel at each sample, the greatest of its start, middle and end."""
    return np.asarray(_courant(arteries, grid, cycle))


@eqx.filter_jit
def _courant(arteries: Arteries, grid: Grid, cycle: Cycle) -> Float[Array, "times vessels"]:
    s = scheme(arteries, grid)
    start = jnp.arange(len(grid.cells))
    ends = [jax.tree.map(lambda x, at=at: x[at], s.joints.wall) for at in (start, start + len(start))]
    middle = jax.tree.map(lambda x: x[1:-1][grid.middle[0]], s.far)
    found = []
    for place, wall in enumerate((ends[0], middle, ends[1])):
        root = wall.root_area(cycle.pressure[:, place])
        c = jnp.sqrt(wall.slope(root) / s.rho)
        found.append((jnp.abs(cycle.flow[:, place]) / root**2 + c) * s.dt * s.per_dx[1:-1][grid.first])
    return jnp.max(jnp.stack(found), axis=0)


@eqx.filter_jit
def _begin(arteries: Arteries, grid: Grid) -> tuple[CycleMap, Float[Array, " n"]]:
    return CycleMap.of(arteries, grid)


@eqx.filter_jit
def _advance(cycle_map: CycleMap, iteration: Iteration) -> tuple[Iteration, Cycle]:
    """One cycle, and the step that follows from it; the only program of a periodic solve that marches."""
    f, error, cycle = cycle_map.cycle(iteration.x)
    return iteration.advanced(lambda x: (f, error)), cycle


@eqx.filter_jit
def _march(arteries: Arteries, grid: Grid, wave: Wave) -> tuple[Wave, Cycle]:
    return march(scheme(arteries, grid), arteries, grid, wave)
