"""The coupled equations: vessels, terminals and tissue as the edges of one graph.

    vessels     p0_a - p0_b = R Q + S Q|Q|
    couplings   q_tc = w_tc V_c · supply(p_t - p_c),     supply(Δp) = g_a Δp, or its smooth minimum with the demand
    tissue      Σ_faces T (p_c - p_j) + g_v V_c drain(p_c - p_b) = Σ_t q_tc,     drain(Δp) = Δp where veins are open

All three are monotone, so the pressures minimize one convex potential and its Hessian is symmetric positive definite.
Inside, pressures are in mmHg and flows in mL/min.
"""

from perfsim._results import RESULTS
from perfsim.blood import DENSITY
from perfsim.coupling.crown import crown_resistance
from perfsim.coupling.simulation import Simulation, State
from perfsim.coupling.territories import Couplings
from perfsim.darcy import Correction, FiniteVolumes, correction, transmissibility
from perfsim.flow import Jet, LumpedOutlets, VesselSystem, friction, vessel_system
from perfsim.flow.edges import drain, drain_chord, drain_slope, slope_of, supply, supply_chord, supply_conductance
from perfsim.network import radii
from perfsim.units import ML_MIN, MMHG

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

NARROWEST = 1e-6
"""radius [m] below which the flow of a vessel cannot be told from rounding; a red cell needs more"""


class VesselFlowLaw(eqx.Module):
    """Radius [m] at both ends, friction R [Pa·s/m³] and loss S [Pa·s²/m⁶] of each vessel, and of the crowns."""

    radius: Float[Array, "vessels 2"]
    R: Float[Array, " vessels"]
    S: Float[Array, " vessels"]
    velocity: Float[Array, " vessels"]
    """that fills the lumen at the far end, per unit flow [1/m²]"""
    jet: Jet | None
    crown: Float[Array, " terminals"]
    momentum_factor: Float[Array, ""]
    """α of the velocity profile, (ζ+2)/(ζ+1)"""
    result: Int[Array, ""]
    """a value of `RESULTS`: `vessel_too_narrow` where a radius is below `NARROWEST`"""

    def dynamic(self, table: Int[Array, "steps branches"], flow: Float[Array, " vessels"]) -> Float[Array, " vessels"]:
        """What static pressure lies below the total one at the far end of each vessel [Pa].

        ½ρα(Qu + J)² - M, with the flow Q [m³/s] away from the inlet, J what the core of a jet is faster than the
        lumen's mean and M the loss that has been charged where the jet arose and is still to come.
        """
        J, M = (0.0, 0.0) if self.jet is None else self.jet.along(table, self.velocity, self.S, flow)
        return 0.5 * DENSITY * self.momentum_factor * (flow * self.velocity + J) ** 2 - M


class CoupledSystem(eqx.Module):
    """Coefficients of one state; see the module's equations."""

    vessels: VesselSystem
    conductance: Float[Array, "feeders volumes"]
    """g_a per unit volume on each coupling [mL/min/mmHg/m³]"""
    weight: Float[Array, "feeders volumes"]
    inverse_demand: Float[Array, ""]
    """1/(demand per volume) [m³·min/mL], 0 at maximal dilation"""
    transmissibility: Float[Array, "sides volumes"]
    drainage: Float[Array, " volumes"]
    """g_v of each volume, veins open"""
    back_pressure: Float[Array, " volumes"]
    correction: Correction | None = None
    """what two points miss of the flux between volumes"""

    def supplies(self, couplings: Couplings, p_terminal, p):
        """Flow on each coupling [mL/min]."""
        drop = couplings.drops(p_terminal, p)
        return self.weight * supply(drop, self.conductance, self.inverse_demand)

    def supply_slopes(self, couplings: Couplings, p_terminal, p, picard: Bool[Array, ""] | None = None):
        """d(flow)/d(Δp) on each coupling, or flow/Δp where `picard` is true."""
        drop = couplings.drops(p_terminal, p)
        laws = supply_chord, supply_conductance
        return self.weight * slope_of(picard, *laws, drop, self.conductance, self.inverse_demand)

    def drained(self, p) -> Float[Array, " volumes"]:
        """Venous outflow of each volume [mL/min]."""
        return self.drainage * drain(p - self.back_pressure)

    def drain_slopes(self, p, picard: Bool[Array, ""] | None = None) -> Float[Array, " volumes"]:
        """d(outflow)/dp of each volume, or outflow/(p - p_b) where `picard` is true."""
        return self.drainage * slope_of(picard, drain_chord, drain_slope, p - self.back_pressure)


@eqx.filter_jit
def vessel_laws(sim: Simulation) -> VesselFlowLaw:
    """Evaluate radii, friction, losses and crowns of a simulation."""
    network = sim.network
    radius = radii(network, sim.lesions)
    length = network.length
    resistance = friction(radius, length, sim.viscosity, sim.profile)
    loss = sim.loss(network, sim.table, radius, length, resistance)
    crown = _crowns(sim, radius[sim.terminal_vessel, 1], network.demand)
    alpha = (sim.profile + 2.0) / (sim.profile + 1.0)
    narrow = jnp.any(radius < NARROWEST)
    result = jnp.where(narrow, RESULTS.vessel_too_narrow, RESULTS.successful).astype(int)
    return VesselFlowLaw(radius, loss.R, loss.S, loss.velocity, loss.jet, crown, alpha, result)


def _crowns(sim: Simulation, radius, volume):
    return crown_resistance(
        2.0 * radius,
        volume,
        sim.viscosity,
        exponent=sim.network.exponent,
        reference=sim.reference_diameter,
        length_factor=sim.crown_length,
    )


def state_vessels(sim: Simulation, law: VesselFlowLaw, state: State) -> VesselSystem:
    """The vessel equations of one state, crowns in series with their terminal vessels."""
    return vessel_system(
        sim.forest,
        sim.network,
        law.R.at[sim.terminal_vessel].add(law.crown),
        law.S,
        inlet_pressure=state.aortic_pressure,
        outlets=lumped_outlets(sim, law, state),
        bridges=sim.bridges,
        autoregulated=True,
    )


def lumped_outlets(sim: Simulation, law: VesselFlowLaw, state: State) -> LumpedOutlets:
    """Lumped outlets of a heart: their own crown, then the wall's conductances, to the epicardial pressure."""
    inverse = state.inverse_demand
    if sim.tissue is None:
        demand = jnp.where(inverse == 0, jnp.inf, sim.outlets.demand)
        return eqx.tree_at(lambda o: o.demand, sim.outlets, demand)
    volume = sim.network.outlet_demand
    crown = _crowns(sim, law.radius[sim.outlet_vessel, 1], volume)
    tissue = sim.tissue
    series = 1.0 / jnp.mean(tissue.supply) + 1.0 / jnp.mean(tissue.drainage)
    if tissue.compartments is not None:
        series = series + jnp.sum(1.0 / jnp.mean(tissue.compartments.exchange.reshape(2, -1), axis=1))
    demand = jnp.where(inverse == 0, jnp.inf, tissue.density * volume / jnp.where(inverse == 0, 1.0, inverse))
    return LumpedOutlets(crown + series / volume, jnp.full(volume.shape, jnp.mean(state.back_pressure_epi)), demand)


def coupled_system(
    sim: Simulation, law: VesselFlowLaw, state: State, method: FiniteVolumes | None = None
) -> CoupledSystem:
    """All coefficients of one state, with two-point fluxes where no `method` says otherwise."""
    volumes, _, tissue = sim.parts()
    many, (_, links) = tissue.compartments, sim.solved_on()
    mobility = tissue.mobility
    if mobility.ndim == 0:
        mobility = jnp.broadcast_to(mobility, volumes.volume.shape)
    T = transmissibility(volumes, mobility) if many is None else many.transmissibility(volumes, tissue.transmural)
    unit = MMHG / ML_MIN
    supply = jnp.broadcast_to(tissue.supply, volumes.volume.shape)
    tone = links.at_feeders(tissue.tone[tissue.territory] * tissue.terminal_tone, 1.0)
    corrected = method is not None and method.corrects(volumes)
    supplied = supply * tissue.transmural
    drained = tissue.drainage * tissue.transmural * volumes.volume
    back = state.back_pressure(volumes.depth)
    if many is not None:  # the first is supplied, the last drains
        cells = links.weight.shape[1]
        others = jnp.zeros(cells - len(supplied), supplied.dtype)
        supplied, drained = jnp.append(supplied, others), jnp.append(others, drained)
        back = jnp.tile(back, cells // len(back))
    return CoupledSystem(
        vessels=state_vessels(sim, law, state),
        conductance=jnp.stack([supplied * at_slot for at_slot in tone]) * unit,
        weight=links.weight,
        inverse_demand=state.inverse_demand * ML_MIN / tissue.density,
        transmissibility=T * unit,
        drainage=drained * unit,
        back_pressure=back / MMHG,
        correction=correction(volumes, mobility * unit, T * unit) if corrected else None,
    )
