"""The treatments of a case: the heart after them, and what they change."""

from typing import Any

from perfsim._results import InputError
from perfsim.cohorts import Heart
from perfsim.coupling import Simulation, Solution
from perfsim.io.case import Case
from perfsim.io.summary import state_summary, vessel_ends
from perfsim.observe import ffr, lesion_sites
from perfsim.study import dilate, graft

import numpy as np


def treat(case: Case, sim: Simulation) -> Simulation:
    """A case's simulation after all of its treatments.

    Raises `InputError` for a branch that does not exist, or a stretch or place that does not lie on it.
    """
    for k, t in enumerate(case.treatment):
        try:
            if t.kind == "graft":
                sim = graft(sim, t.branch, t.position, diameter=t.diameter, length=t.length)
            else:
                sim = dilate(sim, t.branch, t.start, t.end, t.residual or 0.0)
        except InputError as error:
            raise InputError(f"treatment[{k}]: {error}") from None
    return sim


def in_words(case: Case) -> list[str]:
    """The treatments of a case, a few words each."""
    found = []
    for t in case.treatment:
        mm = {k: f"{1e3 * x:.3g}" for k in ("start", "end", "position", "diameter") if (x := getattr(t, k)) is not None}
        if t.kind == "graft":
            found.append(f"a graft of {mm['diameter']} mm to the {t.branch} at {mm['position']} mm")
        else:
            left = "" if t.residual is None else f" that leaves {100 * t.residual:.0f} %"
            found.append(f"a {t.kind} of the {t.branch} from {mm['start']} to {mm['end']} mm{left}")
    return found


def summarize_treated(
    case: Case, heart: Heart, before: Solution, treated: Simulation, after: Solution
) -> dict[str, Any]:
    """What the treatments change: FFR behind each lesion and at vessel ends, MBF by territory, before and after."""
    sim = heart.sim
    a, b = (np.asarray(ffr(s.hyperemia)) for s in (before, after))
    branch = sim.network.branch_names
    lesions = [
        {
            "branch": branch[int(sim.lesions.branch[k])],
            "ffr_before": round(float(a[v]), 4),
            "ffr_after": round(float(b[v]), 4),
        }
        for k, v in enumerate(lesion_sites(sim))
    ]
    return {
        "treatments": in_words(case),
        "lesions": lesions,
        "ffr": vessel_ends(treated, after.hyperemia),
        "states": {name: state_summary(treated, state) for name, state in after.in_order()},
    }
