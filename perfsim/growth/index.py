"""Which vessels are near: trees of points along them, kept while few vessels change."""

import dataclasses
from functools import cached_property

from perfsim.growth.forest import GrowingForest

import numpy as np
import scipy

REBUILD = 0.1
"""share of changed vessels from which on the index is made anew"""


@dataclasses.dataclass(frozen=True, eq=False)
class Pieces:
    """Vessels cut into pieces of about their median length; each piece lies in a ball."""

    node: np.ndarray
    """the vessel, named by the node it leads to"""
    middle: np.ndarray
    reach: np.ndarray
    """half the length of the piece and the radius, times 1 + slack [m]"""

    @classmethod
    def of(cls, forest: GrowingForest, nodes: np.ndarray, slack: float = 0.0, spacing: float | None = None) -> "Pieces":
        """Cut the vessels that lead to nodes, at `spacing` [m] (default: about their median length)."""
        a, b = forest.position[forest.parent[nodes]], forest.position[nodes]
        length = forest.length(nodes)
        step = spacing or usual_spacing(length)
        count = np.maximum(np.ceil(length / step).astype(int), 1)
        owner = np.repeat(np.arange(len(nodes)), count)
        k = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        middle = a[owner] + ((k + 0.5) / count[owner])[:, None] * (b - a)[owner]
        radius = forest.radius(forest.flow[nodes], forest.root[nodes])
        reach = 0.5 * length[owner] / count[owner] + (1.0 + slack) * radius[owner]
        return cls(nodes[owner], middle, reach)

    @cached_property
    def tree(self) -> "scipy.spatial.cKDTree":
        """All middles."""
        return scipy.spatial.cKDTree(self.middle, balanced_tree=False, compact_nodes=False)

    @cached_property
    def by_size(self) -> list[tuple[np.ndarray, "scipy.spatial.cKDTree", float]]:
        """(pieces, their tree, largest reach) by octaves of reach: a few large ones must not make every search wide."""
        if not len(self.node):
            return []
        octave = np.floor(np.log2(self.reach / self.reach.min() + 1e-9)).astype(int)
        groups = [np.flatnonzero(octave == k) for k in np.unique(octave)]
        return [
            (
                g,
                scipy.spatial.cKDTree(self.middle[g], balanced_tree=False, compact_nodes=False),
                float(self.reach[g].max()),
            )
            for g in groups
        ]

    def touching(self, other: "Pieces | None" = None) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of vessels whose balls touch, one of them of `other` where that is given."""
        found: list[tuple[np.ndarray, np.ndarray]] = [(np.zeros(0, int), np.zeros(0, int))]
        beside = self if other is None else other
        for k, (mine, tree, reach) in enumerate(self.by_size):
            for theirs, tree_b, reach_b in beside.by_size[: k + 1] if other is None else beside.by_size:
                if tree is tree_b:
                    i, j = tree.query_pairs(2.0 * reach, output_type="ndarray").T
                else:
                    hit = tree.sparse_distance_matrix(tree_b, reach + reach_b, output_type="ndarray")
                    i, j = hit["i"], hit["j"]
                i, j = mine[i], theirs[j]
                gap = self.middle[i] - beside.middle[j]
                near = np.einsum("nd,nd->n", gap, gap) <= (self.reach[i] + beside.reach[j]) ** 2
                found.append((self.node[i[near]], beside.node[j[near]]))
        return np.concatenate([i for i, _ in found]), np.concatenate([j for _, j in found])


def usual_spacing(length: np.ndarray) -> float:
    """A little more than the median, so that most vessels are one piece [m]."""
    return max(1.1 * float(np.median(length)) if len(length) else 1.0, 1e-12)


class VesselIndex:
    """All grown vessels in one tree, those that changed since it was made in a small one beside it."""

    def __init__(self, forest: GrowingForest, slack: float = 0.0):
        """Balls are wider by `slack` times the radius."""
        self._slack, self._forest = slack, forest
        self._last: tuple[np.ndarray, np.ndarray]
        self._since: np.ndarray
        self._base: Pieces
        self._spacing: float
        self._unpaired = forest.grown()
        """vessels that have changed since pairs were asked for"""
        self.last_changed = self._unpaired
        """what those were when they were last asked for"""
        self._rebuild()

    def refresh(self) -> None:
        """Look at the forest again."""
        forest = self._forest
        changed = _changed(forest, *self._last)
        self._last = forest.position.copy(), forest.parent.copy()
        self._since, self._unpaired = (
            both[forest.parent[both] >= 0]
            for both in (np.union1d(self._since, changed), np.union1d(self._unpaired, changed))
        )
        if len(self._since) > REBUILD * len(self._base.node):
            self._rebuild()
            return
        self._stale = np.ones(forest.size, bool)
        self._stale[forest.grown()] = False
        self._stale[self._since] = True
        self._fresh = Pieces.of(forest, self._since, self._slack, self._spacing)

    def nearest(self, points: np.ndarray, count: int) -> np.ndarray:
        """Vessels by distance (points, ≤ count), repeated where several pieces are near, -1 where there are fewer."""
        distance, node = [], []
        for pieces, stale in ((self._base, self._stale), (self._fresh, None)):
            k = min(count, len(pieces.node))
            if not k:
                continue
            d, i = pieces.tree.query(points, k=np.arange(1, k + 1))
            n = pieces.node[i]
            gone = np.zeros(n.shape, bool) if stale is None else stale[n]
            distance.append(np.where(gone, np.inf, d))
            node.append(np.where(gone, -1, n))
        if not node:
            return np.zeros((len(points), 0), int)
        if len(node) == 1:
            return node[0]
        far, owner = np.concatenate(distance, 1), np.concatenate(node, 1)
        order = np.argsort(far, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(owner, order, 1)

    def touching(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of vessels whose balls touch, at least one of which has changed since they were asked for last."""
        changed, self._unpaired = self._unpaired, np.zeros(0, int)
        self.last_changed = changed
        if len(changed) > REBUILD * len(self._base.node):
            self._rebuild()
            return self._base.touching()
        new = Pieces.of(self._forest, changed, self._slack, self._spacing)
        a, b = new.touching(self._base)
        kept = ~self._stale[b]
        c, d = new.touching(self._fresh)
        return np.concatenate([a[kept], c]), np.concatenate([b[kept], d])

    def _rebuild(self) -> None:
        """Everything anew."""
        forest = self._forest
        self._last = forest.position.copy(), forest.parent.copy()
        nodes = forest.grown()
        self._spacing = usual_spacing(forest.length(nodes))
        self._base = Pieces.of(forest, nodes, self._slack, self._spacing)
        self._fresh = Pieces.of(forest, np.zeros(0, int), self._slack, self._spacing)
        self._since = np.zeros(0, int)
        self._stale = np.zeros(forest.size, bool)


def _changed(forest: GrowingForest, position: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """Nodes whose vessel is another one, or elsewhere, than at the time of the two records."""
    same = np.zeros(forest.size, bool)
    n = len(position)
    same[:n] = (forest.position[:n] == position).all(1)
    node = forest.grown()
    known = node[node < n]
    kept = known[same[known] & same[forest.parent[known]] & (forest.parent[known] == parent[known])]
    return np.setdiff1d(node, kept, assume_unique=True)
