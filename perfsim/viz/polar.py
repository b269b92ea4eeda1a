"""Bull's-eye maps: the left ventricle seen from its apex."""

from collections.abc import Sequence
from pathlib import Path

from perfsim.anatomy import Frame
from perfsim.cohorts import Heart
from perfsim.coupling import Solution
from perfsim.observe import aha17, group_means
from perfsim.observe.polar import APEX, polar_radius
from perfsim.viz.colors import Colors, Scale
from perfsim.viz.lesions import Mark, marks

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


def maps_of(solution: Solution, colors: Colors) -> dict[str, tuple[np.ndarray, Scale]]:
    """The maps of a solution by title: MBF of its states and MFR, per volume."""
    found = {f"MBF, {name}": (np.asarray(state.mbf), colors.mbf) for name, state in solution.in_order()}
    if {"rest", "hyperemia"} <= set(solution.states):
        found["MFR"] = (np.asarray(solution.mfr), colors.mfr)
    return found


def polar_maps(path: Path, heart: Heart, solution: Solution, colors: Colors, title: str) -> None:
    """Draw one bull's eye per map of a solution, with the mean of each AHA segment, stenoses marked."""
    maps = maps_of(solution, colors)
    figure = Figure(figsize=(4.6 * len(maps), 5.0), layout="constrained")
    figure.suptitle(title, fontsize=12, parse_math=False)
    for k, (name, (value, scale)) in enumerate(maps.items()):
        axes = figure.add_subplot(1, len(maps), k + 1, projection="polar")
        draw_map(axes, heart, value, scale, name)
    figure.savefig(path, dpi=120)


def draw_map(axes, heart: Heart, value: np.ndarray, scale: Scale, title: str, fontsize: float = 8.0) -> None:
    """A bull's eye of a field, with its segments' means and its color scale."""
    frame, volumes = heart.wall.frame, heart.sim.volumes
    center, volume = np.asarray(volumes.center), np.asarray(volumes.volume)
    draw_grid(axes, polar_grid(frame, center, volume, value), scale)
    draw_segments(axes, segment_means(heart, value), scale, fontsize)
    draw_lesions(axes, frame, marks(heart.sim))
    axes.set_title(title, fontsize=fontsize + 3)
    name_walls(axes, fontsize)
    axes.figure.colorbar(scale.mappable, ax=axes, shrink=0.75, pad=0.08, label=scale.label)


def segment_means(heart: Heart, value: np.ndarray) -> np.ndarray:
    """Volume-weighted means of the 17 AHA segments, NaN where a segment has no volume."""
    volumes = heart.sim.volumes
    label = aha17(heart.wall.frame, np.asarray(volumes.center))
    return np.asarray(group_means(value, label, volumes.volume, 17))


def draw_grid(axes, grid: np.ndarray, scale: Scale) -> None:
    """A field on radius × angle, of any resolution."""
    edges_r, edges_t = (np.linspace(0.0, top, n + 1) for top, n in zip((1.0, 2.0 * np.pi), grid.shape, strict=True))
    axes.pcolormesh(edges_t, edges_r, grid, cmap=scale.colors, norm=scale.norm)


def draw_segments(axes, mean: np.ndarray, scale: Scale, fontsize: float, text: str = "{:.2f}") -> None:
    """The borders of the AHA segments, and a number in each that has one."""
    for ring in RINGS[1:]:
        axes.plot(np.linspace(0, 2 * np.pi, 200), np.full(200, ring), color="white", lw=0.8)
    for ring, start, count in ((3, 60.0, 6), (2, 60.0, 6), (1, 45.0, 4)):
        for k in range(count):
            angle = np.radians(start + 360.0 / count * k)
            axes.plot([angle, angle], [RINGS[ring], RINGS[ring + 1]], color="white", lw=0.8)
    for s, value in enumerate(mean):
        if np.isfinite(value):
            color = scale.text_on(float(value))
            axes.text(*middle_of(s), text.format(value), ha="center", va="center", fontsize=fontsize, color=color)


def draw_lesions(axes, frame: Frame, lesions: Sequence[Mark]) -> None:
    """A diamond where each stenosis lies on the heart's surface."""
    for mark in lesions:
        z, _, theta = frame.cylindrical(mark.position[None])
        r = np.clip(np.asarray(polar_radius(frame, z)), 0.0, 0.97)
        axes.plot(np.radians(theta), r, "D", ms=7, mfc="white", mec="black", mew=1.5, zorder=7)


def middle_of(segment: int) -> tuple[float, float]:
    """(angle [rad], radius) of the middle of a segment on the bull's eye."""
    ring, start, width = SECTORS[segment]
    return (np.radians(start + 0.5 * width), 0.5 * (RINGS[ring] + RINGS[ring + 1])) if ring else (0.0, 0.0)


def name_walls(axes, fontsize: float) -> None:
    """Anterior, septal, inferior, lateral around a bull's eye, and nothing else on its axes."""
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_xticks(np.radians([90, 180, 270, 0]), ["anterior", "septal", "inferior", "lateral"], fontsize=fontsize)
    axes.tick_params(axis="x", pad=7)
    axes.grid(False)
