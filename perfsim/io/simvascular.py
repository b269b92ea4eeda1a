"""SimVascular: the input files of its one-dimensional solver (svOneDSolver `.in`, cgs units)."""

import dataclasses
from pathlib import Path
from typing import Any

from perfsim._results import InputError
from perfsim.network import VesselNetwork

import numpy as np

CM, CGS_RESISTANCE, CGS_FLOW = 1e-2, 1e5, 1e-6  # dyn·s/cm⁵ → Pa·s/m³, cm³/s → m³/s


@dataclasses.dataclass(frozen=True)
class OneDimensionalModel:
    """What a `.in` file holds, in SI units."""

    network: VesselNetwork
    """every segment is one vessel; outlets are the nodes where segments end; branches are the segments' groups"""
    segment_names: tuple[str, ...]
    """name of each vessel, in the network's order"""
    stenoses: np.ndarray
    """vessels marked STENOSIS"""
    outlet_tables: dict[str, np.ndarray]
    """rows (time [s], value [cgs]) of the data table of each outlet, by segment name"""
    inlet_table: np.ndarray
    """rows (time [s], value [cgs]) of the inlet's data table"""
    material: tuple[float, ...]
    """numbers of the MATERIAL line [cgs]: density, viscosity, reference pressure, profile exponent, k1, k2, k3"""


def read_one_dimensional(path: str | Path) -> OneDimensionalModel:
    """Read a `.in` file (NODE, JOINT, SEGMENT, DATATABLE, MATERIAL cards).

    The segments that leave a joint are attached to the end of the first one that enters it: files give them start
    nodes of their own there, and the node that a JOINT card itself names need not be the joint's.

    Raises `InputError` naming file, line and value where a card cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    nodes: dict[int, list[float]] = {}
    segments: list[list[str]] = []
    tables: dict[str, list[list[float]]] = {}
    joint: dict[str, Any] = {}
    material: tuple[float, ...] = ()
    inlet = ""
    current = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        try:
            if words[0] == "NODE":
                nodes[int(words[1])] = [float(w) * CM for w in words[2:5]]
            elif words[0] == "SEGMENT":
                segments.append(words[1:])
            elif words[0] == "JOINT":
                joint[words[4]] = words[3]
            elif words[0] in ("JOINTINLET", "JOINTOUTLET"):
                joint[words[1]] = (joint.get(words[1]), [int(w) for w in words[3 : 3 + int(words[2])]])
            elif words[0] == "DATATABLE":
                current = tables.setdefault(words[1], [])
            elif words[0] == "ENDDATATABLE":
                current = None
            elif current is not None:
                current.append([float(w) for w in words[:2]])
            elif words[0] == "MATERIAL":
                material = tuple(float(w) for w in words[3:])
            elif words[0] == "SOLVEROPTIONS":
                inlet = words[5]
        except (ValueError, IndexError, KeyError) as error:
            raise InputError(f"{path}, line {number}: cannot read {line.strip()!r} ({error})") from None
    if not segments:
        raise InputError(f"{path}: no SEGMENT card found; is it a svOneDSolver input file?")
    return _model(path, nodes, segments, tables, material, inlet, joint)


def _model(path, nodes, segments, tables, material, inlet, joint) -> OneDimensionalModel:
    number = {node: i for i, node in enumerate(sorted(nodes))}
    position = np.array([nodes[node] for node in sorted(nodes)])
    names = np.array([s[0] for s in segments])
    length = np.array([float(s[2]) for s in segments]) * CM

    start, end = ({int(s[1]): int(s[column]) for s in segments} for column in (4, 5))
    for inlet_name, leaving in (v for v in joint.values() if isinstance(v, tuple) and isinstance(v[0], str)):
        entering = joint[inlet_name][1]
        for segment in leaving:
            start[segment] = end[entering[0]]
        for segment in entering[1:]:
            end[segment] = end[entering[0]]
    for segment in segments:
        for node in (start[int(segment[1])], end[int(segment[1])]):
            if node not in number:
                raise InputError(f"{path}: segment {segment[0]} names node {node}, which has no NODE card")
    tail = np.array([number[start[int(s[1])]] for s in segments])
    head = np.array([number[end[int(s[1])]] for s in segments])
    used = np.unique(np.concatenate([tail, head]))
    tail, head, position = np.searchsorted(used, tail), np.searchsorted(used, head), position[used]
    radius = np.sqrt(np.array([[float(s[6]), float(s[7])] for s in segments]) * CM**2 / np.pi)
    ends = [i for i, s in enumerate(segments) if s[14] != "NOBOUND"]
    groups = [name.rsplit("_", 1)[0] for name in names]
    branches = tuple(dict.fromkeys(groups))
    roots = sorted(set(tail) - set(head))
    network = VesselNetwork.build(
        position, tail, head, radius, inlets=roots, outlets=head[ends], outlet_names=[str(names[i]) for i in ends],
        branch=[branches.index(g) for g in groups], branch_names=branches,
    )  # fmt: skip
    order = [int(np.flatnonzero(head == h)[0]) for h in np.asarray(network.head)]
    straight = np.linalg.norm(position[head] - position[tail], axis=1)
    wrong = np.flatnonzero(np.abs(straight - length) > 0.5 * length)
    if len(wrong):
        i = int(wrong[0])
        raise InputError(
            f"{path}: segment {names[i]} says {length[i] * 1e3:.4g} mm, its nodes lie {straight[i] * 1e3:.4g} mm apart"
        )
    return OneDimensionalModel(
        network=network,
        segment_names=tuple(str(names[i]) for i in order),
        stenoses=np.array([k for k, i in enumerate(order) if segments[i][10] == "STENOSIS"], int),
        outlet_tables={str(names[i]): np.array(tables[segments[i][15]]) for i in ends},
        inlet_table=np.array(tables.get(inlet, [])),
        material=material,
    )


def dilated_radius(radius: np.ndarray, pressure: float, k1: float, k2: float, k3: float) -> np.ndarray:
    """Radius [m] at a pressure [Pa] of a vessel whose radius is given at zero pressure.

    Olufsen's wall law p = 4/3 (Eh/r₀)(1 - √(A₀/A)) with Eh/r₀ = k1 exp(k2 r₀) + k3 (cgs: dyn/cm², r₀ in cm).
    """
    stiffness = (k1 * np.exp(k2 * radius / CM) + k3) * 0.1
    return radius / (1.0 - 0.75 * pressure / stiffness)
