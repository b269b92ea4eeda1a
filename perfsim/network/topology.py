"""The order of vessels in a tree, on the host: depth first, depths, runs that do not divide."""

from perfsim._results import InputError

import numpy as np
import scipy


def depth_first(nodes, tail, head, inlets):
    """Depth-first order of the vessels of an undirected forest, started from the inlets.

    Returns (order, flipped, root, subtree_end), the last three in the new order. Two inlets in one tree are allowed (a
    confluence): the first one is the root. At a node, vessels that leave it come before vessels that enter it, each in
    their own order. Raises `InputError` for a loop or a vessel that no inlet reaches.
    """
    roots, parent_node = _rooted(nodes, tail, head, inlets)
    flipped = parent_node[head] != tail
    near, far = np.where(flipped, head, tail), np.where(flipped, tail, head)
    into = np.full(nodes, -1)
    into[far] = np.arange(len(tail))
    above = into[near]
    depth = accumulate(above, np.ones(len(tail), int))
    size = np.ones(len(tail), int)
    for vessels in reversed(by_depth(depth)):
        inner = vessels[above[vessels] >= 0]
        np.add.at(size, above[inner], size[inner])
    # a vessel starts after the one above it and after all that hangs on its elder siblings
    place = np.full(nodes, -1)
    place[inlets[roots]] = roots
    family = np.where(above >= 0, above, len(tail) + place[near])
    rank = np.lexsort((np.arange(len(tail)), flipped, family))
    before = np.concatenate([[0], np.cumsum(size[rank])[:-1]])
    first = np.append(True, family[rank][1:] != family[rank][:-1])
    offset = np.zeros(len(tail), int)
    offset[rank] = before - np.maximum.accumulate(np.where(first, before, 0))
    eldest = above < 0
    of_root = np.zeros(len(inlets), int)
    np.add.at(of_root, place[near[eldest]], size[eldest])
    start = offset + 1
    start[eldest] += (np.cumsum(of_root) - of_root)[place[near[eldest]]] - 1
    order = np.argsort(accumulate(above, start))
    root = np.repeat(np.arange(len(inlets)), of_root)
    return order, flipped[order], root, np.arange(len(tail)) + size[order]


def accumulate(above: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Sum of values from each element up to its root; `above` is -1 at roots. Steps double, so that depth is cheap."""
    total, link = value.copy(), above.copy()
    while (inner := np.flatnonzero(link >= 0)).size:
        total[inner] += total[link[inner]]
        link[inner] = link[link[inner]]
    return total


def by_depth(depth: np.ndarray) -> list[np.ndarray]:
    """Elements of each depth, the least first."""
    order = np.argsort(depth, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(depth[order])) + 1)


def _rooted(nodes, tail, head, inlets) -> tuple[np.ndarray, np.ndarray]:
    """Which inlets are roots (indices), and the node above each; complains of loops and of what nothing reaches."""
    both = np.append(tail, head), np.append(head, tail)
    links = scipy.sparse.coo_matrix((np.ones(2 * len(tail)), both), (nodes, nodes)).tocsr()
    count, piece = scipy.sparse.csgraph.connected_components(links, directed=False)
    first = np.full(count, -1)
    for k in range(len(inlets) - 1, -1, -1):
        first[piece[inlets[k]]] = k
    lost = np.flatnonzero(first[piece[tail]] < 0)
    if len(lost):
        v = lost[0]
        raise InputError(
            f"{len(lost)} vessels are reached from no inlet, the first is {v} (node {tail[v]} to node "
            f"{head[v]}): give its piece an inlet or remove it"
        )
    roots = np.sort(first[first >= 0])
    # one breadth-first search from an extra node that is tied to all roots
    extra = scipy.sparse.coo_matrix(
        (np.ones(len(roots)), (np.full(len(roots), nodes), inlets[roots])), (nodes + 1, nodes + 1)
    )
    links.resize(nodes + 1, nodes + 1)
    _, above = scipy.sparse.csgraph.breadth_first_order((links + extra).tocsr(), nodes, directed=True)
    above = above[:nodes]
    above[above == nodes] = -1
    used = (above[head] == tail) | (above[tail] == head)
    twin = np.zeros(len(tail), bool)
    pair = np.sort(np.stack([tail, head], 1), axis=1)
    rank = np.lexsort((np.arange(len(tail)), pair[:, 1], pair[:, 0]))
    twin[rank[1:]] = (pair[rank[1:]] == pair[rank[:-1]]).all(1)
    closing = np.flatnonzero(~used | twin)
    if len(closing):
        v = closing[0]
        raise InputError(
            f"vessel {v} (node {tail[v]} to node {head[v]}) closes a loop: a tree is required; remove one vessel of "
            "the loop"
        )
    return roots, above


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


def padded_columns(owner: np.ndarray, value: np.ndarray, owners: int, fill: np.ndarray | int) -> np.ndarray:
    """Lists of `value` by `owner`, (slots, owners), padded with `fill`; in each column in the order given."""
    count = np.bincount(owner, minlength=owners)
    if (owner[1:] < owner[:-1]).any():
        order = np.argsort(owner, kind="stable")
        owner, value = owner[order], value[order]
    slot = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    out = np.empty((max(1, int(count.max(initial=0))), owners), value.dtype)
    out[:] = fill
    out[slot, owner] = value
    return out
