"""Moving bifurcations: to the least cost, and off one another, never against the rules."""

from perfsim.growth.bifurcation import fermat_points
from perfsim.growth.forest import GrowingForest
from perfsim.growth.rules import MARGIN, Overlaps, Rules, room, thicker_below
from perfsim.growth.vectors import norm

import numpy as np


def relax(forest: GrowingForest, rules: Rules, sweeps: int) -> None:
    """Move bifurcations to the Fermat points of their three neighbors, even and odd depths in turn.

    With fixed flows the Murray cost is convex in all positions, and each move is its exact minimum in one of them. A
    move that would break a rule is tried at half its way, then dropped.
    """
    forest.update()
    fork = forest.forks()
    around = np.concatenate([forest.parent[fork][:, None], forest.child[fork]], axis=1)
    through = np.concatenate([fork[:, None], forest.child[fork]], axis=1)
    weight = np.maximum(forest.flow[through], 1e-9 * forest.demand.max()) ** forest.alpha
    need = _needs(forest, fork)
    parity = forest.depth[fork] % 2
    for sweep in range(2 * sweeps):
        half = parity == sweep % 2
        ends = forest.position[around[half]]
        x = _off_the_ends(fermat_points(ends, weight[half]), ends, MARGIN * need[half])
        _move(forest, rules, fork[half], ends, need[half], x)


def push_apart(forest: GrowingForest, rules: Rules, found: Overlaps, eager: float = 1.2) -> None:
    """Move the ends of overlapping vessels away from each other, the cheaper vessel more.

    Each pair asks its movable ends for the way that parts it, times `eager`, in proportion to how much an end moves the
    closest point; an end that several pairs ask takes their mean.
    """
    shift, asked = np.zeros((forest.size, 3)), np.zeros(forest.size)
    pairs = ((found.first, found.s), (found.second, found.t))
    middle = [_at(forest, node, s) for node, s in pairs]
    way = middle[0] - middle[1]
    distance = norm(way)
    degenerate = distance < 1e-9
    way[degenerate] = (
        np.cross(_along(forest, found.first[degenerate]), _along(forest, found.second[degenerate])) + 1e-12
    )
    way /= np.maximum(np.linalg.norm(way, axis=1), 1e-300)[:, None]
    stiff = np.stack([forest.flow[node] for node, _ in pairs], 1) ** forest.alpha + 1e-12
    part = stiff[:, ::-1] / stiff.sum(1)[:, None]
    for k, (node, s) in enumerate(pairs):
        step = (1.0, -1.0)[k] * way * (part[:, k] * eager * found.deficit)[:, None]
        lever = s**2 + (1.0 - s) ** 2
        for end, arm in ((forest.parent[node], 1.0 - s), (node, s)):
            np.add.at(shift, end, step * (arm / lever)[:, None])
            np.add.at(asked, end, (arm > 0.05).astype(float))
    shift /= np.maximum(asked, 1.0)[:, None]
    _move_tips(forest, rules, np.flatnonzero((asked > 0) & (forest.terminal >= 0)), shift)
    fork = forest.forks()
    fork = fork[asked[fork] > 0]
    around = np.concatenate([forest.parent[fork][:, None], forest.child[fork]], axis=1)
    need = _needs(forest, fork)
    ends = forest.position[around]
    x = forest.position[fork] + shift[fork]
    x = _off_the_ends(x, ends, MARGIN * need)
    _move(forest, rules, fork, ends, need, x)


def _needs(forest: GrowingForest, fork: np.ndarray) -> np.ndarray:
    """Lengths that the three vessels of each bifurcation need (n, 3)."""
    root, child = forest.root[fork], forest.child[fork]
    above = np.maximum(forest.flow[forest.parent[fork]], forest.flow[fork])
    upper, over = forest.radius(forest.flow[fork], root), forest.radius(above, root)
    lower = [forest.radius(forest.flow[c], root) for c in child.T]
    first = room(upper, over, np.maximum(*lower))
    return np.stack(
        [first, *(room(r, upper, thicker_below(forest, c)) for r, c in zip(lower, child.T, strict=True))], 1
    )


def _move_tips(forest: GrowingForest, rules: Rules, tips, shift) -> None:
    """Shift terminals where their vessels then keep the rules."""
    up, x = forest.position[forest.parent[tips]], forest.position[tips] + shift[tips]
    radius, above = (forest.radius(forest.flow[n], forest.root[tips]) for n in (tips, forest.parent[tips]))
    need = MARGIN * room(radius, above, radius)
    way = x - up
    good = norm(way) >= need
    good &= rules.domain.signed_distance(x) < 0.0
    good[good] = ~rules.outside(up[good], x[good])
    forest.position[tips[good]] = x[good]


def _at(forest: GrowingForest, node, s) -> np.ndarray:
    return forest.position[forest.parent[node]] + s[:, None] * _along(forest, node)


def _along(forest: GrowingForest, node) -> np.ndarray:
    return forest.position[node] - forest.position[forest.parent[node]]


def _move(forest: GrowingForest, rules: Rules, fork, ends, need, x) -> None:
    """Take each move, or half of it, where the three vessels then keep the rules or at least what they kept before."""
    old = forest.position[fork]
    floor = np.minimum(need, _lengths(old, ends)) * (1.0 - 1e-12)
    todo = np.arange(len(fork))
    for share in (1.0, 0.5):
        trial = old[todo] + share * (x[todo] - old[todo])
        good = (_lengths(trial, ends[todo]) >= floor[todo]).all(1)
        good[good] = ~_star_leaves(rules, trial[good], ends[todo][good])
        forest.position[fork[todo[good]]] = trial[good]
        todo = todo[~good]


def _star_leaves(rules: Rules, x: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Whether any of the three vessels from each x leaves the domain."""
    clearance = -rules.domain.signed_distance(x)
    out = clearance < 0.0
    check = np.flatnonzero(~out & (clearance < _lengths(x, ends).max(1)))
    middle = np.repeat(x[check], 3, axis=0)
    out[check] = rules.outside(middle, ends[check].reshape(-1, 3)).reshape(-1, 3).any(1)
    return out


def _lengths(x: np.ndarray, ends: np.ndarray) -> np.ndarray:
    way = ends - x[:, None]
    return norm(way)


def _off_the_ends(x: np.ndarray, ends: np.ndarray, need: np.ndarray) -> np.ndarray:
    """Points pushed away from ends that are closer than `need`; from an end itself towards the other two."""
    for k in (2, 1, 0):
        way = x - ends[:, k]
        length = norm(way)
        short = np.flatnonzero(length < need[:, k])
        if not len(short):
            continue
        others = 0.5 * (ends[short, k - 1] + ends[short, k - 2]) - ends[short, k]
        others /= np.maximum(np.linalg.norm(others, axis=1), 1e-300)[:, None]
        direction = way[short] / np.maximum(need[short, k], 1e-300)[:, None] + 0.3 * others
        direction /= np.maximum(np.linalg.norm(direction, axis=1), 1e-300)[:, None]
        x[short] = ends[short, k] + need[short, k][:, None] * direction
    return x
