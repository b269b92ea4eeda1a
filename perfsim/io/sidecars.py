"""Sidecars of PET images (BIDS): frames, decay correction, units, clocks."""

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from perfsim import units
from perfsim._extras import needed
from perfsim._notes import note
from perfsim._results import InputError
from perfsim.io.json_files import read_json
from perfsim.physiology import HALF_LIFE

import numpy as np

with needed("io"):
    from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from perfsim.observe.tracers import Frames

SHORTEST_SCAN, LONGEST_SCAN, LONGEST_FIRST = 8.0, 3 * 3600.0, 300.0
"""[s]: length of a dynamic scan, and of its shortest frame, beyond which the unit is another"""
Zero = Literal["TimeZero", "injection"]


class _Fields(BaseModel):
    """What of a sidecar changes numbers. Other fields of BIDS are descriptions."""

    model_config = ConfigDict(extra="ignore")

    FrameTimesStart: list[float]
    FrameDuration: list[float]
    Units: str = "Bq/mL"
    ImageDecayCorrected: bool | None = None
    ImageDecayCorrectionTime: float | None = None
    InjectionStart: float | None = None
    ScanStart: float | None = None
    TracerRadionuclide: str | None = None
    DecayCorrectionFactor: list[float] = Field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Sidecar:
    """The frames of a scan and what its values need to become Bq/mL, corrected for decay to time 0."""

    start: np.ndarray
    """of each frame [s]"""
    duration: np.ndarray
    """[s]"""
    scale: float
    """from the image's unit to Bq/mL"""
    unit: str
    corrected: bool
    """whether the image is corrected for decay"""
    reference: float
    """time to which it is [s]"""
    half_life: float | None
    """of the tracer [s]"""
    injection: float | None
    """[s]"""
    fields: dict[str, Any]
    """everything the file says"""

    def frames(self) -> "Frames":
        """The frames, for `perfsim.observe.tracers`."""
        from perfsim.observe.tracers import Frames

        return Frames.of(self.start, self.duration)

    def decay_factors(self, source: Path, half_life: float | None) -> np.ndarray:
        """What each frame is multiplied by to be corrected for decay to time 0.

        λT e^(λt₀)/(1 - e^(-λT)) if it is not corrected, e^(λ t_ref) if it is to another time. Raises `InputError` where
        that needs a half-life that nobody gave.
        """
        if self.corrected and self.reference == 0.0:
            return np.ones(len(self.start))
        half_life = half_life or self.half_life
        if half_life is None:
            what = f"to {self.reference:g} s" if self.corrected else "not"
            raise InputError(
                f"{source}: the image is {what} corrected for decay and TracerRadionuclide names none of "
                f"{', '.join(HALF_LIFE)}: give half_life, or decay='as is' and set the tracer's decay"
            )
        rate = np.log(2.0) / half_life
        if self.corrected:
            note(f"{source}: decay correction is moved from {self.reference:g} s to time 0 (half-life {half_life:g} s)")
            return np.full(len(self.start), np.exp(rate * self.reference))
        note(f"{source}: the image is not corrected for decay: corrected here to time 0 (half-life {half_life:g} s)")
        x = rate * self.duration
        return x * np.exp(rate * self.start) / -np.expm1(-x)


def read_sidecar(path: str | Path, zero: Zero = "TimeZero") -> Sidecar:
    """Read a BIDS-PET sidecar (.json). Arguments: `path`; `zero`: what time 0 means, the file's or the injection.

    Raises: `InputError` for missing fields, frames that overlap or are not finite or not in seconds, another unit than
    those of activity, or times that contradict each other.
    """
    path = Path(path)
    return check_sidecar(read_json(path), path, zero)


def check_sidecar(content: dict[str, Any], path: Path, zero: Zero = "TimeZero") -> Sidecar:
    """The same of fields that were read; `path` names them in messages."""
    for field in ("FrameTimesStart", "FrameDuration"):
        if field not in content:
            raise InputError(f"{path}: no field {field!r}, which BIDS-PET requires")
    try:
        said = _Fields.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {where}: {first['input']!r}: {first['msg'].lower()}") from None
    scale = units.scale(said.Units, "activity")
    if scale is None:
        raise InputError(f"{path}: Units {said.Units!r} are no activity concentration: use Bq/mL or kBq/mL")
    start, duration = _frames(path, said)
    injection, reference, corrected = said.InjectionStart, said.ImageDecayCorrectionTime, said.ImageDecayCorrected
    _check_clocks(path, said)
    if corrected is None:
        note(f"{path}: ImageDecayCorrected is missing: the image is taken as corrected for decay to time 0")
    if not corrected and corrected is not None:
        note(f"{path}: the image is not corrected for decay: it must be, or the tracer's decay be set")
    half_life = half_life_of(said.TracerRadionuclide)
    _check_factors(path, said, start, duration, half_life)
    shift = 0.0
    if injection:
        if zero == "injection":
            shift = injection
        else:
            note(
                f"{path}: the injection is {injection:g} s after time 0 of the frames: blood curves must count from "
                "time 0, too (or read both with zero='injection')"
            )
    return Sidecar(
        start - shift, duration, scale, said.Units, corrected is not False, (reference or 0.0) - shift, half_life,
        None if injection is None else injection - shift, content,
    )  # fmt: skip


def half_life_of(nuclide: str | None) -> float | None:
    """[s] of a radionuclide such as ``"Rb82"``, ``"82Rb"``, ``"[15O]"``; None for others."""
    parts = sorted(re.findall(r"[a-z]+|\d+", (nuclide or "").lower()))[:2]
    return next((t for n, t in HALF_LIFE.items() if parts == sorted(re.findall(r"[a-z]+|\d+", n.lower()))), None)


def _frames(path: Path, said: _Fields) -> tuple[np.ndarray, np.ndarray]:
    """(starts, durations) [s]."""
    start, duration = np.array(said.FrameTimesStart), np.array(said.FrameDuration)
    if len(start) != len(duration) or not len(start):
        raise InputError(f"{path}: {len(start)} FrameTimesStart for {len(duration)} FrameDuration")
    bad = np.flatnonzero(~(np.isfinite(start) & np.isfinite(duration) & (duration > 0)))
    if len(bad):
        k = bad[0]
        raise InputError(f"{path}: frame {k} starts at {start[k]:g} s and lasts {duration[k]:g} s: give finite times")
    if len(start) > 1 and np.allclose(duration[:-1], start[1:], atol=1e-3) and np.ptp(duration) > 0:
        raise InputError(f"{path}: FrameDuration holds the frames' ends: give durations, the end minus the start")
    early = np.flatnonzero(start[1:] < (start + duration)[:-1] - 1e-3)
    if len(early):
        k = early[0]
        raise InputError(
            f"{path}: frame {k + 1} starts at {start[k + 1]:g} s, before frame {k} ends at "
            f"{start[k] + duration[k]:g} s: are durations given, in seconds?"
        )
    total = start[-1] + duration[-1] - start[0]
    if len(start) > 1 and (total > LONGEST_SCAN or duration.min() > LONGEST_FIRST):
        raise InputError(f"{path}: frames of {duration.min():g} s, {total:g} s in all: are they in ms?")
    if len(start) > 1 and total < SHORTEST_SCAN:
        raise InputError(f"{path}: {len(start)} frames within {total:g} s: are they in minutes?")
    if len(start) > 2 and (gap := start[1:] - (start + duration)[:-1]).sum() > 0.5 * total:
        raise InputError(
            f"{path}: the frames leave {100 * gap.sum() / total:.0f} % of the scan out: do FrameTimesStart and "
            "FrameDuration have one unit, and belong to one scan?"
        )
    return start, duration


def _check_clocks(path: Path, said: _Fields) -> None:
    """Times that must be finite, and a scan that starts with its first frame."""
    for name in ("ImageDecayCorrectionTime", "InjectionStart", "ScanStart"):
        value = getattr(said, name)
        if value is not None and not np.isfinite(value):
            raise InputError(f"{path}: {name} is {value:g}: give seconds from TimeZero")
        if value is not None and abs(value) > 86400.0:
            raise InputError(f"{path}: {name} is {value:g} s, more than a day from TimeZero: is it in ms?")
    if said.ScanStart is not None and said.FrameTimesStart[0] < said.ScanStart - 0.5:
        raise InputError(
            f"{path}: ScanStart is {said.ScanStart:g} s, but the first frame starts at {said.FrameTimesStart[0]:g} s: "
            "count FrameTimesStart from TimeZero as well"
        )


def _check_factors(path: Path, said: _Fields, start, duration, half_life: float | None) -> None:
    """The factors that were applied must be those of the time that the file names."""
    factor, reference = np.array(said.DecayCorrectionFactor), said.ImageDecayCorrectionTime
    if not len(factor) or half_life is None or not said.ImageDecayCorrected or reference is None:
        return
    rate = np.log(2.0) / half_life
    x = rate * duration
    expected = x * np.exp(rate * (start - reference)) / -np.expm1(-x)
    if len(factor) != len(start) or not np.allclose(factor, expected, rtol=0.02):
        raise InputError(
            f"{path}: DecayCorrectionFactor {factor[:3].tolist()} is not that of a correction to {reference:g} s, "
            f"{expected[:3].round(4).tolist()}: which of the two is right?"
        )


def sidecar_of(path: Path) -> dict[str, Any]:
    """All fields that apply to an image: of the sidecars beside it and, as BIDS lets them, in folders above it.

    A sidecar applies if its name ends as the image's and holds no part that the image's lacks; nearer ones, and those
    that name more, override others. Raises `InputError` if there is none, or two of one rank.
    """
    parts = path.name.removesuffix(".gz").rpartition(".")[0].split("_")
    found: list[Path] = []
    for folder in [path.parent, *path.absolute().parent.parents][:5]:
        beside = sorted(p for p in folder.glob("*.json") if _applies(p.stem.split("_"), parts))
        sizes = [len(p.stem.split("_")) for p in beside]
        if len(set(sizes)) < len(sizes):
            raise InputError(f"{path}: {beside[0].name} and {beside[1].name} may both be its sidecar: keep one")
        found += sorted(beside, key=lambda p: -len(p.stem.split("_")))
        if (folder / "dataset_description.json").is_file():
            break
    if not found:
        raise InputError(f"{path.parent / ('_'.join(parts) + '.json')}: no such file, the sidecar of {path.name}")
    content: dict[str, Any] = {}
    for sidecar in reversed(found):
        content |= read_json(sidecar)
    return content


def _applies(stem: list[str], image: list[str]) -> bool:
    """Whether a sidecar's name fits an image's: the same suffix, and parts that the image has."""
    return stem == image or (stem[-1] == image[-1] and len(image) > 1 and set(stem) <= set(image))
