"""A network of compliant vessels as one of lumped elements: what svZeroDSolver's format has."""

import dataclasses

from perfsim._results import InputError
from perfsim.flow.pulsatile import Arteries

import numpy as np

KNOTS = 201
"""places along a vessel that its integrals are taken at"""
LEAD = 0.1
"""share of an outlet's first resistance that leads to it from a node where vessels go on"""


@dataclasses.dataclass
class Element:
    """A vessel of the lumped network, in SI: R, L and a stenosis S in series, a compliance C."""

    name: str
    tail: int
    head: int
    R: float
    L: float
    C: float = 0.0
    S: float = 0.0


def elements_of(arteries: Arteries) -> list[Element]:
    """Vessels and stenoses as elements between the network's nodes; where stenoses do nothing, nodes are merged.

    With the lumen A at the reference pressure, R = 2(ζ+2)πμ ∫dx/A², L = ρ ∫dx/A and C = ∫ dA/dP dx.
    """
    count = len(arteries.tail)
    x = np.linspace(0.0, 1.0, KNOTS)
    length, radius, stiff = (np.asarray(a) for a in (arteries.length, arteries.radius, arteries.elasticity))
    knots = np.linspace(0.0, 1.0, radius.shape[1])
    profile, mu = (np.broadcast_to(np.asarray(a), count) for a in (arteries.profile, arteries.viscosity))
    same = _merged(arteries)
    found = []
    for v in range(count):
        r, Eh = (np.interp(x, knots, a[v]) for a in (radius, stiff))
        wall = arteries.wall.of(r, Eh, 0.0)
        A, slope = np.pi * r**2, np.asarray(wall.slope(np.sqrt(np.pi) * r))  # slope is A dP/dA
        R = 2.0 * (profile[v] + 2.0) * np.pi * mu[v] * length[v] * np.trapezoid(1.0 / A**2, x)
        L = float(arteries.density) * length[v] * np.trapezoid(1.0 / A, x)
        C = length[v] * np.trapezoid(A / slope, x)
        found.append(Element(arteries.names[v], same[int(arteries.tail[v])], same[int(arteries.head[v])], R, L, C))
    throats = arteries.throats
    for k, (a, b) in enumerate(np.asarray(throats.node)):
        R, S, L = (float(y[k]) for y in (throats.R, throats.S, throats.L))
        if same[int(a)] != same[int(b)]:
            found.append(Element(f"stenosis {k}", same[int(a)], same[int(b)], R, L, 0.0, S))
    return found


def _merged(arteries: Arteries) -> list[int]:
    """The node that stands for each: both ends of a stenosis without resistance, loss and inertance are one."""
    same = list(range(arteries.nodes))
    throats = arteries.throats
    for k, (a, b) in enumerate(np.asarray(throats.node)):
        if max(abs(float(y[k])) for y in (throats.R, throats.S, throats.L)) == 0.0:
            same = [same[int(a)] if s == same[int(b)] else s for s in same]
    return same


def node_of(arteries: Arteries, node) -> int:
    """The node that stands for another in the lumped network."""
    return _merged(arteries)[int(node)]


def led(elements: list[Element], node: int, R: float, name: str, fresh: int) -> tuple[int, float]:
    """The node that an outlet of first resistance R sits on, and what is left of R.

    An outlet sits at a vessel's end: where others go on from its node, a part of R becomes a vessel that leads to it.
    Raises `InputError` for an outlet that nothing leads to.
    """
    touching = [e for e in elements if node in (e.tail, e.head)]
    if not touching:
        raise InputError(f"the outlet at node {node} touches no vessel")
    if len(touching) == 1 and touching[0].head == node:
        return node, R
    elements.append(Element(name, node, fresh, LEAD * R, 0.0))
    return fresh, (1.0 - LEAD) * R
