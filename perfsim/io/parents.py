"""Trees as files give them: points, each with its parent."""

from perfsim._results import InputError
from perfsim.network import Centerlines, depths, unbranched_runs

import numpy as np


def tree_from_parents(position, radius, parent, source: str) -> Centerlines:
    """A tree from each node's parent (-1 at inlets): unbranched runs as branches, ends as outlets."""
    head = np.flatnonzero(parent >= 0)
    if not len(head) or not (parent < 0).any():
        raise InputError(f"{source}: no point is the parent of another, or none is a root: not a tree")
    try:
        head = head[np.argsort(depths(parent)[head], kind="stable")]
        tail = parent[head]
        branch, names = unbranched_runs(tail, head, len(position))
        return Centerlines.build(
            position, tail, head, np.stack([radius[tail], radius[head]], 1), inlets=np.flatnonzero(parent < 0),
            outlets=np.flatnonzero(np.bincount(tail, minlength=len(position)) == 0), branch=branch, branch_names=names,
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
