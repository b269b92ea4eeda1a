"""Vessels and tissue together: `Simulation`, `simulate`, `Solution`."""

from perfsim.coupling.certificate import Certificate, certify
from perfsim.coupling.simulate import simulate
from perfsim.coupling.simulation import (
    Simulation,
    State,
    Tissue,
    assemble,
    check_inputs,
    default_states,
    network_only,
)
from perfsim.coupling.solution import Perfusion, Solution, check
from perfsim.coupling.territories import (
    Couplings,
    couplings,
    nearest_terminals,
    territory_of_branches,
    territory_of_terminals,
    trunk_branch,
)
from perfsim.coupling.transmural import transmural_profile

__all__ = [
    "Certificate",
    "Couplings",
    "Perfusion",
    "Simulation",
    "Solution",
    "State",
    "Tissue",
    "assemble",
    "certify",
    "check",
    "check_inputs",
    "couplings",
    "default_states",
    "nearest_terminals",
    "network_only",
    "simulate",
    "territory_of_branches",
    "territory_of_terminals",
    "transmural_profile",
    "trunk_branch",
]
