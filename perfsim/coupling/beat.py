"""The heart under a beating aorta: trunks as compliant vessels, subtrees and tissue as their coronary outlets.

The steady solve says what lies behind every node k where a grown subtree leaves a trunk: with its flow Q_k and the
flow-weighted pressures at D_ref, in the capillaries, and behind the tissue,

    R_a = (p_k - p_D)/Q_k,   R_am = (p_D - p_c)/Q_k,   R_v = (p_c - p_b)/Q_k,

one coronary outlet to the back pressure p_b, squeezed by P_im(t) = p_b + d (P_LV(t) - mean P_LV), d the depth in the
wall of what the subtree feeds (0 at the epicardium, 1 at the endocardium): the swing is the ventricle's there and none
outside, and the mean at each depth is the steady back pressure. Tone does not follow the beat, so the resistances are
those of the mean, autoregulated or not. Where friction is linear the means of the periodic state are the steady
solution; a loss S Q|Q| costs more pressure in a pulsating flow than in a steady one, and what that changes is reported
in `Beat.change`. Lesions are throats with the friction and loss that they add to the healthy lumen, which carries the
waves.
"""

import dataclasses

from perfsim._results import RESULTS
from perfsim.blood import DENSITY
from perfsim.coupling.heartbeat import Swinging
from perfsim.coupling.pulsatile import Pulsatile
from perfsim.coupling.simulation import Simulation, State
from perfsim.coupling.solution import Beat, Perfusion
from perfsim.coupling.system import VesselFlowLaw, lumped_outlets
from perfsim.darcy.columns import sum_rows
from perfsim.flow import friction
from perfsim.flow.pulsatile import (
    Arteries,
    Coronary,
    Cycle,
    Inlets,
    Periodicity,
    Throats,
    olufsen_elasticity,
    periodic_cycle,
    scheme,
    vessel_resistance,
)
from perfsim.network import no_lesions, radii

import jax.numpy as jnp
from jaxtyping import Array

LUMPED_SPLIT = (0.2, 0.6, 0.2)
"""of the resistance of a lumped outlet into R_a, R_am, R_v"""
SHUT = 1e15
"""[Pa·s/m³] behind an outlet that nothing flows into; the resistance before it is infinite"""
LUMPED_DEPTH = 0.2
"""swing around a lumped outlet, of the left ventricle's: the right ventricle's peak is a fifth of it"""


def pulsed(
    sim: Simulation, law: VesselFlowLaw, state: State, mean: Perfusion, flow: Pulsatile, throw: bool = True
) -> Perfusion:
    """The perfusion of one state, averaged over the periodic beat, from its steady perfusion."""
    behind = _behind(sim, law, state, mean, flow)
    arteries = _arteries(sim, law, state, mean, flow, behind)
    cycle, _, reached = periodic_cycle(arteries, flow.grid, flow.tolerance, flow.max_cycles, throw=throw)
    pressure = cycle.mean_node_pressure[flow.cut]
    Q = (pressure - behind.back) / behind.total
    return _averaged(sim, law, state, mean, flow, cycle, reached, behind, pressure, Q)


@dataclasses.dataclass(frozen=True)
class _Behind:
    """What lies behind each cut, of the steady state."""

    Q: Array
    pressure: Array
    """at the cut [Pa]"""
    arterial: Array
    """R_a, R_am, R_v [Pa·s/m³]"""
    micro: Array
    venous: Array
    back: Array
    """p_b [Pa]"""
    depth: Array
    """in the wall of what it feeds"""

    @property
    def total(self) -> Array:
        return self.arterial + self.micro + self.venous


def _behind(sim: Simulation, law: VesselFlowLaw, state: State, mean: Perfusion, flow: Pulsatile) -> _Behind:
    cuts = len(flow.cut)

    def gathered(of_terminals, of_outlets):
        found = jnp.zeros(cuts, of_terminals.dtype).at[flow.cut_of_terminal].add(of_terminals)
        return found.at[flow.cut_of_outlet].add(of_outlets)

    p = mean.total_pressure[flow.chains.node[flow.cut]]
    Q = gathered(mean.terminal_flow, mean.outlet_flow)
    lumped_back = lumped_outlets(sim, law, state).pressure
    drop = mean.total_pressure[sim.network.outlets] - lumped_back
    first, _, last = LUMPED_SPLIT
    at_D = mean.terminal_flow * mean.terminal_pressure
    in_capillaries, back, depth = jnp.zeros(0), jnp.zeros(0), jnp.zeros(0)
    if sim.tissue is not None:
        volumes, links, _ = sim.parts()
        p_b = state.back_pressure(volumes.depth)
        in_capillaries = links.to_terminals(mean.supplies * mean.tissue_pressure)
        back = links.to_terminals(mean.supplies * p_b)
        depth = links.to_terminals(mean.supplies * volumes.depth)
    q, closed = mean.outlet_flow, Q == 0.0
    Q = jnp.where(closed, 1.0, Q)
    p_D = gathered(at_D, q * (lumped_back + (1.0 - first) * drop)) / Q
    p_c = gathered(in_capillaries, q * (lumped_back + last * drop)) / Q
    p_b = gathered(back, q * lumped_back) / Q
    depth = gathered(depth, q * LUMPED_DEPTH) / Q
    arterial, micro, venous = (
        jnp.where(closed, shut, drop / Q) for shut, drop in ((jnp.inf, p - p_D), (SHUT, p_D - p_c), (SHUT, p_c - p_b))
    )
    return _Behind(jnp.where(closed, 0.0, Q), p, arterial, micro, venous, p_b, depth)


def _arteries(sim, law, state: State, mean: Perfusion, flow: Pulsatile, behind: _Behind) -> Arteries:
    """The template with the simulation's numbers: lumens at their mean pressures, frictions exactly those of `law`."""
    chains, network, old = flow.chains, sim.network, flow.template
    lumen = radii(network, no_lesions())
    radius = chains.radius(lumen)
    healthy = chains.sum(friction(lumen, network.length, sim.viscosity, sim.profile))
    inertance = DENSITY * network.length / jnp.pi * (1.0 / jnp.prod(law.radius, axis=1) - 1.0 / jnp.prod(lumen, axis=1))
    node = mean.total_pressure[chains.node]
    share = flow.compliance * behind.Q / jnp.sum(behind.Q)
    outlets = Coronary(
        flow.cut, behind.arterial, behind.micro, behind.venous, flow.arterial * share, (1.0 - flow.arterial) * share,
        behind.back, Swinging.of(flow.ventricular, old.period, behind.back, behind.depth * state.aortic_pressure),
    )  # fmt: skip
    aorta = jnp.broadcast_to(state.aortic_pressure, old.pressure_inlets.node.shape)
    arteries = dataclasses.replace(
        old, length=chains.sum(network.length), radius=radius, elasticity=olufsen_elasticity(radius),
        reference_pressure=0.5 * (node[chains.tail] + node[chains.head]), viscosity=jnp.ones(len(chains.tail)),
        pressure_inlets=Inlets(old.pressure_inlets.node, Swinging.of(flow.aortic, old.period, aorta, aorta)),
        throats=Throats(old.throats.node, chains.sum(law.R) - healthy, chains.sum(law.S), chains.sum(inertance)),
        outlets=(outlets,),
    )  # fmt: skip
    of_unit_viscosity = vessel_resistance(arteries, scheme(arteries, flow.grid), flow.grid)
    return dataclasses.replace(arteries, viscosity=healthy / of_unit_viscosity)


def _averaged(
    sim, law, state: State, mean: Perfusion, flow: Pulsatile, cycle: Cycle, reached: Periodicity, behind: _Behind, p, Q
) -> Perfusion:
    """The beat's means: in a subtree flows and pressure drops scale with its flow, which is exact for linear laws."""
    chains, n = flow.chains, len(flow.chains.tail)
    closed = behind.Q == 0.0
    ratio = jnp.where(closed, 1.0, Q / jnp.where(closed, 1.0, behind.Q))
    scale = jnp.append(ratio, 1.0)
    at = flow.cut_of_terminal
    of_terminal = scale[at]
    through = cycle.volume / flow.template.period
    flows = (
        (mean.flow * scale[flow.cut_of_vessel])
        .at[chains.vessel]
        .set(through[n + chains.chain] * sim.forest.sign[chains.vessel])
    )
    total = _pressures(sim, mean, flow, cycle, p, scale)
    inlet = flow.template.pressure_inlets.node
    inflow = jnp.stack([jnp.sum(jnp.where(chains.tail == i, through[:n], 0.0)) for i in inlet])
    outlet_flow = mean.outlet_flow * scale[flow.cut_of_outlet]
    # a beat around a mean that failed says nothing
    healthy = mean.counters.result == RESULTS.successful
    result = jnp.where(healthy, reached.result, mean.counters.result)
    beat = Beat(
        cycle.time, cycle.pressure, cycle.flow, flow.template.names, flow.template.period, ratio - 1.0,
        reached.cycles, reached.change.max(), cycle.residual,
    )  # fmt: skip
    return dataclasses.replace(
        mean, total_pressure=total, static_pressure=total[sim.network.far] - law.dynamic(sim.table, flows), flow=flows,
        inlet_flow=inflow, outlet_flow=outlet_flow, terminal_flow=mean.terminal_flow * of_terminal,
        terminal_pressure=_toward(mean.terminal_pressure, p[at], behind.pressure[at], of_terminal),
        mass_defect=jnp.abs(jnp.sum(inflow) - jnp.sum(Q)) / jnp.sum(Q), beat=beat,
        counters=dataclasses.replace(mean.counters, result=result),
        **_tissue(sim, state, mean, of_terminal),
    )  # fmt: skip


def _toward(pressure, cut, cut_before, scale):
    """A pressure behind a cut whose pressure has changed and whose flow has been scaled."""
    return cut - scale * (cut_before - pressure)


def _pressures(sim: Simulation, mean: Perfusion, flow: Pulsatile, cycle: Cycle, p, scale):
    """Mean total pressure at the nodes: of the trunks' own, along their chains, and in the subtrees."""
    chains, network, before = flow.chains, sim.network, mean.total_pressure
    own = cycle.mean_node_pressure[: len(chains.node)]
    far = network.far
    cut = jnp.append(p, 0.0)[flow.cut_of_vessel]
    cut_before = jnp.append(before[chains.node[flow.cut]], 0.0)[flow.cut_of_vessel]
    total = before.at[far].set(_toward(before[far], cut, cut_before, scale[flow.cut_of_vessel]))
    near_before, far_before = before[chains.node[chains.tail]], before[chains.node[chains.head]]
    drop = near_before - far_before
    part = (near_before[chains.chain] - before[far[chains.vessel]]) / jnp.where(drop == 0, 1.0, drop)[chains.chain]
    along = own[chains.tail][chains.chain] - part * (own[chains.tail] - own[chains.head])[chains.chain]
    return total.at[far[chains.vessel]].set(along).at[chains.node].set(own)


def _tissue(sim: Simulation, state: State, mean: Perfusion, of_terminal) -> dict[str, Array]:
    """The wall's fields: supplies scaled by feeder, the rest by the volume's supply."""
    if sim.tissue is None:
        return {}
    volumes, links, _ = sim.parts()
    supplies = mean.supplies * links.at_feeders(of_terminal)
    before = sum_rows(mean.supplies)
    factor = sum_rows(supplies) / jnp.where(before == 0, 1.0, before)
    p_b = state.back_pressure(volumes.depth)
    capillary = p_b + factor * (mean.tissue_pressure - p_b)
    return {
        "supplies": supplies, "mbf": mean.mbf * factor, "drainage": mean.drainage * factor,
        "tissue_pressure": capillary, "compartment_pressure": capillary[None],
    }  # fmt: skip
