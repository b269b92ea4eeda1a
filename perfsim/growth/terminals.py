"""Where a tree must reach: evenly spread points in a domain, coarse to fine."""

from perfsim._results import InputError
from perfsim.growth.domain import Domain

import numpy as np
import scipy


def sampled_volume(domain: Domain, count: int) -> float:
    """Volume [m³] of a domain from `count` random points, the same ones every time."""
    low, high = domain.bounds()
    box = low + (high - low) * np.random.default_rng(0).random((count, 3))
    return float(np.mean(domain.signed_distance(box) < 0.0) * np.prod(high - low))


def outer_first(domain: Domain, points: np.ndarray, count: int, depth: float) -> tuple[np.ndarray, int]:
    """An order of points in which `count` that lie in the outer layer come first, and how many there are."""
    if count == 0:
        return np.arange(len(points)), 0
    if not hasattr(domain, "depth"):
        raise InputError("an epicardial stage needs a domain with `depth`, the share of the wall outside of a point")
    first = np.flatnonzero(domain.depth(points) < depth)[:count]
    return np.concatenate([first, np.setdiff1d(np.arange(len(points)), first)]), len(first)


def moved_aside(domain: Domain, points: np.ndarray, some: np.ndarray, step: np.ndarray | float, rng) -> np.ndarray:
    """Those of the points with indices `some`, moved at random by about `step` [m], or each by its own.

    All stay in the domain. Directions are those between random pairs of points, so that a rotated problem has the
    rotated answer.
    """
    i, j = rng.integers(0, len(points), (2, len(some)))
    way = points[i] - points[j]
    length = np.linalg.norm(way, axis=1)
    way /= np.where(length > 0, length, 1.0)[:, None]
    new = points[some] + (step * rng.standard_normal(len(some)))[:, None] * way
    return np.where((domain.signed_distance(new) < 0.0)[:, None], new, points[some])


def terminal_points(domain: Domain, count: int, seed: int) -> np.ndarray:
    """The first `count` points of a scrambled Sobol sequence in the bounding box that lie inside the domain.

    A Sobol sequence fills space coarse to fine, so every prefix is itself an even covering. Returns (count, 3) [m].
    Raises `InputError` where a hundred thousand points find nothing inside.
    """
    low, high = domain.bounds()
    sequence = scipy.stats.qmc.Sobol(3, scramble=True, seed=seed)
    found: list[np.ndarray] = []
    total = tried = 0
    while total < count:
        points = low + (high - low) * sequence.random(1 << 14)
        points = points[domain.signed_distance(points) < 0.0]
        found.append(points)
        total += len(points)
        tried += 1 << 14
        if total == 0 and tried > 100_000:
            raise InputError(f"none of {tried} points between {low} and {high} m lies inside the domain")
    return np.concatenate(found)[:count]
