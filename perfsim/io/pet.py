"""PET: time courses of blood, dynamic images with their frames, maps of MBF."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from perfsim._extras import needed
from perfsim._results import InputError
from perfsim.io.images import read_image
from perfsim.io.segments import check_mbf
from perfsim.io.tables import read_rows

import numpy as np

with needed("io"):
    import nibabel as nib

if TYPE_CHECKING:
    from perfsim.darcy import ControlVolumes
    from perfsim.observe import LongAxis, Voxels
    from perfsim.observe.tracers import Curve, Frames

OVERLAP = 0.5
"""share of the wall that a map must cover"""
Unit = Literal["mL/min/g", "mL/min/mL"]


def read_curve(path: str | Path) -> "Curve":
    """A time course from a CSV with the columns time_s and activity. Raises `InputError` naming file and line."""
    from perfsim.observe.tracers import Curve

    path = Path(path)
    rows = []
    for where, row in read_rows(path, ("time_s", "activity")):
        try:
            rows.append((float(row["time_s"]), float(row["activity"])))
        except (TypeError, ValueError):
            raise InputError(f"{where}: {row['time_s']!r}, {row['activity']!r} are not two numbers") from None
    try:
        return Curve.of(*np.array(rows).reshape(-1, 2).T)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_frames(path: str | Path) -> tuple["Frames", dict]:
    """Frames and all fields of a BIDS-PET sidecar (.json): FrameTimesStart and FrameDuration in seconds.

    Raises `InputError` for missing fields, or units of the image other than Bq/mL or kBq/mL.
    """
    from perfsim.observe.tracers import Frames

    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        sidecar = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    for field in ("FrameTimesStart", "FrameDuration"):
        if field not in sidecar:
            raise InputError(f"{path}: no field {field!r}, which BIDS-PET requires")
    units = sidecar.get("Units", "Bq/mL")
    if units not in ("Bq/mL", "kBq/mL"):
        raise InputError(f"{path}: Units {units!r} are no activity concentration: use Bq/mL or kBq/mL")
    try:
        return Frames.of(sidecar["FrameTimesStart"], sidecar["FrameDuration"]), sidecar
    except (InputError, ValueError, TypeError) as error:
        raise InputError(f"{path}: {error}") from None


def read_dynamic(path: str | Path) -> tuple[np.ndarray, np.ndarray, "Frames", dict]:
    """A dynamic image with its sidecar beside it: (activity (x, y, z, frames), affine to LPS metres, frames, sidecar).

    Raises `InputError` for an image that is not 4D, or whose frames are not those of the sidecar.
    """
    path = Path(path)
    image, to_world = read_image(path)
    frames, sidecar = read_frames(path.parent / (path.name.removesuffix(".gz").removesuffix(".nii") + ".json"))
    if image.ndim != 4 or image.shape[3] != len(frames.start):
        raise InputError(f"{path}: an image of shape {image.shape} does not hold the {len(frames.start)} frames listed")
    return np.asarray(image, float), to_world, frames, sidecar


def read_dynamic_map(
    path: str | Path, volumes: "ControlVolumes", axis: "LongAxis", *, fwhm: float
) -> tuple[np.ndarray, "Voxels", "Frames"]:
    """A dynamic scan on a wall: (activity (voxels, frames), what sees it per region, frames), for `Activity`.

    Voxels that see at least half tissue are kept. Arguments: `fwhm` of the camera [m]. Raises `InputError` for an image
    without its sidecar, NaN inside the wall, or a scan that covers less than half of it.
    """
    path = Path(path)
    image, to_world, frames, _ = read_dynamic(path)
    inside, view = _on_wall(path, image.shape[:3], to_world, volumes, axis, fwhm, "region")
    seen = image.reshape(-1, image.shape[3])[inside]
    _check_cover(path, len(seen), volumes, axis, view)
    if not np.isfinite(seen).all():
        raise InputError(f"{path}: {int(np.sum(~np.isfinite(seen)))} values inside the wall are NaN or infinite")
    return seen, view, frames


def read_mbf_map(
    path: str | Path,
    volumes: "ControlVolumes",
    axis: "LongAxis",
    *,
    fwhm: float,
    unit: Unit = "mL/min/g",
    per: Literal["gram", "region"] = "gram",
) -> tuple[np.ndarray, "Voxels"]:
    """A map of MBF (NIfTI, 3D) on a wall: (values [mL/min/g], what sees them).

    Voxels that see at least half tissue are kept; those that hold exactly 0 count as not measured (NaN). Arguments:
    `fwhm` of the camera [m], the map's `unit` (per mL is divided by 1.05), whether its values are `per` gram of
    perfusable tissue or per region (F·PTF). Raises `InputError` for NaN inside the wall, negative values, another unit,
    or a map that covers less than half of the wall.
    """
    from perfsim.observe.tracers import DENSITY

    path = Path(path)
    image, to_world = read_image(path)
    if image.ndim != 3:
        raise InputError(f"{path}: a map of MBF has three dimensions, not {image.ndim}: give one state's")
    inside, view = _on_wall(path, image.shape, to_world, volumes, axis, fwhm, per)
    seen = np.asarray(image, float).ravel()[inside]
    _check_cover(path, int(np.sum(seen != 0)), volumes, axis, view)
    check_mbf(str(path), seen[seen != 0])
    seen = np.where(seen == 0, np.nan, seen)  # what a program leaves out, it sets to zero
    density = DENSITY if unit == "mL/min/mL" else 1.0
    return seen / density, view


def _on_wall(
    path: Path, shape, to_world: np.ndarray, volumes: "ControlVolumes", axis: "LongAxis", fwhm: float, per
) -> tuple[np.ndarray, "Voxels"]:
    """(flat indices of an image's voxels that see enough tissue, the view that they have of it)."""
    from perfsim.observe import Pose, Voxels
    from perfsim.observe.voxels import SEEN

    edge = float(np.cbrt(abs(np.linalg.det(to_world[:3, :3]))))
    point = nib.affines.apply_affine(to_world, np.argwhere(np.ones(shape, bool)))
    center = np.asarray(volumes.center)
    near = np.flatnonzero(np.all((point > center.min(0) - 2 * edge) & (point < center.max(0) + 2 * edge), axis=1))
    if not len(near):
        raise InputError(f"{path}: the map and the wall do not overlap: are both in one frame, and in mm?")
    view = Voxels.at(volumes, axis, point[near], fwhm, edge, per=per)
    inside = np.asarray(view.fraction(volumes, Pose())) >= SEEN
    return near[inside], view.only(inside)


def _check_cover(path: Path, measured: int, volumes: "ControlVolumes", axis: "LongAxis", view: "Voxels") -> None:
    """Raises `InputError` for a map with fewer voxels on the wall than `OVERLAP` of those that a whole one has."""
    whole = view.grid(volumes, axis, float(view.fwhm), float(view.voxel))
    share = measured / len(whole.point)
    if share < OVERLAP:
        raise InputError(
            f"{path}: the map covers {100 * share:.0f} % of the wall: at least {100 * OVERLAP:.0f} % are needed; is it "
            "registered to the wall?"
        )
