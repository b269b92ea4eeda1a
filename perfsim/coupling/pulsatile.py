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

from perfsim._results import RESULTS, InputError
from perfsim.blood import DENSITY
from perfsim.coupling.simulation import Simulation, State
from perfsim.coupling.solution import Beat, Perfusion
from perfsim.coupling.system import VesselFlowLaw
from perfsim.flow import Counters, Steady, friction
from perfsim.flow.pulsatile import (
    Arteries,
    Coronary,
    Cycle,
    Grid,
    Inlets,
    Periodicity,
    Sampled,
    Steadily,
    Throats,
    Trunks,
    Waveform,
    discretize,
    olufsen_elasticity,
    periodic_cycle,
    scheme,
    trunks,
    vessel_resistance,
)
from perfsim.network import GROWN, VesselNetwork, no_lesions, radii, vessel_above

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.integrate import cumulative_trapezoid

COMPLIANCE = 3.6e-10 + 2.5e-10
"""of the left and the right coronary bed [m³/Pa]: Sankaran et al. (2012), Ann Biomed Eng 40:2228"""
ARTERIAL = 0.11
"""the part of it in the arteries before the microvessels; same source"""
LUMPED_SPLIT = (0.2, 0.6, 0.2)
"""of the resistance of a lumped outlet into R_a, R_am, R_v"""
LUMPED_DEPTH = 0.2
"""swing around a lumped outlet, of the left ventricle's: the right ventricle's peak is a fifth of it"""


class Swinging(Waveform):
    """mean + swing · (shape(t) - mean of the shape), with a mean and a swing for each place."""

    shape: Waveform
    center: Float[Array, ""]
    """mean of the shape"""
    mean: Float[Array, " places"]
    swing: Float[Array, " places"]

    def __call__(self, t):
        return self.mean + self.swing * (self.shape(t) - self.center)

    @classmethod
    def of(cls, shape: Waveform, period, mean, swing) -> "Swinging":
        """With the mean of the shape over a period."""
        times = (jnp.arange(512) + 0.5) * (period / 512)
        return cls(shape, jnp.mean(jax.vmap(shape)(times)), mean, swing)


class Pulsatile(eqx.Module):
    """Pulsatile flow in the trunks, on top of a steady solve; build one with `pulsatile(sim)`."""

    aortic: Waveform
    """the aortic pressure over its mean, which is the state's"""
    ventricular: Waveform
    """the pressure in the left ventricle over the aortic mean"""
    compliance: Float[Array, ""]
    """of the bed behind all trunks [m³/Pa], shared by flow"""
    arterial: Float[Array, ""]
    """the part of it before the microvessels"""
    template: Arteries
    """inlets, nodes and names; its numbers are replaced by the simulation's"""
    chains: Trunks
    grid: Grid
    cut: Int[Array, " cuts"]
    """the trunks' nodes where subtrees leave and outlets lie"""
    cut_of_vessel: Int[Array, " vessels"]
    """number of cuts for trunks"""
    cut_of_terminal: Int[Array, " terminals"]
    cut_of_outlet: Int[Array, " outlets"]
    steady: Steady
    tolerance: float = eqx.field(static=True)
    """change of any vessel's lumen or flow over a cycle at which it counts as periodic"""
    max_cycles: int = eqx.field(static=True)


def pulsatile(
    sim: Simulation,
    *,
    period: float = 0.8,
    aortic: Waveform | None = None,
    ventricular: Waveform | None = None,
    compliance: float = COMPLIANCE,
    dx: float = 1e-3,
    cfl: float = 0.9,
    samples: int = 100,
    tolerance: float = 1e-6,
    max_cycles: int = 40,
    steady: Steady | None = None,
) -> Pulsatile:
    """Prepare the trunks of a simulation for pulsatile flow: `simulate(sim, flow=pulsatile(sim))` (host).

    Arguments: the `period` of the heart [s]; the aortic and the left ventricular pressure, both over the mean of the
    aortic one, by default `aortic_shape` and `ventricular_shape`; the beds' `compliance` [m³/Pa]; `dx` [m], the longest
    cell. The result holds the grid and stays valid while nodes do not move. Raises `InputError` for a simulation with
    bridges or three compartments, which only the steady solver has.
    """
    if len(sim.bridges.nodes):
        raise InputError("pulsatile flow has no grafts or collaterals yet: simulate them with flow=Steady()")
    if sim.tissue is not None and sim.tissue.compartments is not None:
        raise InputError("pulsatile flow knows one compartment: simulate three with flow=Steady()")
    network = sim.network
    trunk = np.array([name != GROWN for name in network.branch_names])[np.asarray(network.branch)]
    chains = trunks(network, trunk)
    number = np.full(len(network.position), -1)
    number[np.asarray(chains.node)] = np.arange(len(chains.node))
    of_vessel, cuts = _cuts(network, trunk)
    at = {int(node): i for i, node in enumerate(cuts)}

    def cut_of(vessel):
        vessel = np.asarray(vessel)
        far = np.asarray(network.far)[vessel]
        return np.array(
            [at[int(f)] if trunk[v] else at[int(of_vessel[v])] for v, f in zip(vessel, far, strict=True)], int
        )

    template = _template(sim, chains, number[cuts], number[np.asarray(network.inlets)], period)
    return Pulsatile(
        aortic=aortic_shape(period) if aortic is None else aortic,
        ventricular=ventricular_shape(period) if ventricular is None else ventricular,
        compliance=jnp.asarray(compliance), arterial=jnp.asarray(ARTERIAL), template=template, chains=chains,
        grid=discretize(template, dx, cfl=cfl, samples=samples), cut=jnp.asarray(number[cuts]),
        cut_of_vessel=jnp.asarray([at.get(int(n), len(cuts)) for n in of_vessel]),
        cut_of_terminal=jnp.asarray(cut_of(sim.terminal_vessel)), cut_of_outlet=jnp.asarray(cut_of(sim.outlet_vessel)),
        steady=Steady() if steady is None else steady, tolerance=tolerance, max_cycles=max_cycles,
    )  # fmt: skip


def _cuts(network: VesselNetwork, trunk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every grown vessel the trunk's node its subtree hangs on (-1 for trunks); all nodes that blood leaves by."""
    above, far = vessel_above(network), np.asarray(network.far)
    near = np.where(far == np.asarray(network.head), np.asarray(network.tail), np.asarray(network.head))
    of_vessel = np.full(len(trunk), -1)
    for v in np.flatnonzero(~trunk):  # depth first: the vessel above comes before
        of_vessel[v] = near[v] if above[v] < 0 or trunk[above[v]] else of_vessel[above[v]]
    ends = np.concatenate([np.asarray(network.terminals), np.asarray(network.outlets)]).astype(int)
    return of_vessel, np.unique(np.concatenate([of_vessel[~trunk], ends[np.isin(ends, far[trunk])]]))


def _template(sim: Simulation, chains: Trunks, cuts, inlets, period: float) -> Arteries:
    """The trunks with a throat at the far end of each chain: its own end node, then the node that it shares."""
    n, chain = len(chains.node), np.arange(len(chains.tail))
    radius = chains.radius(radii(sim.network, no_lesions()))
    shared = np.asarray(chains.head)
    ones = np.ones(len(cuts))
    branch, reached = np.asarray(sim.network.branch), 1e3 * np.asarray(sim.network.coordinate).max(axis=1)
    names = [f"{sim.network.branch_names[branch[v]]} at {reached[v]:.0f} mm" for v in np.asarray(chains.last)]
    zero = np.zeros(len(chain))
    arteries = Arteries.build(
        chains.tail, n + chain, np.asarray(chains.sum(sim.network.length)), radius, olufsen_elasticity(radius),
        period=period, pressure_inlets=Inlets(inlets, Steadily(np.full(len(inlets), 1e4))), profile=float(sim.profile),
        outlets=(Coronary(cuts, ones, ones, ones, ones, ones, ones, Steadily(ones)),), density=DENSITY, viscosity=zero,
        throats=Throats(np.stack([n + chain, shared], axis=1), zero, zero, zero), names=names,
    )  # fmt: skip
    return dataclasses.replace(arteries, total=jnp.ones(arteries.nodes, bool))


def aortic_shape(period: float, systole: float = 0.35, time_constant: float = 1.2) -> Sampled:
    """The aortic pressure over its mean: a windkessel filled by half a sine, dP/dt = q(t)/C - P/(RC).

    RC is the `time_constant` [s], q > 0 in the first `systole` of the period.
    """
    t = np.linspace(0.0, period, 2001)
    inflow = np.where(t < systole * period, np.sin(np.pi * t / (systole * period)), 0.0)
    decay = np.exp(-t / time_constant)
    filled = cumulative_trapezoid(inflow / decay, t, initial=0.0)
    pressure = decay * (filled + filled[-1] * decay[-1] / (1.0 - decay[-1]))
    return Sampled(t[::10], (pressure / np.mean(pressure[:-1]))[None, ::10])


def ventricular_shape(period: float, systole: float = 0.35, filling: float = 0.08, ramp: float = 0.05) -> Sampled:
    """The left ventricle's pressure over the aortic mean: `filling` in diastole, the aorta's while the valve is open.

    It rises to the aorta's pressure in the last `ramp` [s] of the period and falls from it within as long.
    """
    aorta = aortic_shape(period, systole)
    t, p = np.asarray(aorta.times), np.asarray(aorta.values[0])
    closing = systole * period
    rising = 0.5 - 0.5 * np.cos(np.pi * np.clip((t - period + ramp) / ramp, 0.0, 1.0))
    falling = 0.5 + 0.5 * np.cos(np.pi * np.clip((t - closing) / ramp, 0.0, 1.0))
    after = filling + (p[0] - filling) * rising + (np.interp(closing, t, p) - filling) * falling
    return Sampled(t, np.where(t <= closing, p, after)[None])


def pulsed(sim: Simulation, law: VesselFlowLaw, state: State, mean: Perfusion, flow: Pulsatile) -> Perfusion:
    """The perfusion of one state, averaged over the periodic beat, from its steady perfusion."""
    behind = _behind(sim, state, mean, flow)
    arteries = _arteries(sim, law, state, mean, flow, behind)
    cycle, _, reached = periodic_cycle(arteries, flow.grid, flow.tolerance, flow.max_cycles)
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


def _behind(sim: Simulation, state: State, mean: Perfusion, flow: Pulsatile) -> _Behind:
    cuts = len(flow.cut)

    def gathered(of_terminals, of_outlets):
        found = jnp.zeros(cuts).at[flow.cut_of_terminal].add(of_terminals)
        return found.at[flow.cut_of_outlet].add(of_outlets)

    p = mean.total_pressure[flow.chains.node[flow.cut]]
    Q = gathered(mean.terminal_flow, mean.outlet_flow)
    outlet_node = sim.network.outlets
    lumped_back = (
        sim.outlets.pressure if sim.tissue is None else jnp.full(len(outlet_node), jnp.mean(state.back_pressure_epi))
    )
    drop = mean.total_pressure[outlet_node] - lumped_back
    first, _, last = LUMPED_SPLIT
    at_D = mean.terminal_flow * mean.terminal_pressure
    in_capillaries, back, depth = jnp.zeros(0), jnp.zeros(0), jnp.zeros(0)
    if sim.tissue is not None:
        volumes, links, _ = sim.parts()
        p_b = state.back_pressure_epi + (state.back_pressure_endo - state.back_pressure_epi) * volumes.depth
        in_capillaries = links.to_terminals(mean.supplies * mean.tissue_pressure[:, None])
        back = links.to_terminals(mean.supplies * p_b[:, None])
        depth = links.to_terminals(mean.supplies * volumes.depth[:, None])
    q = mean.outlet_flow
    p_D = gathered(at_D, q * (lumped_back + (1.0 - first) * drop)) / Q
    p_c = gathered(in_capillaries, q * (lumped_back + last * drop)) / Q
    p_b = gathered(back, q * lumped_back) / Q
    depth = gathered(depth, q * LUMPED_DEPTH) / Q
    return _Behind(Q, p, (p - p_D) / Q, (p_D - p_c) / Q, (p_c - p_b) / Q, p_b, depth)


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
    scale = jnp.append(Q / behind.Q, 1.0)
    at = flow.cut_of_terminal
    of_terminal = scale[at]
    through = cycle.volume / flow.template.period
    flows = (
        (mean.flow * scale[flow.cut_of_vessel])
        .at[chains.vessel]
        .set(through[n + chains.chain] * sim.forest.sign[chains.vessel])
    )
    total = _pressures(sim, mean, flow, cycle, p, scale)
    alpha = (sim.profile + 2.0) / (sim.profile + 1.0)
    kinetic = 0.5 * DENSITY * alpha * (flows * law.velocity) ** 2
    inlet = flow.template.pressure_inlets.node
    inflow = jnp.stack([jnp.sum(jnp.where(chains.tail == i, through[:n], 0.0)) for i in inlet])
    outlet_flow = mean.outlet_flow * scale[flow.cut_of_outlet]
    ended = reached.change.max() <= flow.tolerance
    result = jnp.where(
        jnp.isfinite(jnp.sum(flows)),
        jnp.where(ended, mean.counters.result, RESULTS.not_periodic),
        RESULTS.wave_not_finite,
    )
    beat = Beat(
        cycle.time, cycle.pressure, cycle.flow, flow.template.names, flow.template.period, Q / behind.Q - 1.0,
        reached.cycles, reached.change.max(), cycle.residual,
    )  # fmt: skip
    return dataclasses.replace(
        mean, total_pressure=total, static_pressure=total[sim.network.far] - kinetic, flow=flows, inlet_flow=inflow,
        outlet_flow=outlet_flow, terminal_flow=mean.terminal_flow * of_terminal,
        terminal_pressure=_toward(mean.terminal_pressure, p[at], behind.pressure[at], of_terminal),
        mass_defect=jnp.abs(jnp.sum(inflow) - jnp.sum(Q)) / jnp.sum(Q), beat=beat,
        counters=Counters(result, mean.counters.newton, mean.counters.krylov, mean.counters.imbalance),
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
    before = jnp.sum(mean.supplies, axis=1)
    factor = jnp.sum(supplies, axis=1) / jnp.where(before == 0, 1.0, before)
    p_b = state.back_pressure_epi + (state.back_pressure_endo - state.back_pressure_epi) * volumes.depth
    capillary = p_b + factor * (mean.tissue_pressure - p_b)
    return {
        "supplies": supplies, "mbf": mean.mbf * factor, "drainage": mean.drainage * factor,
        "tissue_pressure": capillary, "compartment_pressure": capillary[None],
    }  # fmt: skip
