"""Landmarks of a left ventricle: biv-me's guide-point tables, and the anatomical frame they give."""

from pathlib import Path

from perfsim._results import InputError
from perfsim.anatomy import Frame, frame_from_points
from perfsim.units import MM

import numpy as np


def read_guide_points(path: str | Path, unit: float = MM) -> dict[str, np.ndarray]:
    """Points by contour type from a biv-me guide-point table (x, y, z, contour type, ...), in metres."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    points: dict[str, list[list[float]]] = {}
    for number, line in enumerate(path.read_text().splitlines()[1:], 2):
        words = line.split("\t")
        try:
            x, y, z = (float(w) * unit for w in words[:3])
            if not np.isfinite([x, y, z]).all():
                raise ValueError("coordinates must be finite")
            points.setdefault(words[3].strip(), []).append([x, y, z])
        except (IndexError, ValueError) as error:
            raise InputError(f"{path}, line {number}: cannot read {line.strip()!r} ({error})") from None
    return {name: np.array(rows) for name, rows in points.items()}


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
