"""Pressure-wire recordings: aortic (Pa) and distal (Pd) pressure through an adenosine hyperemia."""

import csv
import dataclasses
from pathlib import Path

from perfsim._results import InputError

import numpy as np
import scipy

BEAT = 1.2  # [s]: any artery's pressure moves within this time
PULSE = 5.0  # [mmHg]: least movement of a live signal
WINDOW = 3.0  # [s] over which means are compared


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
    """Read a CSV with the columns t_s, Pa_mmHg and Pd_mmHg.

    Samples are rejected where a pressure is outside 10-250 mmHg or Pa moves by less than 5 mmHg within 1.2 s (a flushed
    catheter). Raises `InputError` naming file, line and value, or where too little is left.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    rows = []
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        missing = [c for c in ("t_s", "Pa_mmHg", "Pd_mmHg") if c not in (reader.fieldnames or [])]
        if missing:
            raise InputError(
                f"{path}: no column {missing[0]!r}; it has {', '.join(reader.fieldnames or []) or 'nothing'}"
            )
        for row in reader:
            try:
                rows.append([float(row[c]) for c in ("t_s", "Pa_mmHg", "Pd_mmHg")])
            except (TypeError, ValueError):
                raise InputError(f"{path}, line {reader.line_num}: cannot read {list(row.values())}") from None
    table = np.array(rows).reshape(-1, 3)
    if len(table) < 50 or not np.all(np.diff(table[:, 0]) > 0):
        raise InputError(f"{path}: needs at least 50 samples with rising times, has {len(table)}")
    return _analyze(path, *table.T)


def _analyze(path: Path, time, aortic, distal) -> PressureTrace:
    step = float(np.median(np.diff(time)))
    beat = max(2, round(BEAT / step))
    # the middle of a flat stretch tells that it is flat; widening by the same window covers it to its ends
    live = ~scipy.ndimage.maximum_filter1d(_range(aortic, beat) <= PULSE, beat + 1)
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
