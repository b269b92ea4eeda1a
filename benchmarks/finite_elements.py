"""MBF of a tree in a block of tetrahedra, with a stenosis, beside linear finite elements on the same tetrahedra.

The finite elements are scikit-fem's; vessels and tissue are assembled with them into one sparse matrix and solved by
Newton's method with scipy's direct solver. Shared are only the inputs: resistances and losses of the chains, weights
of the couplings, conductances. Prints one JSON object.
"""

import argparse
import json

import perfsim
from perfsim import grow
from perfsim.coupling import assemble, check, simulate
from perfsim.coupling.system import coupled_system, vessel_laws
from perfsim.darcy import FiniteVolumes, mesh_cells, tetrahedra_in_box
from perfsim.growth import Box
from perfsim.network import VesselNetwork, stenosis
from perfsim.units import ML_MIN, ML_MIN_G, MMHG

import equinox as eqx
import numpy as np
import scipy.sparse as sp
import skfem
from scipy.sparse.linalg import spsolve

perfsim.enable_x64()

EDGE = 0.05  # [m], 125 mL of tissue
STEM = 0.03  # [m] of vessel before it


def case(terminals: int, n: int, reduction: float, screening: float):
    """(simulation, corners and cells of its mesh in the order of its volumes)."""
    along = np.linspace(-STEM, 0.0, 61)
    stem = VesselNetwork.build(
        np.stack([along, np.full(61, EDGE / 2), np.full(61, EDGE / 2)], 1), np.arange(60), np.arange(1, 61),
        np.full(60, 2.2e-3), inlets=[0], branch_names=("stem",),
    )  # fmt: skip
    network, _ = grow(Box(np.zeros(3), np.full(3, EDGE)), stem, terminals)
    points, cells = tetrahedra_in_box(EDGE, n)
    volumes, samples = mesh_cells(points, cells)
    sim = assemble(network, volumes, samples, lesions=stenosis(network, "stem", STEM / 2, reduction, STEM / 3))
    mobility = screening**2 * (sim.tissue.supply + sim.tissue.drainage)
    return eqx.tree_at(lambda s: s.tissue.mobility, sim, mobility), points, cells[samples.cell]


def finite_elements(sim, points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Hyperemic MBF of every cell [mL/min/g]."""
    law = vessel_laws(sim)
    system = coupled_system(sim, law, next(s for s in sim.states if s.name == "hyperemia"))
    volumes, links, tissue = sim.parts()
    V, unit = np.asarray(volumes.volume), MMHG / ML_MIN
    basis = skfem.Basis(skfem.MeshTet(points.T, cells.T), skfem.ElementTetP1())
    stiffness = skfem.BilinearForm(lambda u, v, _: sum(u.grad[k] * v.grad[k] for k in range(3))).assemble(basis)
    corner, local = cells.ravel(), (np.ones((4, 4)) + np.eye(4)) / 20.0
    row, column = np.repeat(cells, 4, axis=1).ravel(), np.tile(cells, (1, 4)).ravel()

    def mass(per_cell):
        return sp.coo_matrix((np.outer(per_cell, local.ravel()).ravel(), (row, column)), (len(points),) * 2).tocsr()

    slot, cell = np.nonzero(np.asarray(links.weight) > 0)
    coupling = np.asarray(system.weight * system.conductance)[slot, cell]
    terminal = np.asarray(links.terminal)[slot, cell]
    supplied, drained = np.bincount(cell, coupling, len(V)), np.asarray(system.drainage)
    tissue_block = float(tissue.mobility) * unit * stiffness + mass(supplied) + mass(drained)
    load = np.bincount(corner, np.repeat(drained * np.asarray(system.back_pressure), 4) / 4.0, len(points))
    node = np.asarray(sim.forest.contracted)[np.asarray(sim.network.terminals)][terminal]
    nodes = sim.forest.children.shape[0]
    between = sp.coo_matrix(
        (np.repeat(coupling, 4) / 4.0, (np.repeat(node, 4), cells[cell].ravel())), (nodes, len(points))
    )
    leaving = sp.diags(np.bincount(node, coupling, nodes))

    parent, chains = np.asarray(sim.forest.parent), sim.forest.chains
    far = np.arange(chains) + sim.forest.roots
    R, S = np.asarray(system.vessels.R), np.asarray(system.vessels.S)
    fixed, top = np.asarray(system.vessels.fixed), np.asarray(system.vessels.fixed_pressure)
    chain, end = np.tile(np.arange(chains), 2), np.concatenate([parent, far])
    incidence = sp.coo_matrix((np.repeat([1.0, -1.0], chains), (chain, end)), (chains, nodes)).tocsr()
    x = np.concatenate([np.where(fixed, top, top.max()), np.full(len(points), 30.0)])
    free = np.concatenate([~fixed, np.ones(len(points), bool)])
    for _ in range(50):
        p, drop = x[nodes:], incidence @ x[:nodes]
        Q = 2.0 * drop / (R + np.sqrt(R**2 + 4.0 * S * np.abs(drop)))
        slope = sp.diags(1.0 / np.sqrt(R**2 + 4.0 * S * np.abs(drop)))
        residual = np.concatenate(
            [incidence.T @ Q + leaving @ x[:nodes] - between @ p, tissue_block @ p - load - between.T @ x[:nodes]]
        )
        matrix = sp.bmat([[incidence.T @ slope @ incidence + leaving, -between], [-between.T, tissue_block]]).tocsr()
        step = np.zeros(len(x))
        step[free] = spsolve(matrix[free][:, free].tocsc(), -residual[free])
        x += step
        if np.abs(step).max() < 1e-9:
            break
    flow = np.bincount(cell, coupling * (x[node] - x[nodes:][cells].mean(1)[cell]), len(V))
    return flow * ML_MIN / (float(tissue.density) * V) / ML_MIN_G


def compare(terminals: int, n: int, reduction: float, screening: float) -> dict[str, float]:
    """Differences of MBF in % of its mean, for the corrected and for the two-point flux."""
    sim, points, cells = case(terminals, n, reduction, screening)
    elements, V = finite_elements(sim, points, cells), np.asarray(sim.volumes.volume)
    mean = float(np.average(elements, weights=V))
    found: dict[str, float] = {"mbf": round(mean, 4)}
    for name, method in (("", None), ("two_point_", FiniteVolumes(corrected=False))):
        state = check(simulate(sim, tissue=method, states=("hyperemia",))).hyperemia
        off = np.abs(np.asarray(state.mbf) - elements) / mean
        found[f"{name}mean_percent"] = round(100.0 * float(np.average(off, weights=V)), 4)
        found[f"{name}max_percent"] = round(100.0 * float(off.max()), 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, default=100_000)
    parser.add_argument("--terminals", type=int, default=200)
    parser.add_argument("--reduction", type=float, default=0.6, help="of the stem's diameter by its lesion")
    parser.add_argument("--screening", type=float, default=3.4, help="ℓ = √(K/(g_a+g_v)) [mm]")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is always JSON")
    arguments = parser.parse_args()
    n = round((arguments.volumes / 6) ** (1 / 3))
    found = compare(arguments.terminals, n, arguments.reduction, 1e-3 * arguments.screening)
    print(
        json.dumps({"volumes": 6 * n**3, "terminals": arguments.terminals, "screening_mm": arguments.screening} | found)
    )


if __name__ == "__main__":
    main()
