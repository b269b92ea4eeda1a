"""The embedded heart's evidence: territories, FFR, the stenosis curve, and invariance to terminals, seed and mesh.

Prints one JSON object per line: `healthy`, one `stenosis` per severity, one `invariance` per change.
"""

import argparse
import json

import perfsim
from perfsim.cohorts import Stenosis, lesions, reference_heart
from perfsim.coupling import simulate
from perfsim.coupling.system import vessel_laws
from perfsim.observe import (
    behind,
    branch_ends,
    endo_epi,
    ffr,
    lesion_sites,
    mean_mbf,
    mean_terminal_pressure,
    territory_mbf,
)
from perfsim.units import MMHG

import equinox as eqx
import numpy as np

perfsim.enable_x64()

MAINS = ("LM", "LAD", "LCx", "RCA")


def figures(sim):
    """(mean MBF, territory MBF, FFR at the ends of the main vessels) in hyperemia."""
    state = simulate(sim, states=("hyperemia",)).hyperemia
    ends, value = branch_ends(sim.network), np.asarray(ffr(state))
    return float(mean_mbf(sim, state)), np.asarray(territory_mbf(sim, state)), np.array([value[ends[b]] for b in MAINS])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is always JSON")
    parser.parse_args()
    sim = reference_heart().sim
    solution = simulate(sim)
    state = solution.hyperemia
    value, diameter = np.asarray(ffr(state)), 2e3 * np.asarray(vessel_laws(sim).radius).min(1)
    mean, territories, mains = figures(sim)
    report = {
        "case": "healthy",
        "mbf": round(mean, 4),
        "rest_mbf": round(float(mean_mbf(sim, solution.rest)), 4),
        "territory_mbf": dict(zip(sim.tissue.territory_names, territories.round(3).tolist(), strict=True)),
        "ffr": dict(zip(MAINS, mains.round(4).tolist(), strict=True)),
        "least_ffr_from_1.5_mm": round(float(value[diameter >= 1.5].min()), 4),
        "least_ffr_from_1_mm": round(float(value[diameter >= 1.0].min()), 4),
        "pressure_at_100_um_mmHg": round(float(mean_terminal_pressure(state)) / MMHG, 2),
        "endo_epi": round(float(endo_epi(sim, state)), 4),
        "mass_defect": max(float(s.mass_defect) for s in solution.states.values()),
    }
    print(json.dumps(report), flush=True)
    lad = sim.tissue.territory_names.index("LAD")
    for reduction in (0.4, 0.5, 0.6, 0.7, 0.8):
        ill = eqx.tree_at(lambda s: s.lesions, sim, lesions(sim.network, (Stenosis("LAD", 0.020, reduction, 0.010),)))
        found = simulate(ill)
        site = lesion_sites(ill)[0]
        after = np.asarray(territory_mbf(ill, found.hyperemia))
        rest = np.asarray(territory_mbf(ill, found.rest)) / np.asarray(territory_mbf(sim, solution.rest))
        report = {
            "case": "stenosis",
            "diameter_reduction": reduction,
            "ffr": round(float(ffr(found.hyperemia)[site]), 4),
            "lad_mbf": round(float(after[lad]), 3),
            "other_territories_change": round(float(np.abs(np.delete(after / territories, lad) - 1).max()), 5),
            "lad_rest_ratio": round(float(rest[lad]), 4),
            "endo_epi_behind": round(float(endo_epi(ill, found.hyperemia, behind(ill, site))), 4),
        }
        print(json.dumps(report), flush=True)
    changes = (
        [{"terminals": n} for n in (1000, 5000, 10_000)] + [{"seed": s} for s in (1, 2, 3, 4)] + [{"spacing": 3e-3}]
    )
    for change in changes:
        other = figures(reference_heart(**change).sim)
        report = {
            "case": "invariance",
            **change,
            "mbf_change": round(other[0] / mean - 1, 5),
            "territory_change": round(float(np.abs(other[1] / territories - 1).max()), 5),
            "ffr_change": round(float(np.abs(other[2] - mains).max()), 5),
        }
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
