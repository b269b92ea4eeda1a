"""Verdicts on synthetic patients: what `perfsim fit` says of the LAD territory with its defaults, against the truth.

A quarter of the patients each have neither disease, a stenosis, microvascular dysfunction (LAD tone × 0.35-0.55), both.
The throat of the LAD's lesion is solved for so that FFR is uniform in 0.55-0.78 (stenosis, both) or 0.85-0.97 (others).
Truth: another tree and a finer mesh than the fit's, a field of tone (sd 0.2, 15 mm), pressure, resting demand, scale
and rotation drawn from their populations; 17 segments at rest and in stress with 12 % noise. Obstructive is a true FFR
≤ 0.80, microvascular a true tone of the territory ≤ 0.6. A verdict is right if all of it is, given if it is not "cannot
tell", surely wrong if wrong with P ≥ 0.95.

    python benchmarks/verdict_patients.py --patients 200 --json               throats as CT reads them, ± 0.06 d/D
    python benchmarks/verdict_patients.py --patients 100 --no-reading --json  the site known, severity not
    python benchmarks/verdict_patients.py --patients 100 --fault scar --json  whether goodness of fit finds a fault

Faults: a scar (15-30 % of the wall at 0.1 of its supply), a map turned by 60°, rest and stress exchanged, three times
the noise; "none" counts false alarms.
"""

import argparse
import collections
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import perfsim
from perfsim.cohorts import Stenosis, reference_heart
from perfsim.cohorts.patients import NOMINAL_THROAT
from perfsim.coupling import Simulation, pad, simulate
from perfsim.inverse import Fit, Free, ToneField, clinical_table, fit, goodness, posterior, problem, verdicts
from perfsim.inverse.verdict import DYSFUNCTION, KINDS, territory_tone
from perfsim.observe import LongAxis, Noise, Scan, Segments, ffr, lesion_sites, territory_shares
from perfsim.physiology import CONFOUNDERS

import equinox as eqx
import jax.numpy as jnp
import numpy as np

perfsim.enable_x64()
perfsim.enable_compile_cache()

STATES = ("rest", "hyperemia")
READING = 0.06
"""standard deviation of a throat d/D on CT"""
HIDDEN = (Free("tone", spread=0.1), "demand", "pressure", "scale", "rotation", ToneField(0.2, 15e-3))
BESIDES = tuple(name for name in CONFOUNDERS if name != "throat")
"""what is free besides the stenosis"""
FAULTS = ("none", "scar", "turned", "exchanged", "noisy")


def patient(index: int, seed: int, fault: str = "none") -> dict:
    """The truth: a simulation with the LAD's lesion, and what it was made from. Those with a fault are ill besides."""
    rng = np.random.default_rng([seed, index])
    kind = index % 4 if fault == "none" else 1 + index % 3
    position, length = rng.uniform(0.015, 0.040), rng.uniform(0.006, 0.014)
    mass, tree = rng.uniform(0.095, 0.160), int(rng.integers(1 << 30))
    known, other = (
        reference_heart(
            terminals=300, spacing=spacing, mass=mass, seed=tree + k,
            stenoses=(Stenosis("LAD", position, 0.3, length),),
        )
        for k, spacing in enumerate((4e-3 * np.cbrt(mass / 0.12), 3.5e-3 * np.cbrt(mass / 0.12)))
    )  # fmt: skip
    hidden, start = pad(other.sim), pad(known.sim)
    scan = Scan(STATES, jnp.zeros((2, 17)), Noise(0.12, 0.02), Segments(LongAxis.of(other.wall.frame)))
    posed, _ = problem(hidden, [scan], HIDDEN)
    truth = _at(posed, jnp.asarray(rng.normal(size=posed.size)))
    lad = list(hidden.tissue.territory_names).index("LAD")
    if kind in (2, 3):
        factor = jnp.ones_like(truth.sim.tissue.tone).at[lad].set(rng.uniform(0.35, 0.55))
        truth = eqx.tree_at(lambda m: m.sim.tissue.tone, truth, truth.sim.tissue.tone * factor)
    if fault == "scar":
        truth = eqx.tree_at(lambda m: m.sim, truth, scarred(truth.sim, rng))
    if fault == "turned":
        truth = eqx.tree_at(lambda m: m.data[0].pose.rotation, truth, truth.data[0].pose.rotation + np.radians(60.0))
    wanted = rng.uniform(0.55, 0.78) if kind in (1, 3) else rng.uniform(0.85, 0.97)
    truth, reached, solution = with_ffr(truth, wanted)
    shares = territory_shares(truth.sim, solution.hyperemia)
    tone = float(territory_tone(truth.sim, hidden, shares)[lad])
    noise = Noise(0.36, 0.06) if fault == "noisy" else scan.noise
    value = np.stack([noise.draw(rng, v) for v in np.asarray(truth.data[0].predict(truth.sim, solution))])
    if fault == "exchanged":
        value = value[::-1]
    throat = float(truth.sim.lesions.throat[0])
    return {
        "kind": kind, "ffr": reached, "tone": tone, "throat": throat, "value": value, "known": known, "start": start,
        "read": float(np.clip(throat + READING * rng.normal(), 0.1, 0.97)),
    }  # fmt: skip


_at = eqx.filter_jit(lambda posed, xi: posed.at(xi))


def scarred(sim: Simulation, rng: np.random.Generator) -> Simulation:
    """With a scar around a point of the wall."""
    center, volume = np.asarray(sim.volumes.center), np.asarray(sim.volumes.volume)
    real = volume > 1e-3 * volume.max()  # the others only fill up arrays
    away = np.linalg.norm(center - center[rng.choice(np.flatnonzero(real))], axis=1)
    order = np.argsort(np.where(real, away, np.inf))
    size = np.searchsorted(np.cumsum(volume[order]), rng.uniform(0.15, 0.30) * volume.sum())
    factor = np.ones(len(volume))
    factor[order[:size]] = 0.1
    return eqx.tree_at(lambda s: s.tissue.supply, sim, sim.tissue.supply * jnp.asarray(factor))


def with_ffr(model, wanted: float):
    """(model whose lesion has this FFR or the nearest to it, the FFR, its solution), by bisection on the throat."""
    site = lesion_sites(model.sim)[0]
    low, high = 0.12, 0.99
    for _ in range(18):
        throat = 0.5 * (low + high)
        tried = eqx.tree_at(lambda m: m.sim.lesions.throat, model, jnp.asarray([throat]))
        solution = simulate(tried.sim)
        reached = float(ffr(solution.hyperemia)[site])
        low, high = (throat, high) if reached < wanted else (low, throat)
    return tried, reached, solution


def fitted_to(true: dict, reading: bool) -> Fit:
    """The fit of what is known of a patient: a reading of the throat, or the site of the lesion alone."""
    scan = Scan(STATES, jnp.asarray(true["value"]), Noise(0.12, 0.02), Segments(LongAxis.of(true["known"].wall.frame)))
    free = Free("throat", spread=READING) if reading else "severity"
    begin = true["read"] if reading else NOMINAL_THROAT
    start = eqx.tree_at(lambda s: s.lesions.throat, true["start"], jnp.asarray([begin]))
    return fit(start, [scan], (*BESIDES, free), throw=False)


def judge(index: int, seed: int, reading: bool, draws: int) -> dict:
    """One patient: the truth and what the fit says."""
    started = time.process_time()
    true = patient(index, seed)
    fitted = fitted_to(true, reading)
    out = {"index": index, "kind": true["kind"], "ffr": true["ffr"], "tone": true["tone"]}
    if not fitted.converged:
        return out | {"given": "cannot tell", "why": fitted.result.name, "seconds": time.process_time() - started}
    known = posterior(fitted)
    good = goodness(known)
    _, drawn = clinical_table(known, draws, seed=index)
    verdict = next(v for v in verdicts(known, drawn) if v.territory == "LAD")
    narrow, stiff = true["ffr"] <= 0.80, true["tone"] <= DYSFUNCTION
    truth = KINDS[narrow + 2 * stiff]
    given = verdict.given if good.usable else "cannot tell"
    return out | {
        "truth": truth, "given": given, "probability": verdict.probability, "interval_ffr": verdict.ffr,
        "interval_tone": verdict.tone, "k_hat": drawn.k_hat, "effective": drawn.effective, "draws": len(drawn.weight),
        "explained": good.explained, "seconds": time.process_time() - started,
    }  # fmt: skip


def explained(index: int, seed: int, fault: str) -> dict:
    """Whether goodness of fit lets a patient with this fault pass."""
    fitted = fitted_to(patient(index, seed, fault), reading=True)
    good = goodness(posterior(fitted, throw=False)) if fitted.converged else None
    return {
        "index": index, "fault": fault, "passed": bool(good and good.explained),
        "probability": good and good.probability, "largest": good and good.probability_of_largest,
    }  # fmt: skip


def each(judged: Callable[[int], dict], patients: int, store: Path | None) -> list[dict]:
    """What is found of every patient. Those that `store` holds of an interrupted run are not done again."""
    found = [json.loads(line) for line in store.read_text().splitlines()] if store and store.exists() else []
    for index in range(len(found), patients):
        line = json.dumps(judged(index))
        found.append(json.loads(line))
        print(line, file=sys.stderr, flush=True)
        if store:
            with store.open("a") as file:
                file.write(line + "\n")
    return found[:patients]


def share_found(patients: int, fault: str, seed: int = 0, store: Path | None = None) -> float:
    """The part of these patients that goodness of fit refuses to call explained."""
    found = each(lambda index: explained(index, seed, fault), patients, store)
    return float(np.mean([not f["passed"] for f in found]))


def summary(found: list[dict]) -> dict:
    """The figures that are required."""
    judged = [f for f in found if "truth" in f]
    given = [f for f in judged if f["given"] != "cannot tell"]
    right = [f for f in given if f["given"] == f["truth"]]
    sure = [f for f in given if f["given"] != f["truth"] and f["probability"][f["given"]] >= 0.95]
    groups = collections.defaultdict(list)
    for f in found:
        groups[f["kind"]].append(f)

    def covered(members: list[dict], name: str) -> float:
        known = [f for f in members if "truth" in f]
        return float(np.mean([f[f"interval_{name}"][0] <= f[name] <= f[f"interval_{name}"][2] for f in known]))

    return {
        "patients": len(found),
        "not_fitted": len(found) - len(judged),
        "given": len(given) / len(found),
        "right_of_given": len(right) / max(len(given), 1),
        "surely_wrong": len(sure) / len(found),
        "given_by_group": [
            sum(f["given"] != "cannot tell" for f in groups[k]) / len(groups[k]) for k in sorted(groups)
        ],
        "ffr_covered": covered(found, "ffr"),
        "tone_covered": covered(found, "tone"),
        "ffr_covered_by_group": [covered(groups[k], "ffr") for k in sorted(groups)],
        "tone_covered_by_group": [covered(groups[k], "tone") for k in sorted(groups)],
        "explained": sum(f["explained"] for f in judged) / max(len(judged), 1),
        "k_hat_worst": max(f["k_hat"] for f in judged),
        "effective_share": float(np.median([f["effective"] / f["draws"] for f in judged])),
        "cpu_s_per_patient": float(np.median([f["seconds"] for f in found])),
    }


def measure(
    patients: int, seed: int = 0, reading: bool = True, draws: int = 200, store: Path | None = None
) -> tuple[dict, list[dict]]:
    """(the summary, every patient)."""
    found = each(lambda index: judge(index, seed, reading, draws), patients, store)
    return summary(found), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--no-reading", action="store_true", help="the lesion's site is known, its severity not")
    parser.add_argument("--fault", choices=FAULTS, help="whether goodness of fit finds it; no draws")
    parser.add_argument("--store", type=Path, help="a file of what is found of each patient: a stopped run goes on")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.fault:
        print(
            json.dumps(
                {"fault": given.fault, "found": share_found(given.patients, given.fault, given.seed, given.store)}
            )
        )
        return
    told, _ = measure(given.patients, given.seed, not given.no_reading, given.draws, given.store)
    if given.json:
        print(json.dumps(told))
    else:
        for name, value in told.items():
            print(f"{name:>24}: {value}")


if __name__ == "__main__":
    main()
