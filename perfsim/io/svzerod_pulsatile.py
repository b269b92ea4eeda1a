"""svZeroDSolver's networks in time: each 0D vessel as a throat between two short stiff tubes.

A `BloodVessel` of R, L, stenosis coefficient S and C becomes a throat with R, S and L, and behind it a tube whose
compliance is C. Tubes that stand for nothing are so short that waves cross them within a few steps: their own
inertance and compliance shift a signal by a few 1e-4 of the period.
"""

from pathlib import Path
from typing import Any

from perfsim._results import InputError
from perfsim.io.flow_case import FlowCase, refuse_unknown
from perfsim.io.svzerod import at_junctions, check_keys, condition, connected, parsed
from perfsim.io.svzerod_units import units_of

import numpy as np

STEPS = 80_000
"""per period"""
COURANT = 0.6
CELLS = 2


def read_svzerod_pulsatile(path: str | Path) -> FlowCase:
    """Read a case of BloodVessel elements, junctions, FLOW or PRESSURE inlets and RESISTANCE, RCR, CORONARY or PRESSURE
    outlets, in the file's own units. Raises `InputError` naming file, element and key; unknown ones are errors.
    """
    path = Path(path)
    return parsed(path, lambda case: _case(case, path.stem))


def _case(case: dict[str, Any], name: str) -> FlowCase:
    from perfsim.flow.pulsatile import Arteries, Throats

    check_keys(case)
    vessels, conditions = case["vessels"], {c["bc_name"]: c for c in case["boundary_conditions"]}
    for v in vessels:
        if v["zero_d_element_type"] != "BloodVessel":
            raise InputError(f"{v['vessel_name']} is a {v['zero_d_element_type']}; only BloodVessel can be read")
    nodes, start, end, in_series = connected(case)
    n = len(vessels)
    values = [v["zero_d_element_values"] for v in vessels]
    R, L, S, C = (
        np.array([float(v.get(key, 0.0)) for v in values]) for key in ("R_poiseuille", "L", "stenosis_coefficient", "C")
    )
    R = R + in_series
    L, S = L + at_junctions(case, "L"), S + at_junctions(case, "stenosis_coefficient")
    units, said = units_of(case)
    period = _period(case, conditions)
    inside = nodes + np.arange(2 * n)  # each vessel: start - tube - throat - tube - end
    flow_inlets, pressure_inlets, outlets, flow, pressure, resistance = _boundaries(
        case, conditions, start, end, period
    )
    Z = max(resistance, R.max(), S.max() * flow) or pressure / max(flow, 1e-30) or 1.0
    scale = Z * flow + pressure + 1e-12
    length, radius, elasticity = _tubes(np.concatenate([np.zeros(n), C]), Z, scale, period)
    arteries = Arteries.build(
        np.concatenate([start, inside[n:]]), np.concatenate([inside[:n], end]), length, radius, elasticity,
        period=period, throats=Throats(np.stack([inside[:n], inside[n:]], axis=1), R, S, L), viscosity=0.0,
        flow_inlets=flow_inlets, pressure_inlets=pressure_inlets, outlets=outlets, density=1.0, junctions="static",
        names=[f"{v['vessel_name']}, {part}" for part in ("entry", "exit") for v in vessels],
    )  # fmt: skip
    names = tuple(str(node) for node in range(nodes + 2 * n))
    return FlowCase(name, arteries, names, dx=1e9, samples=200, steps=STEPS, tolerance=1e-7, units=units, notes=(said,))


def _tubes(C, Z: float, scale: float, period: float):
    """Length, radius and E·h of tubes with the compliance C, or of impedance Z, that waves cross in a few steps.

    With ρ = 1 the wave speed is c = 300 √scale, so that pressures of that scale strain a wall by 1e-5 and kinetic
    pressures are 1e-5 of it; A = c/Z, and a cell is as long as the wave goes in a step over the Courant number.
    """
    c = 300.0 * np.sqrt(scale)
    length = np.full(len(C), CELLS * c * period / STEPS / COURANT)
    crossing = length / c
    impedance = np.where(C > 0, crossing / np.where(C > 0, C, 1.0), Z)
    radius = np.sqrt(c / impedance / np.pi)
    return length, radius, 1.5 * c**2 * radius


def _period(case, conditions) -> float:
    times = [
        np.asarray(c["bc_values"]["t"], float) for c in conditions.values() if np.size(c["bc_values"].get("t", 0)) > 1
    ]
    if not times:
        return float(case.get("simulation_parameters", {}).get("cardiac_period", 1.0))
    return float(max(t[-1] - t[0] for t in times))


def _boundaries(case, conditions, start, end, period: float):
    """Inlets, outlets, and the greatest flow, pressure and outlet resistance that the file speaks of."""
    from perfsim.flow.pulsatile import Coronary, Inlets, Resistance, Stacked, Windkessel

    flows: list[tuple[int, Any]] = []
    pressures: list[tuple[int, Any]] = []
    groups: dict[str, list[tuple]] = {"RESISTANCE": [], "RCR": [], "CORONARY": []}
    keys = {"RESISTANCE": ("R", "Pd"), "RCR": ("Rp", "Rd", "C", "Pd"),
            "CORONARY": ("Ra1", "Ra2", "Rv1", "Ca", "Cc", "P_v", "Pim")}  # fmt: skip
    for i, vessel in enumerate(case["vessels"]):
        for side, name in vessel.get("boundary_conditions", {}).items():
            values = condition(conditions, name, ("FLOW", "PRESSURE", *keys))
            kind = conditions[name]["bc_type"]
            node = start[i] if side == "inlet" else end[i]
            if kind == "FLOW":
                refuse_unknown(values, {"Q", "t"}, name)
                flows.append((node, _wave(values, "Q", period, -1.0 if side == "outlet" else 1.0)))
            elif kind == "PRESSURE":
                refuse_unknown(values, {"P", "t"}, name)
                pressures.append((node, _wave(values, "P", period)))
            else:
                refuse_unknown(values, {*keys[kind], "t"}, name)
                numbers = [_constant(values, key, name) for key in keys[kind] if key != "Pim"]
                groups[kind].append((node, numbers, _wave(values, "Pim", period) if kind == "CORONARY" else None))
    if not flows and not pressures:
        raise InputError("nothing is prescribed at an inlet: a FLOW or PRESSURE condition is needed")
    outlets = []
    for kind, build in (("RESISTANCE", Resistance), ("RCR", Windkessel), ("CORONARY", Coronary)):
        if groups[kind]:
            node, columns, waves = zip(*groups[kind], strict=True)
            muscle = [Stacked(waves)] if kind == "CORONARY" else []
            outlets.append(build(list(node), *map(list, zip(*columns, strict=True)), *muscle))
    resistance = max([sum(x[:2]) for g in groups.values() for _, x, _ in g] + [0.0])
    inlets = [Inlets([n for n, _ in g], Stacked(tuple(w for _, w in g))) if g else None for g in (flows, pressures)]
    scales = [max([float(np.abs(w.values).max()) for _, w in g] + [0.0]) for g in (flows, pressures)]
    return *inlets, tuple(outlets), *scales, resistance


def _wave(values, key: str, period: float, sign: float = 1.0):
    from perfsim.flow.pulsatile import Sampled

    found = np.atleast_1d(np.asarray(values[key], float)) * sign
    if len(found) == 1:
        return Sampled([0.0, period], np.repeat(found, 2)[None])
    return Sampled(np.asarray(values["t"], float), found[None])


def _constant(values, key: str, name: str) -> float:
    found = np.atleast_1d(np.asarray(values[key], float))
    if np.ptp(found) > 0:
        raise InputError(f"boundary condition {name!r}: {key} varies in time, which only flows and pressures may")
    return float(found[0])
