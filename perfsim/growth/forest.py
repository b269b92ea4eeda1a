"""The growing forest: host arrays, one row per node, each node with the vessel that leads to it."""

from perfsim.growth.vectors import norm
from perfsim.network.topology import accumulate, by_depth

import numpy as np


class GrowingForest:
    """Nodes with parents; the first `trunk` of them are the fixed trunks, whose cost is sunk.

    A trunk node may carry one sprout; every other branching is a bifurcation with two children. A vessel's flow is the
    sum of the demands of the terminals below it, and `alpha` = 2/γ its power in the Murray cost Σ Q^α L. Radii follow
    r = r₀ (Q/Q₀)^(1/γ) with r₀ and Q₀ of the vessel's root: while the forest grows, Q/Q₀ is already what it will be.
    """

    def __init__(self, trunk_position, trunk_root, sprouts, root_radius, exponent: float, demand: np.ndarray):
        """Arguments: positions of the trunk nodes (n, 3) [m], the root each hangs on, which may sprout, r₀ of each root
        [m], γ, and the demand of every terminal to come.
        """
        self.trunk = self.size = len(trunk_position)
        room = self.trunk + 2 * len(demand)
        self._position, self._parent = np.zeros((room, 3)), np.full(room, -1)
        self._position[: self.size] = trunk_position
        self._child = np.full((room, 2), -1)
        self._terminal = np.full(room, -1)
        self._flow = np.zeros(room)
        self._root = np.zeros(room, int)
        self._root[: self.size] = trunk_root
        self._depth = np.zeros(room, int)
        self._alive = np.zeros(room, bool)
        self._pinned = np.zeros(room, bool)
        self._spare: list[np.ndarray] = []
        self.sprouts = np.asarray(sprouts, bool)
        self.root_radius, self.exponent, self.alpha = np.asarray(root_radius, float), exponent, 2.0 / exponent
        self.demand = demand
        self._levels: list[np.ndarray] = []

    position = property(lambda self: self._position[: self.size], doc="(nodes, 3) [m]")
    parent = property(lambda self: self._parent[: self.size], doc="node at the near end of each node's vessel")
    child = property(lambda self: self._child[: self.size], doc="(nodes, 2), -1 where there is none")
    terminal = property(lambda self: self._terminal[: self.size], doc="terminal number of each node, or -1")
    flow = property(lambda self: self._flow[: self.size], doc="demand below each node, itself included")
    root = property(lambda self: self._root[: self.size], doc="root each node hangs on")
    pinned = property(lambda self: self._pinned[: self.size], doc="bifurcations that stay where they are")
    depth = property(lambda self: self._depth[: self.size], doc="vessels between each node and its trunk")

    def grown(self) -> np.ndarray:
        """Nodes whose vessel was grown."""
        return self.trunk + np.flatnonzero(self._alive[self.trunk : self.size])

    def free_sprouts(self) -> np.ndarray:
        """Trunk nodes that may still sprout."""
        return np.flatnonzero(self.sprouts & (self._child[: self.trunk, 0] < 0))

    def forks(self) -> np.ndarray:
        """Bifurcations that may move."""
        here = slice(self.trunk, self.size)
        return self.trunk + np.flatnonzero((self._child[here, 1] >= 0) & ~self._pinned[here])

    def pin(self) -> None:
        """Keep all bifurcations of now where they are."""
        self._pinned[self.forks()] = True

    def carries_pinned(self) -> np.ndarray:
        """Which nodes are pinned or have pinned ones below."""
        carries = self.pinned.copy()
        at = np.flatnonzero(carries)
        while len(at := np.unique(self._parent[at[at >= self.trunk]])):
            at = at[~carries[at]]
            carries[at] = True
        return carries

    def sibling(self, nodes: np.ndarray) -> np.ndarray:
        """The other node below the bifurcation that each node hangs on."""
        child = self._child[self._parent[nodes]]
        return np.where(child[:, 0] == nodes, child[:, 1], child[:, 0])

    def placed(self) -> np.ndarray:
        """Numbers of the terminals that are there."""
        there = self.terminal
        return there[there >= 0]

    def sprout(self, node: np.ndarray, points: np.ndarray, terminal: np.ndarray) -> None:
        """Vessels straight from trunk nodes to terminals."""
        tip = self._new(len(node))
        self._position[tip], self._parent[tip], self._terminal[tip] = points, node, terminal
        self._root[tip] = self._root[node]
        self._child[node, 0] = tip

    def split(self, node: np.ndarray, fork_at: np.ndarray, points: np.ndarray, terminal: np.ndarray) -> None:
        """Terminals through new bifurcations in the middle of the vessels that lead to `node`."""
        fork, tip = self._new(len(node)), self._new(len(node))
        self._position[fork], self._position[tip], self._terminal[tip] = fork_at, points, terminal
        self._child[fork] = np.stack([node, tip], 1)
        above = self._parent[node]
        self._replace_child(above, node, fork)
        self._parent[fork], self._parent[node], self._parent[tip] = above, fork, fork
        self._root[fork] = self._root[tip] = self._root[node]

    def remove(self, tips: np.ndarray) -> np.ndarray:
        """Take terminals out again, each with the bifurcation above it, if it does not hang on a trunk alone.

        Returns the numbers of the terminals that were removed. Of two terminals on one bifurcation only one goes.
        """
        alone = tips[self._parent[tips] < self.trunk]
        self._child[self._parent[alone], 0] = -1
        tips = tips[self._parent[tips] >= self.trunk]
        fork, first = np.unique(self._parent[tips], return_index=True)
        tips = tips[first]
        gone = np.zeros(self.size, bool)
        gone[fork] = True
        sibling = self.sibling(tips)
        kept = ~gone[sibling]
        top, below = fork[kept], sibling[kept]
        while (moved := gone[self._parent[top]]).any():  # bifurcations in a row that all go
            top[moved] = self._parent[top[moved]]
        above = self._parent[top]
        self._replace_child(above, top, below)
        self._parent[below] = above
        number = self._terminal[np.concatenate([tips, alone])]
        self._drop(np.concatenate([tips, alone, fork]))
        return number

    def clear(self) -> np.ndarray:
        """Take out everything that was grown; returns the numbers of its terminals."""
        number = self.placed()
        self._drop(self.grown())
        self._child[: self.trunk] = -1
        return number

    def move(self, node: np.ndarray, onto: np.ndarray, fork_at: np.ndarray) -> None:
        """Hang subtrees elsewhere: on new bifurcations in the middle of the vessels that lead to `onto`, or on free
        trunk nodes. The bifurcations above them go. No two moves may touch one vessel.
        """
        left = self._parent[node]
        hung, inner = left >= self.trunk, onto >= self.trunk
        self._child[left[~hung], 0] = -1
        fork, below = left[hung], node[hung]
        sibling = self.sibling(below)
        self._replace_child(self._parent[fork], fork, sibling)
        self._parent[sibling] = self._parent[fork]
        self._drop(left[hung & ~inner])
        left[~hung & inner] = self._new(int((~hung & inner).sum()))
        above, fork = self._parent[onto[inner]], left[inner]
        self._replace_child(above, onto[inner], fork)
        self._parent[fork], self._position[fork], self._root[fork] = above, fork_at[inner], self._root[onto[inner]]
        self._child[fork] = np.stack([onto[inner], node[inner]], 1)
        self._parent[onto[inner]] = self._parent[node[inner]] = fork
        free = onto[~inner]
        self._child[free, 0], self._parent[node[~inner]] = node[~inner], free
        crossing = np.flatnonzero(self._root[node] != self._root[onto])
        for k in np.unique(self._root[onto[crossing]]):
            self._root[self.below(node[crossing[self._root[onto[crossing]] == k]])] = k

    def below(self, nodes: np.ndarray) -> np.ndarray:
        """All nodes below nodes, themselves included."""
        found, at = [np.zeros(0, int)], np.unique(nodes)
        while len(at):
            found.append(at)
            at = np.unique(self._child[at])
            at = at[at >= 0]
        return np.unique(np.concatenate(found))

    def tips_below(self, nodes: np.ndarray) -> np.ndarray:
        """Terminal nodes below nodes, themselves included."""
        below = self.below(nodes)
        return below[self._terminal[below] >= 0]

    def update(self) -> None:
        """Recompute depth and flow of the grown part."""
        grown = self.grown()
        above = self.parent.copy()
        above[: self.trunk] = -1
        self._depth[: self.size] = accumulate(above, (np.arange(self.size) >= self.trunk).astype(int))
        self._levels = [grown[level] for level in by_depth(self.depth[grown])]
        flow = np.zeros(self.size)
        tip = self.terminal >= 0
        flow[tip] = self.demand[self.terminal[tip]]
        for fork in self.forks_upwards():
            flow[fork] = flow[self._child[fork, 0]] + flow[self._child[fork, 1]]
        base = np.flatnonzero(self._child[: self.trunk, 0] >= 0)
        flow[base] = flow[self._child[base, 0]]
        self._flow[: self.size] = flow

    def count_below(self, nodes: np.ndarray) -> np.ndarray:
        """Terminals below nodes, as their flow over the mean demand."""
        return self._flow[nodes] / self.demand.mean()

    def forks_upwards(self) -> list[np.ndarray]:
        """Bifurcations level by level, the deepest first."""
        return [nodes[self._child[nodes, 1] >= 0] for nodes in reversed(self._levels)]

    def root_flow(self) -> np.ndarray:
        """Demand on each root."""
        base = np.flatnonzero(self._child[: self.trunk, 0] >= 0)
        return np.bincount(self._root[base], self._flow[base], minlength=len(self.root_radius))

    def radius(self, flow: np.ndarray, root: np.ndarray) -> np.ndarray:
        """r = r₀ (Q/Q₀)^(1/γ) [m], with the demand that each root has now."""
        return self.root_radius[root] * (flow / np.maximum(np.maximum(self.root_flow()[root], flow), 1e-300)) ** (
            1.0 / self.exponent
        )

    def path_cost(self, nodes: np.ndarray, demand: np.ndarray) -> np.ndarray:
        """What more demand at nodes costs on the way to their trunks: Σ ((Q+d)^α - Q^α) L over each path.

        For the usual demand of a terminal from one sum for all nodes, for others by walking up.
        """
        unit = float(self.demand.mean())
        cost = self._unit_path()[nodes] * (demand / unit)
        walk = np.flatnonzero(demand > 2.0 * unit)
        at, d = nodes[walk], demand[walk]
        total = np.zeros(len(walk))
        moving = np.flatnonzero(at >= self.trunk)
        while len(moving):
            n = at[moving]
            wider = (self._flow[n] + d[moving]) ** self.alpha - self._flow[n] ** self.alpha
            total[moving] += wider * self.length(n)
            at[moving] = self._parent[n]
            moving = moving[at[moving] >= self.trunk]
        cost[walk] = total
        return cost

    def _unit_path(self) -> np.ndarray:
        unit = float(self.demand.mean())
        price, step, grown = np.zeros(self.size), np.zeros(self.size), self.grown()
        wider = (self._flow[grown] + unit) ** self.alpha - self._flow[grown] ** self.alpha
        step[grown] = wider * self.length(grown)
        for nodes in self._levels:
            price[nodes] = price[self._parent[nodes]] + step[nodes]
        return price

    def length(self, nodes: np.ndarray) -> np.ndarray:
        """Lengths of the vessels that lead to nodes [m]."""
        way = self._position[nodes] - self._position[self._parent[nodes]]
        return norm(way)

    def cost(self) -> float:
        """Murray cost of the grown vessels, Σ Q^α L."""
        grown = self.grown()
        return float(np.sum(self.flow[grown] ** self.alpha * self.length(grown)))

    def unit_cost(self) -> float:
        """Murray cost per unit of demand."""
        return self.cost() / max(float(self.root_flow().sum()), 1.0)

    def _new(self, count: int) -> np.ndarray:
        spare = np.concatenate(self._spare) if self._spare else np.zeros(0, int)
        reused, left = spare[:count], spare[count:]
        self._spare = [left] if len(left) else []
        new = np.concatenate([reused, np.arange(self.size, self.size + count - len(reused))])
        self.size += count - len(reused)
        self._alive[new], self._pinned[new] = True, False
        return new

    def _drop(self, dead: np.ndarray) -> None:
        self._alive[dead], self._terminal[dead], self._child[dead], self._parent[dead] = False, -1, -1, -1
        self._spare.append(dead)

    def _replace_child(self, node, old, new) -> None:
        side = (self._child[node, 1] == old).astype(int)
        self._child[node, side] = new
