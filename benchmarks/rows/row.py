"""What a row of required figures is."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Found:
    """What a row measured."""

    measured: Any
    holds: bool
    n: int = 1
    """number of runs, hearts, patients … behind it"""


@dataclasses.dataclass(frozen=True)
class Row:
    """A required figure and the function that measures it."""

    name: str
    required: str
    measure: Callable[[], Found]
    costly: bool = False
    """over 2 CPU-minutes: measured on demand and stored"""
    code: tuple[str, ...] = ("perfsim",)
    """paths whose change makes a stored figure stale"""


class Rows(list[Row]):
    """The rows of an area, in order."""

    def add(self, name: str, required: str, *, costly: bool = False, code: tuple[str, ...] = ("perfsim",)):
        """Decorate the function that measures a row."""

        def register(function: Callable[[], Found]) -> Callable[[], Found]:
            self.append(Row(name, required, function, costly, code))
            return function

        return register


def place(name: str) -> tuple[int, str]:
    """Where a row stands in its table: P9 before P9b before P10."""
    number = "".join(filter(str.isdigit, name))
    return int(number), name


def code_key(paths: tuple[str, ...]) -> str:
    """A short name of what these files and folders of Python hold now."""
    files = sorted(
        f for path in paths for f in ([ROOT / path] if path.endswith(".py") else (ROOT / path).rglob("*.py"))
    )
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:12]
