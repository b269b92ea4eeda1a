"""Flow in vessels: friction and stenosis laws, the steady solver, outlets."""

from perfsim.flow import elimination
from perfsim.flow.bridges import Bridges, no_bridges
from perfsim.flow.friction import friction
from perfsim.flow.linearized import Inverse, Linearized
from perfsim.flow.newton import Balance, Counters, Steady, minimize
from perfsim.flow.outlets import LumpedOutlets, no_outlets
from perfsim.flow.steady import solve_network
from perfsim.flow.stenosis import Jet, JetExpansion, NoLoss, StaticJunctions, StenosisLaw, VesselLosses, YoungTsai
from perfsim.flow.system import VesselSystem, vessel_system

__all__ = [
    "Balance",
    "Bridges",
    "Counters",
    "Inverse",
    "Jet",
    "JetExpansion",
    "Linearized",
    "LumpedOutlets",
    "NoLoss",
    "StaticJunctions",
    "Steady",
    "StenosisLaw",
    "VesselLosses",
    "VesselSystem",
    "YoungTsai",
    "elimination",
    "friction",
    "minimize",
    "no_bridges",
    "no_outlets",
    "solve_network",
    "vessel_system",
]
