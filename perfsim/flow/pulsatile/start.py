"""Where a run begins: the steady state of the same network under the mean of what is prescribed."""

from perfsim.flow.pulsatile.arteries import Arteries
from perfsim.flow.pulsatile.grid import Grid
from perfsim.flow.pulsatile.outlets import Absorbing
from perfsim.flow.pulsatile.scheme import Scheme, Wave

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

CLOSED = 1e-9
"""of the network's conductance: what a node without an outlet leaks, so that a closed network has a pressure"""
INVISCID = 1e-4
"""of a vessel's impedance: added to its resistance, so that one without friction has some"""


def vessel_resistance(arteries: Arteries, s: Scheme, grid: Grid) -> Float[Array, " vessels"]:
    """∫ 2(ζ+2)πμ/A² dx [Pa·s/m³] at the reference pressure."""
    per_cell = s.rho * s.resting_drag() * s.dx / s.rest**2
    return jax.ops.segment_sum(per_cell, grid.vessel, len(grid.cells), indices_are_sorted=True)


def steady_start(arteries: Arteries, s: Scheme, grid: Grid) -> Wave:
    """Node pressures and flows of the network of resistances, throats' losses left out, as the state to start from."""
    inflow, fixed = (None if wave is None else wave.average(arteries.period) for wave in arteries.waves()[:2])
    n = arteries.nodes
    impedance = jnp.sqrt(s.rho * s.resting_slope()) / s.rest**2
    g = 1.0 / (vessel_resistance(arteries, s, grid) + INVISCID * impedance[grid.first])
    laplacian = _laplacian(n, arteries.tail, arteries.head, g)
    if len(s.joints.R):
        a, b = s.joints.throat.T
        laplacian = laplacian + _laplacian(n, a, b, 1.0 / jnp.maximum(s.joints.R, 1e-3 / jnp.max(g)))
    rhs, sink = jnp.zeros(n, g.dtype), jnp.full(n, CLOSED * jnp.mean(g))
    rhs = rhs + sink * jnp.mean(arteries.reference_pressure)
    ends = jnp.zeros_like(rhs).at[arteries.head].set(impedance[grid.last])
    at_node = ends.at[arteries.tail].set(impedance[grid.first])
    for outlet in arteries.outlets:
        R, P_out = outlet.total()
        R = at_node[outlet.node] if isinstance(outlet, Absorbing) else R
        sink, rhs = sink.at[outlet.node].add(1.0 / R), rhs.at[outlet.node].add(P_out / R)
    if inflow is not None:
        rhs = rhs.at[s.flow_inlet].add(inflow)
    matrix = laplacian + jnp.diag(sink)
    if fixed is not None:
        is_fixed = s.joints.fixed
        matrix = jnp.where(is_fixed[:, None], jnp.eye(n, dtype=g.dtype), matrix)
        rhs = jnp.where(is_fixed, jnp.zeros_like(rhs).at[s.pressure_inlet].set(fixed), rhs)
    scale = jnp.where(s.joints.fixed, 1.0, 1.0 / jnp.diag(matrix))
    pressure = jnp.linalg.solve(matrix * scale[:, None], rhs * scale)
    flow = g * (pressure[arteries.tail] - pressure[arteries.head])
    return s.resting(arteries, grid, pressure, flow)


def _laplacian(n: int, tail, head, g) -> Float[Array, "nodes nodes"]:
    L = jnp.zeros((n, n), g.dtype)
    return L.at[tail, tail].add(g).at[head, head].add(g).at[tail, head].add(-g).at[head, tail].add(-g)


def at_rest(arteries: Arteries, s: Scheme, grid: Grid) -> Wave:
    """No flow anywhere, every vessel at its reference pressure."""
    pressure = jnp.full(arteries.nodes, jnp.mean(arteries.reference_pressure + arteries.external_pressure))
    return s.resting(arteries, grid, pressure, jnp.zeros_like(arteries.length))
