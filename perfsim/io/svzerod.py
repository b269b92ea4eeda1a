"""svZeroDSolver: steady zero-dimensional networks in JSON, run by our own solver."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from perfsim._results import InputError
from perfsim.network import Centerlines
from perfsim.units import MMHG

import numpy as np

Model = TypeVar("Model")
RESISTORS = ("R", "Rp", "Rd", "Ra1", "Ra2", "Rv1")


@dataclasses.dataclass(frozen=True)
class ZeroDimensionalModel:
    """A network of resistances; numbers are the file's own, read as SI."""

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

    def solve(self) -> tuple[dict[str, float], dict[str, float]]:
        """Mean (inlet pressure by inlet vessel, outlet flow by outlet vessel)."""
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
        p, _ = solve_network(system, forest, Steady())
        pressure = np.asarray(p[forest.contracted[network.inlets]]) * MMHG
        flow = np.asarray(system.outlet_flow(p)) / 6e7
        names = network.inlet_names, network.outlet_names
        return dict(zip(names[0], pressure.tolist(), strict=True)), dict(zip(names[1], flow.tolist(), strict=True))


def read_svzerod(path: str | Path) -> ZeroDimensionalModel:
    """Read a case of BloodVessel elements, junctions, FLOW inlets and RESISTANCE, RCR, CORONARY or PRESSURE outlets.

    Waveforms are averaged; capacitances and inductances do not matter in a steady state. Raises `InputError` naming the
    element that cannot be read or is not supported.
    """
    return parsed(Path(path), _model)


def parsed(path: Path, model: Callable[[dict[str, Any]], Model]) -> Model:
    """`model`(case) of a file in svZeroD's format. Raises `InputError` naming the file, whatever is wrong with it."""
    try:
        case = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None
    try:
        return model(case)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{path}: not a svZeroD case that can be read ({type(error).__name__}: {error})") from None


def _model(case: dict[str, Any]) -> ZeroDimensionalModel:
    vessels = case["vessels"]
    conditions = {c["bc_name"]: c for c in case["boundary_conditions"]}
    nodes, tail, head, in_series = connected(case)
    values = [v["zero_d_element_values"] for v in vessels]
    R = np.array([float(v.get("R_poiseuille", 0.0)) for v in values]) + in_series
    S = np.array([float(v.get("stenosis_coefficient", 0.0)) for v in values])
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
            resistance.append(sum(_mean(values_, k) for k in RESISTORS if k in values_))
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
        lines, tuple(names[i] for i in order), R[order], S[order], np.array(inflow), ending, np.array(distal)
    )


def connected(case: dict[str, Any]) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Nodes, start and end node of each vessel, joined where junctions say, and what junctions add to its resistance.

    Raises `InputError` where vessels cannot be told apart.
    """
    ids = [v["vessel_id"] for v in case["vessels"]]
    if len(set(ids)) != len(ids) or not ids:
        raise InputError("vessel_id must be there and differ")
    ends = {v: [2 * i, 2 * i + 1] for i, v in enumerate(ids)}
    by_name = {v["vessel_name"]: v["vessel_id"] for v in case["vessels"]}
    in_series = dict.fromkeys(ids, 0.0)
    for junction in case.get("junctions", []):
        entering, leaving = (
            junction.get(f"{side}_vessels") or [by_name[n] for n in junction[f"{side}_blocks"]]
            for side in ("inlet", "outlet")
        )
        at = ends[entering[0]][1]
        for v in entering:
            ends[v][1] = at
        extra = junction.get("junction_values", {}).get("R_poiseuille", [0.0] * len(leaving))
        for v, R in zip(leaving, extra, strict=True):
            ends[v][0], in_series[v] = at, float(R)
    nodes, index = np.unique([ends[v] for v in ids], return_inverse=True)
    tail, head = index.reshape(-1, 2).T
    return len(nodes), tail, head, np.array([in_series[v] for v in ids])


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
