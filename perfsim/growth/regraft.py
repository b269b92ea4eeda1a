"""Better topology: subtrees move to where they are cheaper, priced as a whole before anything is cut."""

import dataclasses

from perfsim.growth.bifurcation import fermat_points
from perfsim.growth.forest import GrowingForest
from perfsim.growth.index import Pieces
from perfsim.growth.rules import Rules, closest_points, room, split_needs, thicker_below, with_room
from perfsim.growth.vectors import norm
from perfsim.network.topology import accumulate

import numpy as np
import scipy

CANDIDATES = 6, 30
"""nearest vessels that a subtree is tried on, of those that feed no less than it does: at least and at most"""
TRIED = 6_000
"""subtrees of one size times candidates: the few large ones are tried more widely, for what they decide lasts"""
ALIKE = 4.0
"""demand over demand of subtrees that are priced together"""
WORTH = 1e-3
"""least gain of a move, in costs of the vessel that leads to the subtree"""
LOSS = 1e-3
"""the most that a move of a subtree that shall leave may cost, of the whole"""
MANY = 40_000
"""subtrees that are all tried; of n more the share √(MANY/n), for the next round comes soon"""
PASSES = 3
"""over the moves, to find those that do not touch each other"""


def regraft(
    forest: GrowingForest, rules: Rules, price: np.ndarray, rng: np.random.Generator, leave: np.ndarray | None = None
) -> int:
    """Move subtrees to cheaper places, once each at most, of large forests some at random; returns how many moved.

    To hang the subtree of node v, of demand d, on another vessel changes the Murray cost by

        Δ = [new bifurcation on b] - [bifurcation p above v, dissolved] + Σ_b ((Q+d)^α - Q^α)L - Σ_p (Q^α - (Q-d)^α)L,

    sums from either place up to where the two paths meet. For all subtrees of about one size the sums come from two
    prefix sums over the paths to the trunk; what promises a gain is then summed exactly. Only vessels that feed at
    least d take a subtree, so that two moves can never hang two subtrees on each other. Moves that touch no common
    vessel are made together, best first. Arguments: `price` of each root per unit of demand; nodes that shall `leave`
    their place, even at a loss, and no others.
    """
    forest.update()
    node = forest.grown() if leave is None else np.unique(leave)
    carries = forest.carries_pinned()
    node = node[~carries[node] & ~forest.pinned[forest.parent[node]]]
    if leave is None and len(node) > MANY:
        node = node[rng.random(len(node)) ** 2 < MANY / len(node)]
    if not len(node):
        return 0
    moves = _Moves.best(forest, rules, node, price, None if leave is None else LOSS * forest.cost())
    moves = moves.kept(_independent(forest, moves))
    forest.move(moves.node, moves.onto, moves.fork)
    return len(moves.node)


@dataclasses.dataclass(frozen=True, eq=False)
class _Paths:
    """Where the paths of two nodes to the trunk meet, by chains of the thicker vessels."""

    parent: np.ndarray
    depth: np.ndarray
    chain: np.ndarray
    """node at the upper end of the chain of thickest vessels that each node lies on"""

    @classmethod
    def of(cls, forest: GrowingForest) -> "_Paths":
        parent, node = forest.parent, forest.grown()
        child = forest.child[parent[node]]
        flow = np.where(child >= 0, forest.flow[child], -1.0)
        thicker = child[np.arange(len(node)), np.argmax(flow, axis=1)] == node
        chain = np.arange(forest.size)
        link = node[thicker & (parent[node] >= forest.trunk)]
        chain[link] = parent[link]
        while (chain[chain] != chain).any():
            chain = chain[chain]
        return cls(parent, forest.depth, chain)

    def meet(self, a: np.ndarray, b: np.ndarray, trunk: int) -> np.ndarray:
        """The lowest node on both paths, or some trunk node where there is none."""
        a, b = a.copy(), b.copy()
        moving = np.arange(len(a))
        while True:
            over = self.chain[a[moving]], self.chain[b[moving]]
            apart = (over[0] != over[1]) & ((a[moving] >= trunk) | (b[moving] >= trunk))
            moving, over = moving[apart], (over[0][apart], over[1][apart])
            if not len(moving):
                break
            first = self.depth[over[0]] >= self.depth[over[1]]
            up = moving[first]
            a[up] = self.parent[over[0][first]]
            up = moving[~first]
            b[up] = self.parent[over[1][~first]]
        return np.where(self.depth[a] < self.depth[b], a, b)


@dataclasses.dataclass(frozen=True, eq=False)
class _Moves:
    """Subtrees, by their upper nodes, and where they would hang."""

    node: np.ndarray
    onto: np.ndarray
    """vessel, named by the node it leads to, or free trunk node"""
    fork: np.ndarray
    cost: np.ndarray
    """change of the Murray cost"""

    def kept(self, keep: np.ndarray) -> "_Moves":
        return _Moves(self.node[keep], self.onto[keep], self.fork[keep], self.cost[keep])

    @classmethod
    def best(
        cls, forest: GrowingForest, rules: Rules, node: np.ndarray, price: np.ndarray, most: float | None
    ) -> "_Moves":
        """Of each subtree the best move that keeps the rules, where it pays, or costs at `most` as much."""
        paths = _Paths.of(forest)
        size = np.floor(np.log(forest.flow[node] / forest.flow[node].min()) / np.log(ALIKE) + 1e-9).astype(int)
        found = [_of_one_size(forest, paths, node[size == k], price, most) for k in np.unique(size)]
        moves = cls(*(np.concatenate([getattr(m, f.name) for m in found]) for f in dataclasses.fields(cls)))
        return moves.kept(_inside(forest, rules, moves))


def _of_one_size(
    forest: GrowingForest, paths: _Paths, node: np.ndarray, price: np.ndarray, most: float | None
) -> _Moves:
    """The best move of each subtree, all of about the same demand, where it pays, or costs at `most` as much."""
    node, onto = _pairs(forest, node)
    if most is not None:  # what has to leave its place stays with its root: shares have been met
        same = forest.root[node] == forest.root[onto]
        node, onto = node[same], onto[same]
    place = _Places.of(forest, paths, node, onto)
    least = -WORTH * place.own if most is None else np.full(len(place.node), most)
    d = forest.flow[place.node]
    if not len(d):
        return _Moves(place.node, place.onto, np.zeros((0, 3)), d)
    up, down = _prefix(forest, d.min(), float(np.exp(np.log(d).mean())))
    estimate = (
        place.priced(price)
        + d * ((up[place.above] - up[place.meet]) - (down[place.upper] - down[place.meet]))
        - place.freed
    )
    a, b = forest.position[place.above], forest.position[place.onto]
    v = forest.position[place.node]
    _, _, distance = closest_points(v, v, a, b)
    able = estimate + d**forest.alpha * distance < least
    place, estimate, least = place.kept(able), estimate[able], least[able]
    x, added = place.bifurcation()
    estimate += added
    # the best of each subtree
    order = np.lexsort((estimate, place.node))
    order = order[(estimate[order] < least[order]) & np.isfinite(estimate[order])]
    first = np.ones(len(order), bool)
    first[1:] = place.node[order][1:] != place.node[order][:-1]
    win = order[first]
    place, x, added = place.kept(win), x[win], added[win]
    cost = place.priced(price) + added + place.path_change() - place.freed
    pays = cost < least[win]
    return _Moves(place.node[pays], place.onto[pays], x[pays], cost[pays])


def _pairs(forest: GrowingForest, node: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Subtrees and vessels near them that feed no less; the nearest free trunk node, too."""
    wide = forest.grown()
    wide = wide[forest.flow[wide] >= forest.flow[node].min()]
    pieces = Pieces.of(forest, wide)
    at = forest.position[node]
    count = int(np.clip(TRIED / len(node), *CANDIDATES))
    _, near = pieces.tree.query(at, k=np.arange(1, min(count, len(pieces.node)) + 1))
    onto = pieces.node[near]
    sprouts = forest.free_sprouts()
    if len(sprouts):
        _, near = scipy.spatial.cKDTree(forest.position[sprouts]).query(at)
        onto = np.concatenate([onto, sprouts[near][:, None]], axis=1)
    pairs = np.repeat(node, onto.shape[1]), onto.ravel()
    fits = (forest.flow[pairs[1]] >= forest.flow[pairs[0]]) | (pairs[1] < forest.trunk)
    return pairs[0][fits], pairs[1][fits]


@dataclasses.dataclass(frozen=True, eq=False)
class _Places:
    """Pairs of a subtree and a vessel that could take it, with all that pricing them needs."""

    forest: GrowingForest
    node: np.ndarray
    onto: np.ndarray
    sibling: np.ndarray
    """that the bifurcation above the subtree leaves, -1 where the subtree hangs on the trunk"""
    upper: np.ndarray
    """node above that bifurcation, or the trunk node"""
    above: np.ndarray
    """node at the near end of the vessel that could take it, or the free trunk node itself"""
    meet: np.ndarray
    """where the two paths meet"""
    ancestor: np.ndarray
    """the vessel lies on the subtree's own path"""
    own: np.ndarray
    """cost of the vessel that leads to the subtree"""
    freed: np.ndarray
    """cost of the bifurcation above the subtree, less that of the vessel that stays in its place"""

    @classmethod
    def of(cls, forest: GrowingForest, paths: _Paths, node: np.ndarray, onto: np.ndarray) -> "_Places":
        """The possible ones of the pairs."""
        p = forest.parent[node]
        possible = (onto != node) & (onto != p) & (forest.parent[onto] != p) & (forest.parent[onto] != node)
        node, onto, p = node[possible], onto[possible], p[possible]
        meet = paths.meet(onto, node, forest.trunk)
        outside = meet != node
        node, onto, p, meet = node[outside], onto[outside], p[outside], meet[outside]
        hung = p >= forest.trunk
        sibling = np.where(hung, forest.sibling(node), -1)
        upper = np.where(hung, forest.parent[p], p)
        above = np.where(onto >= forest.trunk, forest.parent[onto], onto)
        ancestor = (meet == onto) & (onto >= forest.trunk)
        below_sibling = hung & (meet == p)
        meet = np.where(ancestor, above, np.where(below_sibling, upper, meet))
        own, freed = _freed(forest, node, p, sibling, upper, below_sibling)
        return cls(forest, node, onto, sibling, upper, above, meet, ancestor, own, freed)

    def kept(self, keep: np.ndarray) -> "_Places":
        """Some of them."""
        arrays = (getattr(self, f.name)[keep] for f in dataclasses.fields(self) if f.name != "forest")
        return _Places(self.forest, *arrays)

    def priced(self, price: np.ndarray) -> np.ndarray:
        """What another root asks more than the present one."""
        root = self.forest.root
        return (price[root[self.onto]] - price[root[self.node]]) * self.forest.flow[self.node]

    def bifurcation(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each new bifurcation would be, and what it adds to the cost; infinite where it has no room."""
        forest, alpha = self.forest, self.forest.alpha
        d, flow = forest.flow[self.node], forest.flow[self.onto]
        upper = np.where(self.ancestor, flow, flow + d)
        lower = np.where(self.ancestor, np.maximum(flow - d, 1e-300), flow)
        a, b, v = (forest.position[n] for n in (self.above, self.onto, self.node))
        ends, weight = np.stack([a, b, v], 1), np.stack([upper, lower, d], 1) ** alpha
        need = split_needs(forest, self.above, self.onto, upper, lower, d, thicker_below(forest, self.node))
        x, fits = with_room(fermat_points(ends, weight), ends, need)
        added = np.einsum("nk,nk->n", weight, norm(ends - x[:, None])) - weight[:, 1] * norm(b - a)
        added = np.where(fits, added, np.inf)
        free = np.flatnonzero(self.onto < forest.trunk)
        x[free], added[free] = b[free], (d**alpha * norm(v - b))[free]
        return x, added

    def path_change(self) -> np.ndarray:
        """Change of the cost of both paths, up to where they meet."""
        d = self.forest.flow[self.node]
        return _climbed(self.forest, self.above, self.meet, d) + _climbed(self.forest, self.upper, self.meet, -d)


def _freed(forest: GrowingForest, node, p, sibling, upper, below_sibling) -> tuple[np.ndarray, np.ndarray]:
    """Costs of the vessels to the subtrees; and what becomes free where they are cut.

    Where a subtree goes to what hangs on its sibling, the path there is one straight vessel instead of two.
    """
    alpha, d = forest.alpha, forest.flow[node]
    x = forest.position
    own = d**alpha * norm(x[node] - x[p])
    straight, first, second = norm(x[sibling] - x[upper]), norm(x[p] - x[upper]), norm(x[sibling] - x[p])
    q, flow = forest.flow[sibling], forest.flow[p]
    merged = flow**alpha * first + q**alpha * (second - straight)
    wider = (q + d) ** alpha - q**alpha
    detour = ((flow + d) ** alpha - flow**alpha) * first + wider * (second - straight)
    return own, own + np.where(sibling >= 0, merged, 0.0) + np.where(below_sibling, detour, 0.0)


def _prefix(forest: GrowingForest, least: float, d: float) -> tuple[np.ndarray, np.ndarray]:
    """What d more, and d less, at each node costs and saves on its way to the trunk, per unit of demand.

    Only vessels that feed at least `least` matter.
    """
    node = forest.grown()
    node = node[forest.flow[node] >= least]
    number = np.full(forest.size, -1)
    number[node] = np.arange(len(node))
    above = number[forest.parent[node]]
    flow, length = forest.flow[node], forest.length(node)
    up, down = np.zeros(forest.size), np.zeros(forest.size)
    now = flow**forest.alpha
    up[node] = accumulate(above, ((flow + d) ** forest.alpha - now) * length / d)
    down[node] = accumulate(above, (now - np.maximum(flow - d, 0.0) ** forest.alpha) * length / d)
    return up, down


def _climbed(forest: GrowingForest, start: np.ndarray, end: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Σ ((Q+d)^α - Q^α) L over the vessels from nodes up to others above them."""
    at, total = start.copy(), np.zeros(len(start))
    moving = np.flatnonzero((at != end) & (at >= forest.trunk))
    while len(moving):
        n = at[moving]
        flow = forest.flow[n]
        total[moving] += (np.maximum(flow + d[moving], 0.0) ** forest.alpha - flow**forest.alpha) * forest.length(n)
        at[moving] = forest.parent[n]
        moving = moving[(at[moving] != end[moving]) & (at[moving] >= forest.trunk)]
    return total


def _inside(forest: GrowingForest, rules: Rules, moves: _Moves) -> np.ndarray:
    """Which moves leave only vessels that stay in the domain, and the one that takes the bifurcation's place room."""
    x, node, onto = forest.position, moves.node, moves.onto
    good = ~rules.outside(moves.fork, x[node])
    inner = onto >= forest.trunk
    good[inner] &= ~rules.outside(x[forest.parent[onto[inner]]], moves.fork[inner])
    good[inner] &= ~rules.outside(moves.fork[inner], x[onto[inner]])
    p = forest.parent[node]
    hung = np.flatnonzero(p >= forest.trunk)
    p, v = p[hung], node[hung]
    sibling, upper = forest.sibling(v), forest.parent[p]
    root, flow = forest.root[v], forest.flow[sibling]
    need = room(
        forest.radius(flow, root),
        forest.radius(np.maximum(forest.flow[upper], flow), root),
        thicker_below(forest, sibling),
    )
    good[hung] &= (norm(x[sibling] - x[upper]) >= need) & ~rules.outside(x[upper], x[sibling])
    return good


def _independent(forest: GrowingForest, moves: _Moves) -> np.ndarray:
    """Moves of which no two touch one vessel, the best first."""
    p = forest.parent[moves.node]
    touched = np.stack([moves.node, p, forest.parent[p], moves.onto, forest.parent[moves.onto], *forest.child[p].T], 1)
    touched[(touched < forest.trunk) & (touched != moves.onto[:, None])] = -1  # sprouts of one trunk are independent
    rank = np.empty(len(p), int)
    rank[np.argsort(moves.cost, kind="stable")] = np.arange(len(p))
    taken = np.zeros(forest.size + 1, bool)
    chosen = np.zeros(len(p), bool)
    for _ in range(PASSES):
        here = np.flatnonzero(~taken[touched].any(1))
        first = np.full(forest.size + 1, len(p))
        np.minimum.at(first, touched[here], rank[here, None])
        first[-1] = len(p)
        mine = np.where(touched[here] >= 0, first[touched[here]], rank[here, None])
        win = here[(mine == rank[here, None]).all(1)]
        chosen[win] = True
        taken[touched[win]] = True
        taken[-1] = False
    return chosen
