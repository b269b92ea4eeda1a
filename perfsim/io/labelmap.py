"""A left-ventricular wall from a NIfTI label map."""

from pathlib import Path

from perfsim._results import InputError
from perfsim.anatomy import Frame, MaskWall
from perfsim.io.images import read_image

import numpy as np
import scipy

SECTORS = 36
ENCLOSED = 0.9
"""share of the directions around the cavity in which there must be wall"""
EXTENT = (40e-3, 500e-3)
"""[m], the longest side of a box that holds wall and cavities"""


def wall_from_labels(
    path: str | Path, *, wall: int, cavity: int, right_ventricle: int, spacing: float = 1.5e-3
) -> MaskWall:
    """Read wall, cavity and right ventricle by their label values, in any orientation and voxel size.

    The affine is taken as NIfTI has it (RAS, mm); inside perfsim the world is LPS in metres. The labels are resampled
    to cubes of `spacing` [m]. The long axis is the cavity's principal axis, its apical end the one that the wall
    closes; the septum is where the right ventricle touches the wall, and its edges are the insertion points. Raises
    `InputError` for a missing label or a file that is no label image.
    """
    labels, to_world = read_image(Path(path))
    if labels.ndim != 3 or not np.all(labels == np.round(labels)):
        raise InputError(f"{path}: needs one whole number per voxel in three dimensions, has shape {labels.shape}")
    for name, value in (("wall", wall), ("cavity", cavity), ("right_ventricle", right_ventricle)):
        if not (labels == value).any():
            raise InputError(
                f"{path}: no voxel has the label {value} ({name}); there are {np.unique(labels)[:12].tolist()}"
            )
    low, high = _bounds(labels, to_world, (wall, cavity, right_ventricle))
    size = float((high - low).max())
    if not EXTENT[0] <= size <= EXTENT[1]:
        raise InputError(f"{path}: the labels are {1e3 * size:.4g} mm across: no heart; is the affine in mm?")
    parts = _resampled(labels, to_world, (wall, cavity, right_ventricle), spacing, low, high)
    _refuse_exchanged(path, *parts)
    return MaskWall(parts[0], low, spacing, _frame(low, spacing, *parts))


def _refuse_exchanged(path: str | Path, wall: np.ndarray, cavity: np.ndarray, right: np.ndarray) -> None:
    """Raise `InputError` unless the wall goes round the cavity, and round it more than round the right ventricle."""
    around, beside = (_gone_round(wall, m) for m in (cavity, right))
    if around < ENCLOSED or around < beside:
        hint = "; it goes round the right ventricle: the labels are exchanged" if beside > ENCLOSED else ""
        raise InputError(
            f"{path}: the wall goes round {100 * around:.0f} % of the cavity, which it must enclose{hint}: check "
            "anatomy.label_values"
        )


def _gone_round(wall: np.ndarray, cavity: np.ndarray) -> float:
    """Share of the directions about a cavity's long axis, at the middle half of its length, in which there is wall."""
    inside, muscle = np.argwhere(cavity).astype(float), np.argwhere(wall).astype(float)
    center = inside.mean(0)
    axes = np.linalg.eigh(np.cov((inside - center).T))[1]
    low, high = np.quantile((inside - center) @ axes[:, -1], [0.25, 0.75])
    depth = (muscle - center) @ axes[:, -1]
    beside = (muscle - center)[(depth >= low) & (depth <= high)]
    angle = np.arctan2(beside @ axes[:, 0], beside @ axes[:, 1])
    return len(np.unique((angle / (2 * np.pi) * SECTORS).astype(int) % SECTORS)) / SECTORS


def _bounds(labels, to_world, values) -> tuple[np.ndarray, np.ndarray]:
    """Corners in the world [m] of a box that holds all voxels with these values, and one more on every side."""
    found = np.argwhere(np.isin(labels, values))
    corners = np.array(np.meshgrid(*zip(found.min(0) - 1, found.max(0) + 1, strict=True))).reshape(3, -1).T
    world = corners @ to_world[:3, :3].T + to_world[:3, 3]
    return world.min(0), world.max(0)


def _resampled(labels, to_world, values, spacing, low, high) -> list[np.ndarray]:
    """Masks of the values on an axis-aligned grid of cubes between two corners in the world."""
    axes = [np.arange(a, b + spacing, spacing) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), 0)
    inverse = np.linalg.inv(to_world)
    at = np.einsum("ij,jxyz->ixyz", inverse[:3, :3], grid) + inverse[:3, 3][:, None, None, None]
    soft = [scipy.ndimage.map_coordinates((labels == v).astype(np.float32), at, order=1) for v in values]
    return [s > 0.5 for s in soft]


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
