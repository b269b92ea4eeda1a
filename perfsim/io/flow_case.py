"""A case of pulsatile flow in a network, whatever file it came from."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from perfsim._results import RESULTS, InputError, SimulationError

import numpy as np

if TYPE_CHECKING:
    from perfsim.flow.lumped import LumpedCycle, LumpedNetwork, LumpedPeriodicity
    from perfsim.flow.pulsatile import Arteries

STEPS = 1000
"""fewest in a cycle of a lumped network"""
PERIOD = (0.05, 30.0)
"""[s], shortest and longest cycle that can be meant"""
FASTEST = 3e-3
"""[m³/s], more than any heart pumps at its peak"""
MERCURY = (20.0, 400.0)
"""[Pa], greatest pressures that are none of an artery, but would be in mmHg"""


@dataclasses.dataclass(frozen=True)
class FlowUnits:
    """The units of a case's numbers, as factors to SI."""

    name: str = "SI"
    pressure: float = 1.0
    """[Pa]"""
    flow: float = 1.0
    """[m³/s]"""


SI = FlowUnits()
CGS = FlowUnits("cgs", 0.1, 1e-6)
"""dyn/cm², cm³/s"""


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
    notes: tuple[str, ...] = ()
    """what a reader should know about the file, in sentences"""


@dataclasses.dataclass(frozen=True)
class LumpedCase:
    """A network of lumped elements, and how finely its periodic state is resolved."""

    name: str
    network: "LumpedNetwork"
    intervals: int
    """of the finest waveform in a cycle: its kinks fall on steps"""
    units: FlowUnits
    """of the network's numbers; results are converted to SI"""
    notes: tuple[str, ...] = ()
    """what a reader should know about the file, in sentences"""

    @property
    def steps(self) -> int:
        """Per period."""
        return self.intervals * -(-STEPS // self.intervals)

    def solve(self) -> "tuple[LumpedCycle, LumpedPeriodicity]":
        """The periodic cycle in SI, and how it was reached. Raises `SimulationError` where there is none."""
        from perfsim.flow.lumped import periodic_lumped

        import equinox as eqx

        cycle, reached = periodic_lumped(self.network, self.steps)
        if reached.result != RESULTS.successful:
            raise SimulationError(f"{self.name}: {RESULTS(int(reached.result)).message}")
        scaled = (cycle.pressure * self.units.pressure, cycle.flow * self.units.flow)
        return eqx.tree_at(lambda c: (c.pressure, c.flow), cycle, scaled), reached


def refuse_unknown(given: dict, known: set[str], where: str) -> None:
    """Raise `InputError` for a key that has no meaning, naming those that have."""
    unknown = sorted(map(str, set(given) - known))
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")


def refuse_twice(names: Iterable, what: str) -> None:
    """Raise `InputError` for a name that two things have."""
    name, count = max(Counter(names).items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        raise InputError(f"{what}: {name!r} is there {count} times; names must differ")


def refuse_period(period: float, where: str) -> None:
    """Raise `InputError` for a cycle that no heart has."""
    if not PERIOD[0] <= period <= PERIOD[1]:
        hint = "are its times in ms?" if period > PERIOD[1] else "times are in s"
        raise InputError(f"{where}: the period is {period:.4g} s, which no heart has: {hint}")


def refuse_flow(greatest: float, where: str) -> None:
    """Raise `InputError` for an inflow [m³/s] that no heart pumps."""
    if greatest > FASTEST:
        raise InputError(
            f"{where}: the inflow reaches {greatest:.4g}, and flows are in m³/s: is it in mL/s (1e-6 m³/s) or mL/min?"
        )


def refuse_pressure(greatest: float, where: str) -> None:
    """Raise `InputError` for a pressure [Pa] that is one of an artery only if it was meant in mmHg."""
    if MERCURY[0] <= greatest <= MERCURY[1]:
        raise InputError(
            f"{where}: the pressure reaches {greatest:.4g} Pa, {greatest / 133.322:.2g} mmHg: is it in mmHg? Pressures "
            "are in Pa"
        )
