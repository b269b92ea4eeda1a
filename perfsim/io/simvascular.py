"""SimVascular: the input files of its one-dimensional solver (svOneDSolver `.in`, cgs units)."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from perfsim._results import InputError
from perfsim.network import Centerlines

import numpy as np

if TYPE_CHECKING:
    from perfsim.network import VesselNetwork

CM, CGS_RESISTANCE, CGS_FLOW = 1e-2, 1e5, 1e-6  # dyn·s/cm⁵ → Pa·s/m³, cm³/s → m³/s


@dataclasses.dataclass(frozen=True)
class OneDimensionalModel:
    """What a `.in` file holds, in SI units."""

    lines: Centerlines
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

    @property
    def network(self) -> "VesselNetwork":
        """The segments on the device."""
        from perfsim.network import VesselNetwork

        return VesselNetwork.of(self.lines)


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
    segments: list[_Segment] = []
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
                x, y, z = (float(w) * CM for w in words[2:5])
                nodes[int(words[1])] = [x, y, z]
            elif words[0] == "SEGMENT":
                segments.append(_Segment.read(words[1:]))
            elif words[0] == "JOINT":
                joint[words[4]] = words[3]
            elif words[0] in ("JOINTINLET", "JOINTOUTLET"):
                joint[words[1]] = (joint.get(words[1]), [int(w) for w in words[3 : 3 + int(words[2])]])
            elif words[0] == "DATATABLE":
                current = tables.setdefault(words[1], [])
            elif words[0] == "ENDDATATABLE":
                current = None
            elif current is not None:
                time, value = (float(w) for w in words[:2])
                current.append([time, value])
            elif words[0] == "MATERIAL":
                material = tuple(float(w) for w in words[3:])
            elif words[0] == "SOLVEROPTIONS":
                inlet = words[5]
        except (ValueError, IndexError, KeyError) as error:
            raise InputError(f"{path}, line {number}: cannot read {line.strip()!r} ({error})") from None
    if not segments:
        raise InputError(f"{path}: no SEGMENT card found; is it a svOneDSolver input file?")
    try:
        return _model(path, nodes, segments, tables, material, inlet, joint)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


class _Segment(NamedTuple):
    """One SEGMENT card."""

    name: str
    number: int
    length: float
    start: int
    end: int
    areas: tuple[float, float]
    kind: str
    boundary: str
    table: str

    @classmethod
    def read(cls, words: list[str]) -> "_Segment":
        """The columns that geometry and outlets need."""
        areas = float(words[6]) * CM**2, float(words[7]) * CM**2
        length = float(words[2]) * CM
        if not (np.isfinite([*areas, length]).all() and min(*areas, length) > 0):
            raise ValueError("length and areas must be positive and finite")
        return cls(
            words[0], int(words[1]), length, int(words[4]), int(words[5]), areas, words[10], words[14], words[15]
        )


def _model(path, nodes, segments, tables, material, inlet, joint) -> OneDimensionalModel:
    number = {node: i for i, node in enumerate(sorted(nodes))}
    position = np.array([nodes[node] for node in sorted(nodes)]).reshape(-1, 3)
    start, end = _joined(segments, joint)
    for s in segments:
        for node in (start[s.number], end[s.number]):
            if node not in number:
                raise InputError(f"segment {s.name} names node {node}, which has no NODE card")
    tail, head = (np.array([number[ends[s.number]] for s in segments]) for ends in (start, end))
    used = np.unique(np.concatenate([tail, head]))
    tail, head, position = np.searchsorted(used, tail), np.searchsorted(used, head), position[used]
    radius = np.sqrt(np.array([s.areas for s in segments]) / np.pi)
    last = [i for i, s in enumerate(segments) if s.boundary != "NOBOUND"]
    for i in last:
        if segments[i].table not in tables:
            raise InputError(f"segment {segments[i].name} names the table {segments[i].table}, which is not there")
    groups = [s.name.rsplit("_", 1)[0] for s in segments]
    branches = tuple(dict.fromkeys(groups))
    lines = Centerlines.build(
        position, tail, head, radius, inlets=sorted(set(tail) - set(head)), outlets=head[last],
        outlet_names=[segments[i].name for i in last], branch=[branches.index(g) for g in groups],
        branch_names=branches,
    )  # fmt: skip
    order = [int(np.flatnonzero(head == h)[0]) for h in lines.head]
    straight = np.linalg.norm(position[head] - position[tail], axis=1)
    for s, found in zip(segments, straight, strict=True):
        if abs(found - s.length) > 0.5 * s.length:
            lengths = f"{s.length * 1e3:.4g} mm, its nodes lie {found * 1e3:.4g} mm apart"
            raise InputError(f"segment {s.name} says {lengths}")
    return OneDimensionalModel(
        lines=lines,
        segment_names=tuple(segments[i].name for i in order),
        stenoses=np.array([k for k, i in enumerate(order) if segments[i].kind == "STENOSIS"], int),
        outlet_tables={segments[i].name: np.array(tables[segments[i].table]) for i in last},
        inlet_table=np.array(tables.get(inlet, [])),
        material=material,
    )


def _joined(segments, joint) -> tuple[dict[int, int], dict[int, int]]:
    """Start and end node of each segment, by its number, joints applied."""
    start, end = {s.number: s.start for s in segments}, {s.number: s.end for s in segments}
    for inlet_name, leaving in (v for v in joint.values() if isinstance(v, tuple) and isinstance(v[0], str)):
        entering = joint.get(inlet_name)
        if not isinstance(entering, tuple) or not entering[1]:
            raise InputError(f"a joint names the inlet list {inlet_name}, which has no JOINTINLET card")
        unknown = {*entering[1], *leaving} - set(start)
        if unknown:
            raise InputError(f"a joint names segment {min(unknown)}, which has no SEGMENT card")
        for segment in leaving:
            start[segment] = end[entering[1][0]]
        for segment in entering[1][1:]:
            end[segment] = end[entering[1][0]]
    return start, end


def dilated_radius(radius: np.ndarray, pressure: float, k1: float, k2: float, k3: float) -> np.ndarray:
    """Radius [m] at a pressure [Pa] of a vessel whose radius is given at zero pressure.

    Olufsen's wall law p = 4/3 (Eh/r₀)(1 - √(A₀/A)) with Eh/r₀ = k1 exp(k2 r₀) + k3 (cgs: dyn/cm², r₀ in cm).
    """
    stiffness = (k1 * np.exp(k2 * radius / CM) + k3) * 0.1
    return radius / (1.0 - 0.75 * pressure / stiffness)
