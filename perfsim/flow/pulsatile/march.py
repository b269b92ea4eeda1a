"""Marching through one cycle: the steps, checkpoints for the gradient, and what is kept of the way."""

from perfsim.flow.pulsatile.arteries import Arteries
from perfsim.flow.pulsatile.grid import Grid
from perfsim.flow.pulsatile.nodes import CONVERGED, Ends
from perfsim.flow.pulsatile.scheme import Scheme, Wave, drive_at

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

STORED = 1e9
"""bytes of states that a gradient may keep, one per step, before it keeps one per sample and repeats more work"""


class Cycle(eqx.Module):
    """One cycle as it was sampled. Places along a vessel are its start, middle and end."""

    time: Float[Array, " times"]
    """[s] from the start of the cycle"""
    period: Float[Array, ""]
    """[s]"""
    pressure: Float[Array, "times places=3 vessels"]
    """static [Pa]"""
    flow: Float[Array, "times places=3 vessels"]
    """[m³/s]"""
    node_pressure: Float[Array, "times nodes"]
    """what the vessels at a node share, total or static [Pa]"""
    volume: Float[Array, " ends"]
    """that passed each vessel's start, then each vessel's end, in the cycle [m³]: the scheme's own sum"""
    mean_node_pressure: Float[Array, " nodes"]
    """[Pa], over all steps"""
    residual: Float[Array, ""]
    """greatest pressure that a node left unmatched, over ρc²"""


def march(scheme: Scheme, arteries: Arteries, grid: Grid, wave: Wave) -> tuple[Wave, Cycle]:
    """Through one period from the given state. Reverse mode keeps one state per step, or per sample (see `STORED`)."""
    count, dt = grid.steps * grid.samples, jnp.asarray(scheme.dt)
    driven = jax.vmap(lambda t: drive_at(arteries, t))
    middles = driven((jnp.arange(count, dtype=dt.dtype) + 0.5) * dt)
    middles = jax.tree.map(lambda x: x.reshape(grid.samples, grid.steps, -1), middles)
    time = jnp.arange(grid.samples, dtype=dt.dtype) * (arteries.period / grid.samples)

    def step(carry, drive):
        wave, volume, pressure = carry
        wave, ends = scheme.step(wave, drive)
        return (wave, volume + ends.Q, pressure + ends.node), None

    def sample(carry, drives):
        now, drive = drives
        seen = _observed(scheme, grid, carry[0], scheme.ends(carry[0], now))
        carry, _ = jax.lax.scan(step, carry, drive)
        return carry, seen

    # inside a scan nothing can be merged across the checkpoint, so it needs no barriers against that
    keep = jax.checkpoint_policies.save_only_these_names(CONVERGED)
    step = jax.checkpoint(step, policy=keep, prevent_cse=False)
    if count * 2 * len(grid.vessel) * wave.A.dtype.itemsize > STORED:
        sample = jax.checkpoint(sample, prevent_cse=False)
    zero = jnp.zeros(2 * len(arteries.tail), dt.dtype), jnp.zeros(arteries.nodes, dt.dtype)
    (wave, volume, pressure), seen = jax.lax.scan(sample, (wave, *zero), (driven(time), middles))
    P, Q, node, residual = seen
    return wave, Cycle(time, arteries.period, P, Q, node, volume * dt, pressure / count, jnp.max(residual))


def _observed(scheme: Scheme, grid: Grid, wave: Wave, ends: Ends):
    n = len(grid.cells)

    def along(at_ends, at_cells):
        return jnp.stack([at_ends[:n], jnp.mean(at_cells[grid.middle], axis=0), at_ends[n:]])

    P = scheme.pressure(wave.A)
    return along(ends.P, P), along(ends.Q, wave.Q), ends.node, ends.residual
