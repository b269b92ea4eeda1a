"""SWC: trees of points with radii, `id type x y z radius parent`."""

from pathlib import Path
from typing import TYPE_CHECKING

from perfsim._files import read_text
from perfsim._results import InputError
from perfsim.io.parents import tree_from_parents
from perfsim.network import Centerlines
from perfsim.units import MM

import numpy as np

if TYPE_CHECKING:
    from perfsim.network import VesselNetwork


SOMA = 1
"""type of a root point and of the two points beside it that only draw its contour"""


def read_swc(path: str | Path, unit: float = MM) -> Centerlines:
    """Read a tree; coordinates and radii are in `unit` [m] (millimetres unless told otherwise).

    Every unbranched run of points is one branch, `b0`, `b1`, ... in file order; leaves become lumped outlets. A point
    that lies on its parent is merged with it, and the two points that draw the contour of a three-point root are left
    out. Raises `InputError` naming file, line and value for a row that cannot be read or a parent that does not exist.
    """
    return swc_with_notes(Path(path), unit)[0]


def swc_with_notes(path: Path, unit: float) -> tuple[Centerlines, list[str]]:
    """As `read_swc`, with what was merged or left out, in sentences."""
    table = _table(path)
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
    keep, parent, notes = _simplified(table, parent)
    tree = tree_from_parents(table[keep, 2:5] * unit, table[keep, 5] * unit, parent, str(path))
    return tree, notes


def _table(path: Path) -> np.ndarray:
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
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
    for column, what in ((0, "id"), (6, "parent")):
        odd = np.flatnonzero(np.isfinite(table[:, column]) & (table[:, column] != np.round(table[:, column])))
        if len(odd):
            raise InputError(
                f"{path}: point row {odd[0] + 1} has the {what} {table[odd[0], column]:g}: use whole numbers"
            )
    outside = np.flatnonzero(table[:, 6] < -1)
    if len(outside):
        raise InputError(
            f"{path}: point row {outside[0] + 1} has the parent {table[outside[0], 6]:g}: a point without one has -1"
        )
    bad = np.flatnonzero(~np.isfinite(table).all(1))
    if len(bad):
        raise InputError(
            f"{path}: point row {bad[0] + 1} holds {table[bad[0]].tolist()}: every column must be a finite number"
        )
    ids, count = np.unique(table[:, 0], return_counts=True)
    if (count > 1).any():
        raise InputError(f"{path}: {count.max()} points have the id {ids[np.argmax(count)]:g}; ids must differ")
    return table


def _simplified(table: np.ndarray, parent: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Rows that are points of the centerline, their parents among those, and what was done to the others."""
    kind, x, radius, notes = table[:, 1], table[:, 2:5], table[:, 5], []
    away = np.where(parent < 0, np.inf, np.linalg.norm(x - x[parent], axis=1))
    leaf = np.bincount(parent[parent >= 0], minlength=len(table)) == 0
    contour = leaf & (kind == SOMA) & (parent >= 0) & (parent[parent] < 0) & (kind[parent] == SOMA)
    contour &= away <= 1.01 * radius[parent]
    contour &= np.bincount(parent[contour], minlength=len(table))[parent] == 2
    if contour.any():
        points = ", ".join(f"{i:g}" for i in table[contour, 0])
        notes.append(f"points {points} draw the contour of a three-point root: they were left out")
    doubled = away == 0
    for k in np.flatnonzero(doubled)[:1]:
        pair = f"points {table[parent[k], 0]:g} and {table[k, 0]:g}"
        notes.append(f"{pair} lie in one place: {int(doubled.sum())} such point(s) were merged")
    into = np.arange(len(table))  # the point that stands for each
    for k in range(len(table)):
        steps, at = 0, k
        while doubled[at] and steps <= len(table):
            at, steps = parent[at], steps + 1
        into[k] = at
    keep = np.flatnonzero(~doubled & ~contour)
    number = np.full(len(table), -1)
    number[keep] = np.arange(len(keep))
    return keep, np.where(parent[keep] < 0, -1, number[into[parent[keep]]]), notes


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
