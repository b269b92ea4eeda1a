"""A coronary tree as a network that blood can flow in: walls by Olufsen's fit, coronary outlets, a beating aorta."""

from perfsim._results import InputError
from perfsim.coupling.beat import LUMPED_DEPTH, LUMPED_SPLIT
from perfsim.coupling.heartbeat import Swinging, aortic_shape, ventricular_shape
from perfsim.coupling.pulsatile import ARTERIAL, COMPLIANCE
from perfsim.flow.pulsatile import (
    Arteries,
    Coronary,
    Inlets,
    Sampled,
    Trunks,
    Windkessel,
    olufsen_elasticity,
    trunks,
)
from perfsim.io.flow_case import FlowCase
from perfsim.network import Centerlines, VesselNetwork
from perfsim.physiology import BACK_EPI

import jax.numpy as jnp
import numpy as np

KNOTS = 129
"""radii along each stretch between junctions"""
EXPONENT = 3.0
"""flow is shared among the ends by this power of their radius (Murray)"""


def bed_resistance(lines: Centerlines, flow: float, pressure: float) -> np.ndarray:
    """Resistance [Pa·s/m³] from each end of a tree to a pressure of 0, for a mean flow [m³/s] under a pressure [Pa].

    The flow is shared by the cube of the ends' radius; what the vessels themselves lose is not taken off.
    """
    return pressure / (flow * _shares(lines))


def _shares(lines: Centerlines) -> np.ndarray:
    radius = np.array([lines.lumen[int(np.flatnonzero(lines.head == n)[0]), 1] for n in lines.outlets])
    return radius**EXPONENT / np.sum(radius**EXPONENT)


def tree_case(
    lines: Centerlines, name: str, *, flow: float, pressure: float, period: float = 0.8, viscosity: float = 4e-3
) -> FlowCase:
    """A tree whose inlet is under the aortic pressure and whose ends drain into coronary beds.

    Arguments: the tree [m] with one inlet; the mean `flow` into it [m³/s] and the mean aortic `pressure` [Pa], from
    which the resistance of all beds follows, shared by the cube of their radius; the `period` of the heart [s] and the
    `viscosity` [Pa·s]. Lumens are taken at the mean pressure. Raises `InputError` for a tree with several inlets, or a
    pressure below that behind the beds.
    """
    if pressure <= BACK_EPI:
        raise InputError(f"{name}: the pressure {pressure:.4g} Pa does not exceed the back pressure {BACK_EPI:.4g} Pa")
    chains, names, ends, inlet = _chains(lines, name)
    share = _shares(lines)
    total, C, zero = (pressure - BACK_EPI) / (flow * share), COMPLIANCE * share, jnp.zeros(len(ends))
    R_a, R_am, R_v = (f * total for f in LUMPED_SPLIT)
    aorta = Swinging.of(aortic_shape(period), period, *jnp.full((2, 1), pressure))
    muscle = Swinging.of(ventricular_shape(period), period, zero + BACK_EPI, zero + LUMPED_DEPTH * pressure)
    network = VesselNetwork.of(lines)
    radius = chains.radius(network.lumen)
    arteries = Arteries.build(
        chains.tail, chains.head, np.asarray(chains.sum(network.length)), radius, olufsen_elasticity(radius),
        period=period, names=names, viscosity=viscosity, reference_pressure=pressure,
        pressure_inlets=Inlets([inlet], aorta),
        outlets=(Coronary(ends, R_a, R_am, R_v, ARTERIAL * C, (1.0 - ARTERIAL) * C, zero + BACK_EPI, muscle),),
    )  # fmt: skip
    return FlowCase(name, arteries, tuple(str(n) for n in range(arteries.nodes)), samples=100)


def in_tubes(lines: Centerlines, name: str, *, flow: float, pressure: float, period: float = 0.8) -> FlowCase:
    """A tree as openBF has networks: a steady inflow, linear tapers, one wall per vessel, windkessels.

    Arguments as `tree_case`. Each stretch between junctions is one vessel with the radii of its ends, its wall that of
    the middle; radii are put where the external pressure is that of the lumens, `pressure`.
    """
    chains, names, ends, inlet = _chains(lines, name)
    network = VesselNetwork.of(lines)
    knots = chains.radius(network.lumen)
    radius = np.asarray(knots)[:, [0, -1]]
    wall = np.asarray(olufsen_elasticity(np.asarray(radius.mean(1))))
    share = _shares(lines)
    total = pressure / (flow * share)
    arteries = Arteries.build(
        chains.tail, chains.head, np.asarray(chains.sum(network.length)), radius, wall, period=period, names=names,
        external_pressure=pressure, flow_inlets=Inlets([inlet], Sampled([0.0, period], [[flow, flow]])),
        momentum_factor=1.0,
        outlets=(Windkessel(ends, LUMPED_SPLIT[0] * total, (1.0 - LUMPED_SPLIT[0]) * total, COMPLIANCE * share,
                            np.zeros(len(ends))),),
    )  # fmt: skip
    return FlowCase(name, arteries, tuple(str(n) for n in range(arteries.nodes)), samples=100)


def _chains(lines: Centerlines, name: str) -> tuple[Trunks, list[str], list[int], int]:
    """The stretches between junctions, their names, and the numbers of the ends and of the inlet among their nodes."""
    if len(lines.inlets) != 1:
        raise InputError(
            f"{name}: has {len(lines.inlets)} inlets; a model is made of one tree: remove the other pieces"
        )
    chains = trunks(VesselNetwork.of(lines), knots=KNOTS)
    number = {int(node): k for k, node in enumerate(np.asarray(chains.node))}
    branch = np.asarray(lines.branch)
    names = [str(lines.branch_names[branch[v]]) for v in np.asarray(chains.last)]
    names = [n if names.count(n) == 1 else f"{n}.{names[:k].count(n)}" for k, n in enumerate(names)]
    return chains, names, [number[int(n)] for n in lines.outlets], number[int(lines.inlets[0])]
