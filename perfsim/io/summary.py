"""What a run found, as one JSON-able record: the same numbers that are printed, written and drawn."""

from typing import Any

from perfsim._results import RESULTS
from perfsim.cohorts import Heart
from perfsim.coupling import Perfusion, Simulation, Solution, balance, certify, screening_length
from perfsim.coupling.system import vessel_laws
from perfsim.network import GROWN
from perfsim.observe import (
    aha17,
    behind,
    branch_ends,
    endo_epi,
    ffr,
    group_means,
    lesion_sites,
    mean_mbf,
    mean_terminal_pressure,
    territory_mbf,
)
from perfsim.units import ML_MIN, MMHG

import numpy as np


def summarize(heart: Heart, solution: Solution) -> dict[str, Any]:
    """Inlet and branch flows, MBF and MFR, FFR, pressures, balance, solver counts and warnings of a heart."""
    sim = heart.sim
    states = {name: state_summary(sim, state) for name, state in solution.in_order()}
    out: dict[str, Any] = {
        "vessels": len(sim.network.tail),
        "terminals": len(sim.network.terminals),
        "volumes": len(sim.volumes.volume),
        "mass_g": round(float(np.sum(sim.volumes.volume) * sim.tissue.density) * 1e3, 2),
        "states": states,
    }
    if {"rest", "hyperemia"} <= set(states):
        out["mfr"] = _ratio(states["hyperemia"]["mbf_mL_min_g"], states["rest"]["mbf_mL_min_g"])
    out["balance"] = {
        name: {kind: {of: _rounded(flow) for of, flow in rows.items()} for kind, rows in balance(sim, state).items()}
        for name, state in solution.in_order()
    }
    if "hyperemia" in states:
        out["ffr"] = vessel_ends(sim, solution.hyperemia)
        out["lesions"] = _lesions(sim, solution)
        out["endo_epi_prescribed"] = round(float(endo_epi(sim, solution.hyperemia)), 4)
    out["warnings"] = list(heart.warnings) + _warnings(heart.sim, solution, out.get("lesions", []))
    return out


def certified(heart: Heart, solution: Solution) -> dict[str, dict[str, float]]:
    """By state, what is proved of the solve: how far pressures, and the MBF of volumes and AHA segments as a share of
    the wall's mean, can be from the exact solution of the discrete equations.
    """
    sim, out = heart.sim, {}
    for name, bound in certify(sim, solution).items():
        segments = _by_segment(heart, bound.mbf) / float(mean_mbf(sim, solution[name]))
        out[name] = {
            "pressure_mmHg": float(bound.total_pressure.max()) / MMHG,
            "tissue_pressure_mmHg": float(bound.tissue_pressure.max()) / MMHG,
            "mbf_of_a_volume": float(bound.relative),
            "mbf_of_a_segment": float(np.nanmax(segments)),
        }
    return out


def segment_mbf(heart: Heart, solution: Solution) -> dict[str, np.ndarray]:
    """Volume-weighted MBF of the 17 AHA segments by state [mL/min/g]."""
    return {name: _by_segment(heart, state.mbf) for name, state in solution.in_order()}


def _by_segment(heart: Heart, values) -> np.ndarray:
    """Volume-weighted means of the 17 AHA segments."""
    volumes = heart.sim.volumes
    return np.asarray(group_means(values, aha17(heart.wall.frame, volumes.center), volumes.volume, 17))


def state_summary(sim: Simulation, state: Perfusion) -> dict[str, Any]:
    """Flows, MBF, pressures, balance and solver counts of one state."""
    network = sim.network
    mbf = {"global": float(mean_mbf(sim, state))}
    mbf |= dict(zip(sim.tissue.territory_names, map(float, territory_mbf(sim, state)), strict=True))
    branch, flow = np.asarray(network.branch), np.asarray(state.flow) / ML_MIN
    first = {n: int(np.flatnonzero(branch == i)[0]) for i, n in enumerate(network.branch_names) if (branch == i).any()}
    counters = state.counters
    return {
        "aortic_pressure_mmHg": round(float(state.aortic_pressure) / MMHG, 3),
        "inlet_flow_mL_min": _rounded(
            dict(zip(network.inlet_names, np.asarray(state.inlet_flow) / ML_MIN, strict=True))
        ),
        "branch_flow_mL_min": _rounded({n: flow[v] for n, v in first.items() if n != GROWN}),
        "lumped_outlet_flow_mL_min": _rounded(
            dict(zip(network.outlet_names, np.asarray(state.outlet_flow) / ML_MIN, strict=True))
        ),
        "mbf_mL_min_g": _rounded(mbf),
        "pressure_at_d_ref_mmHg": round(float(mean_terminal_pressure(state)) / MMHG, 3),
        "volumes_with_retrograde_supply": int(np.sum(np.asarray(state.mbf) < 0)),
        "mass_defect": float(state.mass_defect),
        "result": RESULTS(int(counters.result)).name,
        "newton_iterations": int(counters.newton),
        "krylov_iterations": int(counters.krylov),
    }


def vessel_ends(sim: Simulation, state: Perfusion) -> dict[str, dict[str, float]]:
    """FFR, diameter and pressure at the end of every named branch."""
    value, radius = np.asarray(ffr(state)), np.asarray(vessel_laws(sim).radius)
    return {
        name: {"ffr": round(float(value[v]), 4), "diameter_mm": round(float(2e3 * radius[v, 1]), 3)}
        for name, v in branch_ends(sim.network).items()
    }


def _lesions(sim: Simulation, solution: Solution) -> list[dict[str, Any]]:
    state, network = solution.hyperemia, sim.network
    value = np.asarray(ffr(state))
    out = []
    for k, v in enumerate(lesion_sites(sim)):
        center, length = float(sim.lesions.center[k]), float(sim.lesions.length[k])
        read = float(network.coordinate[v, 1])
        out.append(
            {
                "branch": network.branch_names[int(sim.lesions.branch[k])],
                "position_mm": round(center * 1e3, 2),
                "diameter_reduction": round(1.0 - float(sim.lesions.throat[k]), 4),
                "ffr": round(float(value[v]), 4),
                "read_mm_past_lesion": round((read - center - 0.5 * length) * 1e3, 1),
                "endo_epi_behind": round(float(endo_epi(sim, state, behind(sim, v))), 4),
            }
        )
    return out


def _warnings(sim: Simulation, solution: Solution, lesions: list[dict[str, Any]]) -> list[str]:
    out = []
    length = 1e3 * float(np.nanmax(screening_length(sim)))
    if length > 1.0:
        out.append(
            f"the screening length √(K/(g_a+g_v)) is {length:.2f} mm: above 1 mm tissue shares flow like collaterals "
            "that most humans do not have; lower tissue.mobility"
        )
    for name, state in solution.in_order():
        result = RESULTS(int(state.counters.result))
        if result is not RESULTS.successful:
            out.append(f"{name}: {result.message}")
        backward = int(np.sum(np.asarray(state.mbf) < 0))
        if backward:
            out.append(
                f"{name}: {backward} volumes drain backwards into their arterioles: their pressure is above the "
                "perfusion pressure"
            )
        rest_demand = next((s.demand for s in sim.states if s.name == name), None)
        if rest_demand is not None:
            starved = float(np.mean(np.asarray(state.mbf) < 0.9 * float(np.median(np.asarray(state.mbf)))))
            if starved > 0.01:
                out.append(
                    f"{name}: autoregulation is exhausted in {100 * starved:.0f} % of the wall: demand is not met there"
                )
    for lesion in lesions:
        if lesion["read_mm_past_lesion"] < 15.0:
            out.append(
                f"the FFR of the lesion on {lesion['branch']} is read {lesion['read_mm_past_lesion']:.0f} mm past "
                "it, at the branch's end: the jet has not mixed out there"
            )
    return out


def _ratio(a: dict[str, float], b: dict[str, float]) -> dict[str, float]:
    return {k: round(a[k] / b[k], 4) for k in a if b[k] > 0}


def _rounded(values: dict) -> dict[str, float]:
    return {k: round(float(v), 4) for k, v in values.items()}
