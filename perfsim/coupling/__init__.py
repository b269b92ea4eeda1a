"""Vessels and tissue together: `Simulation`, `simulate`, `Solution`."""

from perfsim.coupling.certificate import Certificate, certify
from perfsim.coupling.coarsened import Merging, coarsened
from perfsim.coupling.compartments import Compartments, three_compartments
from perfsim.coupling.diagnostics import balance, screening_length
from perfsim.coupling.graph import FVGraph
from perfsim.coupling.graph_network import Factors, GraphNetwork
from perfsim.coupling.heartbeat import aortic_shape, ventricular_shape
from perfsim.coupling.linearization import Linearization, linearize
from perfsim.coupling.methods import TissueMethod
from perfsim.coupling.padding import pad
from perfsim.coupling.predicted import Predicted, TissueProblem, local_field, tissue_problem
from perfsim.coupling.pulsatile import Pulsatile, pulsatile
from perfsim.coupling.simulate import simulate
from perfsim.coupling.simulation import (
    Simulation,
    State,
    Tissue,
    assemble,
    bridge,
    check_inputs,
    check_values,
    default_states,
    network_only,
)
from perfsim.coupling.soft import SoftTerritories, soft_territories
from perfsim.coupling.solution import Beat, Perfusion, Solution, check
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
    "Beat",
    "Certificate",
    "Compartments",
    "Couplings",
    "FVGraph",
    "Factors",
    "GraphNetwork",
    "Linearization",
    "Merging",
    "Perfusion",
    "Predicted",
    "Pulsatile",
    "Simulation",
    "SoftTerritories",
    "Solution",
    "State",
    "Tissue",
    "TissueMethod",
    "TissueProblem",
    "aortic_shape",
    "assemble",
    "balance",
    "bridge",
    "certify",
    "check",
    "check_inputs",
    "check_values",
    "coarsened",
    "couplings",
    "default_states",
    "linearize",
    "local_field",
    "nearest_terminals",
    "network_only",
    "pad",
    "pulsatile",
    "screening_length",
    "simulate",
    "soft_territories",
    "territory_of_branches",
    "territory_of_terminals",
    "three_compartments",
    "tissue_problem",
    "transmural_profile",
    "trunk_branch",
    "ventricular_shape",
]
