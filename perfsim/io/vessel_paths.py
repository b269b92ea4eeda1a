"""SimVascular's project files: a vessel's path (`.pth`) and its lumen contours (`.ctgr`)."""

import re
import xml.etree.ElementTree as XML
from pathlib import Path

from perfsim._files import read_text
from perfsim._results import InputError
from perfsim.io.parents import tree_from_parents
from perfsim.network import Centerlines

import numpy as np


def read_vessel_path(path: Path) -> tuple[Centerlines, list[str]]:
    """Read one vessel; lengths are in the file's unit. Returns it with what was noticed.

    A `.ctgr` gives a point at the middle of each contour, with the radius of a circle of the contour's area. A `.pth`
    gives the path's points; it has no radii, which come from the contours of the same name beside it or in the
    project's folder Segmentations. Raises `InputError` naming what is missing.
    """
    if path.suffix.lower() == ".ctgr":
        points, radius = _contours(path)
        return _vessel(points, radius, path), []
    points = _path_points(path)
    places = [path.with_suffix(".ctgr"), path.parent.parent / "Segmentations" / f"{path.stem}.ctgr"]
    contours = next((p for p in places if p.is_file()), None)
    if contours is None:
        raise InputError(f"{path}: a path has no radii, and there is no {places[0].name} with contours beside it")
    middle, radius = _contours(contours)
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = arc[np.argmin(np.linalg.norm(points[None] - middle[:, None], axis=2), axis=1)]
    order = np.argsort(at, kind="stable")
    along = np.interp(arc, at[order], radius[order])
    return _vessel(points, along, path), [f"radii are those of the {len(radius)} contours in {contours.name}"]


def _vessel(points: np.ndarray, radius: np.ndarray, path: Path) -> Centerlines:
    keep = np.concatenate([[True], np.linalg.norm(np.diff(points, axis=0), axis=1) > 0])
    count = int(keep.sum())
    return tree_from_parents(points[keep], radius[keep], np.arange(count) - 1, str(path))


def _path_points(path: Path) -> np.ndarray:
    elements = _root(path, "path").findall("timestep/path_element/path_points/path_point/pos")
    return _coordinates(elements, path, "points of a path")


def _contours(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Middle and radius of each contour, in the order in which the path passes them."""
    contours = _root(path, "contourgroup").findall("timestep/contour")
    rings = [_coordinates(c.findall("contour_points/point"), path, f"points of contour {k}", 3)
             for k, c in enumerate(contours)]  # fmt: skip
    if len(rings) < 2:
        raise InputError(f"{path}: holds {len(rings)} contours; a vessel needs at least two")
    middle = np.array([ring.mean(0) for ring in rings])
    around = [np.cross(ring - m, np.roll(ring, -1, axis=0) - m).sum(0) for ring, m in zip(rings, middle, strict=True)]
    return middle, np.sqrt(0.5 * np.linalg.norm(around, axis=1) / np.pi)


def _coordinates(elements, path: Path, what: str, least: int = 2) -> np.ndarray:
    try:
        found = np.array([[float(e.attrib[axis]) for axis in "xyz"] for e in elements]).reshape(-1, 3)
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: the {what} cannot be read ({type(error).__name__}: {error})") from None
    if len(found) < least or not np.isfinite(found).all():
        raise InputError(f"{path}: {len(found)} {what}; at least {least} with finite coordinates are needed")
    return found


def _root(path: Path, kind: str) -> XML.Element:
    """The element of a kind. SimVascular writes a second root before it, which XML does not have."""
    text = read_text(path)
    if re.search(r"<!(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise InputError(f"{path}: declares a document type or entities, which such files do not have")
    try:
        found = XML.fromstring(f"<file>{re.sub(r'<[?].*?[?]>', '', text)}</file>").findall(kind)
    except XML.ParseError as error:
        raise InputError(f"{path}: not valid XML ({error})") from None
    if len(found) != 1:
        raise InputError(f"{path}: holds {len(found)} elements <{kind}>; one is needed")
    steps = len(found[0].findall("timestep"))
    if steps != 1:
        raise InputError(f"{path}: holds {steps} time steps; a vessel needs one")
    return found[0]
