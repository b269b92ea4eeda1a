"""The growing forest: host arrays, one row per node, each node with the vessel that leads to it."""

import numpy as np


class GrowingForest:
    """Nodes with parents; the first `trunk` of them are the fixed trunks, whose cost is sunk.

    Flow counts terminals, so a vessel's flow is the number of terminals below it. `alpha` = 2/γ is the power of the
    flow in the Murray cost Σ Q^α L.
    """

    def __init__(self, position: np.ndarray, parent: np.ndarray, attachable: np.ndarray, alpha: float, capacity: int):
        self.trunk = self.size = len(position)
        room = self.trunk + 2 * capacity
        self._position, self._parent = np.zeros((room, 3)), np.full(room, -1)
        self._position[: self.size], self._parent[: self.size] = position, parent
        self.attachable = attachable
        self.alpha = alpha
        self._terminal = np.zeros(room, bool)
        self.flow = np.zeros(room)
        self.depth = np.zeros(room, int)

    @property
    def position(self):
        return self._position[: self.size]

    @property
    def parent(self):
        return self._parent[: self.size]

    @property
    def terminal(self):
        return self._terminal[: self.size]

    def grown(self) -> np.ndarray:
        """Nodes whose vessel was grown."""
        return np.arange(self.trunk, self.size)

    def add(self, position, parent, terminal) -> np.ndarray:
        """Append nodes; returns their numbers."""
        new = np.arange(self.size, self.size + len(position))
        self.size += len(position)
        self._position[new], self._parent[new], self._terminal[new] = position, parent, terminal
        return new

    def update(self) -> None:
        """Recompute depth and flow of the grown part. Trunk nodes count as depth 0, flow there is not needed."""
        grown = self.grown()
        depth = np.zeros(self.size, int)
        waiting = grown
        level = 1
        known = np.zeros(self.size, bool)
        known[: self.trunk] = True
        self._levels = []
        while len(waiting):
            ready = known[self._parent[waiting]]
            nodes = waiting[ready]
            depth[nodes] = level
            self._levels.append(nodes)
            waiting = waiting[~ready]
            known[nodes] = True
            level += 1
        flow = self.terminal.astype(float)
        for nodes in reversed(self._levels):
            np.add.at(flow, self._parent[nodes], flow[nodes])
        self.flow[: self.size], self.depth[: self.size] = flow, depth

    def path_price(self) -> np.ndarray:
        """Cost of one more terminal along the path from each node to its trunk: Σ α Q^(α-1) L."""
        price = np.zeros(self.size)
        for nodes in self._levels:
            up = self._parent[nodes]
            length = np.linalg.norm(self._position[nodes] - self._position[up], axis=1)
            price[nodes] = price[up] + self.alpha * self.flow[nodes] ** (self.alpha - 1.0) * length
        return price

    def cost(self) -> float:
        """Murray cost of the grown vessels, Σ Q^α L."""
        g = self.grown()
        length = np.linalg.norm(self._position[g] - self._position[self._parent[g]], axis=1)
        return float(np.sum(self.flow[g] ** self.alpha * length))

    def children(self) -> tuple[np.ndarray, np.ndarray]:
        """(nodes with two grown children, their children (n, 2)): the bifurcations that may move."""
        g = self.grown()
        order = g[np.argsort(self._parent[g], kind="stable")]
        up = self._parent[order]
        first = np.flatnonzero((up[1:] == up[:-1]) & (up[1:] >= self.trunk))
        return up[first], np.stack([order[first], order[first + 1]], 1)
