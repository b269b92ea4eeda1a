"""A case of pulsatile flow in a network, whatever file it came from."""

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perfsim.flow.pulsatile import Arteries


@dataclasses.dataclass(frozen=True)
class FlowCase:
    """A network, and how its periodic state is computed."""

    name: str
    arteries: "Arteries"
    node_names: tuple[str, ...]
    dx: float = 1e-3
    """[m]"""
    cfl: float = 0.9
    samples: int = 200
    """per period"""
    steps: int | None = None
    """per period; None: from the CFL number"""
    tolerance: float = 1e-6
    max_cycles: int = 60
