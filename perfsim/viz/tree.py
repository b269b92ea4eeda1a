"""The coronary tree, colored by FFR, from two sides."""

from pathlib import Path

from perfsim.anatomy import Frame
from perfsim.coupling import Perfusion, Simulation
from perfsim.coupling.system import vessel_laws
from perfsim.network import GROWN
from perfsim.observe import ffr

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure


def tree_picture(path: Path, sim: Simulation, state: Perfusion, frame: Frame, title: str) -> None:
    """Draw trunks thick and grown arterioles thin, nearer ones in front, colored by hyperemic FFR.

    The left view looks at the anterior groove, the right one at the inferior wall.
    """
    network = sim.network
    value, radius = np.asarray(ffr(state)), np.asarray(vessel_laws(sim).radius).mean(1)
    position = np.asarray(network.position)
    a, b = position[np.asarray(network.tail)], position[np.asarray(network.head)]
    grown = np.array([n == GROWN for n in network.branch_names])[np.asarray(network.branch)]
    figure = Figure(figsize=(12, 7), layout="constrained")
    figure.suptitle(title, fontsize=12)
    low = float(np.floor(20 * max(0.3, np.quantile(value, 0.02))) / 20)
    views = (("anterior view", frame.anterior_insert - 35.0), ("inferior view", frame.inferior_insert + 35.0))
    for k, (name, angle) in enumerate(views):
        axes = figure.add_subplot(1, 2, k + 1)
        towards = frame.radial(np.array([angle]))[0]
        right = np.cross(towards, frame.axis)
        basis = np.stack([right, -frame.axis, towards], 1)
        p, q = (1e3 * (x - frame.base) @ basis for x in (a, b))
        depth = 0.5 * (p[:, 2] + q[:, 2])
        order = np.lexsort((depth, ~grown))
        lines = np.stack([p[:, :2], q[:, :2]], 1)[order]
        width = np.clip(2.6 * (radius * 1e3) ** 0.9, 0.25, None)[order]
        fade = np.clip(0.75 + depth / 80.0, 0.25, 1.0)[order] * np.where(grown[order], 0.55, 1.0)
        collection = LineCollection(lines, linewidths=width, cmap="turbo_r", alpha=fade, capstyle="round")
        collection.set_array(value[order])
        collection.set_clim(low, 1.0)
        axes.add_collection(collection)
        _name_branches(axes, network, a, b, frame, basis, grown)
        axes.set_aspect("equal")
        axes.autoscale()
        axes.set_title(name, fontsize=11)
        axes.set_xlabel("mm")
    figure.colorbar(collection, ax=figure.axes, shrink=0.7, label="Pd/Pa in hyperemia (FFR)")
    figure.savefig(path, dpi=120)


def _name_branches(axes, network, a, b, frame, basis, grown) -> None:
    branch = np.asarray(network.branch)
    for i, name in enumerate(network.branch_names):
        on = np.flatnonzero((branch == i) & ~grown)
        if len(on) == 0:
            continue
        middle = 1e3 * (0.5 * (a + b)[on[len(on) // 2]] - frame.base) @ basis
        if middle[2] > -5.0:
            box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75}
            axes.text(middle[0], middle[1], name, fontsize=8, ha="center", va="center", bbox=box, zorder=5)
