"""What each slice of a PET file says: place, scale, clocks, decay. Classic, enhanced and legacy converted enhanced."""

from pathlib import Path
from typing import Any

from perfsim import units
from perfsim._results import InputError
from perfsim.io.dicom_clocks import Slice, clock_of

import numpy as np


def slices_of(path: Path, header: Any) -> list[Slice]:
    """The slices in a file. Raises `InputError` for what has no place, no activity, is gated, or is damaged."""
    try:
        return _slices(path, header)
    except InputError:
        raise
    except Exception as error:  # pydicom takes an attribute apart when it is asked for, and raises what its parts raise
        raise InputError(f"{path}: pydicom cannot read it ({error})") from None


def _slices(path: Path, header: Any) -> list[Slice]:
    count = int(header.get("NumberOfFrames", 1) or 1)
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    if per_frame is not None and len(per_frame) != count:
        raise InputError(f"{path}: {len(per_frame)} descriptions of {count} frames")
    if count > 1 and per_frame is None:
        raise InputError(
            f"{path}: {count} frames in one file, and nothing says where they lie: export it as PET images"
        )
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    return [
        _slice(path, k, _Where(path, [*([per_frame[k]] if per_frame is not None else []), *shared, header]))
        for k in range(count)
    ]


class _Where:
    """Looks an attribute up in a frame's own groups, then in the shared ones, then in the file's head."""

    def __init__(self, path: Path, places: list[Any]):
        self.path, self.places = path, places

    def __call__(self, *names: str) -> Any:
        for name in names:
            for place in self.places:
                found = _within(place, name)
                if found not in (None, ""):
                    return found
        return None

    def need(self, *names: str) -> Any:
        found = self(*names)
        if found is None:
            raise InputError(f"{self.path}: has no {names[0]}")
        return found

    def numbers(self, name: str, count: int) -> np.ndarray:
        found = np.array([float(x) for x in self.need(name)])
        if found.shape != (count,) or not np.isfinite(found).all():
            raise InputError(f"{self.path}: {name} is {found.tolist()}: {count} finite numbers are needed")
        return found


def _within(place: Any, name: str, depth: int = 3) -> Any:
    """The attribute of a data set, or of the sequences in it."""
    if name in place:
        return place.get(name)
    if depth == 0:
        return None
    for element in place:
        grouped = element.VR == "SQ" and not element.keyword.startswith(
            ("PerFrame", "SharedFunc", "Referenced", "Source")
        )
        if grouped and len(element.value):
            found = _within(element.value[0], name, depth - 1)
            if found not in (None, ""):
                return found
    return None


def _slice(path: Path, index: int, at: _Where) -> Slice:
    kind = str(at("SeriesType") or "")
    if "GATED" in kind:
        raise InputError(f"{path}: a gated series ({kind}): perfsim reads dynamic or static ones")
    unit = _unit_of(at)
    scale = units.scale(unit, "activity") if unit else None
    if scale is None:
        raise InputError(f"{path}: Units {unit or 'are missing and'} are no activity concentration: export in BQML")
    slope, intercept = float(at("RescaleSlope") or 1.0), float(at("RescaleIntercept") or 0.0)
    if not np.isfinite([slope, intercept]).all() or slope == 0.0:
        raise InputError(f"{path}: RescaleSlope {slope:g} and RescaleIntercept {intercept:g} give no values")
    duration = at("FrameAcquisitionDuration", "ActualFrameDuration")
    reference, factor, half_life = at("FrameReferenceTime"), at("DecayFactor"), at("RadionuclideHalfLife")
    correction = str(at("DecayCorrection") or "").upper()
    if not correction:
        correction = {"YES": "START", "NO": "NONE"}.get(str(at("DecayCorrected") or "").upper(), "")
    return Slice(
        path, index, str(at("SeriesDescription") or "without a name"), int(at.need("Rows")), int(at.need("Columns")),
        at.numbers("ImagePositionPatient", 3), at.numbers("ImageOrientationPatient", 6), at.numbers("PixelSpacing", 2),
        slope * scale, intercept * scale,
        {
            "acquisition": clock_of(at, "Acquisition", "FrameAcquisitionDateTime", "AcquisitionDateTime"),
            "series": clock_of(at, "Series"),
            "injection": clock_of(at, "RadiopharmaceuticalStart", "RadiopharmaceuticalStartDateTime"),
        },
        None if duration is None else float(duration) * 1e-3, None if reference is None else float(reference) * 1e-3,
        correction, None if factor is None else float(factor), None if half_life is None else float(half_life),
        [str(x) for x in np.atleast_1d(np.asarray(at("CorrectedImage") or [], object))],
    )  # fmt: skip


def _unit_of(at: _Where) -> str:
    said = at("Units")
    if said is not None:
        return str(said)
    code = at("MeasurementUnitsCodeSequence")
    return str(code[0].get("CodeValue", "")) if code else ""
