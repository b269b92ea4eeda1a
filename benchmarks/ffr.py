"""FFR of a large tree: time per solve after compilation, a batch of 1,000 by vmap, the gradient to every radius."""

import argparse
import json
import statistics
import time

import perfsim
from perfsim.coupling import network_only, simulate
from perfsim.flow import LumpedOutlets
from perfsim.network import VesselNetwork
from perfsim.units import ML_MIN, MMHG

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

perfsim.enable_x64()


def tree(nodes: int = 900, ends: int = 7, seed: int = 0) -> VesselNetwork:
    """A random coronary tree: a stem that gives off `ends` - 1 branches, 0.7 mm between nodes, noisy tapering radii."""
    rng = np.random.default_rng(seed)
    each = nodes // ends
    position, tail, head, lumen, branch = [np.zeros(3)], [], [], [], []
    for k in range(ends):
        at = 0 if k == 0 else int(rng.integers(10, each))
        direction = rng.standard_normal(3)
        start = 1.9e-3 * (1.0 if k == 0 else 0.75)
        radius = np.linspace(start, 0.5 * start, each) * (1 + 0.05 * rng.standard_normal(each))
        for i in range(each - 1):
            direction += 0.2 * rng.standard_normal(3)
            position.append(position[at] + 0.7e-3 * direction / np.linalg.norm(direction))
            tail.append(at)
            at = len(position) - 1
            head.append(at)
            lumen.append(radius[i : i + 2])
            branch.append(k)
    outlets = np.setdiff1d(head, tail)
    names = [f"b{k}" for k in range(ends)]
    return VesselNetwork.build(
        position, tail, head, np.array(lumen), inlets=[0], outlets=outlets, branch=branch, branch_names=names
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=900)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is always JSON")
    arguments = parser.parse_args()
    network = tree(arguments.nodes)
    count = len(network.outlets)
    resistance = np.full(count, count * 75 * MMHG / (300 * ML_MIN))
    outlets = LumpedOutlets(resistance, np.full(count, 15 * MMHG), np.zeros(count))
    sim = network_only(network, outlets, aortic_pressure=93 * MMHG)
    arrays, static = eqx.partition(sim, eqx.is_array)

    def end_ffr(arrays):
        state = simulate(eqx.combine(arrays, static)).hyperemia
        return state.static_pressure / state.aortic_pressure

    def of_lumen(lumen):
        return end_ffr(eqx.tree_at(lambda s: s.network.lumen, arrays, lumen))

    scale = np.exp(0.1 * np.random.default_rng(1).standard_normal((arguments.batch, 1, 1)))
    batch = jnp.asarray(scale) * sim.network.lumen
    one, many = jax.jit(end_ffr), jax.jit(jax.vmap(of_lumen))
    gradient = jax.jit(jax.grad(lambda lumen: jnp.sum(of_lumen(lumen)[-1])))
    report = {
        "nodes": len(network.position),
        "solve_ms": 1e3 * median_seconds(lambda: one(arrays)),
        "gradient_ms": 1e3 * median_seconds(lambda: gradient(sim.network.lumen)),
        "batch": arguments.batch,
        "batch_s": median_seconds(lambda: many(batch), repeats=5),
    }
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in report.items()}))


def median_seconds(run, repeats: int = 50) -> float:
    """Median time of a compiled call."""
    jax.block_until_ready(run())
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
