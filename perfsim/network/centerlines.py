"""`Centerlines`: a vessel forest as numpy arrays, checked and in order: what files hold, before any device sees it."""

import dataclasses

from perfsim._results import InputError
from perfsim.network.topology import accumulate, depth_first

import numpy as np

GROWN = "grown"
"""the branch of all synthetic vessels"""


@dataclasses.dataclass(frozen=True, eq=False)
class Centerlines:
    """The fields of `VesselNetwork` on the host; `VesselNetwork.of` takes them to the device.

    Build one with `Centerlines.build`.
    """

    position: np.ndarray
    lumen: np.ndarray
    coordinate: np.ndarray
    root_radius: np.ndarray
    exponent: np.ndarray
    demand: np.ndarray
    outlet_demand: np.ndarray
    tail: np.ndarray
    head: np.ndarray
    flipped: np.ndarray
    measured: np.ndarray
    root: np.ndarray
    subtree_end: np.ndarray
    branch: np.ndarray
    inlets: np.ndarray
    terminals: np.ndarray
    outlets: np.ndarray
    branch_names: tuple[str, ...]
    inlet_names: tuple[str, ...]
    outlet_names: tuple[str, ...]

    @classmethod
    def build(
        cls,
        position,
        tail,
        head,
        lumen,
        *,
        inlets,
        terminals=(),
        outlets=(),
        branch=None,
        branch_names=("vessel",),
        inlet_names=None,
        outlet_names=None,
        measured=None,
        root_radius=None,
        exponent=7 / 3,
        demand=None,
        outlet_demand=None,
    ) -> "Centerlines":
        """Order the vessels depth first and check them.

        Arguments are host arrays with the shapes and units of the fields; `lumen` may be one radius a vessel.
        Raises `InputError` for a non-positive or non-finite radius, a zero length, a loop, a vessel that no inlet
        reaches, or an index out of range, naming the vessel.
        """
        position = np.asarray(position, float)
        tail, head = np.asarray(tail, int), np.asarray(head, int)
        inlets = np.atleast_1d(np.asarray(inlets, int))
        terminals, outlets = np.asarray(terminals, int), np.asarray(outlets, int)
        lumen = np.asarray(lumen, float)
        lumen = np.stack([lumen, lumen], 1) if lumen.ndim == 1 else lumen
        branch = np.zeros(len(tail), int) if branch is None else np.asarray(branch, int)
        _check(position, tail, head, lumen, branch, branch_names)
        order, flipped, root, end = depth_first(len(position), tail, head, inlets)
        measured = np.ones(len(tail), bool) if measured is None else np.asarray(measured, bool)
        tail, head, lumen, branch, measured = (
            tail[order],
            head[order],
            lumen[order],
            branch[order],
            measured[order],
        )
        if root_radius is None:
            root_radius = _first_radius(inlets, tail, head, lumen)
        return cls(
            position=position,
            lumen=lumen,
            coordinate=_arc_length(position, tail, head, branch),
            root_radius=np.asarray(root_radius, float),
            exponent=np.asarray(exponent, float),
            demand=np.asarray(np.ones(len(terminals)) if demand is None else demand, float),
            outlet_demand=np.asarray(np.zeros(len(outlets)) if outlet_demand is None else outlet_demand, float),
            tail=tail,
            head=head,
            flipped=flipped,
            measured=measured,
            root=root,
            subtree_end=end,
            branch=branch,
            inlets=inlets,
            terminals=terminals,
            outlets=outlets,
            branch_names=tuple(branch_names),
            inlet_names=tuple(inlet_names or (f"inlet{i}" for i in range(len(inlets)))),
            outlet_names=tuple(outlet_names or (f"outlet{i}" for i in range(len(outlets)))),
        )

    @property
    def length(self) -> np.ndarray:
        """Vessel lengths [m]."""
        return np.linalg.norm(self.position[self.head] - self.position[self.tail], axis=-1)

    @property
    def far(self) -> np.ndarray:
        """The end of each vessel that lies away from its inlet."""
        return np.where(self.flipped, self.tail, self.head)

    def scaled(self, factor: float) -> "Centerlines":
        """All lengths times a factor, as for a change of unit."""
        lengths = ("position", "lumen", "coordinate", "root_radius")
        return dataclasses.replace(self, **{name: factor * getattr(self, name) for name in lengths})


def _check(position, tail, head, lumen, branch, branch_names) -> None:
    if len(tail) == 0:
        raise InputError("the network has no vessels")
    for name, index in (("tail", tail), ("head", head)):
        bad = (index < 0) | (index >= len(position))
        if bad.any():
            v = int(np.flatnonzero(bad)[0])
            raise InputError(f"{name} of vessel {v} is node {index[v]}, but nodes run from 0 to {len(position) - 1}")
    if not np.isfinite(position).all():
        n = int(np.flatnonzero(~np.isfinite(position).all(1))[0])
        raise InputError(f"node {n} has the position {position[n]}: coordinates must be finite")
    bad = ~(np.isfinite(lumen) & (lumen > 0)).all(1)
    if bad.any():
        v = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"vessel {v} of branch {branch_names[branch[v]]} has the radius {lumen[v]} m: radii must be positive and "
            "finite"
        )
    bad = np.linalg.norm(position[head] - position[tail], axis=1) <= 0
    if bad.any():
        v = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"vessel {v} of branch {branch_names[branch[v]]} (node {tail[v]} to node {head[v]}) has zero length: "
            "merge its nodes"
        )


def _first_radius(inlets, tail, head, lumen):
    radius = []
    for inlet in inlets:
        leaving, entering = np.flatnonzero(tail == inlet), np.flatnonzero(head == inlet)
        radius.append(lumen[leaving, 0].max() if len(leaving) else lumen[entering, 1].max())
    return np.array(radius)


def _arc_length(position, tail, head, branch):
    """Arc length of both ends along the branch; a branch's coordinate starts at 0 where it leaves its parent."""
    length = np.linalg.norm(position[head] - position[tail], axis=1)
    branches = np.int64(branch.max() + 1)
    end, begin = head * branches + branch, tail * branches + branch
    order = np.argsort(end, kind="stable")
    found = np.minimum(np.searchsorted(end[order], begin, side="right") - 1, len(end) - 1)
    above = np.where((found >= 0) & (end[order[found]] == begin), order[found], -1)
    arc = accumulate(above, length)
    return np.stack([np.where(above >= 0, arc[above], 0.0), arc], 1)
