"""Bull's-eye maps: the left ventricle seen from its apex."""

from pathlib import Path

from perfsim.anatomy import Frame
from perfsim.observe import aha17
from perfsim.observe.polar import APEX, polar_radius

import numpy as np
import scipy
from matplotlib.figure import Figure

RADIAL, ANGULAR = 40, 120
RINGS = (0.0, *(APEX + (1.0 - APEX) * k / 3 for k in range(4)))
SECTORS = (
    *((ring, 60.0 * k + 60.0, 60.0) for ring in (3, 2) for k in range(6)),
    *((1, 90.0 * k + 45.0, 90.0) for k in range(4)),
    (0, 0.0, 360.0),
)
"""ring, first angle and width [°] of each AHA segment on the bull's eye"""


def polar_grid(
    frame: Frame, center: np.ndarray, weight: np.ndarray, value: np.ndarray, smoothing: float = 1.0
) -> np.ndarray:
    """Transmural mean of a field on radius × angle, apex first, smoothed over about the size of a bin."""
    z, _, theta = frame.cylindrical(center)
    r = np.asarray(polar_radius(frame, z))
    i = np.clip((r * RADIAL).astype(int), 0, RADIAL - 1)
    j = (theta / 360.0 * ANGULAR).astype(int) % ANGULAR
    total, mass = np.zeros((RADIAL, ANGULAR)), np.zeros((RADIAL, ANGULAR))
    np.add.at(total, (i, j), weight * value)
    np.add.at(mass, (i, j), weight)
    sigma, modes = (0.8 * smoothing, 1.2 * smoothing), ("nearest", "wrap")
    total, mass = (scipy.ndimage.gaussian_filter(x, sigma, mode=modes) for x in (total, mass))
    return total / np.maximum(mass, 1e-30)


def polar_maps(path: Path, frame: Frame, center, volume, maps: dict[str, tuple[np.ndarray, str]], title: str) -> None:
    """Draw one bull's-eye per entry of `maps`: name → (values per volume, unit), with the mean of each AHA segment."""
    center, volume = np.asarray(center), np.asarray(volume)
    label = np.asarray(aha17(frame, center))
    figure = Figure(figsize=(4.6 * len(maps), 5.0), layout="constrained")
    figure.suptitle(title, fontsize=12)
    for k, (name, (value, unit)) in enumerate(maps.items()):
        axes = figure.add_subplot(1, len(maps), k + 1, projection="polar")
        value = np.asarray(value)
        grid = polar_grid(frame, center, volume, value)
        edges_t, edges_r = np.linspace(0, 2 * np.pi, ANGULAR + 1), np.linspace(0, 1, RADIAL + 1)
        top = max(float(np.nanquantile(grid, 0.995)), 1e-9)
        image = axes.pcolormesh(edges_t, edges_r, grid, cmap="viridis" if unit else "cividis", vmin=0, vmax=top * 1.05)
        _draw_segments(axes, value, volume, label, top)
        axes.set_title(name, fontsize=11)
        name_walls(axes, 8)
        figure.colorbar(image, ax=axes, shrink=0.75, pad=0.08, label=unit or "ratio")
    figure.savefig(path, dpi=120)


def _draw_segments(axes, value, volume, label, top) -> None:
    for ring in RINGS[1:]:
        axes.plot(np.linspace(0, 2 * np.pi, 200), np.full(200, ring), color="white", lw=0.8)
    for ring, start, count in ((3, 60.0, 6), (2, 60.0, 6), (1, 45.0, 4)):
        for k in range(count):
            angle = np.radians(start + 360.0 / count * k)
            axes.plot([angle, angle], [RINGS[ring], RINGS[ring + 1]], color="white", lw=0.8)
    for s in range(len(SECTORS)):
        inside = label == s
        if inside.any():
            mean = float(np.average(value[inside], weights=volume[inside]))
            color = "black" if mean > 0.6 * top else "white"
            axes.text(*middle_of(s), f"{mean:.2f}", ha="center", va="center", fontsize=8, color=color)


def middle_of(segment: int) -> tuple[float, float]:
    """(angle [rad], radius) of the middle of a segment on the bull's eye."""
    ring, start, width = SECTORS[segment]
    return (np.radians(start + 0.5 * width), 0.5 * (RINGS[ring] + RINGS[ring + 1])) if ring else (0.0, 0.0)


def name_walls(axes, fontsize: int) -> None:
    """Anterior, septal, inferior, lateral around a bull's eye, and nothing else on its axes."""
    axes.set_yticks([])
    axes.set_xticks(np.radians([90, 180, 270, 0]), ["anterior", "septal", "inferior", "lateral"], fontsize=fontsize)
    axes.grid(False)
