"""Landmarks of a left ventricle: biv-me's guide-point tables, and the anatomical frame they give."""

from pathlib import Path

from perfsim._results import InputError
from perfsim.anatomy import Frame, frame_from_points
from perfsim.io.tables import Column, read_table
from perfsim.units import MM

import numpy as np

KIND = ("contour type", "type", "contour")


def read_guide_points(path: str | Path, unit: float = MM) -> dict[str, np.ndarray]:
    """Points by contour type from a biv-me guide-point table (x, y, z, contour type, ...), in metres.

    Raises `InputError` naming file, line and value.
    """
    path = Path(path)
    table = read_table(path, is_guide_point_table)
    columns = [table.need(name, name) for name in ("x", "y", "z")]
    kind = table.find(*KIND)
    kind = 3 if kind is None and _starts_with_xyz([c.bare for c in table.columns]) else kind
    if kind is None:
        kind = table.need("contour type")
    xyz = unit * np.stack([table.numbers(c, empty=False) for c in columns], 1)
    if not len(xyz):
        raise InputError(f"{path}: the table has no rows")
    names = [str(cells[kind]) for _, cells in table.rows]
    for (where, _), name in zip(table.rows, names, strict=True):
        if not name:
            raise InputError(f"{where}: the contour type is empty")
    return {name: xyz[[n == name for n in names]] for name in dict.fromkeys(names)}


def is_guide_point_table(names: list[str]) -> bool:
    """Whether a header is one of guide points."""
    found = [Column.of(n).bare for n in names]
    return _starts_with_xyz(found) or ("x" in found and any(k in found for k in KIND))


def _starts_with_xyz(names: list[str]) -> bool:
    """Whether the type may stand in the fourth column, as biv-me writes it."""
    return names[:3] == ["x", "y", "z"] and len(names) > 3


def frame_from_guide_points(points: dict[str, np.ndarray], source: str | Path) -> Frame:
    """The anatomical frame: mitral ring to apex, septum between the right ventricle's inserts.

    Which insert is anterior follows from handedness: (lateral, anterior, towards the apex) is right-handed. Raises
    `InputError` naming the `source` and what is missing.
    """
    for name in ("MITRAL_VALVE", "APEX_POINT", "RV_INSERT"):
        if name not in points:
            raise InputError(f"{source}: the guide points have no {name}: the long axis and the septum need it")
    base, apex, inserts = points["MITRAL_VALVE"], points["APEX_POINT"][0], points["RV_INSERT"]
    if np.linalg.norm(apex - base.mean(0)) < 1e-3:
        raise InputError(f"{source}: the apex lies at the base: the guide points give no long axis")
    axis = (apex - base.mean(0)) / np.linalg.norm(apex - base.mean(0))
    across = inserts - base.mean(0)
    across -= np.outer(across @ axis, axis)
    anterior = np.cross(axis, -across.mean(0))
    upper, lower = (inserts[side] for side in (across @ anterior > 0, across @ anterior < 0))
    if not len(upper) or not len(lower):
        raise InputError(
            f"{source}: the guide points need RV_INSERT points on both sides of the septum, anterior and inferior"
        )
    return frame_from_points(base, apex, upper, lower)
