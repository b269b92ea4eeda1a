"""Fit synthetic patients to their MBF maps, from the source paper's own test to a clinical one.

same      the source paper's: data of every volume at rest and in hyperemia, noise-free, by the same model; hidden and
          free are the tone of each territory and three lesions of known place and unknown severity
hidden    the truth has a finer mesh, another tree and a field of tone (sd 0.2, 15 mm); data are 4 mm voxels seen
          through 7 mm, noise-free; a field of tone is fitted
noisy     the same with 15 % noise per voxel, correlated as the camera blurs
clinical  the truth as in hidden, and drawn from the priors of all that is free: lesions as read from CT (0.2 mm), lumen
          (10 %), pressures, demand, tone; data are 17 segments with 12 % noise, a scale shared by rest and stress
          (10 % + 5 %), a pose (5°, 3 mm). 90 % intervals are counted

Half of the patients have one or two stenoses. Errors are means of |Δ|/max(truth, 0.1 mL/min/g) over both states.
"""

import argparse
import dataclasses
import json
import sys
import time

import perfsim
from perfsim.cohorts import Patient, synthetic_patient
from perfsim.coupling import Simulation, Solution, pad, simulate
from perfsim.inverse import Fit, Free, ToneField, fit, posterior, problem
from perfsim.observe import Cuff, LongAxis, Noise, Pose, Scan, Segments, Voxels, correlation_factor, ffr, lesion_sites

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

perfsim.enable_x64()

STATES = ("rest", "hyperemia")
FWHM, VOXEL = 7e-3, 4e-3
MOST_VOXELS = 2500
"""of the heaviest heart, so that all share compiled code"""
FIELD = ToneField(0.2, 15e-3)
DRAWS = 400
"""of a clinical posterior, of which a quarter counts: with 200 intervals of FFR cover 0.02 to 0.03 less"""
CLINICAL = (
    Free("tone", spread=0.35), "throat", "lumen", "pressure", "demand", "scale", "state_scale", "rotation", "tilt",
    "shift", FIELD,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Case:
    """A patient as the fit knows it, and as it is: on a finer mesh, with other arterioles."""

    known: Simulation
    hidden: Simulation
    axis: LongAxis
    own: np.ndarray
    """volume of the fit's mesh in which each volume of the truth lies"""
    volumes: int
    fine: int

    @classmethod
    def of(cls, index: int, stenosed: bool, seed: int, known: Patient) -> "Case":
        other = synthetic_patient(index, stenosed=stenosed, seed=seed, tree=1, volumes=14_000)
        coarse, fine = (np.asarray(p.truth.volumes.center) for p in (known, other))
        _, own = cKDTree(coarse).query(fine, p=np.inf)
        axis = LongAxis.of(known.heart.wall.frame)
        return cls(pad(known.nominal), pad(other.truth), axis, own, len(coarse), len(fine))

    def on_the_fit(self, field) -> np.ndarray:
        """Means of a field of the truth over the volumes of the fit; NaN where there are none."""
        V = np.asarray(self.hidden.volumes.volume)[: self.fine]
        weight = np.bincount(self.own, V, self.volumes)
        total = np.bincount(self.own, V * np.asarray(field)[: self.fine], self.volumes)
        return total / np.where(weight > 0, weight, np.nan)


def with_field(sim: Simulation, rng: np.random.Generator) -> Simulation:
    """The simulation with a random field of tone."""
    posed, _ = problem(sim, [Cuff(0.0)], [FIELD])
    return _at(posed, jnp.asarray(rng.normal(size=posed.size))).sim


_at = eqx.filter_jit(lambda posed, xi: posed.at(xi))


def error(found, truth, weight) -> float:
    """Weighted mean of |Δ|/max(truth, 0.1)."""
    found, truth, weight = (np.asarray(x) for x in (found, truth, weight))
    seen = np.isfinite(truth) & (weight > 0)
    relative = np.abs(found - truth)[seen] / np.maximum(truth[seen], 0.1)
    return float(np.average(relative, weights=weight[seen]))


def same(index, stenosed, seed, known: Patient) -> dict:
    truth, start = pad(known.truth), pad(known.nominal)
    solution = simulate(truth)
    data = Scan(STATES, jnp.stack([solution[s].mbf for s in STATES]), Noise(0.0, 0.01))
    fitted = fit(start, [data], ("tone", "severity"), prior=False)
    found = simulate(fitted.sim)
    weight = truth.volumes.volume
    worst = max(error(found[s].mbf, solution[s].mbf, weight) for s in STATES)
    return counted(fitted) | {"error": worst, "converged": fitted.converged and worst <= 0.01}


def hidden(index, stenosed, seed, known: Patient, noise: float = 0.0) -> dict:
    rng = np.random.default_rng([seed, index, 1])
    case = Case.of(index, stenosed, seed, known)
    truth = with_field(case.hidden, rng)
    solution = simulate(truth)
    view = Voxels.grid(case.known.volumes, case.axis, FWHM, VOXEL)
    point = np.asarray(view.point)
    seen = Voxels.at(truth.volumes, case.axis, point, FWHM, VOXEL)
    value = np.stack([np.asarray(seen(truth.volumes, solution[s].mbf, Pose())) for s in STATES])
    view = view.padded(MOST_VOXELS)
    errors = Noise(0.01, 0.003)  # what other arterioles do to the voxels of a noise-free map
    if noise:
        errors = Noise(noise, 0.02, correlation_factor(point, FWHM))
        value = np.stack([errors.draw(rng, v) for v in value])
        errors = eqx.tree_at(lambda e: e.factor, errors, _enlarged(errors.factor, len(view.point)))
    value = np.pad(value, ((0, 0), (0, len(view.point) - len(point))), constant_values=np.nan)
    free = ("tone", "severity", ToneField(0.3, 15e-3))
    fitted = fit(case.known, [Scan(STATES, jnp.asarray(value), errors, view)], free)
    found = simulate(fitted.sim)
    n, segments = case.volumes, Segments(case.axis)
    volume = np.asarray(case.known.volumes.volume)[:n]
    by_state, by_segment = [], []
    for s in STATES:
        there = case.on_the_fit(solution[s].mbf)
        by_state.append(error(found[s].mbf[:n], there, volume))
        true = segments(truth.volumes, solution[s].mbf, Pose())
        by_segment.append(error(segments(case.known.volumes, found[s].mbf, Pose()), true, np.ones(17)))
    out = counted(fitted) | {
        "converged": fitted.converged,
        "error": float(np.mean(by_segment)),
        "segment_error": float(np.mean(by_segment)),
        "cell_error": float(np.mean(by_state)),
        "cell_error_hyperemia": by_state[1],
    }
    if noise:
        out |= expected(fitted, case, segments)
    return out


def _enlarged(factor, size: int):
    """The factor with independent data added."""
    out = jnp.eye(size)
    return out.at[: len(factor), : len(factor)].set(factor)


def expected(fitted: Fit, case: Case, segments: Segments) -> dict:
    """Errors that the posterior expects of its own optimum."""
    sim, n = case.known, case.volumes

    def maps(solution: Solution):
        return {
            "cells": jnp.stack([solution[s].mbf[:n] for s in STATES]),
            "segments": jnp.stack([segments(sim.volumes, solution[s].mbf, Pose()) for s in STATES]),
        }

    best, draws = maps(simulate(fitted.sim)), posterior(fitted).sample(maps, 32)
    volume = np.asarray(sim.volumes.volume)[:n]
    relative = {
        k: np.abs(draws.values[k] - np.asarray(best[k])) / np.maximum(np.asarray(best[k]), 0.1) for k in draws.values
    }
    return {
        "expected_error": float(np.mean(np.average(relative["cells"], axis=-1, weights=volume))),
        "expected_segment_error": float(np.mean(relative["segments"])),
    }


def clinical(index, stenosed, seed, known: Patient) -> dict:
    rng = np.random.default_rng([seed, index, 2])
    case = Case.of(index, stenosed, seed, known)
    tissue = float(jnp.sum(case.known.volumes.volume))
    edge = 4.2e-3 * np.cbrt(tissue / 120e-6)  # the same number of voxels in every heart
    read = jnp.array([1.0 - s.diameter_reduction for s in known.stenoses])

    def instrument(sim: Simulation, value) -> Scan:
        voxels = Voxels.grid(case.known.volumes, case.axis, FWHM, edge)
        view = Voxels.at(sim.volumes, case.axis, np.asarray(voxels.point), FWHM, edge).padded()
        return Scan(STATES, value, Noise(0.12, 0.02), Segments(case.axis, view))

    def start(sim: Simulation) -> Simulation:
        sim = eqx.tree_at(lambda s: s.lesions.throat, sim, read)
        return eqx.tree_at(lambda s: s.tissue.tone, sim, jnp.ones_like(sim.tissue.tone))

    hidden_problem, _ = problem(start(case.hidden), [instrument(case.hidden, jnp.zeros((2, 17)))], CLINICAL)
    truth = _at(hidden_problem, jnp.asarray(rng.normal(size=hidden_problem.size)))
    solution = simulate(truth.sim)
    seen = truth.data[0].predict(truth.sim, solution)
    value = np.stack([truth.data[0].noise.draw(rng, v) for v in np.asarray(seen)])
    fitted = fit(start(case.known), [instrument(case.known, jnp.asarray(value))], CLINICAL)
    segments, sites = Segments(case.axis), jnp.asarray(lesion_sites(case.known))
    true_sites = jnp.asarray(lesion_sites(case.hidden))

    def quantities(volumes, sites):
        def of(solution: Solution):
            rest, stress = (segments(volumes, solution[s].mbf, Pose()) for s in STATES)
            return {"mbf": jnp.concatenate([rest, stress]), "mfr": stress / rest, "ffr": ffr(solution.hyperemia)[sites]}

        return eqx.filter_jit(of)

    known_values = posterior(fitted).sample(quantities(case.known.volumes, sites), DRAWS, seed=index)
    true = quantities(case.hidden.volumes, true_sites)(solution)
    inside = {}
    for k, v in true.items():
        low, high = known_values.interval(0.9, k)
        inside[k] = [bool(x) for x in (np.asarray(v) >= low) & (np.asarray(v) <= high)]
    return counted(fitted) | {
        "converged": fitted.converged,
        "error": error(known_values.mean("mbf"), true["mbf"], np.ones(34)),
        "segment_error": error(known_values.mean("mbf"), true["mbf"], np.ones(34)),
        "inside": inside,
        "probability": [float(p) for p in known_values.probability(lambda x: x <= 0.80, "ffr")],
        "event": [bool(x) for x in np.asarray(true["ffr"]) <= 0.80],
        "effective_draws": known_values.effective,
    }


def counted(fitted: Fit) -> dict:
    return {"iterations": fitted.iterations, "solves": fitted.solves}


def noisy(index, stenosed, seed, known):
    return hidden(index, stenosed, seed, known, noise=0.15)


def summary(protocol: str, results: list[dict], seconds: float) -> dict:
    """One object of means over patients."""
    out = {
        "protocol": protocol,
        "patients": len(results),
        "converged": sum(bool(r["converged"]) for r in results),
        "mean_error": float(np.mean([r["error"] for r in results])),
        "worst_error": float(np.max([r["error"] for r in results])),
        "max_iterations": max(r["iterations"] for r in results),
        "solves": sum(r["solves"] for r in results),
        "seconds": round(seconds, 1),
    }
    for key in ("segment_error", "cell_error", "cell_error_hyperemia", "expected_error", "expected_segment_error"):
        if key in results[0]:
            out[key] = float(np.mean([r[key] for r in results]))
    if "inside" in results[0]:
        out["coverage_90"] = {
            k: float(np.mean([x for r in results for x in r["inside"][k]])) for k in results[0]["inside"]
        }
        p, y = (np.array([x for r in results for x in r[k]], float) for k in ("probability", "event"))
        bins = np.clip((p * 5).astype(int), 0, 4)
        gaps = [
            abs(p[bins == b].mean() - y[bins == b].mean()) * (bins == b).mean() for b in range(5) if (bins == b).any()
        ]
        out |= {
            "probability_mean": float(p.mean()),
            "event_share": float(y.mean()),
            "calibration_error": float(sum(gaps)),
            "effective_draws": float(np.median([r["effective_draws"] for r in results])),
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    protocols = {"same": same, "hidden": hidden, "noisy": noisy, "clinical": clinical}
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first patient, to share the work")
    parser.add_argument("--protocol", choices=list(protocols), default="same")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a line per patient")
    parser.add_argument("--each", metavar="FILE", help="also write one JSON line per patient")
    arguments = parser.parse_args()
    started, results = time.perf_counter(), []
    for index in range(arguments.first, arguments.first + arguments.patients):
        stenosed = index % 2 == 0
        known = synthetic_patient(index, stenosed=stenosed, seed=arguments.seed)
        begun = time.perf_counter()
        results.append(protocols[arguments.protocol](index, stenosed, arguments.seed, known))
        if arguments.each:
            with open(arguments.each, "a") as file:
                file.write(json.dumps({"index": index} | results[-1]) + "\n")
        if not arguments.json:
            r = results[-1]
            print(
                f"patient {index:3d}: error {100 * r['error']:.2e} %, {r['iterations']} iterations, "
                f"{r['solves']} solves, converged {r['converged']}, {time.perf_counter() - begun:.1f} s",
                flush=True,
            )
        sys.stdout.flush()
        if (index + 1) % 20 == 0:
            jax.clear_caches()
    print(json.dumps(summary(arguments.protocol, results, time.perf_counter() - started)))


if __name__ == "__main__":
    main()
