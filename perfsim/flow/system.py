"""The vessel equations: chains with friction and loss, inlets, lumped outlets.

Inside solvers pressures are in mmHg and flows in mL/min, so that conductances are near one.
"""

from perfsim.flow.bridges import no_bridges
from perfsim.flow.edges import (
    slope_of,
    supply,
    supply_chord,
    supply_conductance,
    vessel_chord,
    vessel_conductance,
    vessel_flow,
)
from perfsim.flow.linearized import Linearized, across, spread
from perfsim.network import Forest
from perfsim.units import ML_MIN, MMHG

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class VesselSystem(eqx.Module):
    """Coefficients of the vessel equations; see `vessel_system`."""

    R: Float[Array, " chains"]
    S: Float[Array, " chains"]
    fixed: Bool[Array, " contracted"]
    """pressure inlets"""
    fixed_pressure: Float[Array, " contracted"]
    injected: Float[Array, " contracted"]
    """prescribed inflow"""
    outlet: Int[Array, " outlets"]
    """contracted node of each lumped outlet"""
    outlet_conductance: Float[Array, " outlets"]
    outlet_pressure: Float[Array, " outlets"]
    outlet_inverse_demand: Float[Array, " outlets"]
    """0 at maximal dilation"""
    bridge: Int[Array, "2 bridges"]
    """contracted nodes that each bridge joins"""
    bridge_resistance: Float[Array, " bridges"]

    def pressures(self, x: Float[Array, " contracted"]) -> Float[Array, " contracted"]:
        """Total pressure at every contracted node: the unknown, or the prescribed value."""
        return jnp.where(self.fixed, self.fixed_pressure, x)

    def drops(self, forest: Forest, p: Float[Array, " contracted"]) -> Float[Array, " chains"]:
        """Pressure difference along each chain, near end minus far end."""
        return p[forest.parent] - p[forest.roots :]

    def outlet_flow(self, p: Float[Array, " contracted"]) -> Float[Array, " outlets"]:
        """Flow leaving by each lumped outlet."""
        return supply(p[self.outlet] - self.outlet_pressure, self.outlet_conductance, self.outlet_inverse_demand)

    def bridge_flow(self, p: Float[Array, " contracted"]) -> Float[Array, " bridges"]:
        """Flow through each bridge, from its first end to its second."""
        return across(p, self.bridge) / self.bridge_resistance

    def net_outflow(self, forest: Forest, p: Float[Array, " contracted"]) -> Float[Array, " contracted"]:
        """What leaves each node minus what enters it: the gradient of the convex potential w.r.t. p."""
        Q = vessel_flow(self.drops(forest, p), self.R, self.S)
        leaving = jnp.sum(jnp.append(Q, 0.0)[forest.children], axis=1)
        out = spread(leaving.at[forest.roots :].add(-Q) - self.injected, self.bridge, self.bridge_flow(p))
        return out.at[self.outlet].add(self.outlet_flow(p))

    def largest_conductance(self, forest: Forest) -> Float[Array, " contracted"]:
        """Sum of the conductances at each free node, each the largest that its law can have."""
        g, c = 1.0 / self.R, 1.0 / self.bridge_resistance
        out = jnp.sum(jnp.append(g, 0.0)[forest.children], axis=1).at[forest.roots :].add(g)
        out = out.at[self.bridge[0]].add(c).at[self.bridge[1]].add(c).at[self.outlet].add(self.outlet_conductance)
        return jnp.where(self.fixed, 0.0, out)

    def linearized(
        self, forest: Forest, p: Float[Array, " contracted"], picard: Bool[Array, ""] | None = None
    ) -> Linearized:
        """The Hessian of the potential at p, or with the laws' chords where `picard` is true."""
        g = slope_of(picard, vessel_chord, vessel_conductance, self.drops(forest, p), self.R, self.S)
        drop = p[self.outlet] - self.outlet_pressure
        laws = supply_chord, supply_conductance
        slope = slope_of(picard, *laws, drop, self.outlet_conductance, self.outlet_inverse_demand)
        diagonal = jnp.zeros_like(p).at[self.outlet].add(slope)
        return Linearized(forest, g, diagonal, self.fixed, self.bridge, 1.0 / self.bridge_resistance)


def vessel_system(
    forest, network, R, S, *, inlet_pressure=None, inlet_flow=None, outlets, bridges=None, autoregulated=False
):
    """Assemble the coefficients from SI values.

    Arguments: R [Pa·s/m³] and S [Pa·s²/m⁶] per vessel (terminal resistances already added to their vessels);
    exactly one of `inlet_pressure` [Pa] and `inlet_flow` [m³/s], a scalar or one per inlet; `outlets` a
    `LumpedOutlets`, `bridges` a `Bridges`; `autoregulated` limits outlets to their demand.
    """
    bridges = no_bridges() if bridges is None else bridges
    n = forest.children.shape[0]
    inlet = forest.contracted[network.inlets]
    fixed = jnp.zeros(n, bool)
    fixed_pressure = jnp.zeros(n, R.dtype)
    injected = jnp.zeros(n, R.dtype)
    if inlet_flow is None:
        fixed = fixed.at[inlet].set(True)
        fixed_pressure = fixed_pressure.at[inlet].set(inlet_pressure / MMHG)
    else:
        injected = injected.at[inlet].set(inlet_flow / ML_MIN)
    unit = ML_MIN / MMHG
    return VesselSystem(
        R=forest.chain_sum(R) * unit,
        S=forest.chain_sum(S) * unit * ML_MIN,
        fixed=fixed,
        fixed_pressure=fixed_pressure,
        injected=injected,
        outlet=forest.contracted[network.outlets],
        outlet_conductance=1.0 / (outlets.resistance * unit),
        outlet_pressure=outlets.pressure / MMHG,
        outlet_inverse_demand=ML_MIN / outlets.demand if autoregulated else jnp.zeros_like(outlets.demand),
        bridge=forest.contracted[bridges.nodes.T],
        bridge_resistance=bridges.resistance * unit,
    )
