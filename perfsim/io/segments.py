"""Tables of MBF by AHA segment."""

import csv
from pathlib import Path

from perfsim._results import InputError
from perfsim.io.tables import read_rows

import numpy as np


def read_segments(path: str | Path, default_sd: float) -> tuple[np.ndarray, np.ndarray]:
    """Read a CSV with the columns segment (1-17), mbf_mL_min_g and, if there is one, sd.

    Returns (value, sd), 17 each [mL/min/g]; segments that the table lacks are NaN. Raises `InputError` naming file,
    line and value.
    """
    path = Path(path)
    value, sd = np.full(17, np.nan), np.full(17, default_sd)
    for where, row in read_rows(path, ("segment", "mbf_mL_min_g")):
        segment = _number(row["segment"], where, "segment")
        if segment not in range(1, 18):
            raise InputError(f"{where}: segment {row['segment']!r} is not an AHA segment: use 1 to 17")
        k = int(segment) - 1
        if np.isfinite(value[k]):
            raise InputError(f"{where}: segment {k + 1} appears twice (one table per state)")
        value[k] = _number(row["mbf_mL_min_g"], where, "mbf_mL_min_g")
        if not 0 <= value[k] <= 20:
            raise InputError(
                f"{where}: an MBF of {value[k]:g} mL/min/g is not between 0 and 20; is the unit mL/min/100g?"
            )
        if row.get("sd"):
            sd[k] = _number(row["sd"], where, "sd")
            if not sd[k] > 0:
                raise InputError(f"{where}: sd {row['sd']!r} must be positive")
    if not np.isfinite(value).any():
        raise InputError(f"{path}: the table has no rows")
    return value, sd


def _number(text, where, column) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        raise InputError(f"{where}: {column} {text!r} is not a number") from None


def write_segments(path: Path, rows: dict[str, np.ndarray]) -> None:
    """Write segment, state, mbf_mL_min_g, one row per segment and state."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["segment", "state", "mbf_mL_min_g"])
        for state, values in rows.items():
            for k, value in enumerate(values):
                writer.writerow([k + 1, state, "" if np.isnan(value) else f"{value:.6g}"])
