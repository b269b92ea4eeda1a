"""After growth: roots get the shares they shall have, and vessels that overlap part."""

from perfsim.growth.attach import Arrivals, attach
from perfsim.growth.forest import GrowingForest
from perfsim.growth.index import VesselIndex
from perfsim.growth.regraft import regraft
from perfsim.growth.relax import push_apart, relax
from perfsim.growth.rules import SHORTEST, Rules, among, distinct
from perfsim.growth.terminals import moved_aside

import numpy as np

BALANCING = 20
"""rounds at most"""
CLOSE_ENOUGH = 0.002
"""error of a root's share"""
REPAIRS = 40
"""rounds of parting at most"""
PLACES = 20
"""at most that what is left in the end tries"""
PUSHES = 4
"""moves between two searches for overlaps"""
EAGER = 0.3
"""by which a push is larger from attempt to attempt, in what would part the pair alone"""
SLACK = 0.15
"""pairs closer than this many more sums of radii are watched while vessels move"""
FARTHER = 1.3
"""by which the way that a terminal is moved grows with every try that failed"""
SOFT, HARD = 0.1, 3.0
"""what running through another vessel costs, in its own cost: while terminals look for the cheapest place, and after"""
WHOLE = 12
"""terminals: a vessel that feeds no more than these is placed anew with all of them, one alone at first"""


def _placed_anew(forest: GrowingForest, rules: Rules, index, points, waiting, price, tries: int, clash: float):
    """Place terminals that are out; returns those that found no place."""
    forest.update()
    for _ in range(tries):
        if not len(waiting):
            break
        index.refresh()
        arrivals = Arrivals.of(forest, points, waiting)
        waiting = waiting[~attach(forest, rules, index, arrivals, price * forest.unit_cost(), clash)]
        forest.update()
    return waiting


def balance(forest: GrowingForest, rules: Rules, price: np.ndarray, goal: np.ndarray, rng) -> np.ndarray:
    """Move subtrees between the roots until these have the shares of the `goal`; returns the price of each root.

    Prices, in mean costs of a terminal, follow what is missing.
    """
    for _ in range(BALANCING):
        forest.update()
        error = share_error(forest, goal)
        if np.abs(error).max() < CLOSE_ENOUGH:
            break
        price = price + 2.0 * error
        regraft(forest, rules, price * forest.unit_cost(), rng)
        relax(forest, rules, 2)
    return price


def share_error(forest: GrowingForest, goal: np.ndarray) -> np.ndarray:
    """Share of each root less its goal."""
    share = forest.root_flow()
    return share / share.sum() - goal


def part(forest: GrowingForest, rules: Rules, points, price, waiting, rng) -> np.ndarray:
    """Push overlapping vessels apart; where that fails, their terminals are placed anew, a little moved.

    `waiting` are terminals that had no place yet: they are moved and tried again, too. Returns those left in the end.
    """
    index = VesselIndex(forest, SLACK)
    watched = _close(forest, *index.touching())
    failed = np.zeros(len(points), int)
    for attempt in range(REPAIRS):
        for _ in range(PUSHES):
            push_apart(forest, rules, among(forest, *watched), 1.2 + EAGER * attempt)
        index.refresh()
        watched = _close(forest, *np.concatenate([watched, index.touching()], axis=1))
        found = among(forest, *watched)
        bad = np.concatenate([_short(forest), _outside(forest, rules, index.last_changed)])
        if not len(found.first) and not len(bad) and not len(waiting):
            break
        thin = np.where(forest.flow[found.first] < forest.flow[found.second], found.first, found.second)
        bad, whole = np.concatenate([thin, bad]), min(WHOLE, 1.3**attempt)
        small = forest.count_below(bad) <= whole + 1e-9
        if whole == WHOLE:
            regraft(forest, rules, price * forest.unit_cost(), rng, bad[~small])
        out = _take_out(forest, bad[small])
        waiting = np.concatenate([waiting, out])
        step = 0.8 * FARTHER ** failed[waiting] * _tip_length(forest)
        points[waiting] = moved_aside(rules.domain, points, waiting, step, rng)
        waiting = _placed_anew(forest, rules, index, points, waiting, price, 2, HARD)
        failed[waiting] += 1
    for _ in range(PLACES):  # what is left takes any place
        if not len(waiting):
            break
        points[waiting] = moved_aside(rules.domain, points, waiting, 1.5 * _tip_length(forest), rng)
        waiting = _placed_anew(forest, rules, index, points, waiting, price, 1, SOFT)
    return waiting


def _close(forest: GrowingForest, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Those of the pairs (2, n) that are close enough to watch."""
    found = among(forest, first, second, SLACK)
    return distinct(found.first, found.second)


def _take_out(forest: GrowingForest, nodes: np.ndarray) -> np.ndarray:
    """Remove the vessels that lead to nodes with all below them.

    Returns the numbers of the terminals that were removed.
    """
    tips = forest.tips_below(nodes)
    removed: list[np.ndarray] = []
    while len(tips):  # of two terminals on one bifurcation only one goes at a time
        removed.append(forest.remove(tips))
        tips = tips[forest.terminal[tips] >= 0]
    return np.concatenate(removed) if removed else np.zeros(0, int)


def _outside(forest: GrowingForest, rules: Rules, nodes: np.ndarray) -> np.ndarray:
    """Those of the nodes whose vessel leaves the domain: where a bifurcation was taken out, the way is straight."""
    nodes = nodes[forest.parent[nodes] >= 0]
    return nodes[rules.outside(forest.position[forest.parent[nodes]], forest.position[nodes])]


def _tip_length(forest: GrowingForest) -> float:
    return float(np.median(forest.length(np.flatnonzero(forest.terminal >= 0))))


def _short(forest: GrowingForest) -> np.ndarray:
    """Nodes whose vessel is shorter than wide."""
    node = forest.grown()
    return node[forest.length(node) < SHORTEST * forest.radius(forest.flow[node], forest.root[node])]
