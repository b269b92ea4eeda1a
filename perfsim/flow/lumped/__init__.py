"""Networks of lumped elements: resistances, inertances, compliances and stenoses, and their periodic state."""

from perfsim.flow.lumped.elements import (
    Coronary,
    Drain,
    Element,
    Held,
    Inflow,
    ProximalVessel,
    SqueezedCoronary,
    Vessel,
    Windkessel,
)
from perfsim.flow.lumped.network import LumpedCycle, LumpedNetwork
from perfsim.flow.lumped.periodic import LumpedPeriodicity, periodic_lumped

__all__ = [
    "Coronary",
    "Drain",
    "Element",
    "Held",
    "Inflow",
    "LumpedCycle",
    "LumpedNetwork",
    "LumpedPeriodicity",
    "ProximalVessel",
    "SqueezedCoronary",
    "Vessel",
    "Windkessel",
    "periodic_lumped",
]
