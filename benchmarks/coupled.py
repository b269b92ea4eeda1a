"""Tree and tissue as one system: M terminals grown in a block of N control volumes, one inlet or two, hyperemia.

Counts conjugate-gradient steps of one linear solve to 1e-8 (Σ|r|/Σ|b|) for the coupled system and for its tissue alone,
and Newton steps from a flat guess with the vessels' losses as they are and a hundredfold. `baseline_sweeps` is what
codes that couple two programs do on the same case: the network is solved with a resistance at each terminal, the tissue
with the flows that come out, and the resistances are set anew to pressure over flow, until MBF is within 1 % of the
solution; null where that diverges or takes more than 100 sweeps. Prints one JSON object.
"""

import argparse
import json
import time

import perfsim
from perfsim import _runtime, grow
from perfsim.coupling import assemble, simulate
from perfsim.coupling.potential import Hessian, graph
from perfsim.coupling.system import coupled_system, vessel_laws
from perfsim.darcy import FiniteVolumes, Multigrid, box, conjugate_gradients, operator
from perfsim.flow import Steady, StenosisLaw, solve_network
from perfsim.growth import Box
from perfsim.network import VesselNetwork, stenosis

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

perfsim.enable_x64()

EDGE = 0.05  # [m], 125 mL of tissue
STEM = 0.03  # [m] of vessel before it
METHOD = FiniteVolumes()


def case(terminals: int, volumes: int, reduction: float, screening: float, stems: int):
    """A block with a tree from the middle of one face, or one from each of two, a lesion of the given diameter
    reduction in the first stem, and a mobility for the `screening` length [m].
    """
    n = round(volumes ** (1 / 3))
    block = Box(np.zeros(3), np.full(3, EDGE))
    along = np.linspace(-STEM, 0.0, 61)
    x = np.concatenate([along, EDGE - along])[: 61 * stems]
    tail = np.concatenate([np.arange(60), np.arange(61, 121)])[: 60 * stems]
    stem = VesselNetwork.build(
        np.stack([x, np.full(len(x), EDGE / 2), np.full(len(x), EDGE / 2)], 1), tail, tail + 1,
        np.full(60 * stems, 2.2e-3), inlets=[0, 61][:stems], branch=tail // 61, branch_names=("stem", "other")[:stems],
    )  # fmt: skip
    started = time.perf_counter()
    network, _ = grow(block, stem, terminals)
    grown = time.perf_counter() - started
    lesions = None if reduction == 0 else stenosis(network, "stem", STEM / 2, reduction, STEM / 3)
    cells, samples = box([EDGE] * 3, [n] * 3)
    sim = assemble(network, cells, samples, lesions=lesions)
    mobility = screening**2 * (sim.tissue.supply + sim.tissue.drainage)
    return eqx.tree_at(lambda s: s.tissue.mobility, sim, mobility), grown


class HundredfoldLoss(eqx.Module):
    """A stenosis law with all losses times 100."""

    law: StenosisLaw

    def __call__(self, *arguments):
        found = self.law(*arguments)
        return eqx.tree_at(lambda f: f.S, found, 100.0 * found.S)


@eqx.filter_jit
def linear(sim, rtol):
    """(steps of the coupled solve, of its tissue block alone) at a field in the middle of all pressures."""
    system = coupled_system(sim, vessel_laws(sim), sim.states[1])
    volumes, couplings, _ = sim.parts()
    links = graph(sim.forest, volumes, couplings, sim.network.terminals)
    x = jnp.concatenate([jnp.full(links.nodes, 70.0), jnp.full(len(volumes.volume), 30.0)])
    hessian = Hessian.at(system, links, x, METHOD)
    b = jnp.concatenate([jnp.zeros(links.nodes), system.drainage * (1.0 + 0.5 * jnp.sin(300.0 * volumes.center[:, 0]))])
    steps = hessian.solve(b, rtol, 200).steps
    alone = conjugate_gradients(hessian.tissue, hessian.tissue_inverse, b[links.nodes :], rtol, 200).steps
    return steps, alone


def resistance_updates(sim, wanted, limit: int = 100) -> int | None:
    """Sweeps between a network with terminal resistances and the tissue until MBF is within 1 %; None: never."""
    system = coupled_system(sim, vessel_laws(sim), sim.states[1])
    volumes, couplings, _ = sim.parts()
    links = graph(sim.forest, volumes, couplings, sim.network.terminals)
    A = operator(volumes, system.transmissibility, system.drainage)
    link = system.weight * system.conductance
    supply = links.to_terminals(link)  # g_a of each terminal's tissue

    @jax.jit
    def sweep(resistance, p):
        ends = eqx.tree_at(
            lambda v: (v.outlet, v.outlet_conductance, v.outlet_pressure), system.vessels,
            (links.terminal_node, 1.0 / resistance, jnp.zeros(len(resistance))),
        )  # fmt: skip
        p0, _ = solve_network(ends, sim.forest, Steady())
        flow = p0[links.terminal_node] / resistance
        mean = links.to_terminals(link * p) / supply
        q = link * couplings.drops(flow / supply + mean, p)
        load = jnp.sum(q, axis=0) + system.drainage * system.back_pressure
        p = conjugate_gradients(A, Multigrid.of(volumes.levels, A), load, 1e-10, 500).x
        mean = links.to_terminals(link * p) / supply
        return (flow / supply + mean) / flow, p, jnp.sum(q, axis=0) / volumes.volume

    drained = links.to_terminals(couplings.weight * (system.drainage / volumes.volume))
    resistance, p = 1.0 / supply + 1.0 / drained, system.back_pressure + 10.0
    wanted = wanted * sim.tissue.density * 1e3  # [mL/min/m³]
    for k in range(1, limit + 1):
        resistance, p, found = sweep(resistance, p)
        off = jnp.mean(jnp.abs(found - wanted)) / jnp.mean(wanted)
        if not bool(jnp.isfinite(off)):
            return None
        if off <= 0.01:
            return k
    return None


def seconds(f, repeats: int) -> float:
    jax.block_until_ready(f())
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(f())
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, default=100_000)
    parser.add_argument("--terminals", type=int, default=1024)
    parser.add_argument("--reduction", type=float, default=0.6, help="of the stem's diameter by its lesion")
    parser.add_argument("--stems", type=int, choices=(1, 2), default=1, help="the second feeds from the other side")
    parser.add_argument("--screening", type=float, default=0.69, help="ℓ = √(K/(g_a+g_v)) [mm]")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is always JSON")
    arguments = parser.parse_args()
    screening = 1e-3 * arguments.screening
    sim, grown = case(arguments.terminals, arguments.volumes, arguments.reduction, screening, arguments.stems)
    steps, alone = linear(sim, 1e-8)
    linear_s = seconds(lambda: linear(sim, 1e-8), arguments.repeats)
    state = simulate(sim, flow=Steady(), tissue=METHOD, states=("hyperemia",)).hyperemia
    severe = eqx.tree_at(lambda s: s.loss, sim, HundredfoldLoss(sim.loss))
    worst = simulate(severe, flow=Steady(), tissue=METHOD, states=("hyperemia",)).hyperemia
    solve_s = seconds(lambda: simulate(sim, states=("hyperemia",)).hyperemia.mbf, arguments.repeats)
    memory = _runtime.peak_memory_mb()  # before the baseline's own programs
    found = {
        "terminals": len(sim.network.terminals), "volumes": len(sim.volumes.volume), "grow_s": round(grown, 2),
        "screening_mm": arguments.screening, "krylov_iterations": int(steps),
        "krylov_iterations_tissue_alone": int(alone), "linear_s": round(linear_s, 3),
        "newton_iterations": int(state.counters.newton),
        "newton_iterations_hundredfold_loss": int(worst.counters.newton),
        "newton_krylov_iterations": int(state.counters.krylov), "solve_s": round(solve_s, 3),
        "balance": float(abs(state.mass_defect)), "imbalance": float(state.counters.imbalance),
        "stems": arguments.stems, "reduction": arguments.reduction,
        "baseline_sweeps": resistance_updates(sim, state.mbf),
        "rss_mb": round(memory, 1),
    }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
