"""svZeroDSolver: steady zero-dimensional networks in JSON, run by our own solver."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from perfsim._results import RESULTS, InputError, SimulationError
from perfsim.io.flow_case import FlowUnits, refuse_twice, refuse_unknown
from perfsim.io.json_files import read_json
from perfsim.io.svzerod_units import RESISTORS, units_of
from perfsim.network import Centerlines
from perfsim.units import MMHG

import numpy as np

Model = TypeVar("Model")
# a steady or periodic state does not depend on the initial condition
TOP = {"description", "boundary_conditions", "simulation_parameters", "vessels", "junctions", "output_interval",
       "initial_condition", "initial_condition_d"}  # fmt: skip
VESSEL = {"boundary_conditions", "vessel_id", "vessel_length", "vessel_name", "zero_d_element_type",
          "zero_d_element_values"}  # fmt: skip
ELEMENT = {"R_poiseuille", "L", "C", "stenosis_coefficient"}
ELEMENTS = ("BloodVessel", "BloodVesselCRL")
JUNCTION = {"junction_name", "junction_type", "junction_values", "inlet_vessels", "outlet_vessels", "inlet_blocks",
            "outlet_blocks", "areas", "tangents"}  # fmt: skip
PLAIN_JUNCTIONS = ("NORMAL_JUNCTION", "internal_junction")
"""what meets there has one pressure"""
VESSEL_JUNCTION = "BloodVesselJunction"
"""each vessel that leaves begins with a resistance, an inertance and a stenosis of its own"""
CONDITIONS = {
    "FLOW": {"Q", "t"}, "PRESSURE": {"P", "t"}, "RESISTANCE": {"R", "Pd", "t"}, "RCR": {"Rp", "Rd", "C", "Pd", "t"},
    "CORONARY": {"Ra1", "Ra2", "Rv1", "Ca", "Cc", "P_v", "Pim", "t"},
    "CORONARY_VAR_RES": {"Ra1", "Ra2_min", "Ra2_max", "Rv1", "Ca", "Cc", "P_v", "Pim", "T_vc", "T_vr", "t"},
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ZeroDimensionalModel:
    """A network of resistances; numbers are in the file's own units."""

    lines: Centerlines
    """the vessels as a tree; its coordinates are made up, such files have none"""
    vessel_names: tuple[str, ...]
    R: np.ndarray
    S: np.ndarray
    """stenosis coefficients"""
    inflow: np.ndarray
    resistance: np.ndarray
    """of each outlet"""
    distal_pressure: np.ndarray
    """behind each outlet"""
    units: FlowUnits
    """of the file's numbers"""
    steady: bool
    """what is prescribed does not vary in time"""
    notes: tuple[str, ...]
    """what a reader should know about the file, in sentences"""

    def solve(self) -> tuple[dict[str, float], dict[str, float]]:
        """Mean (inlet pressure by inlet vessel, outlet flow by outlet vessel), in the file's own units.

        Raises `InputError` where stenoses make the mean depend on how the flow varies in time, and `SimulationError`
        where the flow is not found.
        """
        if not self.steady and (self.S != 0).any():
            name = self.vessel_names[int(np.argmax(self.S != 0))]
            raise InputError(
                f"vessel {name} has a stenosis and the inflow varies in time, so the mean of Q|Q| is not Q|Q| of the "
                "mean: solve it in time (perfsim flow)"
            )
        # here, not above: who only looks at a file should not wait for jax
        from perfsim.flow import LumpedOutlets, Steady, solve_network, vessel_system
        from perfsim.network import VesselNetwork, contract

        import jax.numpy as jnp

        network = VesselNetwork.of(self.lines)
        forest = contract(network)
        system = vessel_system(
            forest, network, jnp.asarray(self.R), jnp.asarray(self.S), inlet_flow=jnp.asarray(self.inflow),
            outlets=LumpedOutlets(self.resistance, self.distal_pressure, np.zeros(len(self.resistance))),
        )  # fmt: skip
        p, done = solve_network(system, forest, Steady())
        if int(done.result) != RESULTS.successful:
            raise SimulationError(f"the flow in this network was not found: {RESULTS(int(done.result)).message}")
        pressure = np.asarray(p[forest.contracted[network.inlets]]) * MMHG
        flow = np.asarray(system.outlet_flow(p)) / 6e7
        names = network.inlet_names, network.outlet_names
        return dict(zip(names[0], pressure.tolist(), strict=True)), dict(zip(names[1], flow.tolist(), strict=True))


def read_svzerod(path: str | Path) -> ZeroDimensionalModel:
    """Read a case of BloodVessel elements, junctions, FLOW inlets and RESISTANCE, RCR, CORONARY or PRESSURE outlets.

    Waveforms are averaged; capacitances and inductances do not matter in a steady state. Junctions of vessels add their
    resistances and stenoses to the vessels that leave them. Raises `InputError` naming the element or key that cannot
    be read, is there twice or is not supported.
    """
    return parsed(Path(path), _model)


def parsed(path: Path, model: Callable[[dict[str, Any]], Model]) -> Model:
    """`model`(case) of a file in svZeroD's format. Raises `InputError` naming the file, whatever is wrong with it."""
    case = read_json(path)
    try:
        return model(case)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{path}: not a svZeroD case that can be read ({type(error).__name__}: {error})") from None


def _model(case: dict[str, Any]) -> ZeroDimensionalModel:
    check_keys(case)
    vessels = case["vessels"]
    conditions = {c["bc_name"]: c for c in case["boundary_conditions"]}
    nodes, tail, head, in_series = connected(case)
    units, said = units_of(case)
    values = [v["zero_d_element_values"] for v in vessels]
    R = np.array([float(v.get("R_poiseuille", 0.0)) for v in values]) + in_series
    S = np.array([float(v.get("stenosis_coefficient", 0.0)) for v in values])
    S = S + at_junctions(case, "stenosis_coefficient")
    if not (np.isfinite(R).all() and np.isfinite(S).all() and (R >= 0).all() and (S >= 0).all() and (R + S > 0).all()):
        raise InputError(
            "every vessel needs a finite resistance ≥ 0, not both R_poiseuille and stenosis_coefficient zero"
        )
    inlets, inflow, outlets, resistance, distal = [], [], [], [], []
    for i, v in enumerate(vessels):
        bc = v.get("boundary_conditions", {})
        if "inlet" in bc:
            inlets.append(i)
            inflow.append(_mean(condition(conditions, bc["inlet"], ("FLOW",)), "Q"))
        if "outlet" in bc:
            values_ = condition(conditions, bc["outlet"], ("RESISTANCE", "RCR", "CORONARY", "PRESSURE"))
            outlets.append(i)
            given = {k: _mean(values_, k) for k in RESISTORS if k in values_}
            for k, value in given.items():
                if not 0.0 <= value < np.inf:
                    raise InputError(
                        f"boundary condition {bc['outlet']!r}: {k} is {value:.4g}, but a resistance is finite and not "
                        "negative"
                    )
            resistance.append(sum(given.values()))
            distal.append(sum(_mean(values_, k) for k in ("Pd", "P_v", "P") if k in values_))
    if not inlets or not outlets:
        raise InputError("needs at least one FLOW inlet and one resistive outlet")
    position = np.stack([np.arange(nodes), np.arange(nodes) ** 2 % 7, np.zeros(nodes)], 1).astype(float)
    names = [str(v["vessel_name"]) for v in vessels]
    lines = Centerlines.build(
        position, tail, head, np.ones(len(tail)), inlets=tail[inlets], outlets=head[outlets],
        inlet_names=[names[i] for i in inlets], outlet_names=[names[i] for i in outlets],
    )  # fmt: skip
    pairs = list(zip(tail.tolist(), head.tolist(), strict=True))
    order = [pairs.index((int(t), int(h))) for t, h in zip(lines.tail, lines.head, strict=True)]
    # a prescribed pressure is a resistance too small to matter, yet large enough for its flow to be exact
    ending = np.maximum(resistance, 1e-7 * R.max())
    return ZeroDimensionalModel(
        lines, tuple(names[i] for i in order), R[order], S[order], np.array(inflow), ending, np.array(distal), units,
        not any(_varies(c["bc_values"]) for c in conditions.values()), (said,),
    )  # fmt: skip


def check_keys(case: dict[str, Any]) -> None:
    """Raise `InputError` for a key without a meaning here, or a name that two things have."""
    refuse_unknown(case, TOP, "the file")
    for v in case["vessels"]:
        refuse_unknown(v, VESSEL, v.get("vessel_name", "a vessel"))
        refuse_unknown(v["zero_d_element_values"], ELEMENT, v["vessel_name"])
        _check_numbers(v["zero_d_element_values"], v["vessel_name"])
        kind = v.get("zero_d_element_type", ELEMENTS[0])
        if kind not in ELEMENTS:
            raise InputError(f"{v['vessel_name']} is a {kind}; only {' and '.join(ELEMENTS)} can be read")
    for c in case["boundary_conditions"]:
        if c["bc_type"] in CONDITIONS:
            refuse_unknown(c["bc_values"], CONDITIONS[c["bc_type"]], str(c["bc_name"]))
            _check_numbers(c["bc_values"], str(c["bc_name"]))
    refuse_twice((v["vessel_name"] for v in case["vessels"]), "vessel_name")
    refuse_twice((c["bc_name"] for c in case["boundary_conditions"]), "bc_name")
    refuse_twice((j["junction_name"] for j in case.get("junctions", []) if "junction_name" in j), "junction_name")


def _check_numbers(values: dict[str, Any], name: str) -> None:
    """Raise `InputError` for text, true and false where numbers belong: Python would count true as 1, "1e3" as 1000."""
    for key, value in values.items():
        for x in value if isinstance(value, list) else [value]:
            if isinstance(x, bool) or not isinstance(x, int | float):
                raise InputError(f"{name}: {key} holds {json.dumps(x)}: give a number")


def _varies(values: dict[str, Any]) -> bool:
    return any(np.size(v) > 1 and np.ptp(np.asarray(v, float)) > 0 for k, v in values.items() if k != "t")


def at_junctions(case: dict[str, Any], key: str) -> np.ndarray:
    """What the junctions of vessels put at the beginning of each vessel: R_poiseuille, L or stenosis_coefficient.

    Raises `InputError` for a junction of another kind, for keys it does not have, or for too few or too many values.
    """
    ids = [v["vessel_id"] for v in case["vessels"]]
    found = dict.fromkeys(ids, 0.0)
    by_name = {v["vessel_name"]: v["vessel_id"] for v in case["vessels"]}
    for junction in case.get("junctions", []):
        name = str(junction.get("junction_name", "a junction"))
        refuse_unknown(junction, JUNCTION, name)
        kind, values = junction.get("junction_type", PLAIN_JUNCTIONS[0]), junction.get("junction_values") or {}
        if kind not in (*PLAIN_JUNCTIONS, VESSEL_JUNCTION):
            known = ", ".join((*PLAIN_JUNCTIONS, VESSEL_JUNCTION))
            raise InputError(f"{name} is of the type {kind!r}; known are {known}")
        refuse_unknown(values, ELEMENT - {"C"} if kind == VESSEL_JUNCTION else set(), f"junction_values of {name}")
        leaving = junction.get("outlet_vessels") or [by_name[n] for n in junction["outlet_blocks"]]
        for v, value in zip(leaving, _one_each(values, key, len(leaving), name), strict=True):
            found[v] += value
    return np.array([found[v] for v in ids])


def _one_each(values: dict[str, Any], key: str, count: int, name: str) -> list[float]:
    given = [float(x) for x in np.atleast_1d(values.get(key, [0.0] * count))]
    if len(given) != count:
        raise InputError(f"{name}: {key} has {len(given)} values for {count} vessels that leave it: give one each")
    return given


def connected(case: dict[str, Any]) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Nodes, start and end node of each vessel, joined where junctions say, and what junctions add to its resistance.

    Raises `InputError` where vessels cannot be told apart.
    """
    ids = [v["vessel_id"] for v in case["vessels"]]
    if len(set(ids)) != len(ids) or not ids:
        raise InputError("vessel_id must be there and differ")
    ends = {v: [2 * i, 2 * i + 1] for i, v in enumerate(ids)}
    by_name = {v["vessel_name"]: v["vessel_id"] for v in case["vessels"]}
    for junction in case.get("junctions", []):
        entering, leaving = (
            junction.get(f"{side}_vessels") or [by_name[n] for n in junction[f"{side}_blocks"]]
            for side in ("inlet", "outlet")
        )
        at = ends[entering[0]][1]
        for v in entering:
            ends[v][1] = at
        for v in leaving:
            ends[v][0] = at
    nodes, index = np.unique([ends[v] for v in ids], return_inverse=True)
    tail, head = index.reshape(-1, 2).T
    return len(nodes), tail, head, at_junctions(case, "R_poiseuille")


def condition(conditions: dict[str, Any], name: str, kinds: tuple[str, ...]) -> dict:
    """The values of a boundary condition. Raises `InputError` where it is not there or of none of the kinds."""
    if name not in conditions:
        raise InputError(f"boundary condition {name!r} is not defined")
    found = conditions[name]
    if found["bc_type"] not in kinds:
        raise InputError(
            f"boundary condition {name!r} is of type {found['bc_type']!r}; supported are {', '.join(kinds)}"
        )
    return found["bc_values"]


def _mean(values, key) -> float:
    found = np.asarray(values[key], float)
    if found.ndim == 0 or len(found) == 1:
        mean = float(found.ravel()[0])
    else:
        t = np.asarray(values.get("t", np.linspace(0, 1, len(found))), float)
        mean = float(np.trapezoid(found, t) / (t[-1] - t[0]))
    if not np.isfinite(mean):
        raise InputError(f"{key} has the mean {mean}: it must be finite")
    return mean
