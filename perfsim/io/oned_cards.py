"""The cards of svOneDSolver's input files, as its own parser splits them: words between blanks, tabs and commas."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from perfsim._files import read_text
from perfsim._results import InputError

import numpy as np

CM = 1e-2
IGNORED = {"MODEL", "OUTPUT"}
"""what a run is called and how it writes its results"""


class Material(NamedTuple):
    """A MATERIAL card [cgs]: Olufsen's wall Eh/r₀ = k1 exp(k2 r₀) + k3; a LINEAR wall has k3 alone."""

    density: float
    viscosity: float
    reference_pressure: float
    """at which the segments' areas are given"""
    exponent: float
    """of the velocity profile"""
    k1: float
    k2: float
    k3: float


class Segment(NamedTuple):
    """A SEGMENT card, in SI."""

    name: str
    number: int
    length: float
    start: int
    end: int
    areas: tuple[float, float]
    material: str
    kind: str
    boundary: str
    table: str


@dataclasses.dataclass
class Cards:
    """All cards of a file by what names them."""

    nodes: dict[int, list[float]] = dataclasses.field(default_factory=dict)
    """position [m]"""
    segments: dict[str, Segment] = dataclasses.field(default_factory=dict)
    tables: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    """the numbers of a table, one after the other"""
    materials: dict[str, Material] = dataclasses.field(default_factory=dict)
    joints: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    """names of the lists of segments that enter and that leave"""
    entering: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    leaving: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    inlet: tuple[str, str] = ("", "")
    """table and kind of what is prescribed at the inlet"""


def read_cards(path: Path, unit: float = CM) -> Cards:
    """Read a file whose lengths are in `unit` [m]. Raises `InputError` naming file, line and value."""
    cards, current = Cards(), None
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = [w for w in re.split(r"[ ,\t]+", line.split("#")[0]) if w]
        if not words:
            continue
        kind = words[0].upper()
        try:
            if kind == "DATATABLE":
                current = _new(cards.tables, words[1], [], "table")
            elif kind == "ENDDATATABLE":
                current = None
            elif current is not None:
                current.extend(float(w) for w in words)
            elif kind in CARDS:
                CARDS[kind](cards, words[1:], unit)
            elif kind not in IGNORED:
                raise ValueError(f"no card of svOneDSolver is called {words[0]}")
        except (ValueError, IndexError, KeyError) as error:
            raise InputError(f"{path}, line {number}: cannot read {line.strip()!r} ({error})") from None
    return cards


def _new(known: dict, name: Any, value: Any, what: str) -> Any:
    """Put a value under a name that is not taken."""
    if name in known:
        raise ValueError(f"there are two cards of {what} {name}")
    known[name] = value
    return value


def _node(cards: Cards, words: list[str], unit: float) -> None:
    x, y, z = (float(w) * unit for w in words[1:4])
    _new(cards.nodes, int(words[0]), [x, y, z], "node")


def _segment(cards: Cards, words: list[str], unit: float) -> None:
    areas = float(words[6]) * unit**2, float(words[7]) * unit**2
    length = float(words[2]) * unit
    if len(words) != 16:
        raise ValueError(f"{len(words)} columns instead of 16")
    if not (np.isfinite([*areas, length]).all() and min(*areas, length) > 0):
        raise ValueError("length and areas must be positive and finite")
    found = Segment(
        words[0], int(words[1]), length, int(words[4]), int(words[5]), areas, words[9], words[10].upper(),
        words[14].upper(), words[15],
    )  # fmt: skip
    if found.number in {s.number for s in cards.segments.values()}:
        raise ValueError(f"there are two cards of segment {found.number}")
    _new(cards.segments, words[0], found, "segment")


def _material(cards: Cards, words: list[str], unit: float) -> None:
    count = {"OLUFSEN": 9, "LINEAR": 7}.get(words[1].upper())
    if count is None:
        raise ValueError(f"the wall {words[1]} is neither OLUFSEN nor LINEAR")
    numbers = [float(w) for w in words[2:count]]
    if len(words) != count or not np.isfinite(numbers).all():
        raise ValueError(f"{words[1]} needs {count - 2} finite numbers")
    if count == 7:
        numbers = [*numbers[:4], 0.0, 0.0, numbers[4]]
    _new(cards.materials, words[0], Material(*numbers), "material")


def _joint(cards: Cards, words: list[str], unit: float) -> None:
    _new(cards.joints, words[0], (words[2], words[3]), "joint")


def _entering(cards: Cards, words: list[str], unit: float) -> None:
    _new(cards.entering, words[0], _listed(words), "joint inlet")


def _leaving(cards: Cards, words: list[str], unit: float) -> None:
    _new(cards.leaving, words[0], _listed(words), "joint outlet")


def _listed(words: list[str]) -> list[int]:
    found = [int(w) for w in words[2:]]
    if len(found) != int(words[1]):
        raise ValueError(f"{words[1]} segments are announced, {len(found)} are listed")
    return found


def _options(cards: Cards, words: list[str], unit: float) -> None:
    if cards.inlet != ("", ""):
        raise ValueError("there are two cards of solver options")
    cards.inlet = words[4], words[5].upper()


CARDS: dict[str, Callable[[Cards, list[str], float], None]] = {
    "NODE": _node, "SEGMENT": _segment, "MATERIAL": _material, "JOINT": _joint, "JOINTINLET": _entering,
    "JOINTOUTLET": _leaving, "SOLVEROPTIONS": _options,
}  # fmt: skip
