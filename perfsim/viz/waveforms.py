"""Pressure and flow over a cycle, as a picture."""

from pathlib import Path

from perfsim.flow.lumped import LumpedCycle
from perfsim.flow.pulsatile import Cycle
from perfsim.io.waveforms import PLACES
from perfsim.units import ML, MMHG

import numpy as np
from matplotlib.figure import Figure

SHOWN = 8


def draw_waveforms(path: Path, names: tuple[str, ...], cycle: Cycle | LumpedCycle, title: str) -> None:
    """Pressure and flow in the middle of the vessels that carry most, or at the end of lumped ones; at most eight."""
    time = np.append(cycle.time, cycle.period)
    P, Q = (np.asarray(x)[:, 1] for x in (cycle.pressure / MMHG, cycle.flow / ML))
    most = np.argsort(-np.abs(Q).mean(axis=0))[:SHOWN]
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, values, label in zip(axes, (P, Q), ("pressure [mmHg]", "flow [mL/s]"), strict=True):
        for v in most:
            axis.plot(time, np.append(values[:, v], values[0, v]), label=names[v])
        axis.set(xlabel="time [s]", ylabel=label, xlim=(time[0], time[-1]))
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    rest = f" ({len(most)} of {len(names)} vessels)" if len(names) > len(most) else ""
    figure.suptitle(
        f"{title}: {PLACES[cycle.pressure.shape[1]][1]} of each vessel over the periodic cycle{rest}", fontsize=11
    )
    axes[1].legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=130)
