"""`VesselNetwork`: a forest of vessels as arrays.

A vessel is a straight piece of centerline between two nodes, with the lumen radius at both ends and a linear taper
between them; a named `branch` (LAD, D1, ...) is a path of vessels. Vessels are stored in depth-first order from the
inlets, so that everything downstream of a vessel is one contiguous range: sums over subtrees are differences of one
cumulative sum, differentiable and without scatter.
"""

from perfsim._results import InputError

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

GROWN = "grown"


class VesselNetwork(eqx.Module):
    """Vessels, nodes, and where blood enters and leaves. Build one with `VesselNetwork.build`."""

    position: Float[Array, "nodes 3"]
    """node coordinates [m]"""
    lumen: Float[Array, "vessels 2"]
    """radius at tail and head [m]; used where `measured`, else recomputed from the radius law"""
    coordinate: Float[Array, "vessels 2"]
    """arc length of tail and head along the vessel's branch [m]"""
    root_radius: Float[Array, " inlets"]
    """healthy proximal lumen radius r₀ of each inlet [m], the anchor of the radius law"""
    exponent: Float[Array, ""]
    """γ of the radius law r = r₀ (Q/Q₀)^(1/γ)"""
    demand: Float[Array, " terminals"]
    """design flow of each terminal, as the tissue volume it feeds [m³]"""
    outlet_demand: Float[Array, " outlets"]
    """design flow of each lumped outlet, as an equivalent tissue volume [m³]"""
    tail: Int[Array, " vessels"]
    head: Int[Array, " vessels"]
    flipped: Bool[Array, " vessels"]
    """the vessel points towards its inlet (a confluence): blood from the first inlet runs from head to tail"""
    measured: Bool[Array, " vessels"]
    """the lumen comes from an image or a table (True) or from the radius law (False)"""
    root: Int[Array, " vessels"]
    """the inlet that the vessel hangs on"""
    subtree_end: Int[Array, " vessels"]
    """vessels e+1 … subtree_end[e]-1 lie downstream of vessel e"""
    branch: Int[Array, " vessels"]
    inlets: Int[Array, " inlets"]
    terminals: Int[Array, " terminals"]
    """nodes that feed control volumes"""
    outlets: Int[Array, " outlets"]
    """nodes that end in a lumped outlet"""
    branch_names: tuple[str, ...] = eqx.field(static=True)
    inlet_names: tuple[str, ...] = eqx.field(static=True)
    outlet_names: tuple[str, ...] = eqx.field(static=True)

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
    ) -> "VesselNetwork":
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
            position=jnp.asarray(position),
            lumen=jnp.asarray(lumen),
            coordinate=jnp.asarray(_arc_length(position, tail, head, branch)),
            root_radius=jnp.asarray(root_radius, float),
            exponent=jnp.asarray(exponent, float),
            demand=jnp.asarray(np.ones(len(terminals)) if demand is None else demand, float),
            outlet_demand=jnp.asarray(np.zeros(len(outlets)) if outlet_demand is None else outlet_demand, float),
            tail=jnp.asarray(tail),
            head=jnp.asarray(head),
            flipped=jnp.asarray(flipped),
            measured=jnp.asarray(measured),
            root=jnp.asarray(root),
            subtree_end=jnp.asarray(end),
            branch=jnp.asarray(branch),
            inlets=jnp.asarray(inlets),
            terminals=jnp.asarray(terminals),
            outlets=jnp.asarray(outlets),
            branch_names=tuple(branch_names),
            inlet_names=tuple(inlet_names or (f"inlet{i}" for i in range(len(inlets)))),
            outlet_names=tuple(outlet_names or (f"outlet{i}" for i in range(len(outlets)))),
        )

    @property
    def length(self) -> Float[Array, " vessels"]:
        """Vessel lengths [m]."""
        return jnp.linalg.norm(self.position[self.head] - self.position[self.tail], axis=-1)

    @property
    def far(self) -> Int[Array, " vessels"]:
        """The end of each vessel that lies away from its inlet."""
        return jnp.where(self.flipped, self.tail, self.head)

    def downstream_sum(self, at_node: Float[Array, " nodes"]) -> Float[Array, " vessels"]:
        """Sum of a nodal quantity over everything downstream of each vessel, its far end included."""
        total = jnp.concatenate([jnp.zeros(1), jnp.cumsum(at_node[self.far])])
        return total[self.subtree_end] - total[:-1]

    def design_flow(self) -> tuple[Float[Array, " vessels"], Float[Array, " inlets"]]:
        """Design flow [m³ of tissue] through each vessel and each inlet: what lies downstream of it."""
        at_node = jnp.zeros(len(self.position)).at[self.terminals].add(self.demand)
        at_node = at_node.at[self.outlets].add(self.outlet_demand)
        flow = self.downstream_sum(at_node)
        inlet_flow = jnp.zeros(len(self.inlets)).at[self.root].add(at_node[self.far])
        return flow, inlet_flow


def vessel_into(network: VesselNetwork) -> np.ndarray:
    """For every node the vessel that leads to it from its inlet, -1 at inlets (host)."""
    into = np.full(len(network.position), -1)
    into[np.asarray(network.far)] = np.arange(len(network.tail))
    return into


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
    at_head: dict[tuple[int, int], float] = {}
    out = np.zeros((len(tail), 2))
    for v in range(len(tail)):
        s = at_head.get((int(tail[v]), int(branch[v])), 0.0)
        out[v] = s, s + length[v]
        at_head[(int(head[v]), int(branch[v]))] = s + length[v]
    return out
