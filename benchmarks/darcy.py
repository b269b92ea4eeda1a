"""The tissue solve alone: -∇·K∇p + σp = f on N control volumes to a true relative residual of 1e-8.

The region is a cube of 6 cm in equal cells, or in tetrahedra (six in each of n³ cubes, corners moved by up to a fifth
of the spacing), σ = 1 and K = ℓ²; the load is random. Times are medians, set-up (the coarser meshes, once per mesh) and
solve (coarse coefficients included) apart. Tetrahedra are solved by two points, and, in the keys `corrected_`, by the
corrected flux with fibers of ratio 4. Where pyamg is installed, the better of Ruge-Stüben and smoothed aggregation runs
on the same two-point matrix.
"""

import argparse
import json
import time

import perfsim
from perfsim import _runtime, darcy
from perfsim.darcy import (
    ControlVolumes,
    CorrectedOperator,
    FiniteVolumes,
    along_fibers,
    box,
    correction,
    mesh_cells,
    operator,
    tetrahedra_in_box,
    transmissibility,
)
from perfsim.darcy.coarsening import coarsen, morton_codes, neighbors

import jax
import jax.numpy as jnp
import numpy as np

perfsim.enable_x64()

SIZE = 0.06
TWO_POINT = FiniteVolumes(corrected=False)


def mesh(kind: str, count: int) -> ControlVolumes:
    if kind == "voxel":
        n = round(count ** (1 / 3))
        return box([SIZE] * 3, [n] * 3)[0]
    return mesh_cells(*tetrahedra_in_box(SIZE, round((count / 6) ** (1 / 3))))[0]


def squares(volumes: ControlVolumes, K, sink, load):
    """Σ p²: some function of the solution, to be differentiated by every mobility and every sink."""
    return jnp.sum(darcy.solve(volumes, K, sink, load, method=TWO_POINT, rtol=0.5e-8)[0] ** 2)


@jax.jit
def solve(volumes: ControlVolumes, K, sink, load):
    """(pressure, iterations, true relative residual)."""
    A = operator(volumes, transmissibility(volumes, K), sink)
    p, info = darcy.solve(volumes, K, sink, load, method=TWO_POINT, rtol=0.5e-8)
    return p, info.steps, jnp.linalg.norm(load - A(p)) / jnp.linalg.norm(load)


@jax.jit
def corrected(volumes: ControlVolumes, K, sink, load):
    """The same with fibers that turn by 120° from one side to the other and conduct four times as much."""
    angle = jnp.deg2rad(60.0 - 120.0 / SIZE * volumes.center[:, 2])
    along = along_fibers(K, 4.0, jnp.stack([jnp.cos(angle), jnp.sin(angle), 0.0 * angle], 1))
    T = transmissibility(volumes, along)
    A = CorrectedOperator(operator(volumes, T, sink), correction(volumes, along, T))
    p, info = darcy.solve(volumes, along, sink, load, rtol=0.5e-8)
    return p, info.steps, jnp.linalg.norm(load - A(p)) / jnp.linalg.norm(load)


def median_ms(f, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(f())
        times.append(1e3 * (time.perf_counter() - started))
    return float(np.median(times))


def pyamg_times(A, load, repeats: int) -> dict:
    """Set-up and solve of the faster of pyamg's two methods, by their sum [ms]."""
    import pyamg

    best = None
    for make in (pyamg.ruge_stuben_solver, pyamg.smoothed_aggregation_solver):
        setup = median_ms(lambda make=make: make(A), repeats)
        hierarchy = make(A)
        took = median_ms(lambda h=hierarchy: h.solve(load, tol=1e-8, accel="cg"), repeats)
        if best is None or setup + took < sum(best):
            best = setup, took
    return {"pyamg_setup_ms": round(best[0], 1), "pyamg_solve_ms": round(best[1], 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, default=100_000)
    parser.add_argument("--screening", type=float, default=3.4, help="ℓ = √(K/σ) [mm]")
    parser.add_argument("--mesh", choices=("voxel", "tet"), default="voxel")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-peer", action="store_true", help="leave pyamg out")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is always JSON")
    arguments = parser.parse_args()
    volumes = mesh(arguments.mesh, arguments.volumes)
    n, repeats = len(volumes.volume), arguments.repeats
    side, at = np.nonzero(np.asarray(volumes.neighbor) > np.arange(n))
    pairs = np.stack([at, np.asarray(volumes.neighbor)[side, at]], 1).astype(np.int32)
    host = [np.asarray(volumes.center), np.asarray(volumes.volume), pairs[np.argsort(at, kind="stable")]]
    host.append(neighbors(host[2], n)[1])
    low = 0.0 if arguments.mesh == "voxel" else host[0].min(0)  # as when the mesh was made
    code = morton_codes(np.floor((host[0] - low) / np.cbrt(host[1].mean())).astype(int))
    K, sink = jnp.full(n, (1e-3 * arguments.screening) ** 2), volumes.volume
    load = volumes.volume * jnp.asarray(np.random.default_rng(0).standard_normal(n))
    _, steps, residual = solve(volumes, K, sink, load)
    memory = _runtime.peak_memory_mb()

    gradient = jax.jit(jax.value_and_grad(squares, (1, 2)))
    value = jax.jit(squares)
    jax.block_until_ready((value(volumes, K, sink, load), gradient(volumes, K, sink, load)))
    found = {
        "volumes": n, "mesh": arguments.mesh, "screening_mm": arguments.screening,
        "solve_ms": round(median_ms(lambda: solve(volumes, K, sink, load), repeats), 2),
        "setup_ms": round(median_ms(lambda: coarsen(*host, code), min(repeats, 5)), 2),
        "gradient_ratio": round(
            median_ms(lambda: gradient(volumes, K, sink, load), repeats)
            / median_ms(lambda: value(volumes, K, sink, load), repeats), 2,
        ),
        "iterations": int(steps), "residual": float(residual), "rss_mb": round(memory, 1),
        "levels": [len(level.aggregate) for level in volumes.levels],
    }  # fmt: skip
    if arguments.mesh == "tet":
        _, steps, residual = corrected(volumes, K, sink, load)
        found |= {
            "corrected_solve_ms": round(median_ms(lambda: corrected(volumes, K, sink, load), repeats), 2),
            "corrected_iterations": int(steps), "corrected_residual": float(residual),
        }  # fmt: skip
    if not arguments.no_peer:
        A = operator(volumes, transmissibility(volumes, K), sink).to_scipy()
        found |= pyamg_times(A, np.asarray(load), 3)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
