"""Networks for svZeroDSolver, in cgs: vessels, junctions, inlets, outlets, and a state to start from."""

import json
from pathlib import Path
from typing import Any

from perfsim._results import InputError
from perfsim.flow.pulsatile import Arteries, Coronary, Cycle, Resistance, Sampled, Waveform, Windkessel
from perfsim.io.flow_case import CGS, FlowCase
from perfsim.io.lumped import Element, elements_of, led, node_of

import jax.numpy as jnp
import numpy as np

TIMES = 201
"""a waveform that is a formula is sampled at as many times"""
RESISTANCE = CGS.pressure / CGS.flow
"""Pa·s/m³ in a dyn·s/cm⁵"""
INERTANCE, COMPLIANCE, STENOSIS = RESISTANCE, 1.0 / RESISTANCE, CGS.pressure / CGS.flow**2


def write_svzerod(path: Path, case: FlowCase, cycle: Cycle | None = None) -> None:
    """Write a network whose vessels are lumped at their reference pressures.

    Arguments: the file; the network in SI; its periodic `cycle` [SI], whose first instant becomes the initial
    condition. Reading the file gives the same elements back. Raises `InputError` for ends that absorb
    waves, which have no lumped counterpart.
    """
    Path(path).write_text(json.dumps(svzerod_case(case, cycle), indent=1), encoding="utf-8")


def svzerod_case(case: FlowCase, cycle: Cycle | None = None) -> dict[str, Any]:
    """The content of the file; see `write_svzerod`."""
    arteries = case.arteries
    elements = elements_of(arteries)
    conditions: list[dict[str, Any]] = []
    at: dict[tuple[int, str], str] = {}
    _inlets(arteries, elements, conditions, at)
    _outlets(arteries, elements, conditions, at)
    junctions = _junctions(elements, at)
    found: dict[str, Any] = {
        "description": {"made by": "perfsim export", "units": "cgs (dyn/cm2, cm3/s)", "name": case.name},
        "simulation_parameters": {
            "number_of_cardiac_cycles": 20, "number_of_time_pts_per_cardiac_cycle": 1001, "output_all_cycles": False,
        },
        "boundary_conditions": conditions,
        "junctions": junctions,
        "vessels": [_vessel(i, e, at) for i, e in enumerate(elements)],
    }  # fmt: skip
    if cycle is not None:
        from perfsim.io.lumped_state import initial_condition

        found["initial_condition"], found["initial_condition_d"] = initial_condition(
            arteries, elements, junctions, at, cycle
        )
        found["simulation_parameters"]["steady_initial"] = False  # else the solver starts from a steady state
    return found


def _vessel(i: int, e: Element, at: dict[tuple[int, str], str]) -> dict[str, Any]:
    own = {side: at[node, side] for side, node in (("inlet", e.tail), ("outlet", e.head)) if (node, side) in at}
    values = {"R_poiseuille": e.R / RESISTANCE, "L": e.L / INERTANCE, "C": e.C / COMPLIANCE,
              "stenosis_coefficient": e.S / STENOSIS}  # fmt: skip
    return {
        "vessel_id": i, "vessel_name": e.name, "zero_d_element_type": "BloodVessel", "zero_d_element_values": values,
    } | ({"boundary_conditions": own} if own else {})  # fmt: skip


def _junctions(elements: list[Element], at: dict[tuple[int, str], str]) -> list[dict[str, Any]]:
    """A junction at every node where vessels meet."""
    found = []
    for node in sorted({n for e in elements for n in (e.tail, e.head)}):
        entering = [i for i, e in enumerate(elements) if e.head == node]
        leaving = [i for i, e in enumerate(elements) if e.tail == node]
        if entering and leaving:
            found.append({"junction_name": f"J{node}", "junction_type": "NORMAL_JUNCTION", "inlet_vessels": entering,
                          "outlet_vessels": leaving})  # fmt: skip
        elif (node, "inlet" if leaving else "outlet") not in at:
            raise InputError(f"node {node} is an end without an inlet or an outlet")
    return found


def _inlets(arteries: Arteries, elements: list[Element], conditions, at) -> None:
    period = float(arteries.period)
    for kind, key, scale, inlets in (
        ("FLOW", "Q", CGS.flow, arteries.flow_inlets), ("PRESSURE", "P", CGS.pressure, arteries.pressure_inlets),
    ):  # fmt: skip
        for k, node in enumerate([] if inlets is None else np.asarray(inlets.node)):
            node = node_of(arteries, node)
            if sum(e.tail == node for e in elements) != 1 or any(e.head == node for e in elements):
                raise InputError(f"the inlet at node {node} needs one vessel that leaves it and none that enters")
            t, values = sampled(inlets.waveform, k, period)
            name = f"inlet {k} {kind.lower()}"
            conditions.append({"bc_name": name, "bc_type": kind,
                               "bc_values": {key: (values / scale).tolist(), "t": t.tolist()}})  # fmt: skip
            at[node, "inlet"] = name


def _outlets(arteries: Arteries, elements: list[Element], conditions, at) -> None:
    fresh = arteries.nodes
    for group in arteries.outlets:
        kind, values = _values(group, float(arteries.period))
        for k, node in enumerate(np.asarray(group.node)):
            own = {key: (x[k] if isinstance(x, list) else x) for key, x in values.items()}
            first = next(iter(own))
            name = f"outlet {fresh - arteries.nodes}"
            node, own[first] = led(elements, node_of(arteries, node), own[first] * RESISTANCE, f"to {name}", fresh)
            own[first] /= RESISTANCE
            fresh += 1
            conditions.append({"bc_name": name, "bc_type": kind, "bc_values": own})
            at[node, "outlet"] = name


def _values(group, period: float) -> tuple[str, dict[str, Any]]:
    """The kind of a group of outlets, and lists of its numbers in cgs, the first resistance first."""

    def numbers(**given):
        count = len(group.node)  # one number may stand for all outlets of the group
        return {key: np.broadcast_to(np.asarray(x) / scale, count).tolist() for key, (x, scale) in given.items()}

    R, C, P = RESISTANCE, COMPLIANCE, CGS.pressure
    if isinstance(group, Resistance):
        return "RESISTANCE", numbers(R=(group.R, R), Pd=(group.P_out, P))
    if isinstance(group, Windkessel):
        return "RCR", numbers(Rp=(group.R1, R), Rd=(group.R2, R), C=(group.C, C), Pd=(group.P_out, P))
    if isinstance(group, Coronary):
        waves = [sampled(group.P_im, k, period) for k in range(len(group.node))]
        found = numbers(Ra1=(group.R_a, R), Ra2=(group.R_am, R), Rv1=(group.R_v, R), Ca=(group.C_a, C),
                        Cc=(group.C_im, C), P_v=(group.P_v, P))  # fmt: skip
        return "CORONARY", found | {"Pim": [(v / P).tolist() for _, v in waves], "t": [t.tolist() for t, _ in waves]}
    raise InputError("an end that absorbs waves has no lumped counterpart: give it a resistance or a windkessel")


def sampled(wave: Waveform, place: int, period: float) -> tuple[np.ndarray, np.ndarray]:
    """Times from 0 to the period, and the values there at one of a waveform's places; its own samples if it has any."""
    if isinstance(wave, Sampled):
        return np.asarray(wave.times) - float(wave.times[0]), np.asarray(wave.values)[place]
    t = np.linspace(0.0, period, TIMES)
    values = np.array([np.asarray(wave(jnp.asarray(x)))[place] for x in t[:-1]])
    return t, np.append(values, values[0])
