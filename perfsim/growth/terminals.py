"""Where a tree must reach: evenly spread points in the wall, coarse to fine."""

import numpy as np
from scipy.stats import qmc


def sampled_volume(wall, count: int) -> float:
    """Volume [m³] of a wall from `count` random points, the same ones every time."""
    low, high = wall.bounds()
    box = low + (high - low) * np.random.default_rng(0).random((count, 3))
    return float(wall.inside(box).mean() * np.prod(high - low))


def terminal_points(wall, count: int, seed: int) -> np.ndarray:
    """The first `count` points of a scrambled Sobol sequence in the bounding box that lie inside the wall.

    A Sobol sequence fills space coarse to fine, so every prefix is itself an even covering. Returns (count, 3) [m].
    """
    low, high = wall.bounds()
    sequence = qmc.Sobol(3, scramble=True, seed=seed)
    found: list[np.ndarray] = []
    total = 0
    while total < count:
        points = low + (high - low) * sequence.random(1 << 14)
        points = points[wall.inside(points)]
        found.append(points)
        total += len(points)
    return np.concatenate(found)[:count]
