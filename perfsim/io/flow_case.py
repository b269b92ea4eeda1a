"""A case of pulsatile flow in a network, whatever file it came from."""

import dataclasses
from typing import TYPE_CHECKING

from perfsim._results import InputError

import numpy as np

if TYPE_CHECKING:
    from perfsim.flow.pulsatile import Arteries


@dataclasses.dataclass(frozen=True)
class FlowCase:
    """A network, and how its periodic state is computed."""

    name: str
    arteries: "Arteries"
    node_names: tuple[str, ...]
    dx: float | np.ndarray = 1e-3
    """longest cell [m], one number or one per vessel"""
    cfl: float = 0.9
    samples: int = 200
    """per period"""
    steps: int | None = None
    """per period; None: from the CFL number"""
    tolerance: float = 1e-6
    max_cycles: int = 60


def refuse_unknown(given: dict, known: set[str], where: str) -> None:
    """Raise `InputError` for a key that has no meaning, naming those that have."""
    unknown = sorted(map(str, set(given) - known))
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
