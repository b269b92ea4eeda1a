"""`simulate`: from parameters to flow, one differentiable function."""

from typing import NamedTuple

from perfsim._maps import make_room
from perfsim._results import InputError
from perfsim.coupling.beat import pulsed
from perfsim.coupling.methods import TissueMethod, posed, start_of
from perfsim.coupling.newton_krylov import solve_coupled
from perfsim.coupling.pulsatile import Pulsatile
from perfsim.coupling.simulation import Simulation, State
from perfsim.coupling.solution import Perfusion, Solution
from perfsim.coupling.system import VesselFlowLaw, state_vessels, vessel_laws
from perfsim.darcy import FiniteVolumes
from perfsim.flow import Counters, Steady, VesselSystem, elimination, solve_network
from perfsim.flow.linearized import spread
from perfsim.units import ML_MIN, ML_MIN_G, MMHG

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def simulate(
    sim: Simulation,
    flow: Steady | Pulsatile | None = None,
    tissue: TissueMethod | None = None,
    states: tuple[str, ...] | None = None,
    near: Solution | None = None,
) -> Solution:
    """Blood flow of a simulation in all (or the named) of its states.

    A pure function of the floating-point leaves of `sim`: `jax.grad`, `jax.jvp`, `jax.vmap` and `jax.jit` go through
    it, and nothing recompiles when a physical value changes. Solvers are data: `flow` (`Steady()`, or `pulsatile(sim)`
    for a beating heart, whose means are then returned with the beat) and `tissue` choose them. Solves start from the
    pressures of `near`, a solution of the same simulation with other values. A solve that fails says so in
    `counters.result` of its state, a value of `RESULTS`; `check(solution)` raises on the host. Raises `InputError` for
    a state that the simulation does not have, or a solution of other trees.
    """
    flow = Steady() if flow is None else flow
    tissue = FiniteVolumes() if tissue is None else tissue
    unknown = set(states or ()) - {s.name for s in sim.states}
    if unknown:
        raise InputError(
            f"the simulation has no state {min(unknown)!r}: it has {', '.join(s.name for s in sim.states)}"
        )
    if near is not None:
        _check_size(sim, near)
    make_room()
    return _simulate(_strongly_typed(sim), flow, tissue, states, near)


def _check_size(sim: Simulation, near: Solution) -> None:
    wanted = len(sim.network.position), 0 if sim.tissue is None else len(sim.parts()[0].volume)
    for name, known in near.states.items():
        size = len(known.total_pressure), len(known.mbf)
        if size != wanted:
            raise InputError(
                f"`near` has {size[0]} nodes and {size[1]} volumes in state {name!r}, the simulation has {wanted[0]} "
                f"and {wanted[1]}: start from a solution of the same trees and mesh, or leave it out"
            )


def _strongly_typed(sim: Simulation) -> Simulation:
    """Python floats and weakly typed arrays, as users put them in, would each cost one compilation."""
    dtype = sim.network.position.dtype

    def strong(x):
        return jax.lax.convert_element_type(x, dtype) if isinstance(x, float) or eqx.is_inexact_array(x) else x

    return jax.tree.map(strong, sim)


@eqx.filter_jit
def _simulate(
    sim: Simulation,
    flow: Steady | Pulsatile,
    tissue: TissueMethod,
    states: tuple[str, ...] | None,
    near: Solution | None,
) -> Solution:
    law = vessel_laws(sim)
    chosen = [s for s in sim.states if states is None or s.name in states]
    steady = flow if isinstance(flow, Steady) else flow.steady
    known = {} if near is None else near.states
    solved = {s.name: _solve_state(sim, law, s, steady, tissue, known.get(s.name)) for s in chosen}
    if isinstance(flow, Pulsatile):
        solved = {s.name: pulsed(sim, law, s, solved[s.name], flow) for s in chosen}
    return Solution(solved)


class _Solved(NamedTuple):
    """What either solver hands on: the tree's pressures, and what leaves it where."""

    vessels: VesselSystem
    p0: Array
    """total pressures at the contracted nodes [mmHg]"""
    at_nodes: Array
    """flow that leaves the tree at each contracted node into the wall [mL/min]"""
    vein: Array
    """venous outflow of the wall [mL/min]"""
    counters: Counters
    wall: dict[str, Array]
    """the fields of `Perfusion` that belong to the wall"""


def _solve_state(
    sim: Simulation, law: VesselFlowLaw, state: State, flow: Steady, tissue: TissueMethod, near: Perfusion | None
) -> Perfusion:
    if sim.tissue is None:
        solved = _network(sim, law, state, flow, near)
    else:
        solved = _heart(sim, law, state, flow, tissue, near)
    lumped = solved.vessels.outlet_flow(solved.p0)
    bridged = solved.vessels.bridge_flow(solved.p0)
    at_nodes = spread(solved.at_nodes.at[solved.vessels.outlet].add(lumped), solved.vessels.bridge, bridged)
    chain_flow, at_root = elimination.subtree_sum(sim.forest, at_nodes)
    flows = chain_flow[sim.forest.chain] * ML_MIN
    total = pressures_along_chains(sim, law, solved.p0, flows)
    inflow = jnp.sum(at_root)
    defect = jnp.abs(inflow - solved.vein - jnp.sum(lumped))
    return Perfusion(
        total_pressure=total,
        static_pressure=total[sim.network.far] - law.kinetic(flows),
        flow=flows * sim.forest.sign,
        inlet_flow=at_root * ML_MIN,
        outlet_flow=lumped * ML_MIN,
        bridge_flow=bridged * ML_MIN,
        aortic_pressure=state.aortic_pressure,
        mass_defect=defect / jnp.where(inflow == 0, 1.0, jnp.abs(inflow)),
        counters=solved.counters,
        **solved.wall,
    )


def _network(sim: Simulation, law: VesselFlowLaw, state: State, flow: Steady, near: Perfusion | None) -> _Solved:
    """A network without a wall."""
    vessels = state_vessels(sim, law, state)
    start = None if near is None else near.unknowns(sim.forest, jnp.zeros(0, int))
    p0, counters = solve_network(vessels, sim.forest, flow, start)
    fields = ("terminal_flow", "terminal_pressure", "tissue_pressure", "mbf", "drainage")
    wall = dict.fromkeys(fields, jnp.zeros(0)) | dict.fromkeys(("supplies", "compartment_pressure"), jnp.zeros((0, 0)))
    return _Solved(vessels, p0, jnp.zeros(p0.shape), jnp.zeros(()), counters, wall)


def _heart(
    sim: Simulation, law: VesselFlowLaw, state: State, flow: Steady, method: TissueMethod, near: Perfusion | None
) -> _Solved:
    """A network coupled to its wall."""
    volumes, _, tissue = sim.parts()
    if flow.accuracy is not None and tissue.compartments is not None:
        raise InputError("`accuracy` is proved of one compartment: leave it out for three, and `certify` the solution")
    system, links, solver = posed(sim, law, state, method)
    p0, p, counters = solve_coupled(system, links, flow, solver, start_of(method, near))
    q = system.supplies(links.couplings, p0[links.terminal_node], p)
    supplied, drained = links.to_terminals(q), system.drainage * (p - system.back_pressure)
    n, per_gram = len(volumes.volume), ML_MIN / (tissue.density * volumes.volume) / ML_MIN_G
    pressures = p.reshape(-1, n)
    wall = {
        "terminal_flow": supplied * ML_MIN,
        "terminal_pressure": p0[links.terminal_node] * MMHG,
        "tissue_pressure": capillary(pressures) * MMHG,
        "compartment_pressure": pressures * MMHG,
        "mbf": capillary_flow(sim, q, pressures) * per_gram,
        "drainage": drained[-n:] * per_gram,
        "supplies": q[:, :n] * ML_MIN,
    }
    return _Solved(system.vessels, p0, links.to_nodes(supplied), jnp.sum(drained), counters, wall)


def capillary(per_compartment: Float[Array, "compartments volumes"]) -> Float[Array, " volumes"]:
    """The compartment in the middle, or the only one."""
    return per_compartment[len(per_compartment) // 2]


def capillary_flow(sim: Simulation, q, pressures) -> Float[Array, " volumes"]:
    """Flow into the capillaries of each volume [mL/min]: its supply or, of three compartments, β₁₂ V (p₁ - p₂)."""
    volumes, _, tissue = sim.parts()
    if tissue.compartments is None:
        return jnp.sum(q, axis=0)  # not `sum_rows`: a blurred view gathers from it
    beta = tissue.compartments.exchanged(volumes, tissue.transmural)[0] * (MMHG / ML_MIN)
    return beta * (pressures[0] - pressures[1])


def pressures_along_chains(sim: Simulation, law: VesselFlowLaw, p0, flows):
    """Total pressure at every network node [Pa]: down each chain from its near end, Δp = RQ + SQ|Q| a vessel."""
    forest, network = sim.forest, sim.network
    fall = jnp.cumsum(law.R * flows + law.S * flows * jnp.abs(flows))
    first = jnp.searchsorted(forest.chain, jnp.arange(forest.chains))
    before = jnp.concatenate([jnp.zeros(1), fall])[first]
    at_far = p0[forest.parent][forest.chain] * MMHG - (fall - before[forest.chain])
    at_roots = jnp.zeros(len(network.position)).at[forest.node[: forest.roots]].set(p0[: forest.roots] * MMHG)
    return at_roots.at[network.far].set(at_far)
