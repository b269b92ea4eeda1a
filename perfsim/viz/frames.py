"""A tree and a wall that do not lie together, from three sides."""

from pathlib import Path

from perfsim.anatomy import Wall
from perfsim.network import VesselNetwork

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure


def frames_picture(path: Path, tree: VesselNetwork, wall: Wall) -> None:
    """Draw the wall's outer surface and the tree's centerlines in the files' own axes (LPS, mm)."""
    u, theta = np.meshgrid(np.linspace(0.02, 1.0, 25), np.arange(0.0, 360.0, 10.0))
    surface = 1e3 * wall.point(u, theta)
    position = 1e3 * np.asarray(tree.position)
    ends = np.stack([position[np.asarray(tree.tail)], position[np.asarray(tree.head)]], 1)
    figure = Figure(figsize=(13, 4.8), layout="constrained")
    figure.suptitle("Tree (red) and wall (grey) as their files place them", fontsize=12)
    for k, (i, j) in enumerate(((0, 2), (1, 2), (0, 1))):
        axes = figure.add_subplot(1, 3, k + 1)
        axes.plot(surface[..., i].ravel(), surface[..., j].ravel(), ".", ms=2, color="#999")
        axes.add_collection(LineCollection(ends[..., [i, j]], colors="#b2182b", linewidths=1.2))
        axes.set_aspect("equal")
        axes.autoscale()
        axes.set_xlabel(f"{'xyz'[i]} [mm]")
        axes.set_ylabel(f"{'xyz'[j]} [mm]")
    figure.savefig(path, dpi=110)
