"""The clocks of a PET series: when frames begin, what they count from, and how decay was corrected.

A series holds up to four clocks that may contradict each other: acquisition and series (time of day), the frames'
reference times (from an own zero; start, middle or mean decay of the frame, by vendor), and the injection. What counts
is the acquisition; where it is the same for all frames, the reference times. What is left must agree with them.
"""

import dataclasses
import datetime
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perfsim._notes import note
from perfsim._results import InputError
from perfsim.io.sidecars import Sidecar

import numpy as np

DAY = 86400.0
CLOSE = 0.6
"""[s] that clocks, often written in whole seconds, may differ by"""
UNLIKELY = 3 * 3600.0
"""[s] between injection and scan, beyond which one of the clocks is wrong"""


@dataclasses.dataclass(frozen=True)
class Slice:
    """One slice of one frame, as its file describes it; lengths in mm, times in s."""

    path: Path
    index: int
    """of the frame in its file"""
    series_name: str
    rows: int
    columns: int
    position: np.ndarray
    orientation: np.ndarray
    spacing: np.ndarray
    slope: float
    """from stored values to Bq/mL"""
    intercept: float
    clocks: dict[str, tuple[float | None, float] | None]
    """(day or None, seconds of it) by name"""
    duration: float | None
    reference: float | None
    """FrameReferenceTime"""
    correction: str
    """DecayCorrection: START, ADMIN, NONE or empty"""
    factor: float | None
    """DecayFactor"""
    half_life: float | None
    corrected: list[str]
    """CorrectedImage"""

    def clock(self, name: str) -> str:
        """A time of day in words."""
        found = self.clocks[name]
        return "an unknown time" if found is None else str(datetime.timedelta(seconds=round(found[1] % DAY)))


@dataclasses.dataclass(frozen=True)
class FrameTimes:
    """Frames from time 0, and the decay correction that their values have."""

    start: np.ndarray
    duration: np.ndarray
    frame_of: dict[int, int]
    """frame of each slice"""
    undo: np.ndarray
    """one over the factor that was applied"""
    half_life: float | None
    injection: float | None

    def correction(self) -> np.ndarray:
        """Factors that correct means over the frames for decay to time 0; ones without a half-life."""
        if not self.half_life:
            return np.ones(len(self.start))
        x = np.log(2.0) / self.half_life * self.duration
        return x * np.exp(np.log(2.0) / self.half_life * self.start) / -np.expm1(-x)

    def sidecar(self) -> Sidecar:
        """As BIDS would say it, of values corrected to time 0."""
        corrected = bool(self.half_life)
        fields = {
            "Units": "Bq/mL", "FrameTimesStart": self.start.tolist(), "FrameDuration": self.duration.tolist(),
            "ImageDecayCorrected": corrected, "ImageDecayCorrectionTime": 0.0, "ScanStart": float(self.start[0]),
            "InjectionStart": self.injection, "RadionuclideHalfLife": self.half_life,
        }  # fmt: skip
        return Sidecar(self.start, self.duration, 1.0, "Bq/mL", corrected, 0.0, self.half_life, self.injection, fields)


def clock_of(at: Any, pair: str, *whole: str) -> tuple[float | None, float] | None:
    """(day, second of it) of one of the attributes with date and time, else of the pair ...Date and ...Time."""
    for name in whole:
        text = str(at(name) or "")
        if len(text) >= 14:
            return _day(text[:8]), _second(text[8:])
    time, date = (
        str(at(f"{pair}Time") or ""),
        str(at(f"{pair}Date") or "" if pair != "RadiopharmaceuticalStart" else ""),
    )
    return (_day(re.sub(r"\D", "", date)), _second(time)) if time else None


def _day(text: str) -> float | None:
    """Days since the calendar began, of YYYYMMDD."""
    if len(text) != 8:
        return None
    return float(datetime.date(int(text[:4]), int(text[4:6]), int(text[6:])).toordinal())


def _second(text: str) -> float:
    """Seconds since midnight of HHMMSS.FFFFFF, with or without colons, a time zone left out."""
    text = re.sub(r"[+-]\d{4}$", "", text.strip()).replace(":", "")
    found = re.fullmatch(r"(\d{2})(\d{2})(\d{2}(?:\.\d+)?)", text)
    if not found:
        raise ValueError(f"{text!r} is no time of day as HHMMSS")
    return 3600.0 * int(found[1]) + 60.0 * int(found[2]) + float(found[3])


def frame_times(folder: Path, slices: Sequence[Slice]) -> FrameTimes:
    """Sort slices into frames and find when these begin. Raises `InputError` where clocks contradict each other."""
    acquired = _acquired(folder, slices)
    key = [
        (round(a, 2), -1.0 if s.reference is None else round(s.reference, 2))
        for a, s in zip(acquired, slices, strict=True)
    ]
    order = sorted(set(key))
    frame_of = {k: order.index(name) for k, name in enumerate(key)}
    first = [next(k for k in range(len(slices)) if frame_of[k] == f) for f in range(len(order))]
    frames = [slices[k] for k in first]
    duration = _same(folder, slices, frame_of, "duration", "ActualFrameDuration")
    begun = np.array([acquired[k] for k in first])
    half_life = frames[0].half_life
    offsets = _reference_offsets(duration, half_life)
    reference = np.array([np.nan if s.reference is None else s.reference for s in frames])
    if len(frames) > 1 and np.ptp(begun) < CLOSE:
        begun = _by_reference(folder, begun[0], reference, duration)
    elif np.isfinite(reference).all():
        _check_reference(folder, begun, reference, offsets)
    _check_durations(folder, begun, duration)
    zero, injection = _zero(folder, frames, begun, reference, offsets)
    start = begun - zero
    undo = _undo(folder, frames, begun, duration, half_life, zero, injection is not None)
    return FrameTimes(start, duration, frame_of, undo, half_life, None if injection is None else 0.0)


def _acquired(folder: Path, slices: Sequence[Slice]) -> np.ndarray:
    """Acquisition of each slice [s] on one axis, midnight passed where the date says so or the time falls by hours."""
    clocks = [s.clocks["acquisition"] for s in slices]
    if any(c is None for c in clocks):
        at = next(s for s, c in zip(slices, clocks, strict=True) if c is None)
        raise InputError(f"{at.path}: has no AcquisitionTime")
    days = {c[0] for c in clocks if c is not None}
    second = np.array([c[1] for c in clocks if c is not None])
    if None not in days and len(days) > 1:
        day = np.array([c[0] for c in clocks if c is not None and c[0] is not None])
        return second + DAY * (day - day.min())
    if np.ptp(second) > DAY / 2:
        note(f"{folder}: the scan passes midnight, its date does not: times after it are taken as the next day's")
        return np.where(second < DAY / 2, second + DAY, second)
    return second


def _same(folder: Path, slices, frame_of: dict[int, int], name: str, word: str) -> np.ndarray:
    """A number that all slices of a frame share."""
    out = np.full(1 + max(frame_of.values()), np.nan)
    for k, s in enumerate(slices):
        value, f = getattr(s, name), frame_of[k]
        if value is None or not np.isfinite(value) or value <= 0:
            raise InputError(f"{s.path}: {word} is {value}: a positive time is needed")
        if np.isfinite(out[f]) and abs(out[f] - value) > 1e-3:
            raise InputError(f"{s.path}: {word} is {value:g} s, in other slices of frame {f} it is {out[f]:g} s")
        out[f] = value
    return out


def _reference_offsets(duration: np.ndarray, half_life: float | None) -> dict[str, np.ndarray]:
    """What FrameReferenceTime may mean, from the start of a frame [s]."""
    out = {"middle": 0.5 * duration}
    if half_life:
        x = np.log(2.0) / half_life * duration
        out["mean decay"] = np.log(x / -np.expm1(-x)) / x * duration
    return out | {"start": np.zeros(len(duration))}


def _by_reference(folder: Path, begun: float, reference, duration) -> np.ndarray:
    """Starts from the reference times, where every frame has one acquisition time: that of the scan."""
    if not np.isfinite(reference).all() or np.ptp(reference) < CLOSE:
        raise InputError(
            f"{folder}: AcquisitionTime is the same for all frames, and FrameReferenceTime does not tell them apart"
        )
    starts = [reference - offset for offset in _reference_offsets(duration, None).values()]
    whole = [start for start in starts if np.allclose(start[1:], (start + duration)[:-1], atol=CLOSE)]
    if whole:
        note(f"{folder}: AcquisitionTime is the same for all frames: they are placed by FrameReferenceTime")
        return begun + min(whole, key=lambda start: abs(start[0]))
    raise InputError(
        f"{folder}: AcquisitionTime is the same for all frames, and FrameReferenceTime leaves gaps or overlaps"
    )


def _check_reference(folder: Path, begun, reference, offsets) -> None:
    """The reference times must run as the acquisition does, whatever their zero and whatever they mean in a frame."""
    misfit = {name: np.ptp(reference - begun - offset) for name, offset in offsets.items()}
    if min(misfit.values()) > CLOSE:
        best = min(misfit, key=lambda n: misfit[n])
        off = reference - begun - offsets[best]
        k = int(np.argmax(np.abs(off - np.median(off))))
        raise InputError(
            f"{folder}: FrameReferenceTime and AcquisitionTime disagree by {misfit[best]:.3g} s in frame {k}: which?"
        )


def _check_durations(folder: Path, begun, duration) -> None:
    gap = begun[1:] - (begun + duration)[:-1]
    total = begun[-1] + duration[-1] - begun[0]
    wrong = "overlap" if (gap < -CLOSE).any() else "leave a gap" if gap.sum() > 0.5 * total else ""
    if wrong:
        k = int(np.argmin(gap) if wrong == "overlap" else np.argmax(gap))
        raise InputError(
            f"{folder}: frames {k} and {k + 1} {wrong}: they start {begun[k + 1] - begun[k]:g} s apart by "
            f"AcquisitionTime, and frame {k} lasts {duration[k]:g} s by ActualFrameDuration: which is right?"
        )
    if (gap > CLOSE).any():
        k = int(np.argmax(gap))
        note(f"{folder}: a gap of {gap[k]:g} s between frames {k} and {k + 1}: two runs of one scan? Read as they are")


def _zero(folder: Path, frames, begun, reference, offsets) -> tuple[float, float | None]:
    """(time 0 on the axis of `begun`, the injection's time or None)."""
    acquired = frames[0].clocks["acquisition"]
    injected = [s.clocks["injection"] for s in frames]
    if len({i[1] for i in injected if i is not None}) > 1:
        raise InputError(f"{folder}: frames of {len(set(injected))} injections in one series: keep one")
    shift = begun[0] - acquired[1]
    if injected[0] is not None:
        time = injected[0][1] + (
            DAY * (injected[0][0] - acquired[0]) if None not in (injected[0][0], acquired[0]) else 0.0
        )
        time += shift
        if injected[0][0] is None:
            time += DAY * round((begun[0] - time) / DAY)
        if abs(begun[0] - time) > UNLIKELY or time > begun[-1]:
            raise InputError(
                f"{folder}: the injection is {begun[0] - time:g} s before the first frame: one of the clocks is wrong; "
                "mend RadiopharmaceuticalStartTime"
            )
        return time, time
    if np.isfinite(reference).all():
        misfit = {name: float(np.ptp(reference - begun - offset)) for name, offset in offsets.items()}
        best = min(misfit, key=lambda n: misfit[n])
        note(f"{folder}: no injection is noted: time 0 is that of FrameReferenceTime ({best} of the frames)")
        return float(begun[0] - (reference[0] - offsets[best][0])), None
    series = frames[0].clocks["series"]
    if series is not None:
        time = series[1] + shift
        time += DAY * round((begun[0] - time) / DAY)
        if 0.0 <= begun[0] - time <= UNLIKELY:
            note(f"{folder}: neither injection nor FrameReferenceTime is noted: time 0 is SeriesTime")
            return time, None
    note(f"{folder}: neither an injection nor FrameReferenceTime is noted: time 0 is the start of the first frame")
    return float(begun[0]), None


def _undo(folder: Path, frames, begun, duration, half_life, zero: float, injected: bool) -> np.ndarray:
    """One over the factors of decay correction that were applied to the frames."""
    kinds = {s.correction for s in frames}
    said = any("DECY" in s.corrected for s in frames)
    if len(kinds) > 1:
        raise InputError(f"{folder}: DecayCorrection differs between frames ({', '.join(sorted(kinds))})")
    kind = kinds.pop()
    if kind == "NONE" and said:
        raise InputError(f"{folder}: DecayCorrection is NONE, but CorrectedImage says DECY: which is right?")
    if kind == "NONE" or (not kind and not said and all(s.factor is None for s in frames)):
        if not kind:
            note(f"{folder}: nothing is said of decay correction: taken as not corrected")
        return np.ones(len(frames))
    if not half_life:
        raise InputError(f"{folder}: corrected for decay, and no RadionuclideHalfLife: enter it")
    x = np.log(2.0) / half_life * duration
    own = x / -np.expm1(-x)
    factor = np.array([np.nan if s.factor is None else s.factor for s in frames])
    if np.isfinite(factor).all() and (factor > 0).all():
        reference = begun - half_life / np.log(2.0) * np.log(factor / own)
        if np.ptp(reference) > max(CLOSE, 0.01 * half_life) and not np.allclose(factor, own, rtol=0.01):
            k = int(np.argmax(np.abs(reference - np.median(reference))))
            raise InputError(
                f"{folder}: DecayFactor {factor[k]:g} of frame {k} corrects to another time than those of the others: "
                "were frames of several scans put together?"
            )
        return 1.0 / factor
    if kind == "ADMIN" and injected:
        return 1.0 / (own * np.exp(np.log(2.0) / half_life * (begun - zero)))
    counted = np.array([np.nan if s.reference is None else s.reference for s in frames])
    if np.isfinite(counted).all() and counted[0] > duration[0] + CLOSE:
        raise InputError(
            f"{folder}: a part of a longer scan (the first frame is {counted[0]:g} s from its zero) corrected for "
            "decay, and no DecayFactor says to which time: export it with DecayFactor"
        )
    note(f"{folder}: no DecayFactor is noted: taken as corrected to the start of the first frame")
    return 1.0 / (own * np.exp(np.log(2.0) / half_life * (begun - begun[0])))
