"""Trunks of one short vessel each, for trees that start from points."""

from typing import TYPE_CHECKING

from perfsim import network
from perfsim._results import InputError
from perfsim.network import Centerlines

import numpy as np

if TYPE_CHECKING:
    from perfsim.network import VesselNetwork


def stub_roots(position, direction, radius, names=None) -> "VesselNetwork":
    """A network with one straight stub per root, two radii long, that ends at `position`; trees grow from there.

    Arguments: positions (roots, 3) [m], directions (roots, 3) the stubs come from, seen from their ends (they point out
    of the domain), radii (roots,) [m], names. Raises `InputError` where their numbers differ.
    """
    return network.VesselNetwork.of(stub_lines(position, direction, radius, names))


def stub_lines(position, direction, radius, names=None) -> Centerlines:
    """The same as `stub_roots`, as numpy arrays."""
    position, direction = (np.atleast_2d(np.asarray(x, float)) for x in (position, direction))
    radius = np.atleast_1d(np.asarray(radius, float))
    names = tuple(names or (f"root{k}" for k in range(len(position))))
    if not len(position) == len(direction) == len(radius) == len(names):
        counts = f"{len(position)} positions, {len(direction)} directions, {len(radius)} radii, {len(names)} names"
        raise InputError(f"every root needs its own: there are {counts}")
    direction = direction / np.linalg.norm(direction, axis=1)[:, None]
    start = position + 2.0 * radius[:, None] * direction
    tail = np.arange(len(position))
    return Centerlines.build(
        np.concatenate([start, position]), tail, tail + len(position), radius, inlets=tail, branch=tail,
        branch_names=names, inlet_names=names,
    )  # fmt: skip
