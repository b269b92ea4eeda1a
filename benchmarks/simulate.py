"""Time one coupled solve and one gradient beside scipy's sparse direct solver on the same assembled system.

All three run in turn, several times, in one process; the medians are printed. The gradient is that of the mean squared
hyperemic MBF w.r.t. every floating-point leaf of the simulation.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import argparse
import json
import statistics
import time

import perfsim
from perfsim import _runtime
from perfsim.cohorts import Stenosis, reference_heart
from perfsim.coupling import simulate
from perfsim.coupling.sparse import to_scipy

import equinox as eqx
import jax
import jax.numpy as jnp
from scipy.sparse.linalg import spsolve

perfsim.enable_x64()


def spacing_for(volumes: int) -> float:
    """Mesh spacing [m] that gives about this many control volumes of the 140 g reference wall."""
    return (1.345e-4 * 1.17 / volumes) ** (1 / 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--terminals", type=int, default=2000)
    parser.add_argument("--volumes", type=int, default=40_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--skip-scipy", action="store_true", help="for sizes that a sparse direct solver cannot do")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is always JSON")
    arguments = parser.parse_args()
    heart = reference_heart(
        terminals=arguments.terminals,
        spacing=spacing_for(arguments.volumes),
        stenoses=(Stenosis("LAD", 0.03, 0.6, 0.01),),
    )
    sim = heart.sim

    def loss(sim):
        return jnp.mean(simulate(sim, states=("hyperemia",)).hyperemia.mbf ** 2)

    solve = eqx.filter_jit(lambda sim: simulate(sim, states=("hyperemia",)).hyperemia)
    gradient = eqx.filter_jit(eqx.filter_value_and_grad(loss))
    started = time.perf_counter()
    state = jax.block_until_ready(solve(sim))
    jax.block_until_ready(gradient(sim))
    compiled = time.perf_counter() - started
    peak = _runtime.peak_memory_mb()  # before scipy's factors
    times: dict[str, list[float]] = {"solve": [], "gradient": [], "scipy": []}
    matrix = None if arguments.skip_scipy else to_scipy(sim)
    for _ in range(arguments.repeats):
        times["solve"].append(_seconds(lambda: jax.block_until_ready(solve(sim))))
        times["gradient"].append(_seconds(lambda: jax.block_until_ready(gradient(sim))))
        if matrix is not None and len(times["scipy"]) < 2:
            times["scipy"].append(_seconds(lambda: spsolve(matrix[0], matrix[1])))
    median = {k: statistics.median(v) if v else None for k, v in times.items()}
    print(
        json.dumps(
            {
                "terminals": len(sim.network.terminals),
                "volumes": len(sim.volumes.volume),
                "solve_s": round(median["solve"], 5),
                "value_and_grad_s": round(median["gradient"], 5),
                "gradient_ratio": round(median["gradient"] / median["solve"], 3),
                "scipy_s": None if median["scipy"] is None else round(median["scipy"], 4),
                "krylov_iterations": int(state.counters.krylov),
                "newton_iterations": int(state.counters.newton),
                "mass_defect": float(state.mass_defect),
                "peak_rss_mb": round(peak, 1),
                "compile_s": round(compiled, 2),
                "device": jax.devices()[0].platform,
                "dtype": str(sim.network.position.dtype),
            }
        )
    )


def _seconds(run) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
