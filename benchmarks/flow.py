"""Pulsatile flow: accuracy against published references, speed, compile time, gradient and its memory, batches.

    python benchmarks/flow.py --case network --json
    python benchmarks/flow.py --case carotid --data ../shared/data/flow1d --json

Seconds are CPU-seconds on the CPU (pin one core for the issue's figures: `taskset -c 0`), medians of `--repeat` runs.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

if "--threads" not in sys.argv:  # one core
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import perfsim
from perfsim._runtime import peak_memory_mb
from perfsim.flow.pulsatile import (
    Arteries,
    Fourier,
    Grid,
    Inlets,
    Windkessel,
    discretize,
    march,
    olufsen_elasticity,
    periodic_cycle,
    scheme,
    solve_periodic,
    steady_start,
)
from perfsim.precision import Precision, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
import pulse_waves

perfsim.enable_x64()

HEART = Fourier(8e-5, [[1e-4, 5e-5]], [[0.0, 0.5]], 1.0)


def binary_tree(vessels: int = 77, length: float = 9.0, seed: int = 0) -> Arteries:
    """A systemic tree in size: every vessel splits into two, lengths vary sixfold, ends drain through windkessels."""
    rng = np.random.default_rng(seed)
    i = np.arange(vessels)
    lengths = rng.uniform(0.3, 1.7, vessels)
    radius = 12e-3 * 2.0 ** (-np.floor(np.log2(i + 1)) / 2.5)
    leaf = i[2 * i + 1 >= vessels]
    n = len(leaf)
    R, C = 1.3e8 * n, 1.5e-8 / n
    return Arteries.build(
        np.where(i == 0, 0, (i - 1) // 2 + 1), i + 1, lengths * length / lengths.sum(), radius,
        np.asarray(olufsen_elasticity(radius)), period=1.0, flow_inlets=Inlets(0, HEART),
        outlets=(Windkessel(leaf + 1, [0.1 * R] * n, [0.9 * R] * n, [C] * n, [0.0] * n),), reference_pressure=1e4,
    )  # fmt: skip


def single_tube() -> Arteries:
    """268 cells of 1 mm; with 20,000 steps the peers' case for memory."""
    return Arteries.build(
        [0], [1], 0.268, 3e-3, 210.0, period=1.0, flow_inlets=Inlets(0, Fourier(3e-6, [[2e-6]], [[0.0]], 1.0)),
        outlets=(Windkessel(1, 2.5e8, 1.9e9, 1.7e-10, 0.0),), reference_pressure=1e4,
    )  # fmt: skip


def seconds(function, repeat: int) -> tuple[float, float]:
    """(compile time, median CPU time of a run; wall time on a GPU)."""
    clock = time.perf_counter if jax.default_backend() == "gpu" else time.process_time
    start = time.perf_counter()
    jax.block_until_ready(function())
    first = time.perf_counter() - start
    found = []
    for _ in range(repeat):
        start = clock()
        jax.block_until_ready(function())
        found.append(clock() - start)
    return first - statistics.median(found), statistics.median(found)


def shortened(arteries: Arteries, dx: float, steps: int) -> tuple[Arteries, Grid]:
    """The case with a period of so many steps of the usual size."""
    usual = discretize(arteries, dx, samples=10)
    part = steps / (usual.steps * usual.samples)
    return eqx.tree_at(lambda a: a.period, arteries, arteries.period * part), discretize(
        arteries, dx, samples=10, steps=steps
    )


def speed(arteries: Arteries, dx: float, steps: int, repeat: int, gradient: bool, precision: Precision = "f64") -> dict:
    """Cell-updates per second of one march, and what its gradient costs."""
    arteries, grid = shortened(arteries, dx, steps)
    start = steady_start(arteries, scheme(arteries, grid), grid)
    arteries, grid, start = cast((arteries, grid, start), precision)

    def value(factors):
        a = eqx.tree_at(
            lambda a: (a.elasticity, a.viscosity),
            arteries,
            (factors[0] * arteries.elasticity, factors[1] * arteries.viscosity),
        )
        return jnp.mean(march(scheme(a, grid), a, grid, start)[1].pressure[:, 1, 0])

    ones = jnp.ones(2, arteries.radius.dtype)
    forward = jax.jit(value)
    compiling, running = seconds(lambda: forward(ones), repeat)
    count = grid.steps * grid.samples
    result = {
        "cells": len(grid.vessel), "steps": count, "cpu_s": running, "us_per_step": 1e6 * running / count,
        "mcell_updates_per_cpu_s": len(grid.vessel) * count / running / 1e6, "compile_s": compiling,
    }  # fmt: skip
    if gradient:
        before = peak_memory_mb()
        both = jax.jit(jax.value_and_grad(value))
        compiling, longer = seconds(lambda: both(ones), repeat)
        temporary = [
            f.lower(ones).compile().memory_analysis().temp_size_in_bytes / 2**20 for f in (jax.jit(value), both)
        ]
        result |= {
            "gradient_ratio": longer / running, "gradient_compile_s": compiling,
            "gradient_rss_mb": peak_memory_mb() - before,
            "gradient_temporary_mib": temporary[1] - temporary[0],
        }  # fmt: skip
    return result


def gradient_error(arteries: Arteries, dx: float) -> float:
    """AD against a fourth-order difference of the periodic state's mean squared pressure by wall stiffness."""
    grid = discretize(arteries, dx, samples=20)

    def value(factor):
        a = eqx.tree_at(lambda a: a.elasticity, arteries, factor * arteries.elasticity)
        return jnp.mean((periodic_cycle(a, grid, 1e-13, 80)[0].pressure / 1e4) ** 2)

    f, h = jax.jit(value), 2e-4
    difference = (8 * (f(1.0 + h) - f(1.0 - h)) - (f(1.0 + 2 * h) - f(1.0 - 2 * h))) / (12 * h)
    return abs(float(jax.jit(jax.grad(value))(1.0) / difference - 1.0))


def periodic_gradient(arteries: Arteries, dx: float) -> dict:
    """A gradient through the periodic state of the whole network: seconds and peak memory."""
    grid = discretize(arteries, dx, samples=100)

    @jax.jit
    def value(factor):
        a = eqx.tree_at(lambda a: a.elasticity, arteries, factor * arteries.elasticity)
        cycle, _, reached = periodic_cycle(a, grid, 1e-6, 60)
        return jnp.mean(cycle.pressure), (reached.cycles, cycle)

    compiling, running = seconds(lambda: value(1.0), 1)
    both = jax.jit(jax.value_and_grad(value, has_aux=True))
    compiling, longer = seconds(lambda: both(1.0), 1)
    _, (cycles, cycle) = value(1.0)
    return {
        "cells": len(grid.vessel), "steps": grid.steps * grid.samples, "cycles": int(cycles),
        "volume_defect": volume_defect(arteries, cycle),
        "cpu_s": running, "gradient_cpu_s": longer, "gradient_ratio": longer / running,
        "gradient_compile_s": compiling, "peak_rss_mb": peak_memory_mb(),
    }  # fmt: skip


def batches(arteries: Arteries, dx: float, steps: int, sizes, repeat: int) -> list[dict]:
    """Cell-updates per second of many networks at once, by vmap."""
    arteries, grid = shortened(arteries, dx, steps)

    def value(factor):
        a = eqx.tree_at(lambda a: a.elasticity, arteries, factor * arteries.elasticity)
        s = scheme(a, grid)
        return jnp.mean(march(s, a, grid, steady_start(a, s, grid))[1].pressure)

    found = []
    for size in sizes:
        factors = jnp.linspace(0.9, 1.1, size)
        many = jax.jit(jax.vmap(value))
        compiling, running = seconds(lambda many=many, factors=factors: many(factors), repeat)
        rate = size * len(grid.vessel) * grid.steps * grid.samples / running / 1e6
        found.append({"networks": size, "s": running, "mcell_updates_per_s": rate, "compile_s": compiling})
    return found


def volume_defect(arteries: Arteries, cycle) -> float:
    """|in - out| over what enters in a cycle; the inlet is the start of the first vessel."""
    volume, n = np.asarray(cycle.volume), len(arteries.names)
    ends = np.isin(np.asarray(arteries.head), np.asarray(arteries.outlets[0].node))
    return float(abs(volume[0] - volume[n:][ends].sum()) / volume[0])


def references(case: str, data: Path, dx: float) -> dict:
    """Errors against the published tables, and the balance of a cycle."""
    arteries = pulse_waves.CASES[case](data)
    grid = discretize(arteries, dx, samples=1100)
    cycle = solve_periodic(arteries, grid, tolerance=1e-9)
    start = time.process_time()
    solve_periodic(arteries, grid, tolerance=1e-6)
    return {
        "steps_per_cycle": grid.steps * grid.samples, "periodic_cpu_s": time.process_time() - start,
        "errors": pulse_waves.compare(data, case, cycle), "volume_defect": volume_defect(arteries, cycle),
        "junction_residual": float(cycle.residual),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--case", choices=["pulse", "carotid", "bifurcation", "network", "memory", "batch"], required=True
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/flow1d"), help="folder of the references")
    parser.add_argument("--dx", type=float, help="cell length [m]")
    parser.add_argument("--steps", type=int, default=4000, help="of the runs that are timed")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--networks", type=int, nargs="*", default=[1, 64])
    parser.add_argument("--precision", choices=["f64", "f32"], default="f64", help="of the runs that are timed")
    parser.add_argument("--threads", action="store_true", help="let XLA use all cores")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is always JSON")
    a = parser.parse_args()
    result: dict = {"case": a.case, "device": jax.devices()[0].device_kind, "precision": a.precision}
    if a.case == "pulse":
        dx = a.dx or 2.5e-3
        result |= {f"viscosity {mu}": pulse_waves.pulse(mu, dx) for mu in pulse_waves.PEAKS}
        result |= speed(pulse_waves.long_tube(4e-3), dx, a.steps, a.repeat, True, a.precision)
    elif a.case == "network":
        dx = a.dx or 1e-3
        result |= speed(binary_tree(), dx, a.steps, a.repeat, True, a.precision)
        result["periodic"] = periodic_gradient(binary_tree(), dx)
        result |= {"volume_defect": result["periodic"].pop("volume_defect")}
        result["gradient_error"] = gradient_error(binary_tree(), 4 * dx)
    elif a.case == "memory":
        result |= speed(single_tube(), a.dx or 1e-3, 20_000, a.repeat, True, a.precision)
    elif a.case == "batch":
        result["batches"] = batches(binary_tree(), a.dx or 1e-3, a.steps, a.networks, a.repeat)
    else:
        dx = a.dx or 1e-3
        arteries = pulse_waves.CASES[a.case](a.data)
        result |= {"dx": dx} | references(a.case, a.data, dx)
        result |= speed(arteries, dx, a.steps, a.repeat, True, a.precision)
        result["gradient_error"] = gradient_error(arteries, 2 * dx)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
