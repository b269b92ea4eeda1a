"""What makes a tree possible: vessels longer than wide, inside the domain, not through one another."""

import dataclasses

from perfsim.growth.domain import Domain, leaves
from perfsim.growth.forest import GrowingForest
from perfsim.growth.index import Pieces
from perfsim.growth.vectors import norm

import numpy as np

SHORTEST = 2.0
"""length over radius of a vessel at least"""
MARGIN = 1.08
"""by which growth keeps off the rules, since fractions of the flow still change a little"""
CLEAR = 1.05
"""sums of radii that vessels keep apart in growth; less than the margin, so that what just has room counts as clear"""


def room(own: np.ndarray, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Length that a vessel needs [m]: longer than wide, and what leaves its one end clears what meets at the other.

    Radii [m] of the vessel, of the one above it, and of the thicker one below it (of a terminal: its own).
    """
    return np.maximum(SHORTEST * own, above + below)


def thicker_below(forest: GrowingForest, nodes: np.ndarray) -> np.ndarray:
    """Radius [m] of the thicker vessel below each node, of terminals their own."""
    child = forest.child[nodes]
    lower = np.maximum(forest.flow[child[:, 0]], forest.flow[child[:, 1]])
    flow = np.where(child[:, 0] >= 0, lower, forest.flow[nodes])
    return forest.radius(flow, forest.root[nodes])


def split_needs(forest: GrowingForest, above, node, upper, lower, new, below) -> np.ndarray:
    """Lengths [m] that the vessels of a new bifurcation need (n, 3), on those that lead from nodes `above` to `node`.

    Arguments: flows in the vessels to the bifurcation, from it to `node`, and to what is new there, and the radius of
    the thicker vessel `below` that.
    """
    root = forest.root[node]
    first, second, third = (forest.radius(flow, root) for flow in (upper, lower, new))
    over = forest.radius(np.maximum(forest.flow[above], upper), root)
    return MARGIN * np.stack(
        [
            room(first, over, np.maximum(second, third)),
            room(second, first, thicker_below(forest, node)),
            room(third, first, below),
        ],
        1,
    )


def with_room(x: np.ndarray, ends: np.ndarray, need: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bifurcations slid along the split vessel so that both halves have the length they need; and which then fit."""
    along = ends[:, 1] - ends[:, 0]
    length = np.maximum(norm(along), 1e-300)
    along = along / length[:, None]
    for k, sign in ((0, 1.0), (1, -1.0)):
        lack = need[:, k] - norm(x - ends[:, k])
        # from an end, straight along the vessel, as far as it takes
        short = lack > 0.0
        x[short] = ends[short, k] + (sign * need[short, k])[:, None] * along[short]
    return x, np.all(norm(ends - x[:, None]) >= need * (1.0 - 1e-9), axis=1)


@dataclasses.dataclass(frozen=True)
class Rules:
    """The domain that vessels stay in, and how closely it is looked at."""

    domain: Domain
    tolerance: float
    """that a vessel may leave the domain by [m]"""
    piece: float
    """pieces of this length cannot leave by more where both ends and the middle do not [m]"""

    def outside(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Which segments leave the domain."""
        return leaves(self.domain, a, b, self.tolerance, self.piece)


def closest_points(a, b, c, d) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where segments a-b and c-d (n, 3) are closest: coordinates s, t in [0, 1] along them, and the distance (n,).

    Ericson 2005, Real-Time Collision Detection, 5.1.9: the lines' closest points, clamped to the segments in turn.
    """
    u, v, w = b - a, d - c, a - c
    uu, vv, uv = (np.einsum("nd,nd->n", x, y) for x, y in ((u, u), (v, v), (u, v)))
    uw, vw = np.einsum("nd,nd->n", u, w), np.einsum("nd,nd->n", v, w)
    uu, vv = np.maximum(uu, 1e-300), np.maximum(vv, 1e-300)
    across = uu * vv - uv**2
    s = np.where(across > 1e-12 * uu * vv, (uv * vw - uw * vv) / np.maximum(across, 1e-300), 0.5)
    s = np.clip(s, 0.0, 1.0)
    t = np.clip((uv * s + vw) / vv, 0.0, 1.0)
    s = np.clip((uv * t - uw) / uu, 0.0, 1.0)
    gap = w + s[:, None] * u - t[:, None] * v
    return s, t, norm(gap)


@dataclasses.dataclass(frozen=True)
class Overlaps:
    """Pairs of grown vessels whose lumens overlap, each vessel named by the node it leads to."""

    first: np.ndarray
    second: np.ndarray
    s: np.ndarray
    """where they are closest, along the first"""
    t: np.ndarray
    deficit: np.ndarray
    """sum of radii less distance [m]"""
    near: np.ndarray
    """only one vessel lies between the two: they meet at its two ends"""


def overlaps(forest: GrowingForest) -> Overlaps:
    """All pairs of grown vessels that share no node and are closer than the sum of their radii."""
    first, second = Pieces.of(forest, forest.grown()).touching()
    return among(forest, *distinct(first, second))


def distinct(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pairs of nodes (2, n), each once, the lower one first."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    size = np.int64(max(high.max(initial=0) + 1, 1))
    key = np.sort(low[low != high] * size + high[low != high])
    key = key[np.append(True, key[1:] != key[:-1])] if len(key) else key
    return np.stack([key // size, key % size])


def among(forest: GrowingForest, first: np.ndarray, second: np.ndarray, slack: float = 0.0) -> Overlaps:
    """Those of the given pairs of nodes that still lead vessels, share none of their ends and overlap."""
    up, down = forest.parent[first], forest.parent[second]
    apart = (up >= 0) & (down >= 0) & (up != down) & (up != second) & (down != first)
    first, second = first[apart], second[apart]
    a, b, c, d = (forest.position[n] for n in (forest.parent[first], first, forest.parent[second], second))
    s, t, distance = closest_points(a, b, c, d)
    radius = [forest.radius(forest.flow[n], forest.root[n]) for n in (first, second)]
    deficit = (1.0 + slack) * (radius[0] + radius[1]) - distance
    hit = deficit > 0.0
    first, second = first[hit], second[hit]
    return Overlaps(first, second, s[hit], t[hit], deficit[hit], _one_between(forest, first, second))


def _one_between(forest: GrowingForest, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether some vessel joins an end of the one to an end of the other."""
    ends = [np.stack([forest.parent[n], n], 1) for n in (first, second)]
    near = np.zeros(len(first), bool)
    for p in ends[0].T:
        for q in ends[1].T:
            near |= (forest.parent[p] == q) | (forest.parent[q] == p)
    return near
