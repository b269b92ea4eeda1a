"""Dynamic PET as DICOM: one series in a folder, classic (a file a slice) or enhanced (frames in one file)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perfsim._extras import needed
from perfsim._results import InputError
from perfsim.io.dicom_clocks import Slice, frame_times
from perfsim.io.dicom_frames import slices_of
from perfsim.io.sidecars import Sidecar

import numpy as np

with needed("io"):
    import pydicom

MOST_FILES = 100_000
MOST = 1 << 30
"""values that are held [bytes, as float32]"""


def read_series(folder: str | Path, series: str | None = None) -> tuple[np.ndarray, np.ndarray, Sidecar]:
    """Read the PET series in a folder and in those below it.

    Values are rescaled slice by slice. The decay correction that was applied is undone by each frame's own factor, so
    that what is returned is corrected to time 0, whatever the scanner corrected to. Time 0 is the injection, or the
    start that the frames' reference times count from where no injection is noted. Arguments: `folder`; `series`, the
    SeriesInstanceUID where there are several.

    Returns: (activity (x, y, z, frames) [Bq/mL], affine from indices to LPS metres, sidecar in BIDS's words).

    Raises: `InputError` for a folder without PET, several series, missing slices, or clocks that contradict each other.
    """
    folder = Path(folder)
    slices = _one_series(folder, scan_folder(folder), series)
    positions, to_world = _geometry(folder, slices)
    times = frame_times(folder, slices)
    shape = (slices[0].columns, slices[0].rows, len(positions), len(times.start))
    if 4.0 * np.prod(np.array(shape, float)) > MOST:
        raise InputError(f"{folder}: {' × '.join(map(str, shape))} values are more than {MOST >> 30} GB")
    values = np.full(shape, np.nan, np.float32)
    for path, placed in _by_file(slices, positions, times.frame_of).items():
        stored = _pixels(path)
        for s, z, t in placed:
            values[:, :, z, t] = s.slope * stored[s.index].T + s.intercept
    empty = np.argwhere(np.isnan(values).all((0, 1)))
    if len(empty):
        raise InputError(f"{folder}: {len(empty)} slices are missing: slice {empty[0][0]} of frame {empty[0][1]} first")
    return values * times.undo * times.correction(), to_world, times.sidecar()


def scan_folder(folder: Path) -> dict[str, list[Slice]]:
    """Slices by series (SeriesInstanceUID) of all DICOM files in a folder and below; only PET is taken apart."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found: dict[str, list[Slice]] = {}
    others: dict[str, int] = {}
    for count, path in enumerate(sorted(p for p in folder.rglob("*") if p.is_file())):
        if count > MOST_FILES:
            raise InputError(f"{folder}: more than {MOST_FILES} files: name the folder of one series")
        header = _header(path)
        if header is None:
            continue
        if header.get("Modality") != "PT":
            others[str(header.get("Modality", "?"))] = others.get(str(header.get("Modality", "?")), 0) + 1
            continue
        found.setdefault(str(header.get("SeriesInstanceUID", "")), []).extend(slices_of(path, header))
    if not found:
        held = ", ".join(f"{n} of {kind}" for kind, n in others.items())
        raise InputError(
            f"{folder}: holds no PET images{f' (DICOM: {held})' if held else ''}; name a folder of DICOM files"
        )
    return found


def _header(path: Path) -> Any:
    """A file's header, or None for what is no DICOM image."""
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:] != b"DICM":
        return None
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        return header if header.get("Rows") and header.get("Modality") else None
    except Exception as error:
        raise InputError(f"{path}: pydicom cannot read it ({error})") from None


def _one_series(folder: Path, found: dict[str, list[Slice]], series: str | None) -> list[Slice]:
    if series is not None and series not in found:
        raise InputError(f"{folder}: holds no series {series}; it has {', '.join(found)}")
    if series is None and len(found) > 1:
        lines = "; ".join(f"{uid} ({s[0].series_name}, from {s[0].clock('acquisition')})" for uid, s in found.items())
        same = len({s[0].clock("injection") for s in found.values()}) == 1
        runs = " of one injection" if same else ""
        raise InputError(
            f"{folder}: holds {len(found)} series{runs}: {lines}: keep one in the folder, or name it by series="
        )
    return found[series or next(iter(found))]


def _geometry(folder: Path, slices: Sequence[Slice]) -> tuple[np.ndarray, np.ndarray]:
    """(distances of the slices along their normal [mm], affine from indices to LPS metres)."""
    first = slices[0]
    for name in ("orientation", "spacing", "rows", "columns"):
        odd = next((s for s in slices if not np.allclose(getattr(s, name), getattr(first, name), atol=1e-4)), None)
        if odd is not None:
            raise InputError(f"{odd.path}: its {name} is not that of {first.path.name}: slices of one series are alike")
    along, down = first.orientation[:3], first.orientation[3:]
    normal = np.cross(along, down)
    if not abs(np.linalg.norm(normal) - 1.0) < 1e-2:
        raise InputError(f"{first.path}: ImageOrientationPatient {first.orientation.tolist()} is none")
    distance = np.array([s.position @ normal for s in slices])
    ordered = np.unique(distance)
    positions = ordered[np.diff(ordered, prepend=-np.inf) > 0.05]
    steps = np.diff(positions)
    if len(positions) < 2:
        raise InputError(f"{folder}: a single slice is no volume")
    if np.ptp(steps) > 0.1 * steps.min() + 0.02:
        k = int(np.argmax(steps))
        raise InputError(f"{folder}: slices are missing between {positions[k]:g} and {positions[k + 1]:g} mm")
    lowest = slices[int(np.argmin(distance))].position
    affine = np.eye(4)
    # spacing is (between rows, between columns): along a row the columns are counted
    affine[:3, :3] = np.stack([along * first.spacing[1], down * first.spacing[0], normal * steps.mean()], 1)
    affine[:3, 3] = lowest
    return positions, np.diag([1e-3, 1e-3, 1e-3, 1.0]) @ affine


def _by_file(
    slices: Sequence[Slice], positions: np.ndarray, frame_of: dict[int, int]
) -> dict[Path, list[tuple[Slice, int, int]]]:
    """By file its slices, each with its index along the normal and its frame. Raises `InputError` for doubles."""
    normal = np.cross(slices[0].orientation[:3], slices[0].orientation[3:])
    taken: dict[tuple[int, int], Path] = {}
    out: dict[Path, list[tuple[Slice, int, int]]] = {}
    for k, s in enumerate(slices):
        place = int(np.argmin(np.abs(positions - s.position @ normal))), frame_of[k]
        if place in taken:
            raise InputError(
                f"{s.path}: slice {place[0]} of frame {place[1]} is there twice, in {taken[place].name} as well: two "
                "reconstructions in one series? Keep one"
            )
        taken[place] = s.path
        out.setdefault(s.path, []).append((s, *place))
    return out


def _pixels(path: Path) -> np.ndarray:
    """Stored values (frames, rows, columns) of a file."""
    try:
        stored = pydicom.dcmread(path).pixel_array
    except Exception as error:
        raise InputError(f"{path}: its pixels cannot be read ({error})") from None
    return stored if stored.ndim == 3 else stored[None]
