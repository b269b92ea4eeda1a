"""What learned parts do inside the certified solver, on synthetic hearts never seen in training.

pressure  the wall's pressures by a graph network that is trained on the energy of the equations (`learn.pressure`):
          error of MBF before any solver touches it, balance, the solver's share where the proof asks for more than
          the network gives, bounds against exact solutions, cost beside the certified solve
subgrid   factors that make meshes merged twice say what 10⁵ volumes do (`learn.subgrid`)

Every part trains its network first, or reads it from `--model`; `--save` keeps it. Times are medians of alternating
runs; pin the process to one core to compare them.
"""

import argparse
import json
import time
from pathlib import Path

import perfsim
from perfsim import certify, simulate
from perfsim.coupling import Predicted
from perfsim.flow import Steady
from perfsim.learn import TASKS, Training, load, pressure, save, subgrid, train
from perfsim.learn.tasks import HELD_OUT

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

perfsim.enable_x64()

STATE = ("hyperemia",)
ACCURACY = 0.01
"""of any volume's MBF over the wall's mean, asked of the certificate"""


def trained(task: str, arguments, samples) -> eqx.Module:
    if arguments.model:
        return load(arguments.model)
    model = TASKS[task].kind.of(jax.random.key(0))
    started = time.perf_counter()

    def tell(step, loss):
        if not arguments.json and step % 100 == 0:
            print(f"step {step}, loss {loss:.4g}, {time.perf_counter() - started:.0f} s", flush=True)

    model, _ = train(model, TASKS[task].loss, samples(), Training(arguments.steps, 2), progress=tell)
    if arguments.save:
        save(arguments.save, model, {"task": task})
    return model


def of_pressure(arguments) -> dict:
    network = Predicted(trained("pressure", arguments, lambda: [pressure.random_wall(k) for k in range(16)]))
    raw, finished = Steady(given=True), Steady(accuracy=ACCURACY)
    out: dict = {"by_screening_mm": {}}
    hearts = [pressure.random_wall(HELD_OUT + k, volumes=10_000).sim for k in range(arguments.hearts)]
    errors = []
    for length in (0.7e-3, 1.7e-3, 3.4e-3, 17e-3):
        row = []
        for heart in hearts:
            sim = pressure.with_screening(heart, length)
            exact = simulate(sim, states=STATE).hyperemia
            said = simulate(sim, raw, network, STATE).hyperemia
            ended = simulate(sim, finished, network, STATE).hyperemia
            plain = simulate(sim, finished, states=STATE).hyperemia
            row.append(
                {
                    "error": pressure.mean_error(sim, said.mbf, exact.mbf),
                    "imbalance": float(said.counters.imbalance),
                    "sum_of_residuals": float(said.mass_defect),
                    "fallback": int(ended.counters.newton) > 0,
                    "newton": int(ended.counters.newton),
                    "newton_flat": int(plain.counters.newton),
                }
            )
        out["by_screening_mm"][f"{1e3 * length:.1f}"] = {k: float(np.mean([r[k] for r in row])) for k in row[0]} | {
            "worst": max(r["error"] for r in row),
            "sum_of_residuals": max(r["sum_of_residuals"] for r in row),
        }
        errors += [r["error"] for r in row] if length < 4e-3 else []
        if not arguments.json:
            print(f"ℓ {1e3 * length:.1f} mm: {out['by_screening_mm'][f'{1e3 * length:.1f}']}", flush=True)
    out |= {"error_median": float(np.median(errors)), "error_p95": float(np.quantile(errors, 0.95))}
    out |= timed(pressure.with_screening(hearts[0], 1.7e-3), raw, finished, network)
    return out | bounded(network, arguments.cases) | unlike_training(network, finished)


def timed(sim, raw, finished, network) -> dict:
    """Medians of alternating runs [ms]; of the network's forward pass alone, too."""
    problem = pressure.wall_of(sim).problem
    forward = eqx.filter_jit(lambda model, problem: model(problem))
    runs = {
        "forward_ms": lambda: forward(network.model, problem),
        "predicted_ms": lambda: simulate(sim, raw, network, STATE),
        "predicted_and_certified_ms": lambda: simulate(sim, finished, network, STATE),
        "solve_ms": lambda: simulate(sim, states=STATE),
        "certified_solve_ms": lambda: simulate(sim, finished, states=STATE),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(12):
        for name, run in runs.items():
            started = time.perf_counter()
            jax.block_until_ready(run())
            if turn > 1:
                seconds[name].append(time.perf_counter() - started)
    return {name: round(1e3 * float(np.median(s)), 2) for name, s in seconds.items()} | {"volumes": len(problem.load)}


def bounded(network, cases: int) -> dict:
    """Bounds on what the network says, against exact solutions: random screening lengths from 0.1 to 30 mm, tones,
    lesions, scars, on ten hearts never seen."""
    violations, infinite, ratios, done = 0, 0, [], 0
    for k in range(10):
        jax.clear_caches()  # programs hold memory maps, of which a process may have 65,530
        heart = pressure.random_wall(HELD_OUT + 100 + k, volumes=700).sim
        rng = np.random.default_rng(k)
        for _ in range(cases // 10):
            n = len(heart.volumes.volume)
            scar = jnp.asarray(np.where(rng.random(n) < rng.choice([0.0, 0.0, 0.3]), 0.0, 1.0))
            sim = pressure.with_screening(heart, 10.0 ** rng.uniform(-4.0, -1.5))
            sim = eqx.tree_at(
                lambda s: (s.tissue.tone, s.lesions.throat, s.tissue.transmural),
                sim,
                (
                    sim.tissue.tone * jnp.asarray(10.0 ** rng.uniform(-0.7, 0.3, sim.tissue.tone.shape)),
                    sim.lesions.throat * jnp.asarray(10.0 ** rng.uniform(-0.6, 0.0, sim.lesions.throat.shape)),
                    sim.tissue.transmural * scar,
                ),
            )
            exact = simulate(sim, states=STATE)
            said = simulate(sim, Steady(given=True), network, STATE)
            bound, floor = (certify(sim, s)["hyperemia"] for s in (said, exact))
            error = np.abs(np.asarray(said.hyperemia.mbf - exact.hyperemia.mbf))
            own = np.where(np.isfinite(floor.mbf), floor.mbf, 0.0) + 1e-13  # rounding of the reference
            violations += int((error > np.asarray(bound.mbf) + own).any())
            infinite += int(not np.isfinite(float(bound.relative)))
            if np.isfinite(float(bound.relative)):
                ratios.append(float(bound.mbf.max()) / max(error.max(), 1e-12))
            done += 1
    return {
        "bound_cases": done,
        "bound_violations": violations,
        "bound_infinite": infinite,
        "bound_over_error": float(np.median(ratios)),
    }


def unlike_training(network, finished) -> dict:
    """Hearts unlike those that it learned from: how often the solver has to go on, and how wrong the end can be."""
    out = {}
    for name, volumes, length, scarred in (
        ("scar", 3000, 1.7e-3, True),
        ("ten times the volumes", 30_000, 1.7e-3, False),
        ("screening length 17 mm", 3000, 17e-3, False),
    ):
        went_on, worst = [], 0.0
        for k in range(4):
            jax.clear_caches()
            sim = pressure.random_wall(HELD_OUT + 200 + k, volumes=volumes, screening=length).sim
            if scarred:
                low = jnp.quantile(sim.volumes.center[:, 2], 0.2)
                dead = jnp.where(sim.volumes.center[:, 2] < low, 0.0, 1.0)
                sim = eqx.tree_at(lambda s: s.tissue.transmural, sim, sim.tissue.transmural * dead)
            exact = simulate(sim, states=STATE).hyperemia
            ended = simulate(sim, finished, network, STATE).hyperemia
            went_on.append(int(ended.counters.newton) > 0)
            mean = float(jnp.average(exact.mbf, weights=sim.volumes.volume))
            worst = max(worst, float(jnp.abs(ended.mbf - exact.mbf).max()) / mean)
        out[name] = {"fallback_share": float(np.mean(went_on)), "worst_error": worst}
    shares = [v["fallback_share"] for v in out.values()]
    return {"out_of_distribution": out, "fallback_share": float(np.mean(shares))}


def of_subgrid(arguments) -> dict:
    def pairs():
        return [p for k in range(arguments.patients) for p in subgrid.pair(k, draws=3)]

    model = trained("subgrid", arguments, pairs)
    unseen = [p for k in range(arguments.hearts) for p in subgrid.pair(HELD_OUT + k, draws=2)]
    scores = [subgrid.score(model, p) for p in unseen]
    means = {k: float(np.mean([s[k] for s in scores])) for k in scores[0]}
    factors = [s["corrected_error"] / s["coarse_error"] for s in scores]
    return means | {"worst_ratio": max(factors), "median_ratio": float(np.median(factors)), "patients": len(unseen)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("pressure", "subgrid"), default="pressure")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--patients", type=int, default=12, help="to train the subgrid part on")
    parser.add_argument("--hearts", type=int, default=6, help="to test on")
    parser.add_argument("--cases", type=int, default=1000, help="random cases for the bound")
    parser.add_argument("--model", type=Path, help="a trained model, instead of training one")
    parser.add_argument("--save", type=Path, help="where to keep the trained model")
    parser.add_argument("--json", action="store_true", help="one JSON object only")
    arguments = parser.parse_args()
    perfsim.enable_compile_cache()
    started = time.perf_counter()
    found = {"pressure": of_pressure, "subgrid": of_subgrid}[arguments.part](arguments)
    print(json.dumps({"part": arguments.part} | found | {"seconds": round(time.perf_counter() - started, 1)}))


if __name__ == "__main__":
    main()
