"""PET: dynamic images with their frames, maps of MBF."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from perfsim._extras import needed
from perfsim._notes import note
from perfsim._results import InputError
from perfsim.io.images import Image, Trust, open_image
from perfsim.io.segments import check_mbf, is_flow_unit, per_gram, states_in
from perfsim.io.sidecars import Sidecar, Zero, check_sidecar, read_sidecar, sidecar_of
from perfsim.io.tables import Column

import numpy as np
import scipy

with needed("io"):
    import nibabel as nib

if TYPE_CHECKING:
    from perfsim.darcy import ControlVolumes
    from perfsim.observe import LongAxis, Voxels
    from perfsim.observe.tracers import Frames

OVERLAP = 0.5
"""share of the wall that a map must cover"""
MISSING = 0.01
"""share of the wall's voxels that may be NaN before it is said"""
MOST_SEEN = 80_000_000
"""pairs of a voxel and a volume that it sees, beyond which voxels are merged: their indices take 4 bytes each"""
Unit = Literal["mL/min/g", "mL/min/mL", "mL/min/100g"]


def read_frames(path: str | Path, zero: Zero = "TimeZero") -> tuple["Frames", dict]:
    """Frames [s] and all fields of a BIDS-PET sidecar (.json). Arguments and errors as of `read_sidecar`."""
    sidecar = read_sidecar(path, zero)
    return sidecar.frames(), sidecar.fields


def read_dynamic(
    path: str | Path,
    *,
    zero: Zero = "TimeZero",
    decay: Literal["correct", "as is"] = "correct",
    half_life: float | None = None,
    trust: Trust | None = None,
) -> tuple[np.ndarray, np.ndarray, "Frames", dict]:
    """A dynamic image, corrected for decay: a 4D NIfTI with its BIDS sidecar, or a folder of one DICOM series.

    Arguments: `path`; `zero`: what time 0 of a sidecar means, its own or the injection (a series counts from the
    injection); `decay`: "correct" brings every frame to decay correction at time 0, "as is" leaves it (then the
    tracer's `decay` must be set); `half_life` [s] where the file names no radionuclide; `trust`: which orientation
    counts where a NIfTI's two contradict.

    Returns: (activity (x, y, z, frames) [Bq/mL], affine from indices to LPS metres, frames, sidecar).

    Raises: `InputError` for an image without its sidecar, or whose frames are not those of it.
    """
    path = Path(path)
    if path.is_dir():
        from perfsim.io.dicom import read_series

        values, to_world, sidecar = read_series(path)
        return values * _corrections(path, sidecar, decay, half_life), to_world, sidecar.frames(), sidecar.fields
    image, sidecar = _opened(path, zero, trust)
    factors = _corrections(path, sidecar, decay, half_life)
    return factors * image.values(), image.to_world, sidecar.frames(), sidecar.fields


def _opened(path: Path, zero: Zero, trust: Trust | None) -> tuple[Image, Sidecar]:
    image = open_image(path, trust)
    sidecar = check_sidecar(sidecar_of(path), path, zero)
    if len(image.shape) != 4 or image.shape[3] != len(sidecar.start):
        raise InputError(
            f"{path}: an image of shape {image.shape} does not hold the {len(sidecar.start)} frames listed"
        )
    return image, sidecar


def _corrections(path: Path, sidecar: Sidecar, decay: str, half_life: float | None) -> np.ndarray:
    """What the frames are multiplied by."""
    as_is = np.ones(len(sidecar.start))
    return sidecar.scale * (as_is if decay == "as is" else sidecar.decay_factors(path, half_life))


def read_dynamic_map(
    path: str | Path,
    volumes: "ControlVolumes",
    axis: "LongAxis",
    *,
    fwhm: float,
    zero: Zero = "TimeZero",
    decay: Literal["correct", "as is"] = "correct",
    half_life: float | None = None,
    trust: Trust | None = None,
) -> tuple[np.ndarray, "Voxels", "Frames"]:
    """A dynamic scan on a wall: (activity (voxels, frames) [Bq/mL], what sees it per region, frames), for `Activity`.

    Voxels that see at least half tissue are kept. Arguments: `fwhm` of the camera [m], others as of `read_dynamic`.
    Raises `InputError` for an image without its sidecar, NaN inside the wall, or a scan that covers less than half of
    it.
    """
    path = Path(path)
    if path.is_dir():
        values, to_world, frames, _ = read_dynamic(path, decay=decay, half_life=half_life)
        box = _box(path, values.shape[:3], to_world, volumes)
        values = values[box]
    else:
        image, sidecar = _opened(path, zero, trust)
        to_world, frames = image.to_world, sidecar.frames()
        box = _box(path, image.shape[:3], to_world, volumes)
        values = image.values(box) * _corrections(path, sidecar, decay, half_life)
    found, view = _on_wall(path, values, _moved(to_world, box), volumes, axis, fwhm, "region")
    seen = np.asarray(found, float)
    _check_cover(path, len(seen), volumes, axis, view)
    bad = np.flatnonzero(~np.isfinite(seen).all(0))
    if len(bad):
        raise InputError(
            f"{path}: {int(np.sum(~np.isfinite(seen)))} values inside the wall are NaN or infinite, the first in frame "
            f"{bad[0]}: leave such frames out of image and sidecar"
        )
    return seen, view, frames


def read_mbf_map(
    path: str | Path,
    volumes: "ControlVolumes",
    axis: "LongAxis",
    *,
    fwhm: float,
    unit: Unit = "mL/min/g",
    per: Literal["gram", "region"] = "gram",
    state: str | None = None,
    trust: Trust | None = None,
) -> tuple[np.ndarray, "Voxels"]:
    """A map of MBF (NIfTI) on a wall: (values [mL/min/g], what sees them).

    Voxels that see at least half tissue are kept; those that hold exactly 0, or NaN, count as not measured (NaN).
    Voxels so small that the view of the wall takes more than a gigabyte are merged, and it is said. Arguments: `fwhm`
    of the camera [m]; the map's `unit` where its header names none (per mL is divided by 1.05); whether its values are
    `per` gram of perfusable tissue or per region (F·PTF); `state` of a map that holds several, as perfsim writes them;
    `trust`: see `open_image`. Raises `InputError` for negative values, another unit, or a map that covers less than
    half of the wall.
    """
    path = Path(path)
    image = open_image(path, trust)
    frame = _frame_of(image, state)
    box = _box(path, image.shape[:3], image.to_world, volumes)
    values = image.values(box)[..., frame] if frame is not None else image.values(box)
    values = np.asarray(values, np.float32)
    found, view = _on_wall(path, values, _moved(image.to_world, box), volumes, axis, fwhm, per)
    seen = np.asarray(found, float) * _unit_factor(image, unit)
    empty = int(np.isnan(seen).sum())
    seen = np.where(seen == 0, np.nan, seen)  # what a program leaves out, it sets to zero
    known = np.isfinite(seen) | np.isinf(seen)
    why = f" ({empty} of its voxels there are NaN)" if empty else ""
    _check_cover(path, int(known.sum()), volumes, axis, view, why)
    check_mbf(str(path), seen[known])
    if empty > MISSING * len(seen):
        note(f"{path}: {100 * empty / len(seen):.0f} % of the voxels on the wall are NaN: taken as not measured")
    return seen, view


def _frame_of(image: Image, state: str | None) -> int | None:
    """Which volume along the fourth axis is that of a state; None for a map of three dimensions."""
    if len(image.shape) == 3:
        said = states_in(image.description)
        if state is not None and said and state not in said:
            raise InputError(f"{image.path}: its header speaks of {', '.join(said)}, not of {state}")
        return None
    names = [n.strip() for n in image.description.partition(";")[2].split(",")]
    if len(image.shape) == 4 and state in names and len(names) == image.shape[3]:
        return names.index(state)
    held = f", {' and '.join(names)}" if any(names) else ""
    raise InputError(
        f"{image.path}: a map of MBF has three dimensions, this {' × '.join(map(str, image.shape))}{held}: give one "
        "state's"
    )


def _unit_factor(image: Image, unit: str) -> float:
    """From the map's unit to mL/min/g: the header's where it names one, else `unit`."""
    words = image.description.partition(";")[0]
    said = Column.of(words).unit
    own = said if is_flow_unit(said) else unit
    if per_gram(own) != per_gram(unit):
        note(f"{image.path}: its header says {own}: read so, not as {unit}")
    return per_gram(own)


def _box(path: Path, shape, to_world: np.ndarray, volumes: "ControlVolumes") -> tuple[slice, ...]:
    """The part of an image that holds a wall and two voxels around it. Raises `InputError` where there is none."""
    center, edge = np.asarray(volumes.center), _edge(to_world)
    low, high = center.min(0) - 2 * edge, center.max(0) + 2 * edge
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
    index = nib.affines.apply_affine(np.linalg.inv(to_world), corners)
    first, last = np.floor(index.min(0)), np.ceil(index.max(0))
    first, last = np.maximum(first, 0).astype(int), np.minimum(last + 1, shape).astype(int)
    if (last <= first).any():
        raise InputError(f"{path}: the map and the wall do not overlap: are both in one frame, and in mm?")
    return tuple(slice(a, b) for a, b in zip(first, last, strict=True))


def _moved(to_world: np.ndarray, box: tuple[slice, ...]) -> np.ndarray:
    """The affine of a part of an image."""
    moved = to_world.copy()
    moved[:3, 3] += to_world[:3, :3] @ [b.start for b in box]
    return moved


def _edge(to_world: np.ndarray) -> float:
    return float(np.cbrt(abs(np.linalg.det(to_world[:3, :3]))))


def _on_wall(
    path: Path, values: np.ndarray, to_world: np.ndarray, volumes: "ControlVolumes", axis: "LongAxis", fwhm: float, per
) -> tuple[np.ndarray, "Voxels"]:
    """(values of the voxels that see enough tissue, merged if need be; the view that they have of it)."""
    from perfsim.observe import Voxels

    edge = _edge_that_fits(volumes, fwhm, _edge(to_world))
    if edge > _edge(to_world):
        fine, to_world_before = values, to_world
        values, to_world = _merged(fine, to_world, edge)
        before, after = (
            " × ".join(f"{1e3 * h:.2g}" for h in np.linalg.norm(a[:3, :3], axis=0)) for a in (to_world_before, to_world)
        )
        note(f"{path}: voxels of {before} mm, finer than a camera of {1e3 * fwhm:g} mm sees: merged to {after} mm")
    point = nib.affines.apply_affine(to_world, np.indices(values.shape[:3]).reshape(3, -1).T)
    near, there = _near(volumes, point, fwhm)
    if not len(near):
        raise InputError(f"{path}: the map and the wall do not overlap: are both in one frame, and in mm?")
    inside = near[_sees_tissue(volumes, axis, there, fwhm, _edge(to_world))]
    view = Voxels.at(volumes, axis, point[inside], fwhm, _edge(to_world), per=per)
    return values.reshape(-1, *values.shape[3:])[inside], view


def _near(volumes: "ControlVolumes", point: np.ndarray, fwhm: float) -> tuple[np.ndarray, np.ndarray]:
    """(indices, points) of those that may see half tissue: no farther from it than half the camera's width."""
    reach = 0.5 * fwhm + float(np.cbrt(np.max(volumes.volume)))
    distance, _ = scipy.spatial.cKDTree(np.asarray(volumes.center)).query(point, distance_upper_bound=reach)
    near = np.flatnonzero(np.isfinite(distance))
    return near, point[near]


def _sees_tissue(
    volumes: "ControlVolumes", axis: "LongAxis", point: np.ndarray, fwhm: float, edge: float
) -> np.ndarray:
    """Whether points see at least half tissue, some of them at a time."""
    from perfsim.observe import Pose, Voxels
    from perfsim.observe.voxels import CHUNK, SEEN

    found = []
    for k in range(0, len(point), CHUNK):
        part = point[k : k + CHUNK]
        view = Voxels.at(volumes, axis, part, fwhm, edge, margin=0.0).padded(CHUNK)
        found.append(np.asarray(view.fraction(volumes, Pose()))[: len(part)] >= SEEN)
    return np.concatenate(found)


def _edge_that_fits(volumes: "ControlVolumes", fwhm: float, edge: float) -> float:
    """The edge of voxels [m]: as it is, or a quarter of the camera's width and more if the view were too large.

    A voxel in the wall sees the volumes within the reach of its point-spread function.
    """
    from perfsim.observe.voxels import FWHM, REACH

    size = float(np.cbrt(np.max(volumes.volume)))
    reach = REACH * np.sqrt((fwhm / FWHM) ** 2 + (size**2 + edge**2) / 12.0) + 4e-3
    center = np.asarray(volumes.center)
    some = center[:: max(len(center) // 200, 1)]
    each = float(np.mean(scipy.spatial.cKDTree(center).query_ball_point(some, reach, return_length=True)))
    pairs = float(np.sum(volumes.volume)) / edge**3 * each
    return edge if pairs <= MOST_SEEN else max(fwhm / 4.0, edge * (pairs / MOST_SEEN) ** (1 / 3))


def _merged(values: np.ndarray, to_world: np.ndarray, edge: float) -> tuple[np.ndarray, np.ndarray]:
    """Means of blocks of voxels about `edge` [m] wide; zeros and NaN, which are not measured, are left out of them."""
    sides = np.linalg.norm(to_world[:3, :3], axis=0)
    count = np.maximum(np.ceil(edge / sides - 1e-6).astype(int), 1)
    whole = [n // k * k for n, k in zip(values.shape, count, strict=False)]
    part = values[tuple(slice(0, n) for n in whole)]
    split = [x for n, k in zip(whole, count, strict=True) for x in (n // k, k)]
    part = part.reshape(*split, *values.shape[3:])
    known = np.isfinite(part) & (part != 0) if values.ndim == 3 else np.isfinite(part)
    total = np.where(known, part, 0.0).sum((1, 3, 5), dtype=np.float64)
    number = known.sum((1, 3, 5))
    inner = np.isinf(part).any((1, 3, 5))
    means = np.where(number > 0, total / np.maximum(number, 1), np.nan if values.ndim > 3 else 0.0)
    moved = to_world @ np.diag([*count.astype(float), 1.0])
    moved[:3, 3] = to_world[:3, 3] + to_world[:3, :3] @ (0.5 * (count - 1))
    return np.where(inner, np.inf, means).astype(np.float32), moved


def _check_cover(
    path: Path, measured: int, volumes: "ControlVolumes", axis: "LongAxis", view: "Voxels", why: str = ""
) -> None:
    """Raises `InputError` for a map with fewer voxels on the wall than `OVERLAP` of those that a whole one has."""
    edge, center = float(view.voxel), np.asarray(volumes.center)
    steps = [np.arange(a, b, edge) for a, b in zip(center.min(0) - edge, center.max(0) + edge, strict=True)]
    point = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
    fwhm = float(view.fwhm)
    whole = _sees_tissue(volumes, axis, _near(volumes, point, fwhm)[1], fwhm, edge)
    share = measured / whole.sum()
    if share < OVERLAP:
        raise InputError(
            f"{path}: the map covers {100 * share:.0f} % of the wall{why}: at least {100 * OVERLAP:.0f} % are needed; "
            "is it registered to the wall?"
        )
