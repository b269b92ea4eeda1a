"""SimVascular: the input files of its one-dimensional solver (svOneDSolver `.in`, cgs units)."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from perfsim._results import InputError
from perfsim.io.oned_cards import CM, Cards, Material, Segment, read_cards
from perfsim.network import Centerlines

import numpy as np

if TYPE_CHECKING:
    from perfsim.network import VesselNetwork

CGS_PRESSURE = 0.1  # dyn/cm² → Pa
STRAIGHT = 1e-3
"""a card's length may differ by this share from its nodes' distance before the segment is drawn bent"""
LONGEST = 2.0
"""times its nodes' distance: what a bend can explain"""


@dataclasses.dataclass(frozen=True)
class OneDimensionalModel:
    """What a `.in` file holds, in SI units."""

    lines: Centerlines
    """every segment is one vessel, or two in a bend where its card says that it is longer than its nodes' distance;
    outlets are the nodes where segments end; branches are the segments' groups"""
    segment_names: tuple[str, ...]
    """name of each vessel's segment, in the network's order"""
    stenoses: np.ndarray
    """vessels marked STENOSIS"""
    outlet_tables: dict[str, np.ndarray]
    """rows (time [s], value [cgs]) of the data table of each outlet, by segment name"""
    inlet_table: np.ndarray
    """rows (time [s], value [cgs]) of the inlet's data table"""
    materials: tuple[Material, ...]
    """of each vessel, in the network's order"""

    @property
    def network(self) -> "VesselNetwork":
        """The segments on the device."""
        from perfsim.network import VesselNetwork

        return VesselNetwork.of(self.lines)

    @property
    def material(self) -> Material:
        """The material of all vessels. Raises `InputError` where they differ."""
        if len(set(self.materials)) > 1:
            raise InputError("the segments are of different materials: use that of each vessel, `materials`")
        return self.materials[0]

    def radius_at(self, pressure: float) -> np.ndarray:
        """Radius [m] of every vessel at both ends, at a pressure [Pa], by the wall law of its own material.

        Raises `InputError` naming the segment where a wall cannot bear the pressure.
        """
        found = np.array([
            dilated_radius(r, pressure, m.k1, m.k2, m.k3, CGS_PRESSURE * m.reference_pressure)
            for r, m in zip(self.lines.lumen, self.materials, strict=True)
        ])  # fmt: skip
        bad = ~(np.isfinite(found) & (found > 0)).all(1)
        if bad.any():
            name = self.segment_names[int(np.argmax(bad))]
            raise InputError(f"segment {name}: its wall cannot bear {pressure:.5g} Pa: is its MATERIAL card in cgs?")
        return found


def read_one_dimensional(path: str | Path, unit: float = CM) -> OneDimensionalModel:
    """Read a `.in` file (NODE, JOINT, SEGMENT, DATATABLE, MATERIAL cards); lengths and areas are in `unit` [m].

    The segments that leave a joint are attached to the end of the first one that enters it: files give them start
    nodes of their own there, and the node that a JOINT card itself names need not be the joint's. A segment is as long
    as its card says: bent where that is more than its nodes' distance, and where it is less (the step into a joint),
    what lies beyond is moved by the difference.

    Raises `InputError` naming file, line and value where a card cannot be read, is there twice or is missing.
    """
    path = Path(path)
    cards = read_cards(path, unit)
    if not cards.segments:
        raise InputError(f"{path}: no SEGMENT card found; is it a svOneDSolver input file?")
    try:
        return _model(cards)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _model(cards: Cards) -> OneDimensionalModel:
    segments = list(cards.segments.values())
    start, end = _joined(cards)
    for s in segments:
        for node in (start[s.number], end[s.number], s.start):
            if node not in cards.nodes:
                raise InputError(f"segment {s.name} names node {node}, which has no NODE card")
        if s.material not in cards.materials:
            there = f"there is {', '.join(cards.materials)}" if cards.materials else "the file has no MATERIAL card"
            raise InputError(f"segment {s.name} is of the material {s.material}: {there}")
    last = [s for s in segments if s.boundary != "NOBOUND"]
    for s in last:
        if s.table not in cards.tables:
            raise InputError(f"segment {s.name} names the table {s.table}, which is not there")
    position, tail, head, radius, source = _drawn(cards, segments, start, end)
    groups = [segments[i].name.rsplit("_", 1)[0] for i in source]
    branches = tuple(dict.fromkeys(groups))
    ends = [int(np.flatnonzero(np.array(source) == segments.index(s))[-1]) for s in last]
    lines = Centerlines.build(
        position, tail, head, radius, inlets=sorted(set(tail) - set(head)), outlets=[head[v] for v in ends],
        outlet_names=[s.name for s in last], branch=[branches.index(g) for g in groups], branch_names=branches,
    )  # fmt: skip
    vessel = {(t, h): segments[i] for t, h, i in zip(tail, head, source, strict=True)}
    order = [vessel[t, h] for t, h in zip(lines.tail.tolist(), lines.head.tolist(), strict=True)]
    return OneDimensionalModel(
        lines=lines,
        segment_names=tuple(s.name for s in order),
        stenoses=np.array([k for k, s in enumerate(order) if s.kind == "STENOSIS"], int),
        outlet_tables={s.name: _pairs(cards, s.table) for s in last},
        inlet_table=_pairs(cards, cards.inlet[0]),
        materials=tuple(cards.materials[s.material] for s in order),
    )


def _pairs(cards: Cards, table: str) -> np.ndarray:
    """Rows (time, value) of a table; none where there is no such table."""
    numbers = cards.tables.get(table, [])
    if len(numbers) % 2:
        raise InputError(f"table {table} has {len(numbers)} numbers: they must be pairs of time and value")
    return np.array(numbers).reshape(-1, 2)


def _joined(cards: Cards) -> tuple[dict[int, int], dict[int, int]]:
    """Start and end node of each segment, by its number, joints applied."""
    segments = cards.segments.values()
    start, end = {s.number: s.start for s in segments}, {s.number: s.end for s in segments}
    for inlet_name, outlet_name in cards.joints.values():
        for kind, lists, name in (("INLET", cards.entering, inlet_name), ("OUTLET", cards.leaving, outlet_name)):
            if not lists.get(name):
                raise InputError(f"a joint names the {kind.lower()} list {name}, which has no JOINT{kind} card")
        entering, leaving = cards.entering[inlet_name], cards.leaving[outlet_name]
        unknown = {*entering, *leaving} - set(start)
        if unknown:
            raise InputError(f"a joint names segment {min(unknown)}, which has no SEGMENT card")
        for segment in leaving:
            start[segment] = end[entering[0]]
        for segment in entering[1:]:
            end[segment] = end[entering[0]]
    return start, end


def _drawn(cards: Cards, segments: list[Segment], start: dict[int, int], end: dict[int, int]):
    """Positions, start and end node, radii and segment of each vessel, as long as the cards say.

    Nodes are placed from the inlets on: x_end = x_start + v min(1, L/|v|), v being the step between the file's nodes.
    Differences within rounding (`STRAIGHT`) are left.
    """
    number = {node: i for i, node in enumerate(sorted({*start.values(), *end.values()}))}
    given = {node: np.array(cards.nodes[node]) for node in cards.nodes}
    position: list[np.ndarray | None] = [None] * len(number)
    for node in set(start.values()) - set(end.values()):
        position[number[node]] = given[node]
    tail, head, radius, source = [], [], [], []
    waiting = list(range(len(segments)))
    while waiting:
        ready = [i for i in waiting if position[number[start[segments[i].number]]] is not None]
        if not ready:
            raise InputError(f"no inlet leads to segment {segments[waiting[0]].name}: the segments close a loop")
        for i in ready:
            s = segments[i]
            a, b = number[start[s.number]], number[end[s.number]]
            _refuse_impossible(s, given)
            step = given[end[s.number]] - given[start[s.number]]
            distance = float(np.linalg.norm(step))
            here = position[a]
            if position[b] is None:
                too_far = distance > s.length * (1.0 + STRAIGHT)
                position[b] = here + step * (s.length / distance if too_far else 1.0)
            chain = [a, b]
            middle = _bend(here, position[b], s.length)
            if middle is not None:
                chain.insert(1, len(position))
                position.append(middle)
            r = np.interp(np.linspace(0, 1, len(chain)), [0, 1], np.sqrt(np.array(s.areas) / np.pi))
            tail += chain[:-1]
            head += chain[1:]
            radius += [[r[k], r[k + 1]] for k in range(len(chain) - 1)]
            source += [i] * (len(chain) - 1)
        waiting = [i for i in waiting if i not in ready]
    return np.array(position), tail, head, np.array(radius), source


def _refuse_impossible(s: Segment, given: dict[int, np.ndarray]) -> None:
    """Raise `InputError` for a segment that is shorter than its own nodes' distance, or twice as long."""
    apart = float(np.linalg.norm(given[s.end] - given[s.start]))
    if not 0.98 * apart <= s.length <= LONGEST * apart:
        lengths = f"{s.length * 1e3:.4g} mm, its nodes lie {apart * 1e3:.4g} mm apart"
        raise InputError(f"segment {s.name} says {lengths}: mend the card, or its nodes")


def _bend(a: np.ndarray, b: np.ndarray, length: float) -> np.ndarray | None:
    """A point between two others over which the way is as long as told; None where the straight line is."""
    step = b - a
    distance = float(np.linalg.norm(step))
    if length <= distance * (1.0 + STRAIGHT):
        return None
    across = np.cross(step, np.eye(3)[int(np.argmin(np.abs(step)))])
    return 0.5 * (a + b) + across / np.linalg.norm(across) * 0.5 * np.sqrt(length**2 - distance**2)


def dilated_radius(radius, pressure: float, k1: float, k2: float, k3: float, reference: float = 0.0) -> np.ndarray:
    """Radius [m] at a pressure [Pa] of a vessel whose radius is given at the pressure `reference` [Pa].

    Olufsen's wall law p - p_ref = 4/3 (Eh/r₀)(1 - √(A₀/A)) with Eh/r₀ = k1 exp(k2 r₀) + k3 (cgs: dyn/cm², r₀ in cm).
    """
    stiffness = (k1 * np.exp(k2 * np.asarray(radius) / CM) + k3) * CGS_PRESSURE
    return radius / (1.0 - 0.75 * (pressure - reference) / stiffness)
