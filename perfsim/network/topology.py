"""The order of vessels in a tree, on the host: depth first, depths, runs that do not divide."""

from perfsim._results import InputError

import numpy as np


def depth_first(nodes, tail, head, inlets):
    """Depth-first order of the vessels of an undirected forest, started from the inlets.

    Returns (order, flipped, root, subtree_end), the last three in the new order. Two inlets in one tree are
    allowed (a confluence): the first one met is the root.
    """
    vessels = len(tail)
    ends = np.concatenate([tail, head])
    by_node = np.argsort(ends, kind="stable")
    start = np.searchsorted(ends[by_node], np.arange(nodes + 1))
    incident = by_node % vessels
    order: list[int] = []
    flipped: list[bool] = []
    root: list[int] = []
    seen_node, seen_vessel = np.zeros(nodes, bool), np.zeros(vessels, bool)
    size = np.ones(vessels, int)
    parent_slot: list[int] = []
    for r, inlet in enumerate(inlets):
        if seen_node[inlet]:
            continue
        seen_node[inlet] = True
        stack = [(int(v), int(inlet), -1) for v in incident[start[inlet] : start[inlet + 1]][::-1]]
        while stack:
            v, near, above = stack.pop()
            if seen_vessel[v]:
                continue
            seen_vessel[v] = True
            far = int(head[v]) if tail[v] == near else int(tail[v])
            if seen_node[far]:
                raise InputError(
                    f"vessel {v} (node {tail[v]} to node {head[v]}) closes a loop: a tree is required; remove one "
                    "vessel of the loop"
                )
            seen_node[far] = True
            slot = len(order)
            order.append(v)
            flipped.append(bool(head[v] == near))
            root.append(r)
            parent_slot.append(above)
            stack += [(int(w), far, slot) for w in incident[start[far] : start[far + 1]][::-1] if w != v]
    if not seen_vessel.all():
        lost = int(np.flatnonzero(~seen_vessel)[0])
        raise InputError(
            f"{(~seen_vessel).sum()} vessels are reached from no inlet, the first is vessel {lost} (node "
            f"{tail[lost]} to node {head[lost]}): give its piece an inlet or remove it"
        )
    for slot in range(vessels - 1, -1, -1):
        if parent_slot[slot] >= 0:
            size[parent_slot[slot]] += size[slot]
    return (
        np.array(order, int),
        np.array(flipped, bool),
        np.array(root, int),
        np.arange(vessels) + size[:vessels],
    )


def depths(parent: np.ndarray) -> np.ndarray:
    """Distance in nodes of each node from its root (parent -1). In a loop the numbers mean nothing, but it ends."""
    depth = np.full(len(parent), -1)
    for start in range(len(parent)):
        path, node = [], start
        while node >= 0 and depth[node] == -1:
            depth[node] = -2  # on the way
            path.append(node)
            node = int(parent[node])
        base = depth[node] if node >= 0 and depth[node] >= 0 else -1
        if path:
            depth[path[::-1]] = base + 1 + np.arange(len(path))
    return depth


def unbranched_runs(tail: np.ndarray, head: np.ndarray, nodes: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Branch index of each vessel and the branch names b0, b1, ...: one branch per run of vessels that does not divide.

    Vessels must be sorted so that the one above comes first.
    """
    children = np.bincount(tail, minlength=nodes)
    of_node, branch, count = np.full(nodes, -1), np.zeros(len(head), int), 0
    for v in range(len(head)):
        if of_node[tail[v]] >= 0 and children[tail[v]] == 1:
            branch[v] = of_node[tail[v]]
        else:
            branch[v], count = count, count + 1
        of_node[head[v]] = branch[v]
    return branch, tuple(f"b{i}" for i in range(count))
