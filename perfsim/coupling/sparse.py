"""The linear hyperemic system as a scipy matrix, assembled entry by entry: for checks and for other solvers."""

from perfsim.coupling.simulation import Simulation
from perfsim.coupling.system import coupled_system, vessel_laws

import numpy as np
import scipy.sparse as sp


def to_scipy(sim: Simulation, state: str = "hyperemia") -> tuple[sp.csc_matrix, np.ndarray, int]:
    """(matrix, right-hand side, number of tree nodes) in mL/min and mmHg, with losses S and autoregulation left out.

    Unknowns are the total pressures of the contracted tree nodes, then the pressures of the volumes.
    """
    system = coupled_system(sim, vessel_laws(sim), next(s for s in sim.states if s.name == state))
    (volumes, links), forest, vessels = sim.solved_on(), sim.forest, system.vessels
    nodes, cells = forest.children.shape[0], len(volumes.volume)
    k, cell = np.nonzero(np.asarray(links.weight) > 0)
    feeder = np.asarray(forest.contracted[sim.network.terminals])[np.asarray(links.terminal)[k, cell]]
    coupling = np.broadcast_to(np.asarray(system.weight * system.conductance), links.weight.shape)[k, cell]
    side, at = np.nonzero(np.asarray(volumes.neighbor) > np.arange(cells))
    beside = np.asarray(volumes.neighbor)[side, at]
    bridge = np.asarray(vessels.bridge)
    i = np.concatenate([np.asarray(forest.parent), bridge[0], feeder, nodes + at])
    j = np.concatenate([forest.roots + np.arange(forest.chains), bridge[1], nodes + cell, nodes + beside])
    vessel = np.concatenate([1.0 / np.asarray(vessels.R), 1.0 / np.asarray(vessels.bridge_resistance)])
    g = np.concatenate([vessel, coupling, np.asarray(system.transmissibility)[side, at]])
    diagonal, rhs = np.zeros(nodes + cells), np.zeros(nodes + cells)
    diagonal[nodes:] = system.drainage
    rhs[nodes:] = np.asarray(system.drainage * system.back_pressure)
    outlet, conductance = np.asarray(vessels.outlet), np.asarray(vessels.outlet_conductance)
    np.add.at(diagonal, outlet, conductance)
    np.add.at(rhs, outlet, conductance * np.asarray(vessels.outlet_pressure))
    every = np.arange(nodes + cells)
    row, column = np.concatenate([i, j, i, j, every]), np.concatenate([i, j, j, i, every])
    value = np.concatenate([g, g, -g, -g, diagonal])
    root = np.flatnonzero(np.asarray(vessels.fixed))
    keep = ~np.isin(row, root)
    row, column = np.concatenate([row[keep], root]), np.concatenate([column[keep], root])
    value = np.concatenate([value[keep], np.ones(len(root))])
    rhs[root] = np.asarray(vessels.fixed_pressure)[root]
    return sp.csc_matrix((value, (row, column)), shape=(nodes + cells,) * 2), rhs, nodes
