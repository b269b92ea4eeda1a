"""What a cardiologist asks of a fit: FFR, flow, reserve, microvascular resistance, each with its interval."""

import dataclasses
from collections.abc import Callable

from perfsim.coupling import Simulation, Solution
from perfsim.inverse.posterior import FEWEST, Ensemble, Posterior
from perfsim.inverse.ridge import ridge
from perfsim.observe import ffr, lesion_sites, territory_mbf, territory_resistance

import jax.numpy as jnp
import numpy as np

ISCHEMIC, REDUCED = 0.80, 2.0
"""FFR at or below which a lesion is treated, MFR below which reserve is reduced"""


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One number with what is known of it."""

    kind: str
    place: str
    unit: str
    low: float
    middle: float
    high: float
    """5, 50 and 95 %"""
    before: tuple[float, float]
    """5 and 95 % before the data"""
    event: str = ""
    probability: float | None = None

    @property
    def name(self) -> str:
        return f"{self.kind} {self.place}"


def clinical_quantities(sim: Simulation) -> Callable[[Solution], dict]:
    """A function of a solution for `Posterior.sample`: FFR past each lesion; MBF, MFR and hyperemic microvascular
    resistance of each territory.
    """
    sites = np.array(lesion_sites(sim), int)
    state = next(s for s in sim.states if s.name == "hyperemia")
    back = jnp.mean(state.back_pressure(0.5))

    def of(solution: Solution) -> dict:
        stress, rest = (territory_mbf(sim, solution[s]) for s in ("hyperemia", "rest"))
        return {
            "FFR": ffr(solution.hyperemia)[sites],
            "MBF, hyperemia": stress,
            "MBF, rest": rest,
            "MFR": stress / rest,
            "microvascular resistance": territory_resistance(sim, solution.hyperemia, back),
        }

    return of


def clinical_table(known: Posterior, draws: int = 400, seed: int = 0) -> tuple[list[Quantity], Ensemble]:
    """The quantities of a fit with 90 % intervals, every draw through the whole model.

    Draws lie along the ridges of the stenoses where there are some (see `ridge`), and are up to four times as many as
    asked for where their weights are not reliable.
    """
    sim = known.fit.sim
    wanted = clinical_quantities(sim)
    found = known.sample(wanted, draws, seed, along=ridge(known), most=4 * draws if draws >= FEWEST else draws)
    prior = known.before(wanted, max(draws // 6, 8), seed)
    lesions, names = sim.lesions, sim.network.branch_names
    at = [f"{names[int(b)]} {1e3 * float(c):.0f} mm" for b, c in zip(lesions.branch, lesions.center, strict=True)]
    units = {"MBF, hyperemia": "mL/min/g", "MBF, rest": "mL/min/g", "microvascular resistance": "mmHg/(mL/min/g)"}
    events = {
        "FFR": (f"P(FFR ≤ {ISCHEMIC:.2f})", lambda x: x <= ISCHEMIC),
        "MFR": (f"P(MFR < {REDUCED:.0f})", lambda x: x < REDUCED),
    }
    out = []
    for name in found.values:
        low, high = found.interval(0.9, name)
        before = prior.interval(0.9, name)
        middle = found.quantile(0.5, name)
        event, happens = events.get(name, ("", None))
        p = found.probability(happens, name) if happens else None
        for k, place in enumerate(at if name == "FFR" else sim.parts()[2].territory_names):
            a, b, c, *known_before = (float(x[k]) for x in (low, middle, high, *before))
            probability = None if p is None else float(p[k])
            out.append(Quantity(name, place, units.get(name, ""), a, b, c, tuple(known_before), event, probability))
    return out, found
