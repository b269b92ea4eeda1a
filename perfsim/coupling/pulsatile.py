"""Preparing a simulation's trunks for pulsatile flow: chains, the nodes that subtrees hang on, the grid."""

import dataclasses

from perfsim._arrays import on_device
from perfsim._results import InputError
from perfsim.blood import DENSITY
from perfsim.coupling.heartbeat import aortic_shape, ventricular_shape
from perfsim.coupling.simulation import Simulation
from perfsim.flow import Steady
from perfsim.flow.pulsatile import (
    Arteries,
    Coronary,
    Grid,
    Inlets,
    Steadily,
    Throats,
    Trunks,
    Waveform,
    discretize,
    olufsen_elasticity,
    trunks,
)
from perfsim.network import GROWN, VesselNetwork, no_lesions, radii, vessel_above

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

COMPLIANCE = 3.6e-10 + 2.5e-10
"""of the left and the right coronary bed [m³/Pa]: Sankaran et al. (2012), Ann Biomed Eng 40:2228"""
ARTERIAL = 0.11
"""the part of it in the arteries before the microvessels; same source"""


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
    tolerance: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    """what pressure or flow may still change by, over what they swing by, in a beat that counts as periodic"""
    max_cycles: Int[Array, ""] = eqx.field(converter=jnp.asarray)


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

    def cut_of(vessel):
        vessel = np.asarray(vessel, int)
        return np.searchsorted(cuts, np.where(trunk[vessel], np.asarray(network.far)[vessel], of_vessel[vessel]))

    template = _template(sim, chains, number[cuts], number[np.asarray(network.inlets)], period)
    return Pulsatile(
        aortic=aortic_shape(period) if aortic is None else aortic,
        ventricular=ventricular_shape(period) if ventricular is None else ventricular,
        compliance=jnp.asarray(compliance), arterial=jnp.asarray(ARTERIAL), template=template, chains=chains,
        grid=discretize(template, dx, cfl=cfl, samples=samples), cut=on_device(number[cuts]),
        cut_of_vessel=on_device(np.where(trunk, len(cuts), np.searchsorted(cuts, of_vessel))),
        cut_of_terminal=on_device(cut_of(sim.terminal_vessel)), cut_of_outlet=on_device(cut_of(sim.outlet_vessel)),
        steady=Steady() if steady is None else steady, tolerance=tolerance, max_cycles=max_cycles,
    )  # fmt: skip


def _cuts(network: VesselNetwork, trunk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every grown vessel the trunk's node its subtree hangs on (-1 for trunks); all nodes that blood leaves by."""
    above, near, far = vessel_above(network), np.asarray(network.near), np.asarray(network.far)
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
