"""Waveforms of a periodic cycle as NPZ and CSV."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from perfsim.flow.lumped import LumpedCycle
    from perfsim.flow.pulsatile import Cycle

PLACES = {2: ("start", "end"), 3: ("start", "middle", "end")}
"""places along a vessel, by how many there are"""


def write_npz(path: Path, names: tuple[str, ...], cycle: "Cycle | LumpedCycle") -> None:
    """Arrays `time_s`, `pressure_Pa` and `flow_m3_per_s` [times, place, vessel], with `vessel` and `place` names."""
    np.savez_compressed(
        path, time_s=np.asarray(cycle.time), pressure_Pa=np.asarray(cycle.pressure),
        flow_m3_per_s=np.asarray(cycle.flow), vessel=np.array(names), place=np.array(PLACES[cycle.pressure.shape[1]]),
    )  # fmt: skip


def write_csv(path: Path, names: tuple[str, ...], cycle: "Cycle | LumpedCycle") -> None:
    """One row per time, vessel and place: `pandas.read_csv(path)`."""
    P, Q, time = (np.asarray(x) for x in (cycle.pressure, cycle.flow, cycle.time))
    with path.open("w", encoding="utf-8") as file:
        file.write("time_s,vessel,place,pressure_Pa,flow_m3_per_s\n")
        for v, name in enumerate(names):
            quoted = '"' + name.replace('"', '""') + '"'
            for k, place in enumerate(PLACES[P.shape[1]]):
                for t in range(len(time)):
                    file.write(f"{time[t]:.9g},{quoted},{place},{P[t, k, v]:.9g},{Q[t, k, v]:.9g}\n")
