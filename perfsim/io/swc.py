"""SWC: trees of points with radii, `id type x y z radius parent`."""

from pathlib import Path
from typing import TYPE_CHECKING

from perfsim._results import InputError
from perfsim.network import Centerlines, depths, unbranched_runs
from perfsim.units import MM

import numpy as np

if TYPE_CHECKING:
    from perfsim.network import VesselNetwork


def read_swc(path: str | Path, unit: float = MM) -> Centerlines:
    """Read a tree; coordinates and radii are in `unit` [m] (millimetres unless told otherwise).

    Every unbranched run of points is one branch, `b0`, `b1`, ... in file order; leaves become lumped outlets. Raises
    `InputError` naming file, line and value for a row that cannot be read or a parent that does not exist.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        try:
            rows.append([float(w) for w in words[:7]])
            if len(words) < 7:
                raise ValueError(f"{len(words)} columns instead of 7")
        except ValueError as error:
            raise InputError(f"{path}, line {number}: cannot read {line.strip()!r} ({error})") from None
    if len(rows) < 2:
        raise InputError(f"{path}: {len(rows)} points; a tree needs at least two")
    table = np.array(rows)
    bad = np.flatnonzero(~np.isfinite(table).all(1))
    if len(bad):
        raise InputError(
            f"{path}: point row {bad[0] + 1} holds {table[bad[0]].tolist()}: every column must be a finite number"
        )
    if len(np.unique(table[:, 0])) < len(table):
        raise InputError(f"{path}: two points have the same id; ids must differ")
    index = {int(i): k for k, i in enumerate(table[:, 0])}
    parent = np.array([index.get(int(p), -1) for p in table[:, 6]])
    lost = np.flatnonzero((parent < 0) & (table[:, 6] >= 0))
    if len(lost):
        raise InputError(
            f"{path}: point {int(table[lost[0], 0])} has the parent {int(table[lost[0], 6])}, which is not there"
        )
    bad = np.flatnonzero(table[:, 5] <= 0)
    if len(bad):
        raise InputError(
            f"{path}: point {int(table[bad[0], 0])} has the radius {table[bad[0], 5]}: radii must be positive"
        )
    try:
        return _network(table[:, 2:5] * unit, table[:, 5] * unit, parent)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def write_swc(path: str | Path, network: "Centerlines | VesselNetwork") -> None:
    """Write a tree as SWC in mm, one point per node. Each inlet starts a tree of its own.

    SWC has one radius per point: the radius at the end of the vessel that leads there.
    """
    tail, head, far = (np.asarray(getattr(network, f)) for f in ("tail", "head", "far"))
    near = np.where(far == head, tail, head)
    radius = np.zeros(len(network.position))
    lumen = np.asarray(network.lumen)
    roots = [int(n) for n in np.asarray(network.inlets) if n not in far]
    radius[roots] = [lumen[np.flatnonzero(near == n)[0], 0] for n in roots]
    radius[far] = np.where(far == head, lumen[:, 1], lumen[:, 0])
    order = [*roots, *far.tolist()]  # vessels are stored depth first: parents come before children
    number = {node: k + 1 for k, node in enumerate(order)}
    parent = dict(zip(far.tolist(), near.tolist(), strict=True))
    rows = ["# id type x y z radius parent ; mm"]
    for node in order:
        x, y, z = np.asarray(network.position)[node] / MM
        up = number[parent[node]] if node in parent else -1
        rows.append(f"{number[node]} 2 {x:.6f} {y:.6f} {z:.6f} {radius[node] / MM:.6f} {up}")
    Path(path).write_text("\n".join(rows) + "\n", encoding="utf-8")


def _network(position, radius, parent) -> Centerlines:
    head = np.flatnonzero(parent >= 0)
    if not len(head) or not (parent < 0).any():
        raise InputError("no point is the parent of another, or none is a root (parent -1): not a tree")
    head = head[np.argsort(depths(parent)[head], kind="stable")]
    tail = parent[head]
    branch, names = unbranched_runs(tail, head, len(position))
    return Centerlines.build(
        position,
        tail,
        head,
        np.stack([radius[tail], radius[head]], 1),
        inlets=np.flatnonzero(parent < 0),
        outlets=np.flatnonzero(np.bincount(tail, minlength=len(position)) == 0),
        branch=branch,
        branch_names=names,
    )
