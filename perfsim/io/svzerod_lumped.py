"""svZeroDSolver's networks in time, for `perfsim.flow.lumped`: in the file's own units, element by element."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfsim._results import InputError
from perfsim.io.flow_case import LumpedCase
from perfsim.io.svzerod import at_junctions, check_keys, condition, connected, parsed
from perfsim.io.svzerod_units import units_of

import numpy as np

if TYPE_CHECKING:
    from perfsim.flow.lumped import Element, Vessel
    from perfsim.flow.pulsatile import Waveform

PRESCRIBED = ("FLOW", "PRESSURE")
OUTLETS = ("RESISTANCE", "RCR", "CORONARY", "CORONARY_VAR_RES")
SAME_PERIOD = 1e-6
"""relative difference of periods that are one"""


def read_svzerod_lumped(path: str | Path) -> LumpedCase:
    """Read a network of BloodVessel and BloodVesselCRL elements and junctions.

    FLOW and PRESSURE may be prescribed at inlets and outlets; outlets may be RESISTANCE, RCR, CORONARY and
    CORONARY_VAR_RES. Raises `InputError` naming file, element and key; unknown ones are errors.
    """
    path = Path(path)
    return parsed(path, lambda case: _case(case, path.stem))


def _case(case: dict[str, Any], name: str) -> LumpedCase:
    from perfsim.flow.lumped import LumpedNetwork

    check_keys(case)
    conditions = {c["bc_name"]: c for c in case["boundary_conditions"]}
    period = _period(case, conditions)
    nodes, tail, head, _ = connected(case)
    units, said = units_of(case)
    ends = _ends(case, conditions, tail, head, period)
    vessels, wanted, nodes = _vessels(case, nodes, tail, head)
    names = tuple(str(v["vessel_name"]) for v in case["vessels"])
    network = LumpedNetwork(vessels, ends, period, nodes, names, wanted)
    return LumpedCase(name, network, _intervals(conditions), units, (said,))


def _vessels(case: dict[str, Any], nodes: int, tail, head) -> "tuple[tuple[Vessel, ...], np.ndarray, int]":
    """Groups of vessels, the places of the file's vessels in them, and the number of nodes.

    What a junction puts at the beginning of a vessel is an element of its own, between the junction and a new node.
    """
    from perfsim.flow.lumped import ProximalVessel, Vessel

    names, kinds = [v["vessel_name"] for v in case["vessels"]], [v["zero_d_element_type"] for v in case["vessels"]]
    own = [v["zero_d_element_values"] for v in case["vessels"]]
    keys = ("R_poiseuille", "L", "C", "stenosis_coefficient")
    values = np.array([[_number(v, key, name) for key in keys] for v, name in zip(own, names, strict=True)])
    extra = np.stack([at_junctions(case, key) if key != "C" else np.zeros(len(names)) for key in keys], axis=1)
    bad = np.argwhere(~np.isfinite(values + extra) | (np.minimum(values, extra)[:, :] < 0) & (np.arange(4) < 3))
    for v, k in bad[:1]:
        raise InputError(f"vessel {names[v]}: {keys[k]} must be finite, and not negative")
    tail = np.array(tail)
    before = np.flatnonzero(extra.any(axis=1))
    branches = np.stack([tail[before], nodes + np.arange(len(before))], axis=1)
    tail[before] = branches[:, 1]
    ports = np.concatenate([np.stack([tail, head], axis=1), branches])
    values = np.concatenate([values, extra[before]])
    proximal = np.array([k == "BloodVesselCRL" for k in kinds] + [False] * len(before))
    groups, order = [], []
    for kind, chosen in ((Vessel, ~proximal), (ProximalVessel, proximal)):
        for narrowed in (False, True):
            at = np.flatnonzero(chosen & ((values[:, 3] != 0) == narrowed))
            if len(at):
                R, L, C, S = values[at].T
                groups.append(kind(ports[at], R, L, C, S if narrowed else None))
                order.append(at)
    place = np.argsort(np.concatenate(order))[: len(names)]
    return tuple(groups), place, nodes + len(before)


def _ends(case: dict[str, Any], conditions, tail, head, period: float) -> "tuple[Element, ...]":
    """Inlets and outlets by kind."""
    found: dict[str, list[tuple[int, dict[str, Any], float, str]]] = {}
    touching = np.bincount(np.concatenate([tail, head]))
    for i, vessel in enumerate(case["vessels"]):
        given = vessel.get("boundary_conditions") or {}
        for side, node in (("inlet", tail[i]), ("outlet", head[i])):
            if side not in given:
                if touching[node] == 1:
                    raise InputError(
                        f"vessel {vessel['vessel_name']}: its {side} has no boundary condition or junction"
                    )
                continue
            values = condition(conditions, given[side], PRESCRIBED if side == "inlet" else (*PRESCRIBED, *OUTLETS))
            kind = conditions[given[side]]["bc_type"]
            found.setdefault(kind, []).append((int(node), values, 1.0 if side == "inlet" else -1.0, given[side]))
    if not set(found) & set(PRESCRIBED):
        raise InputError("nothing is prescribed at an inlet: a FLOW or PRESSURE condition is needed")
    if set(found) == {"FLOW"}:
        raise InputError(
            "all ends prescribe a FLOW, which leaves the pressure open: one needs a PRESSURE or a resistance"
        )
    return tuple(_end(kind, members, period) for kind, members in found.items())


def _end(kind: str, members: list[tuple[int, dict[str, Any], float, str]], period: float) -> "Element":
    """All inlets or outlets of a kind."""
    from perfsim.flow import lumped

    nodes, values, signs, names = zip(*members, strict=True)

    def number(key: str) -> list[float]:
        return [_number(v, key, name, needed=True) for v, name in zip(values, names, strict=True)]

    def wave(key: str, factors=(1.0,) * len(nodes)) -> "Waveform":
        return _waves(values, key, names, factors, period)

    if kind == "FLOW":
        return lumped.Inflow(nodes, wave("Q", signs))
    if kind == "PRESSURE":
        return lumped.Held(nodes, wave("P"))
    if kind == "RESISTANCE":
        return lumped.Drain(nodes, number("R"), wave("Pd"))
    if kind == "RCR":
        return lumped.Windkessel(nodes, number("Rp"), number("C"), number("Rd"), wave("Pd"))
    Ra, Rv, Ca, Cim, Pv, Pim = number("Ra1"), number("Rv1"), number("Ca"), number("Cc"), wave("P_v"), wave("Pim")
    if kind == "CORONARY":
        return lumped.Coronary(nodes, Ra, number("Ra2"), Rv, Ca, Cim, Pv, Pim)
    T_vc, T_vr = number("T_vc"), number("T_vr")
    if min(*T_vc, *T_vr) <= 0:
        raise InputError(f"boundary condition {names[0]!r}: T_vc and T_vr must be positive")
    return lumped.SqueezedCoronary(nodes, Ra, number("Ra2_min"), Rv, Ca, Cim, Pv, Pim, number("Ra2_max"), T_vc, T_vr)


def _waves(values, key: str, names, factors, period: float) -> "Waveform":
    """What boundary conditions prescribe in time, one place each."""
    from perfsim.flow.pulsatile import Sampled, Stacked, Steadily

    found = [np.atleast_1d(np.asarray(v.get(key, 0.0) if key == "Pd" else v[key], float)) * f
             for v, f in zip(values, factors, strict=True)]  # fmt: skip
    for v, y, name in zip(values, found, names, strict=True):
        if not np.isfinite(y).all():
            raise InputError(f"boundary condition {name!r}: {key} is not finite")
        if len(y) > 1 and np.shape(v.get("t")) != y.shape:
            raise InputError(f"boundary condition {name!r}: {key} has {len(y)} values and t {np.size(v.get('t', []))}")
    if all(np.ptp(y) == 0 for y in found):
        return Steadily([y[0] for y in found])
    parts = [Sampled(v["t"], y[None]) if len(y) > 1 else Sampled([0.0, period], np.repeat(y, 2)[None])
             for v, y in zip(values, found, strict=True)]  # fmt: skip
    return Stacked(tuple(parts))


def _number(values: dict[str, Any], key: str, name: str, needed: bool = False) -> float:
    """A value that is constant, and zero where it may be left out."""
    found = np.atleast_1d(np.asarray(values[key] if needed else values.get(key, 0.0), float))
    if np.ptp(found) > 0:
        raise InputError(f"{name}: {key} varies in time, which only flows and pressures may")
    if needed and not (np.isfinite(found[0]) and found[0] >= 0):
        raise InputError(f"boundary condition {name!r}: {key} is {found[0]:g}: it must be finite, and not negative")
    return float(found[0])


def _period(case: dict[str, Any], conditions: dict[str, Any]) -> float:
    """The period that all of the file agrees on; 1 s where it says none. Raises `InputError` where it says two."""
    said = {}
    for name, c in conditions.items():
        t = np.asarray(c["bc_values"].get("t", [0.0]), float)
        if t.size > 1:
            if not (np.diff(t) > 0).all():
                raise InputError(f"boundary condition {name!r}: its times t must ascend")
            said[name] = float(t[-1] - t[0])
    if "cardiac_period" in case.get("simulation_parameters", {}):
        said["cardiac_period"] = float(case["simulation_parameters"]["cardiac_period"])
    periods = list(said.items()) or [("", 1.0)]
    for name, period in periods[1:]:
        if abs(period - periods[0][1]) > SAME_PERIOD * period:
            raise InputError(
                f"the period is {periods[0][1]:g} s by {periods[0][0]!r} and {period:g} s by {name!r}: give one period"
            )
    return periods[0][1]


def _intervals(conditions: dict[str, Any]) -> int:
    """The number of intervals of the waveform that has most."""
    return max([np.size(c["bc_values"].get("t", 0)) - 1 for c in conditions.values()] + [1])
