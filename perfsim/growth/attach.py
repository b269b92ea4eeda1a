"""One batch of terminals: each takes the cheapest bifurcation among its nearest vessels that breaks no rule."""

import dataclasses

from perfsim.growth.bifurcation import fermat_points
from perfsim.growth.forest import GrowingForest
from perfsim.growth.index import VesselIndex
from perfsim.growth.rules import CLEAR, Rules, closest_points, split_needs, with_room
from perfsim.growth.vectors import norm

import numpy as np
import scipy

CANDIDATES = 10
NEIGHBORS = 24
"""points along vessels that are looked up for them"""
SPROUTS = 3
"""free trunk nodes among the candidates"""
ROUNDS = 6
"""of choosing: a vessel takes one terminal a batch, the others choose again"""


@dataclasses.dataclass(frozen=True)
class Arrivals:
    """Terminals that look for a place."""

    point: np.ndarray
    """(rows, 3) [m]"""
    demand: np.ndarray
    number: np.ndarray

    @classmethod
    def of(cls, forest: GrowingForest, points: np.ndarray, number: np.ndarray) -> "Arrivals":
        """Terminals by their numbers; `points` of all terminals."""
        return cls(points[number], forest.demand[number], number)


@dataclasses.dataclass
class _Choices:
    """Arrivals (rows) and their candidate vessels (columns)."""

    node: np.ndarray
    """the vessel, named by the node it leads to, or a trunk node; -1 where there are fewer"""
    fork: np.ndarray
    """(rows, columns, 3) where it would branch"""
    cost: np.ndarray
    """added cost, infinite where it cannot be"""


def attach(
    forest: GrowingForest, rules: Rules, index: VesselIndex, arrivals: Arrivals, price: np.ndarray, clash: float
) -> np.ndarray:
    """Place what can be placed of a batch and insert it; returns which rows were placed.

    The cost of a candidate is Σ w|x - e| at the exact optimum x, less that of the vessel it splits, plus the widening
    of the path to the trunk, plus the price of the tree. A candidate that runs through another vessel costs `clash`
    times the new vessel's own cost more: dearer while the tree finds its shape, all but forbidden when overlaps are
    mended. Arguments: the `index` of the vessels that may be split, `price` of each root per unit of demand, `clash`.
    """
    near = _nearest_vessels(forest, index, arrivals.point)
    choices = _priced(forest, arrivals, near, price)
    row, column = _chosen(forest, rules, choices, arrivals, clash)
    node, fork = choices.node[row, column], choices.fork[row, column]
    on_trunk = node < forest.trunk
    p, number = arrivals.point[row], arrivals.number[row]
    forest.sprout(node[on_trunk], p[on_trunk], number[on_trunk])
    inner = ~on_trunk
    forest.split(node[inner], fork[inner], p[inner], number[inner])
    placed = np.zeros(len(arrivals.point), bool)
    placed[row] = True
    return placed


def _nearest_vessels(forest: GrowingForest, index: VesselIndex, points: np.ndarray) -> np.ndarray:
    """Nearest vessels and free trunk nodes of each point (rows, CANDIDATES), padded with -1."""
    near = index.nearest(points, NEIGHBORS)
    sprouts = forest.free_sprouts()
    if len(sprouts):
        tree = scipy.spatial.cKDTree(forest.position[sprouts])
        _, found = tree.query(points, k=np.arange(1, min(SPROUTS, len(sprouts)) + 1))
        near = np.concatenate([sprouts[found], near], axis=1)
    return _distinct(near)


def _distinct(near: np.ndarray) -> np.ndarray:
    """The first CANDIDATES different entries of each row but -1, padded with -1."""
    order = np.argsort(near, axis=1, kind="stable")
    ranked = np.take_along_axis(near, order, 1)
    repeated = np.zeros(near.shape, bool)
    np.put_along_axis(repeated, order[:, 1:], ranked[:, 1:] == ranked[:, :-1], 1)
    repeated |= near < 0
    rank = np.cumsum(~repeated, axis=1) - 1
    out = np.full((len(near), CANDIDATES), -1)
    row, column = np.nonzero(~repeated & (rank < CANDIDATES))
    out[row, rank[row, column]] = near[row, column]
    return out


def _priced(forest: GrowingForest, arrivals: Arrivals, near: np.ndarray, price: np.ndarray) -> _Choices:
    rows, columns = near.shape
    fork, cost = np.zeros((rows, columns, 3)), np.full((rows, columns), np.inf)
    least = 1e-9 * forest.demand.max()
    r, c = np.nonzero(near >= forest.trunk)
    node, p, d = near[r, c], arrivals.point[r], arrivals.demand[r]
    above = forest.parent[node]
    a, b, flow = forest.position[above], forest.position[node], forest.flow[node]
    root = forest.root[node]
    weight = np.stack([flow + d, flow, np.maximum(d, least)], 1) ** forest.alpha
    ends = np.stack([a, b, p], 1)
    x = fermat_points(ends, weight)
    x, fits = with_room(x, ends, split_needs(forest, above, node, flow + d, flow, d, forest.radius(d, root)))
    fork[r, c] = x
    way = norm(ends - x[:, None])
    before = flow**forest.alpha * norm(b - a)
    added = np.einsum("nk,nk->n", weight, way) - before + forest.path_cost(above, d) + price[root] * d
    cost[r, c] = np.where(fits, added, np.inf)
    r, c = np.nonzero((near >= 0) & (near < forest.trunk))
    node, d = near[r, c], arrivals.demand[r]
    fork[r, c] = forest.position[node]
    straight = np.linalg.norm(arrivals.point[r] - forest.position[node], axis=1)
    cost[r, c] = np.maximum(d, least) ** forest.alpha * straight + price[forest.root[node]] * d
    return _Choices(near, fork, cost)


def _chosen(forest: GrowingForest, rules: Rules, choices: _Choices, arrivals: Arrivals, clash: float):
    """Rows and columns that win: cheapest first, every terminal and every vessel once, looked at before it counts."""
    cost = choices.cost.copy()
    open_rows = np.arange(len(arrivals.point))
    known = np.zeros(cost.shape, bool)
    taken = np.zeros(forest.size, bool)
    rows, columns = [np.zeros(0, int)], [np.zeros(0, int)]
    for _ in range(ROUNDS):
        cost[open_rows] = np.where(taken[choices.node[open_rows]], np.inf, cost[open_rows])
        best = np.argmin(cost[open_rows], axis=1)
        able = np.isfinite(cost[open_rows, best])
        open_rows, best = open_rows[able], best[able]
        if not len(open_rows):
            break
        fresh = ~known[open_rows, best]
        r, c = open_rows[fresh], best[fresh]
        cost[r, c] += _penalty(forest, rules, choices, arrivals, r, c, clash)
        known[r, c] = True
        ready = np.argmin(cost[open_rows], axis=1) == best
        ready &= np.isfinite(cost[open_rows, best])
        r, c = open_rows[ready], best[ready]
        order = np.lexsort((cost[r, c], choices.node[r, c]))
        node = choices.node[r, c][order]
        first = np.ones(len(order), bool)
        first[1:] = node[1:] != node[:-1]
        win = order[first]
        rows.append(r[win])
        columns.append(c[win])
        taken[choices.node[r[win], c[win]]] = True
        open_rows = np.setdiff1d(open_rows, r[win], assume_unique=True)
    return np.concatenate(rows), np.concatenate(columns)


def _penalty(forest, rules: Rules, choices: _Choices, arrivals: Arrivals, row, column, clash) -> np.ndarray:
    """Infinite where the candidate leaves the domain; a price where it runs through a vessel near its terminal."""
    node, x, p = choices.node[row, column], choices.fork[row, column], arrivals.point[row]
    out = rules.outside(x, p)
    inner = np.flatnonzero(~out & (node >= forest.trunk))
    a, b = forest.position[forest.parent[node[inner]]], forest.position[node[inner]]
    out[inner] = rules.outside(a, x[inner]) | rules.outside(x[inner], b)
    hit, demand = np.zeros(len(row), bool), arrivals.demand[row]
    fits = np.flatnonzero(~out)
    hit[fits] = _hits_neighbors(forest, choices, row[fits], node[fits], x[fits], p[fits], demand[fits])
    own = demand**forest.alpha * norm(p - x)
    return np.where(out, np.inf, np.where(hit, clash * own, 0.0))


def _hits_neighbors(forest, choices: _Choices, row, node, x, p, demand) -> np.ndarray:
    """Whether one of the three new vessels overlaps one of the terminal's nearest vessels that it does not touch."""
    other, up = choices.node[row], forest.parent[node]
    n, k = np.nonzero((other >= forest.trunk) & (other != node[:, None]))
    far = other[n, k]
    root, low, high = forest.root[far], forest.position[forest.parent[far]], forest.position[far]
    far_radius = forest.radius(forest.flow[far], root)
    hit = np.zeros(len(row), bool)
    # the new vessel; what is left of a split one above and below its bifurcation, but for what hangs on its ends
    split = node[n] >= forest.trunk
    parts = (
        (x, p, demand, np.ones(len(n), bool)),
        (
            forest.position[up],
            x,
            forest.flow[node] + demand,
            split & (forest.parent[far] != up[n]) & (far != up[n]),
        ),
        (x, forest.position[node], forest.flow[node], split & (forest.parent[far] != node[n])),
    )
    for a, b, flow, apart in parts:
        m = n[apart]
        _, _, distance = closest_points(a[m], b[m], low[apart], high[apart])
        wide = far_radius[apart] + forest.radius(flow, forest.root[node])[m]
        hit[m[distance < CLEAR * wide]] = True
    return hit
