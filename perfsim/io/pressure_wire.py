"""Pressure-wire recordings: aortic (Pa) and distal (Pd) pressure through an adenosine hyperemia."""

import dataclasses
from pathlib import Path

from perfsim._notes import note
from perfsim._results import InputError
from perfsim.io.tables import Column, read_table

import numpy as np
import scipy

BEAT = 1.2  # [s]: any artery's pressure moves within this time
PULSE = 5.0  # [mmHg]: least movement of a live signal
WINDOW = 3.0  # [s] over which means are compared
EXCESS = 1.02  # Pd/Pa beyond which it is no artery's
SLOWEST = 0.3  # [s] between samples that still show a beat
LOWEST, HIGHEST = 30.0, 250.0  # [mmHg], medians of Pa that people have
COLUMNS = {
    "t_s": ("t", "time"),
    "Pa_mmHg": ("pa", "p a", "pao", "aortic", "aortic pressure"),
    "Pd_mmHg": ("pd", "p d", "distal", "distal pressure"),
}
UNITS = (("time", "s"), ("pressure", "mmHg"), ("pressure", "mmHg"))
"""kind and default unit of the columns"""


@dataclasses.dataclass(frozen=True)
class PressureTrace:
    """A recording and what it says. Pressures in mmHg, times in s."""

    time: np.ndarray
    aortic: np.ndarray
    distal: np.ndarray
    valid: np.ndarray
    """False where the catheter was flushed or a sensor was off"""
    ratio: np.ndarray
    """mean Pd over mean Pa of the 3 s around each sample; NaN where a fifth or more is invalid"""
    rest: tuple[float, float]
    """window before the drug works"""
    hyperemia: float
    """time of the least ratio"""
    rest_ratio: float
    """Pd/Pa at rest, ratio of means"""
    ffr: float
    """least 3 s ratio of means"""


def read_pressure_wire(path: str | Path) -> PressureTrace:
    """Read a table with the columns t_s, Pa_mmHg and Pd_mmHg, or of these names with other units, e.g. "Pa [kPa]".

    Samples are rejected where a pressure is outside 10-250 mmHg or Pa moves by less than 5 mmHg within 1.2 s (a flushed
    catheter). Implausible recordings are said: Pd above Pa at rest (drift, or exchanged), negative pressures, zeros.
    Raises `InputError` naming file, line and value, or where too little is left.
    """
    path = Path(path)
    table = read_table(path, is_wire_table)
    columns = [table.need(label, *names) for label, names in COLUMNS.items()]
    units = [table.factor(c, (kind,), unit) for c, (kind, unit) in zip(columns, UNITS, strict=True)]
    time, aortic, distal = (
        factor * table.numbers(c, empty=k > 0) for k, (c, factor) in enumerate(zip(columns, units, strict=True))
    )
    table.say_unused(columns)
    if len(time) < 50 or not np.all(np.diff(time) > 0):
        raise InputError(f"{path}: needs at least 50 samples with rising times, has {len(time)}")
    step, level = float(np.median(np.diff(time))), float(np.nanmedian(aortic)) if np.isfinite(aortic).any() else np.nan
    if step > SLOWEST:
        raise InputError(f"{path}: samples are {step:g} s apart, too few for a heartbeat: is the time in ms?")
    if not LOWEST <= level <= HIGHEST:
        unit = "kPa" if 4 <= level <= 30 else "Pa" if level > 4e3 else "mmHg"
        raise InputError(f"{path}: the median of Pa is {level:.4g} mmHg: is the unit {unit}? Name it, as in Pa_{unit}")
    trace = _analyze(path, time, aortic, distal)
    _say_implausible(path, trace)
    return trace


def is_wire_table(names: list[str]) -> bool:
    """Whether a header is one of a pressure wire."""
    found = [Column.of(n).bare for n in names]
    return any(n in found for n in COLUMNS["Pa_mmHg"]) and any(n in found for n in COLUMNS["Pd_mmHg"])


def _say_implausible(path: Path, trace: PressureTrace) -> None:
    """Note what no artery does: pressure that rises along it, or below zero."""
    for name, pressure in (("Pa", trace.aortic), ("Pd", trace.distal)):
        if (pressure < 0).any():
            note(
                f"{path}: {name} is negative in {int(np.sum(pressure < 0))} samples (least {np.nanmin(pressure):.3g} "
                "mmHg): left out; was the sensor zeroed?"
            )
        if (pressure == 0).any():
            note(f"{path}: {name} is 0 in {int(np.sum(pressure == 0))} samples, taken as not measured")
        if np.isnan(pressure).any():
            note(f"{path}: {name} is empty in {int(np.isnan(pressure).sum())} samples, taken as not measured")
    low, high = np.nanmin(trace.ratio), np.nanmax(trace.ratio)
    if trace.rest_ratio > EXCESS and high > 1 / 0.93 and high - trace.rest_ratio > trace.rest_ratio - low:
        note(
            f"{path}: Pd/Pa is {trace.rest_ratio:.2f} at rest and rises to {high:.2f}: are Pa and Pd exchanged? With "
            f"them the other way round the least ratio is {1 / high:.2f}"
        )
    elif trace.rest_ratio > EXCESS:
        resting = trace.valid & (trace.time >= trace.rest[0]) & (trace.time <= trace.rest[1])
        excess = float((trace.distal - trace.aortic)[resting].mean())
        lowest = np.argmin(np.abs(trace.time - trace.hyperemia))
        note(
            f"{path}: Pd/Pa is {trace.rest_ratio:.2f} at rest, which no artery has: Pd lies {excess:.1f} mmHg above "
            f"Pa, so it has drifted by at least that; subtract it from Pd (the least ratio is then "
            f"{trace.ratio[lowest] - excess / _mean_aortic(trace):.2f}), or more if a lesion costs pressure at rest"
        )
    elif high > EXCESS:
        at = trace.time[np.nanargmax(trace.ratio)]
        note(f"{path}: Pd/Pa reaches {high:.2f} at {at:.1f} s, which no artery has: sensor drift, or a flush?")


def _mean_aortic(trace: PressureTrace) -> float:
    """Mean Pa around the least ratio [mmHg]."""
    near = trace.valid & (np.abs(trace.time - trace.hyperemia) <= WINDOW / 2)
    return float(trace.aortic[near].mean())


def _analyze(path: Path, time, aortic, distal) -> PressureTrace:
    step = float(np.median(np.diff(time)))
    beat = max(2, round(BEAT / step))
    # the middle of a flat stretch tells that it is flat; widening by the same window covers it to its ends
    known = np.isfinite(aortic)
    filled = np.interp(time, time[known], aortic[known])
    live = ~scipy.ndimage.maximum_filter1d(_range(filled, beat) <= PULSE, beat + 1)
    valid = live & (aortic > 10) & (aortic <= 250) & (distal > 10) & (distal <= 250)
    width = max(3, round(WINDOW / step))
    kernel = np.ones(width)
    count, pa, pd = (np.convolve(np.where(valid, x, 0.0), kernel, "same") for x in (np.ones(len(time)), aortic, distal))
    ratio = np.where(count > 0.8 * width, pd / np.maximum(pa, 1e-9), np.nan)
    known = np.flatnonzero(np.isfinite(ratio))
    if len(known) < 2 * width:
        raise InputError(
            f"{path}: {valid.sum()} of {len(time)} samples are usable, too few for a rest and a hyperemia window"
        )
    least = known[np.argmin(ratio[known])]
    start = float(np.nanmedian(ratio[known][: max(width, round(8.0 / step))]))
    falling = np.flatnonzero((ratio < start - 0.3 * (start - ratio[least])) & (np.arange(len(time)) <= least))
    onset = time[falling[0]] if len(falling) else time[least]
    rest = (float(time[known[0]]), float(min(onset, time[known[0]] + 15.0)))
    resting = valid & (time >= rest[0]) & (time <= rest[1])
    rest_ratio = float(distal[resting].mean() / aortic[resting].mean())
    return PressureTrace(time, aortic, distal, valid, ratio, rest, float(time[least]), rest_ratio, float(ratio[least]))


def _range(x: np.ndarray, width: int) -> np.ndarray:
    """Largest minus smallest value within `width` samples around each sample."""
    return scipy.ndimage.maximum_filter1d(x, width) - scipy.ndimage.minimum_filter1d(x, width)
