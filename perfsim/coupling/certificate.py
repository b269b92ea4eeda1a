"""`certify`: how wrong the pressures and the MBF of a solution can be, as solutions of their equations.

Proved for two-point fluxes and forests. Corrected fluxes are not monotone, and nothing of the kind can be proved;
across bridges it has not been: there the size of one Newton step is an estimate, and labelled as one.
"""

from perfsim._results import InputError
from perfsim.coupling.enclosure import sharpened, stepped, supply_bounds
from perfsim.coupling.methods import TissueMethod, posed
from perfsim.coupling.simulate import capillary, capillary_flow, pressures_along_chains
from perfsim.coupling.simulation import Simulation, State
from perfsim.coupling.solution import Perfusion, Solution
from perfsim.coupling.system import vessel_laws
from perfsim.darcy import FiniteVolumes
from perfsim.units import ML_MIN, ML_MIN_G, MMHG

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Certificate(eqx.Module):
    """No number of the state is further from the exact solution of the discrete equations than these, if `proved`.

    Bounds on the algebraic error: not a statement about the mesh, the model or its parameters. Infinite where nothing
    could be proved. A mean of volumes with weights ≥ 0 (a segment's MBF) is bounded by the same mean of `mbf`.
    """

    total_pressure: Float[Array, " nodes"]
    """[Pa]"""
    tissue_pressure: Float[Array, " volumes"]
    """[Pa]"""
    mbf: Float[Array, " volumes"]
    """[mL/min/g]"""
    relative: Float[Array, ""]
    """the largest of `mbf` over the mean MBF of the wall"""
    proved: bool = eqx.field(static=True)
    """False: an estimate, for corrected fluxes or networks with bridges"""


def certify(sim: Simulation, solution: Solution, tissue: TissueMethod | None = None) -> dict[str, Certificate]:
    """Bounds on the error of each state of a solution of `sim`, whatever solver it came from (see `enclosure`).

    Raises `InputError` for a network without a wall, or a state that the simulation does not have.
    """
    sim.parts()
    states = {s.name: s for s in sim.states}
    unknown = set(solution.states) - set(states)
    if unknown:
        raise InputError(f"the simulation has no state {min(unknown)!r}: it has {', '.join(states)}")
    method = FiniteVolumes() if tissue is None else tissue
    bare = eqx.tree_at(lambda s: s.states, sim, ())
    return {name: _certify(bare, states[name].unnamed(), found, method) for name, found in solution.in_order()}


@eqx.filter_jit
def _certify(sim: Simulation, state: State, found: Perfusion, method: TissueMethod) -> Certificate:
    volumes, _, tissue = sim.parts()
    law = vessel_laws(sim)
    system, links, solver = posed(sim, law, state, method)
    x = found.unknowns(sim.forest, links.terminal_node)
    proved = system.correction is None and len(sim.bridges.resistance) == 0
    field, around = (sharpened if proved else stepped)(system, links, x, solver)

    per_gram = ML_MIN / (tissue.density * volumes.volume) / ML_MIN_G
    q = system.supplies(links.couplings, field.p0[links.terminal_node], field.p)
    n = len(volumes.volume)
    p, off = field.p.reshape(-1, n), around.at_volumes.reshape(-1, n)
    mbf = jnp.abs(capillary_flow(sim, q, p) * per_gram - found.mbf)
    if tissue.compartments is None:
        mbf = mbf + supply_bounds(system, links, field, around) * per_gram
    else:
        mbf = mbf + capillary_flow(sim, q, jnp.stack([off[0], -off[1]])) * per_gram
    total = pressures_along_chains(sim, law, field.p0, (field.flow * ML_MIN)[sim.forest.chain])
    return Certificate(
        total_pressure=jnp.abs(total - found.total_pressure) + _along_chains(sim, around.at_nodes) * MMHG,
        tissue_pressure=jnp.abs(capillary(p) * MMHG - found.tissue_pressure) + capillary(off) * MMHG,
        mbf=mbf,
        relative=jnp.max(mbf) / jnp.average(found.mbf, weights=volumes.volume),
        proved=proved,
    )


def _along_chains(sim: Simulation, at_nodes):
    """Inside a chain, where nothing is out of balance, and before a crown the error is at most that of its ends."""
    forest, network = sim.forest, sim.network
    ends = jnp.maximum(at_nodes[forest.parent], at_nodes[forest.roots :])
    inside = jnp.zeros(len(network.position)).at[network.far].set(ends[forest.chain])
    return inside.at[forest.node].set(at_nodes).at[network.terminals].set(inside[network.terminals])
