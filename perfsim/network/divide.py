"""Dividing vessels into pieces: the same tube, more nodes."""

import dataclasses

from perfsim._arrays import on_device
from perfsim.network.vessels import VesselNetwork

import numpy as np


def divide(network: VesselNetwork, pieces: np.ndarray) -> VesselNetwork:
    """The network with each vessel cut into `pieces` (vessels,) ≥ 1 of equal length, and its new nodes (host).

    Where blood runs nothing changes: lumens taper linearly from end to end as before. New nodes come after the old
    ones, in the order of the vessels and away from the inlet.
    """
    pieces = np.asarray(pieces, int)
    old = np.repeat(np.arange(len(pieces)), pieces)
    start = np.cumsum(pieces) - pieces
    piece, count = np.arange(len(old)) - start[old], pieces[old]
    fresh = len(network.position) + np.cumsum(piece > 0) - 1  # the node at the near end of every piece but the first
    near, far, flipped = (np.asarray(x) for x in (network.near, network.far, network.flipped))
    last = piece == count - 1
    begin, end = np.where(piece == 0, near[old], fresh), np.where(last, far[old], np.append(fresh[1:], 0))
    a, b = piece / count, (piece + 1) / count
    a, b = np.where(flipped[old], 1.0 - b, a), np.where(flipped[old], 1.0 - a, b)  # along the vessel, tail to head

    def along(ends):
        """Values at both ends of the pieces, of values at both ends of the vessels."""
        ends = np.asarray(ends)[old]
        slope = ends[:, 1] - ends[:, 0]
        return on_device(np.stack([ends[:, 0] + a * slope, ends[:, 0] + b * slope], 1))

    position = np.asarray(network.position)
    inner = piece > 0
    share = (piece / count)[inner, None]
    nodes = (1.0 - share) * position[near[old[inner]]] + share * position[far[old[inner]]]
    turned = flipped[old]
    reach = np.append(start, len(old))
    changed = {
        "position": np.concatenate([position, nodes]),
        "tail": np.where(turned, end, begin),
        "head": np.where(turned, begin, end),
        "subtree_end": reach[np.asarray(network.subtree_end)][old],
        **{k: np.asarray(getattr(network, k))[old] for k in ("flipped", "measured", "root", "branch")},
    }
    return dataclasses.replace(
        network,
        lumen=along(network.lumen),
        coordinate=along(network.coordinate),
        **{k: on_device(v) for k, v in changed.items()},
    )
