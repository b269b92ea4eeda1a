"""The coronary tree, colored by FFR, from two sides."""

from pathlib import Path

from perfsim.anatomy import Frame
from perfsim.coupling import Perfusion, Simulation
from perfsim.coupling.system import vessel_laws
from perfsim.network import GROWN
from perfsim.observe import ffr
from perfsim.viz.colors import Colors
from perfsim.viz.labels import place_labels
from perfsim.viz.lesions import marks

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

VIEWS = ("anterior view", "inferior view")


def tree_picture(path: Path, sim: Simulation, state: Perfusion, frame: Frame, colors: Colors, name: str) -> None:
    """Draw trunks thick and grown arterioles thin, nearer ones in front, colored by hyperemic FFR, stenoses marked.

    The left view looks at the anterior groove, the right one at the inferior wall.
    """
    figure = Figure(figsize=(12, 7), layout="constrained")
    figure.suptitle(f"{name}: hyperemia", fontsize=12, parse_math=False)
    axes = [figure.add_subplot(1, 2, k + 1) for k in range(2)]
    figure.colorbar(colors.ffr.mappable, ax=axes, shrink=0.7, label=colors.ffr.label)
    for view, ax in zip(VIEWS, axes, strict=True):
        draw_tree(ax, sim, state, frame, colors, view)
    figure.savefig(path, dpi=120)


def draw_tree(
    axes, sim: Simulation, state: Perfusion, frame: Frame, colors: Colors, view: str, after: str = ""
) -> None:
    """One view of the tree; `after` is added to its title."""
    network = sim.network
    value, radius = np.asarray(ffr(state)), np.asarray(vessel_laws(sim).radius).mean(1)
    position = np.asarray(network.position)
    a, b = position[np.asarray(network.tail)], position[np.asarray(network.head)]
    grown = np.array([n == GROWN for n in network.branch_names])[np.asarray(network.branch)]
    project = _projection(frame, view)
    p, q = project(a), project(b)
    depth = 0.5 * (p[:, 2] + q[:, 2])
    order = np.lexsort((depth, ~grown))
    width = np.clip(2.6 * (radius * 1e3) ** 0.9, 0.25, None)[order]
    fade = np.clip(0.75 + depth / 80.0, 0.25, 1.0)[order] * np.where(grown[order], 0.55, 1.0)
    lines = LineCollection(
        np.stack([p[:, :2], q[:, :2]], 1)[order], linewidths=width, cmap=colors.ffr.colors, norm=colors.ffr.norm,
        alpha=fade, capstyle="round",
    )  # fmt: skip
    lines.set_array(value[order])
    axes.add_collection(lines)
    axes.set_aspect("equal")
    axes.autoscale()
    axes.set_title(view + after, fontsize=11)
    axes.set_xlabel("mm")
    labels = []
    for mark in marks(sim):
        x, y, z = project(mark.position[None])[0]
        front = z > -5.0
        axes.plot(
            x, y, "D", ms=9, mfc="white" if front else "none", mec="black" if front else "#888", mew=1.5, zorder=7
        )
        if front:
            labels.append((mark.name, x, y + 4.0))
    place_labels(axes, labels + _branch_labels(network, project, a, b, grown))


def _projection(frame: Frame, view: str):
    """From space [m] to right, up and towards the reader [mm]."""
    angle = {VIEWS[0]: frame.anterior_insert - 35.0, VIEWS[1]: frame.inferior_insert + 35.0}[view]
    towards = frame.radial(np.array([angle]))[0]
    basis = np.stack([np.cross(towards, frame.axis), -frame.axis, towards], 1)
    return lambda x: 1e3 * (x - frame.base) @ basis


def _branch_labels(network, project, a, b, grown) -> list[tuple[str, float, float]]:
    """Names of the branches that lie in front, the longest first."""
    branch, length = np.asarray(network.branch), np.asarray(network.length)
    found = []
    for i, name in enumerate(network.branch_names):
        on = np.flatnonzero((branch == i) & ~grown)
        if len(on) == 0:
            continue
        x, y, z = project(0.5 * (a + b)[on[len(on) // 2]][None])[0]
        if z > -5.0:
            found.append((float(length[on].sum()), (name, float(x), float(y))))
    return [label for _, label in sorted(found, key=lambda item: -item[0])]
