"""The first instant of a periodic cycle in svZeroDSolver's variables, and its rate of change."""

from typing import Any

from perfsim.flow.pulsatile import Arteries, Coronary, Cycle, Windkessel
from perfsim.io.flow_case import CGS
from perfsim.io.lumped import Element, node_of

import numpy as np


def initial_condition(
    arteries: Arteries, elements: list[Element], junctions: list[dict[str, Any]], at: dict, cycle: Cycle
) -> tuple[dict[str, float], dict[str, float]]:
    """Flow and pressure at the ends of every vessel, and what outlets store, at the cycle's start [cgs]; their rates.

    Names are the solver's: "flow:FROM:TO" between a condition or junction and a vessel, "pressure_c:OUTLET" over a
    windkessel's compliance. It counts a coronary bed's "volume_im:OUTLET" from its start, which it takes from flow,
    pressure and their rates.
    """
    history = _at_vessels(arteries, elements, junctions, at, cycle) | _stores(arteries, cycle)
    step = float(arteries.period) / len(cycle.time)
    rates = {name: float(y[1] - y[-1]) / (2.0 * step) for name, y in history.items()}
    return {name: float(y[0]) for name, y in history.items()}, rates


def _at_vessels(arteries, elements: list[Element], junctions, at, cycle: Cycle) -> dict[str, np.ndarray]:
    """Flow and pressure over the cycle at both ends of every element, by the solver's names."""
    p = {node_of(arteries, n): y for n, y in enumerate(np.asarray(cycle.node_pressure).T)}
    vessels = elements[: len(arteries.tail)]
    ends = {e.name: (np.asarray(cycle.flow[:, 0, v]), np.asarray(cycle.flow[:, 2, v])) for v, e in enumerate(vessels)}
    joint: dict[tuple[int, str], str] = {}
    for j in junctions:
        joint |= {(v, "out"): j["junction_name"] for v in j["inlet_vessels"]}
        joint |= {(v, "in"): j["junction_name"] for v in j["outlet_vessels"]}
    found: dict[str, np.ndarray] = {}
    for i, e in enumerate(elements):
        if e.name in ends:
            inflow, outflow = ends[e.name]
        else:  # a stenosis, or what leads to an outlet: what its node's vessels leave
            inflow = np.zeros(len(cycle.time))
            for v in vessels:
                inflow = inflow + (v.head == e.tail) * ends[v.name][1] - (v.tail == e.tail) * ends[v.name][0]
            outflow = inflow
        before = at.get((e.tail, "inlet"), joint.get((i, "in")))
        after = at.get((e.head, "outlet"), joint.get((i, "out")))
        beyond = p[e.head] if e.head in p else p[e.tail] - e.R * outflow
        for pair, q, pressure in ((f"{before}:{e.name}", inflow, p[e.tail]), (f"{e.name}:{after}", outflow, beyond)):
            found[f"flow:{pair}"], found[f"pressure:{pair}"] = q / CGS.flow, pressure / CGS.pressure
    return found


def _stores(arteries: Arteries, cycle: Cycle) -> dict[str, np.ndarray]:
    """What outlets store over the cycle, by the solver's names."""
    flow = np.zeros((len(cycle.time), arteries.nodes))
    for v, (a, b) in enumerate(zip(np.asarray(arteries.tail), np.asarray(arteries.head), strict=True)):
        flow[:, b] += np.asarray(cycle.flow[:, 2, v])
        flow[:, a] -= np.asarray(cycle.flow[:, 0, v])
    found, k = {}, 0
    for group in arteries.outlets:
        for i, node in enumerate(np.asarray(group.node)):
            if isinstance(group, Windkessel):
                over = np.asarray(cycle.node_pressure)[:, node] - float(group.R1[i]) * flow[:, node]
                found[f"pressure_c:outlet {k}"] = over / CGS.pressure
            elif isinstance(group, Coronary):
                found[f"volume_im:outlet {k}"] = np.zeros(len(flow))
            k += 1
    return found
