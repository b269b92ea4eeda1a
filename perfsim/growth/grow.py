"""Batched constrained constructive optimization of a forest from segmented trunks into a wall."""

import dataclasses
import time
from collections.abc import Callable

from perfsim._results import InputError
from perfsim.anatomy.trunks import OFF_WALL
from perfsim.growth.bifurcation import fermat_points, keep_apart
from perfsim.growth.forest import GrowingForest
from perfsim.growth.terminals import sampled_volume, terminal_points
from perfsim.network import GROWN, VesselNetwork

import numpy as np
from scipy.spatial import cKDTree

BATCH = 0.15  # of the present terminals
CANDIDATES = 12
SPACING = 1.5e-3  # [m], of the points along vessels that neighbors are searched among
LEAKAGE = 0.4e-3  # [m] that a chord of the curved wall may leave it by


@dataclasses.dataclass(frozen=True)
class GrowthReport:
    """What growth did."""

    terminals: int
    dropped: int
    cost: float
    """Murray cost Σ Q^(2/γ) L of the grown vessels, Q in terminals [m]"""
    depth: int
    shares: dict[str, float]
    """fraction of the terminals on each inlet"""
    length_factor: float
    """median of L/V^(1/3) of terminal vessels, V the tissue volume per terminal: c of the ungrown crown"""
    seconds: float

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in self.shares.items())
        return (
            f"{self.terminals} terminals, {self.dropped} dropped, {self.depth} bifurcations deep, on {shares}, "
            f"cost {self.cost:.4g} m, {self.seconds:.2f} s"
        )


def grow(
    wall,
    trunks: VesselNetwork,
    terminals: int = 2000,
    *,
    exponent: float = 7 / 3,
    attach: tuple[str, ...] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[VesselNetwork, GrowthReport]:
    """Grow a forest of synthetic arterioles from all trunks into the wall.

    Terminals are added in batches, coarse to fine. Each takes, among its ~12 nearest vessels, the bifurcation with the
    least increase of the Murray cost Σ Q^(2/γ) L: the local change at the exact optimum point plus the widening of the
    path to the trunk (trunks are sunk cost). One terminal per vessel and batch; losers wait. Between batches all
    bifurcations relax to their Fermat points (the cost is convex in them), and vessels must stay in the wall.

    Arguments: `wall` (anything with `bounds`, `inside`, `signed_distance`; see `anatomy.Wall`), `trunks`, number of
    `terminals`, `exponent` γ, `attach` the branches that may sprout (default: all that lie in or on the wall but the
    trunks of `anatomy.trunks.OFF_WALL`),
    `seed` of the terminal points, `progress(done, total)`.

    Returns the network (trunks whose ends fed nothing are pruned) and a `GrowthReport`. Raises `InputError` where
    nothing can sprout. The method follows Schreiner & Buxbaum (1993) IEEE TBME 40:482, batched.
    """
    started = time.perf_counter()
    if terminals < 1:
        raise InputError(f"terminals = {terminals}: at least one is needed")
    position = np.asarray(trunks.position)
    attachable = _attachable(wall, trunks, attach)
    if not attachable.any():
        raise InputError(
            "no trunk lies on the wall, so nothing can sprout: are trunks and wall in one frame, in one unit?"
        )
    points = terminal_points(wall, terminals, seed)
    forest = GrowingForest(position, np.full(len(position), -1), attachable, 2.0 / exponent, terminals)
    waiting = np.arange(terminals)
    done = 0
    while len(waiting):
        batch = waiting[: max(32, int(BATCH * done))]
        placed = _attach_batch(forest, wall, points[batch])
        waiting = np.concatenate([batch[~placed], waiting[len(batch) :]])
        done += int(placed.sum())
        _relax(forest, wall, sweeps=3)
        if progress is not None:
            progress(done, terminals)
    _relax(forest, wall, sweeps=25)
    network = _finish(trunks, forest, exponent)
    return network, _report(forest, wall, network, terminals, time.perf_counter() - started)


def _attachable(wall, trunks, attach) -> np.ndarray:
    """Trunk nodes that may sprout."""
    names = np.array(trunks.branch_names)
    if attach is None:
        lumped = set(trunks.outlet_names)
        attach = tuple(n for n in names if n not in OFF_WALL and n not in lumped)
    unknown = sorted(set(attach) - set(names))
    if unknown:
        raise InputError(f"attach names {unknown[0]!r}, but the trunks are {', '.join(names)}")
    ok = np.zeros(len(trunks.position), bool)
    allowed = np.isin(names[np.asarray(trunks.branch)], attach)
    ok[np.asarray(trunks.head)[allowed]] = True
    ok[np.asarray(trunks.outlets, int)] = False
    return ok & (wall.signed_distance(np.asarray(trunks.position)) < 4e-3)


def _attach_batch(forest: GrowingForest, wall, points: np.ndarray) -> np.ndarray:
    """Place what can be placed of a batch; returns which points were."""
    forest.update()
    price = forest.path_price()
    owner, tree = _search_tree(forest)
    near = owner[tree.query(points, k=min(3 * CANDIDATES, len(owner)))[1]].reshape(len(points), -1)
    t, node = _distinct_pairs(near)
    on_trunk = node < forest.trunk
    flow = forest.flow[node]
    a, b, p = forest.position[np.where(on_trunk, node, forest.parent[node])], forest.position[node], points[t]
    x = np.where(on_trunk[:, None], b, 0.0)
    bend = ~on_trunk
    ends = np.stack([a[bend], b[bend], p[bend]], 1)
    weight = np.stack([(flow[bend] + 1.0), flow[bend], np.ones(bend.sum())], 1) ** forest.alpha
    x[bend] = keep_apart(fermat_points(ends, weight), ends)
    cost = np.linalg.norm(p - x, axis=1)
    local = np.einsum("nk,nk->n", weight, np.linalg.norm(ends - x[bend][:, None], axis=2))
    before = flow[bend] ** forest.alpha * np.linalg.norm(a[bend] - b[bend], axis=1)
    cost[bend] = local - before + price[forest.parent[node[bend]]]
    cost = cost + _outside_penalty(wall, x, p, a, b, bend)
    chosen = _match(t, node, cost, len(points))
    placed = chosen >= 0
    pick = chosen[placed]
    _insert(forest, points[placed], node[pick], x[pick])
    return placed


def _search_tree(forest: GrowingForest) -> tuple[np.ndarray, cKDTree]:
    """Points along grown vessels and at trunk nodes, and the node each belongs to."""
    grown = forest.grown()
    a, b = forest.position[forest.parent[grown]], forest.position[grown]
    pieces = np.maximum(np.ceil(np.linalg.norm(b - a, axis=1) / SPACING).astype(int), 1)
    index = np.repeat(np.arange(len(grown)), pieces)
    step = np.arange(len(index)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    s = ((step + 0.5) / pieces[index])[:, None]
    sprout = np.flatnonzero(forest.attachable)
    where = np.concatenate([forest.position[sprout], a[index] * (1 - s) + b[index] * s])
    return np.concatenate([sprout, grown[index]]), cKDTree(where)


def _distinct_pairs(near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(point, node) pairs without repetition, at most CANDIDATES a point, nearest first."""
    order = np.argsort(near, axis=1, kind="stable")
    ranked = np.take_along_axis(near, order, 1)
    first = np.ones(near.shape, bool)
    first[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    fresh = np.zeros(near.shape, bool)
    np.put_along_axis(fresh, order, first, 1)
    fresh &= np.cumsum(fresh, axis=1) <= CANDIDATES
    t, k = np.nonzero(fresh)
    return t, near[t, k]


def _outside_penalty(wall, x, p, a, b, bend) -> np.ndarray:
    """A prohibitive price for vessels that would leave the wall by more than the chord tolerance."""
    out = wall.signed_distance(0.5 * (x + p)) + wall.signed_distance(0.25 * x + 0.75 * p).clip(0)
    for end in (a, b):
        middle = wall.signed_distance(0.5 * (x[bend] + end[bend]))
        out[bend] = np.maximum(out[bend], middle)
    return 1e3 * np.maximum(out - LEAKAGE, 0.0)


def _match(t, node, cost, points) -> np.ndarray:
    """Cheapest pairs first, every point and every vessel once; returns the pair of each point or -1."""
    order = np.argsort(cost, kind="stable")
    chosen = np.full(points, -1)
    taken: set[int] = set()
    for pair in order.tolist():
        if chosen[t[pair]] < 0 and int(node[pair]) not in taken:
            chosen[t[pair]] = pair
            taken.add(int(node[pair]))
    return chosen


def _insert(forest: GrowingForest, points, node, x) -> None:
    """Add terminals: straight from a trunk node, or through a new bifurcation in the middle of a vessel."""
    on_trunk = node < forest.trunk
    forest.add(points[on_trunk], node[on_trunk], True)
    lower = node[~on_trunk]
    fork = forest.add(x[~on_trunk], forest.parent[lower], False)
    forest.parent[lower] = fork
    forest.add(points[~on_trunk], fork, True)


def _relax(forest: GrowingForest, wall, sweeps: int) -> None:
    """Move bifurcations to the Fermat points of their neighbors, alternating even and odd depths."""
    forest.update()
    fork, child = forest.children()
    weight = np.stack([forest.flow[fork], forest.flow[child[:, 0]], forest.flow[child[:, 1]]], 1) ** forest.alpha
    parity = forest.depth[fork] % 2
    for sweep in range(2 * sweeps):
        half = parity == sweep % 2
        f, c = fork[half], child[half]
        ends = np.stack([forest.position[forest.parent[f]], forest.position[c[:, 0]], forest.position[c[:, 1]]], 1)
        x = keep_apart(fermat_points(ends, weight[half], steps=4), ends)
        stays = wall.signed_distance(x) < 0.0
        forest.position[f[stays]] = x[stays]


def _finish(trunks: VesselNetwork, forest: GrowingForest, exponent: float) -> VesselNetwork:
    """Trunks and grown vessels as one network, trunk ends that feed nothing pruned."""
    grown = forest.grown()
    tail = np.concatenate([np.asarray(trunks.tail), forest.parent[grown]])
    head = np.concatenate([np.asarray(trunks.head), grown])
    names = (*trunks.branch_names, GROWN)
    branch = np.concatenate([np.asarray(trunks.branch), np.full(len(grown), len(names) - 1)])
    lumen = np.concatenate([np.asarray(trunks.lumen), np.full((len(grown), 2), 1e-4)])
    measured = np.concatenate([np.asarray(trunks.measured), np.zeros(len(grown), bool)])
    keep = np.ones(len(tail), bool)
    feeds = forest.terminal.copy()
    feeds[np.asarray(trunks.outlets, int)] = True
    feeds[forest.parent[grown]] = True
    for v in range(len(trunks.tail) - 1, -1, -1):  # depth first, so children come after their parents
        keep[v] = feeds[head[v]]
        feeds[tail[v]] |= feeds[head[v]]
    used = np.zeros(forest.size, bool)
    used[tail[keep]] = used[head[keep]] = True
    number = np.cumsum(used) - 1
    return VesselNetwork.build(
        forest.position[used],
        number[tail[keep]],
        number[head[keep]],
        lumen[keep],
        inlets=number[np.asarray(trunks.inlets)],
        terminals=number[np.flatnonzero(forest.terminal)],
        outlets=number[np.asarray(trunks.outlets, int)],
        branch=branch[keep],
        branch_names=names,
        inlet_names=trunks.inlet_names,
        outlet_names=trunks.outlet_names,
        measured=measured[keep],
        root_radius=trunks.root_radius,
        exponent=exponent,
        outlet_demand=trunks.outlet_demand,
    )


def _report(forest, wall, network, terminals, seconds) -> GrowthReport:
    root = np.asarray(network.root)
    at = np.isin(np.asarray(network.head), np.asarray(network.terminals))
    volume = sampled_volume(wall, 20_000) / terminals
    length = np.asarray(network.length)[at]
    return GrowthReport(
        terminals=int(forest.terminal.sum()),
        dropped=terminals - int(forest.terminal.sum()),
        cost=forest.cost(),
        depth=int(forest.depth[: forest.size].max()),
        shares={name: float(np.mean(root[at] == i)) for i, name in enumerate(network.inlet_names)},
        length_factor=float(np.median(length) / volume ** (1 / 3)),
        seconds=seconds,
    )
