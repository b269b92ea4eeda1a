"""A left-ventricular wall from a NIfTI label map."""

from pathlib import Path

from perfsim._notes import note
from perfsim._results import InputError
from perfsim.anatomy import Frame, MaskWall
from perfsim.io.images import Trust, open_image

import numpy as np
import scipy

EXTENT = (40e-3, 500e-3)
"""[m], the longest side of a box that holds wall and cavities"""
FEWEST = 8
"""cubes of the resampled labels, below which a part is no part"""


def wall_from_labels(
    path: str | Path,
    *,
    wall: int,
    cavity: int,
    right_ventricle: int,
    spacing: float = 1.5e-3,
    trust: Trust | None = None,
) -> MaskWall:
    """Read wall, cavity and right ventricle by their label values, in any orientation and voxel size.

    The affine is taken as NIfTI has it (RAS, in the header's unit); inside perfsim the world is LPS in metres. The
    labels are resampled to cubes of `spacing` [m]. The long axis is the cavity's principal axis, its apical end the one
    that the wall closes; the septum is where the right ventricle touches the wall, and its edges are the insertion
    points. `trust`: see `open_image`. Raises `InputError` for a missing label, labels that are exchanged, a file that
    is no label image, or one without orientation.
    """
    path = Path(path)
    image = open_image(path, trust)
    if len(image.shape) != 3:
        raise InputError(f"{path}: needs one whole number per voxel in three dimensions, has shape {image.shape}")
    labels, to_world = _whole(path, image.values()), image.to_world
    for name, value in (("wall", wall), ("cavity", cavity), ("right_ventricle", right_ventricle)):
        if not (labels == value).any():
            there = np.unique(labels)[:12].tolist()
            raise InputError(f"{path}: no voxel has the label {value} ({name}); there are {there}")
    labels, to_world = _cropped(labels, to_world, (wall, cavity, right_ventricle))
    low, high = _bounds(labels, to_world)
    size = float((high - low).max())
    if not EXTENT[0] <= size <= EXTENT[1]:
        raise InputError(f"{path}: the labels are {1e3 * size:.4g} mm across: no heart; is the affine in mm?")
    edges = np.linalg.norm(to_world[:3, :3], axis=0)
    if edges.max() < 0.5 * spacing:
        note(f"{path}: labels in voxels of {1e3 * edges.max():.2g} mm are resampled to {1e3 * spacing:g} mm")
    low = _start(low, spacing)
    parts = _resampled(labels, to_world, (wall, cavity, right_ventricle), spacing, low, high)
    for name, part in zip(("wall", "cavity", "right ventricle"), parts, strict=True):
        if part.sum() < FEWEST:
            raise InputError(f"{path}: the {name} is smaller than {FEWEST} cubes of {1e3 * spacing:g} mm: is it whole?")
    _check_enclosed(path, *parts)
    return MaskWall(parts[0], low, spacing, _frame(low, spacing, *parts))


def _whole(path: Path, values: np.ndarray) -> np.ndarray:
    """Labels as whole numbers; NaN is background."""
    if np.issubdtype(values.dtype, np.integer):
        return values
    values = np.nan_to_num(values, copy=False, nan=0.0)
    labels = np.rint(values)
    off = np.abs(values - labels)
    if not (off <= 1e-3).all():
        raise InputError(
            f"{path}: {int(np.sum(off > 1e-3))} voxels hold no whole number, e.g. {values[off > 1e-3][0]:.4g}: labels "
            "need one whole number per voxel; resample them by nearest neighbor, not by interpolation"
        )
    if np.abs(labels).max(initial=0) > 32767:
        raise InputError(f"{path}: labels reach {labels.max():.4g}: is this an image, not a label map?")
    return labels.astype(np.int16)


def _cropped(labels, to_world, values) -> tuple[np.ndarray, np.ndarray]:
    """The box that holds all voxels with these values and two more on every side where there are any."""
    known = np.isin(labels, values)
    box = []
    for axis in range(3):
        at = np.flatnonzero(known.any(axis=tuple(k for k in range(3) if k != axis)))
        box.append(slice(max(int(at[0]) - 2, 0), int(at[-1]) + 3))
    moved = to_world.copy()
    moved[:3, 3] += to_world[:3, :3] @ [b.start for b in box]
    return np.where(known, labels, 0)[tuple(box)], moved


def _bounds(labels, to_world) -> tuple[np.ndarray, np.ndarray]:
    """Corners in the world [m] of a box that holds all labelled voxels, and one more on every side."""
    sides = [np.flatnonzero((labels != 0).any(axis=tuple(k for k in range(3) if k != a)))[[0, -1]] for a in range(3)]
    low, high = np.array(sides).T
    corners = np.array(np.meshgrid(*zip(low - 1, high + 1, strict=True))).reshape(3, -1).T
    world = corners @ to_world[:3, :3].T + to_world[:3, 3]
    return world.min(0), world.max(0)


def _start(low: np.ndarray, spacing: float) -> np.ndarray:
    """Where the grid of cubes starts: off the corner by a share that keeps its points off the faces of voxels.

    A point on a face has half of either label; cubes of 1.5 mm in voxels of 3 mm would lose 14 % of the wall there.
    """
    return low + (np.sqrt(5.0) - 2.0) * spacing


def _resampled(labels, to_world, values, spacing, low, high) -> list[np.ndarray]:
    """Masks of the values on an axis-aligned grid of cubes between two corners in the world."""
    axes = [np.arange(a, b + spacing, spacing) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), 0)
    inverse = np.linalg.inv(to_world)
    at = np.einsum("ij,jxyz->ixyz", inverse[:3, :3], grid) + inverse[:3, 3][:, None, None, None]
    return [
        scipy.ndimage.map_coordinates((labels == v).astype(np.float32), at, order=1, output=np.float32) > 0.5
        for v in values
    ]


def _check_enclosed(path: Path, wall, cavity, right) -> None:
    """Raises `InputError` where the wall encloses the right ventricle rather than the cavity.

    Each pool's share of surface that touches the wall tells: the left cavity is open at the valves only.
    """
    near = scipy.ndimage.binary_dilation(wall, iterations=2)
    shell = {name: part & ~scipy.ndimage.binary_erosion(part) for name, part in (("cavity", cavity), ("right", right))}
    covered = {name: float((rim & near).sum() / max(rim.sum(), 1)) for name, rim in shell.items()}
    if covered["cavity"] < 0.5 or covered["cavity"] < covered["right"]:
        exchanged = covered["right"] > covered["cavity"]
        hint = "is it exchanged with the right ventricle" if exchanged else "is the label right"
        raise InputError(
            f"{path}: the wall encloses {100 * covered['cavity']:.0f} % of the cavity's surface (right ventricle: "
            f"{100 * covered['right']:.0f} %): {hint}?"
        )


def _frame(origin, spacing, wall, cavity, right) -> Frame:
    """The anatomical frame from where the three labels lie."""
    inside, muscle, other = (origin + spacing * np.argwhere(m) for m in (cavity, wall, right))
    center = inside.mean(0)
    _, axes = np.linalg.eigh(np.cov((inside - center).T))
    axis = axes[:, -1]
    # near the axis, the wall continues beyond the cavity at the apex only
    along, across = (muscle - center) @ axis, np.linalg.norm(np.cross(muscle - center, axis), axis=1)
    near = across < 0.25 * np.median(across)
    if not near.any():
        near = across < np.quantile(across, 0.02)
    axis = axis * np.sign(along[near].mean())
    depth = (inside - center) @ axis
    base = center + np.quantile(depth, 0.005) * axis
    contact = scipy.ndimage.binary_dilation(right, iterations=max(2, round(3e-3 / spacing))) & wall
    touching = (origin + spacing * np.argwhere(contact) if contact.any() else other) - base
    touching = touching - np.outer(touching @ axis, axis)
    unit = touching / np.linalg.norm(touching, axis=1)[:, None]
    septal = unit.mean(0) / np.linalg.norm(unit.mean(0))
    frame = Frame(base, axis, -septal, float(np.ptp(depth)), float(np.ptp(depth)))
    angle = frame.cylindrical(base + touching)[2]
    edges = np.quantile(angle, [0.03, 0.97])
    return Frame(base, axis, -septal, frame.length, frame.cavity_length, float(edges[0]), float(edges[1]))
