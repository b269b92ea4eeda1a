"""`simulate`: from parameters to flow, one differentiable function."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from perfsim._maps import make_room
from perfsim._outcome import is_traced, poison, worst_of
from perfsim._results import RESULTS, InputError
from perfsim.coupling.beat import pulsed
from perfsim.coupling.methods import TissueMethod, own_start, posed
from perfsim.coupling.newton_krylov import solve_coupled
from perfsim.coupling.pulsatile import Pulsatile
from perfsim.coupling.simulation import Simulation, State, check_values
from perfsim.coupling.solution import Perfusion, Solution, check
from perfsim.coupling.system import VesselFlowLaw, state_vessels, vessel_laws
from perfsim.darcy import FiniteVolumes
from perfsim.flow import Counters, Steady, VesselSystem, elimination, solve_network
from perfsim.flow.linearized import spread
from perfsim.precision import Precision, cast
from perfsim.units import ML_MIN, ML_MIN_G, MMHG

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def simulate(
    sim: Simulation,
    flow: Steady | Pulsatile | None = None,
    tissue: TissueMethod | None = None,
    states: str | tuple[str, ...] | None = None,
    near: Solution | None = None,
    *,
    throw: bool = True,
    precision: Precision = "f64",
) -> Solution:
    """Compute the blood flow of a simulation in all (or the named) of its states.

    A pure function of the floating-point leaves of `sim`: `jax.grad`, `jax.jvp`, `jax.vmap` and `jax.jit` go through
    it, and nothing recompiles when a physical value changes.

    Arguments: `flow`, `Steady()` or `pulsatile(sim)` for a beating heart, whose means are then returned with the beat;
    `tissue`, how the wall is solved; `states`, one name or several, default all; `near`, a solution of the same
    simulation with other values, from whose pressures the solves start; `throw`, see below; `precision`, "f64" or
    "f32", in which flows balance to about six digits.

    Returns a `Solution`. Raises `SimulationError` for a solve that fails, and `InputError` for a state that the
    simulation does not have, a solution of other trees, and where jax lacks float64 (see `perfsim.enable_x64`). Under
    `jit`, `grad` and `vmap`, where nothing can be raised, all floats of a failed state are NaN, and so are their
    derivatives (`check` names the members of a batch that failed). With `throw=False` the last iterate is returned,
    with its result in `counters.result` of its state.
    """
    check_values(sim)
    found = attempt(sim, flow, tissue, states, near, throw=throw, precision=precision)
    return check(found) if throw and not is_traced(found) else found


def attempt(
    sim: Simulation,
    flow: Steady | Pulsatile | None = None,
    tissue: TissueMethod | None = None,
    states: str | tuple[str, ...] | None = None,
    near: Solution | None = None,
    *,
    throw: bool = True,
    precision: Precision = "f64",
) -> Solution:
    """Do what `simulate` does without raising: on the host too all floats of a state that failed are NaN.

    For callers that look at the results themselves. Arguments as there.
    """
    flow = Steady() if flow is None else flow
    tissue = FiniteVolumes() if tissue is None else tissue
    _check_kinds(flow, states, near)
    known = [s.name for s in sim.states]
    names = tuple(known) if states is None else (states,) if isinstance(states, str) else tuple(states)
    for name in names:
        if name not in known:
            raise InputError(f"the simulation has no state {name!r}: it has {', '.join(known)}")
    names = tuple(name for name in known if name in names)
    if near is not None:
        _check_size(sim, near, names)
    sim, flow, tissue, near = cast((_arrays(sim), flow, tissue, near), precision)
    chosen = tuple(s.unnamed() for s in sim.states if s.name in names)
    own = near is None and (flow if isinstance(flow, Steady) else flow.steady).given
    starts = tuple(None if own else unknowns(sim, None if near is None else near[name]) for name in names)
    bare = without_states(sim)
    make_room()
    if chosen and is_traced((sim, flow, tissue, starts)):
        found = solve_states(bare, chosen, flow, tissue, starts, throw)
        return Solution(dict(zip(names, found, strict=True)))
    # one after the other: a single program serves all states
    each = zip(names, chosen, starts, strict=True)
    return Solution({name: solve_states(bare, (s,), flow, tissue, (x,), throw)[0] for name, s, x in each})


def without_states(sim: Simulation) -> Simulation:
    """What all states share."""
    return eqx.tree_at(lambda s: s.states, sim, ())


def unknowns(sim: Simulation, near: Perfusion | None) -> Float[Array, " unknowns"]:
    """The pressures that a solve starts from [mmHg]; NaN where it takes the method's own start."""
    if near is not None:
        nodes = jnp.zeros(0, int) if sim.tissue is None else sim.forest.contracted[sim.network.terminals]
        return _unknowns_of(near, sim.forest, nodes)
    volumes = 0 if sim.tissue is None else len(sim.solved_on()[0].volume)
    return jnp.full(sim.forest.children.shape[0] + volumes, jnp.nan, sim.network.position.dtype)


def _arrays(sim: Simulation) -> Simulation:
    """Python floats, as users put them in, would each cost one compilation."""
    return jax.tree.map(lambda x: jnp.asarray(x) if isinstance(x, float) else x, sim)


_unknowns_of = eqx.filter_jit(Perfusion.unknowns)


@eqx.filter_jit
def solve_states(
    sim: Simulation,
    states: tuple[State, ...],
    flow: Steady | Pulsatile,
    tissue: TissueMethod,
    starts: tuple[Float[Array, " unknowns"] | None, ...],
    throw: bool,
) -> tuple[Perfusion, ...]:
    """Solve states that differ in numbers only; several are one loop, so that the program holds the solver once."""
    law = vessel_laws(sim)
    steady = flow if isinstance(flow, Steady) else flow.steady

    def solve(state: State, start: Float[Array, " unknowns"] | None) -> Perfusion:
        found = _solve_state(sim, law, state, steady, tissue, start, throw)
        if isinstance(flow, Pulsatile):
            found = pulsed(sim, law, state, found, flow, throw)
        result = worst_of(found.counters.result, law.result)
        counters = dataclasses.replace(found.counters, result=result)
        if throw:
            found = poison(found, result != RESULTS.successful)
        return dataclasses.replace(found, counters=counters)

    if len(states) == 1:
        return (solve(states[0], starts[0]),)
    cells = 0 if sim.volumes is None else len(sim.volumes.volume)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *(s.by_volume(cells) for s in states))
    known = None if starts[0] is None else jnp.stack(starts)
    found = jax.lax.map(lambda each: solve(*each), (stacked, known))
    return tuple(jax.tree.map(lambda x, k=k: x[k], found) for k in range(len(states)))


def _check_kinds(flow, states, near) -> None:
    """Raise `InputError` for what is no solver, no name of a state, no solution."""
    if not isinstance(flow, Steady | Pulsatile):
        raise InputError(f"flow is a {type(flow).__name__}: give Steady(...) or pulsatile(sim)")
    several = () if states is None else (states,) if not isinstance(states, Sequence) else states
    if not all(isinstance(s, str) for s in several):
        raise InputError(f"states is {states!r}: give the name of a state, or several")
    if not (near is None or isinstance(near, Solution)):
        raise InputError(f"near is a {type(near).__name__}: give what simulate returned")


def _check_size(sim: Simulation, near: Solution, names: tuple[str, ...]) -> None:
    wanted = len(sim.network.position), 0 if sim.tissue is None else len(sim.parts()[0].volume)
    for name in names:
        known = near[name]
        size = len(known.total_pressure), len(known.mbf)
        if size != wanted:
            raise InputError(
                f"`near` has {size[0]} nodes and {size[1]} volumes in state {name!r}, the simulation has {wanted[0]} "
                f"and {wanted[1]}: start from a solution of the same trees and mesh, or leave it out"
            )


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
    sim: Simulation, law: VesselFlowLaw, state: State, flow: Steady, tissue: TissueMethod, start: Array | None, throw
) -> Perfusion:
    if sim.tissue is None:
        solved = _network(sim, law, state, flow, start)
    else:
        solved = _heart(sim, law, state, flow, tissue, start, throw)
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
        static_pressure=total[sim.network.far] - law.dynamic(sim.table, flows),
        flow=flows * sim.forest.sign,
        inlet_flow=at_root * ML_MIN,
        outlet_flow=lumped * ML_MIN,
        bridge_flow=bridged * ML_MIN,
        aortic_pressure=state.aortic_pressure,
        mass_defect=defect / jnp.where(inflow == 0, 1.0, jnp.abs(inflow)),
        counters=solved.counters,
        **solved.wall,
    )


def _network(sim: Simulation, law: VesselFlowLaw, state: State, flow: Steady, start: Array | None) -> _Solved:
    """A network without a wall."""
    vessels = state_vessels(sim, law, state)
    p0, counters = solve_network(vessels, sim.forest, flow, start)
    fields = ("terminal_flow", "terminal_pressure", "tissue_pressure", "mbf", "drainage")
    wall = dict.fromkeys(fields, jnp.zeros(0, p0.dtype))
    wall |= dict.fromkeys(("supplies", "compartment_pressure"), jnp.zeros((0, 0), p0.dtype))
    return _Solved(vessels, p0, jnp.zeros_like(p0), jnp.zeros((), p0.dtype), counters, wall)


def _heart(
    sim: Simulation, law: VesselFlowLaw, state: State, flow: Steady, method: TissueMethod, start: Array | None, throw
) -> _Solved:
    """A network coupled to its wall."""
    volumes, _, tissue = sim.parts()
    if flow.accuracy is not None and tissue.compartments is not None:
        raise InputError("`accuracy` is proved of one compartment: leave it out for three, and `certify` the solution")
    system, links, solver = posed(sim, law, state, method)
    p0, p, counters = solve_coupled(system, links, flow, solver, start, own_start(method), throw=throw)
    q = system.supplies(links.couplings, p0[links.terminal_node], p)
    supplied, drained = links.to_terminals(q), system.drained(p)
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
    before = jnp.concatenate([jnp.zeros(1, fall.dtype), fall])[first]
    at_far = p0[forest.parent][forest.chain] * MMHG - (fall - before[forest.chain])
    at_roots = jnp.zeros(len(network.position), p0.dtype).at[forest.node[: forest.roots]].set(p0[: forest.roots] * MMHG)
    return at_roots.at[network.far].set(at_far)
