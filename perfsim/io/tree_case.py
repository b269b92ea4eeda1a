"""A coronary tree as a network that blood can flow in: walls by Olufsen's fit, coronary outlets, a beating aorta."""

from perfsim._results import InputError
from perfsim.coupling.beat import LUMPED_DEPTH, LUMPED_SPLIT
from perfsim.coupling.heartbeat import Swinging, aortic_shape, ventricular_shape
from perfsim.coupling.pulsatile import ARTERIAL, COMPLIANCE
from perfsim.flow.pulsatile import Arteries, Coronary, Inlets, olufsen_elasticity, trunks
from perfsim.io.flow_case import FlowCase
from perfsim.network import Centerlines, VesselNetwork
from perfsim.physiology import BACK_EPI

import numpy as np

EXPONENT = 3.0
"""flow is shared among the ends by this power of their radius (Murray)"""


def tree_case(
    lines: Centerlines, name: str, *, flow: float, pressure: float, period: float = 0.8, viscosity: float = 4e-3
) -> FlowCase:
    """A tree whose inlet is under the aortic pressure and whose ends drain into coronary beds.

    Arguments: the tree [m] with one inlet; the mean `flow` into it [m³/s] and the mean aortic `pressure` [Pa], from
    which the resistance of all beds follows, shared by the cube of their radius; the `period` of the heart [s] and the
    `viscosity` [Pa·s]. Lumens are taken at the mean pressure. Raises `InputError` for a tree with several inlets or
    where the flow needs more pressure than there is.
    """
    if len(lines.inlets) != 1:
        raise InputError(f"{name}: has {len(lines.inlets)} inlets; a model is made of one tree: remove the other pieces")
    network = VesselNetwork.of(lines)
    chains = trunks(network)
    number = {int(node): k for k, node in enumerate(np.asarray(chains.node))}
    ends = [number[int(node)] for node in lines.outlets]
    radius = chains.radius(network.lumen)
    at_end = np.array([float(radius[int(np.flatnonzero(np.asarray(chains.head) == n)[0]), -1]) for n in ends])
    share = at_end**EXPONENT / np.sum(at_end**EXPONENT)
    total = (pressure - BACK_EPI) / (flow * share)
    if not (total > 0).all():
        raise InputError(f"{name}: the pressure {pressure:.4g} Pa does not exceed the back pressure {BACK_EPI:.4g} Pa")
    beats = [Swinging.of(shape(period), period, *(np.atleast_1d(x) for x in swing)) for shape, swing in (
        (aortic_shape, (pressure, pressure)),
        (ventricular_shape, (np.full(len(ends), BACK_EPI), np.full(len(ends), LUMPED_DEPTH * pressure))),
    )]  # fmt: skip
    C = COMPLIANCE * share
    branch, count = np.asarray(lines.branch), len(chains.tail)
    names = [str(lines.branch_names[branch[v]]) for v in np.asarray(chains.last)]
    names = [n if names.count(n) == 1 else f"{n}.{names[:k].count(n)}" for k, n in enumerate(names)]
    arteries = Arteries.build(
        chains.tail, chains.head, np.asarray(chains.sum(network.length)), radius, olufsen_elasticity(radius),
        period=period, names=names, viscosity=viscosity, reference_pressure=np.full(count, pressure),
        pressure_inlets=Inlets([number[int(lines.inlets[0])]], beats[0]),
        outlets=(Coronary(ends, *(f * total for f in LUMPED_SPLIT), ARTERIAL * C, (1.0 - ARTERIAL) * C,
                          np.full(len(ends), BACK_EPI), beats[1]),),
    )  # fmt: skip
    return FlowCase(name, arteries, tuple(str(n) for n in range(arteries.nodes)), samples=100)
