"""Tables of MBF by AHA segment."""

import csv
from pathlib import Path

from perfsim._results import InputError
from perfsim.io.tables import read_rows

import numpy as np

LOWEST, HIGHEST = 0.1, 20.0
"""[mL/min/g], medians beyond which a map is taken for one in another unit"""


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
        if not value[k] >= 0:
            raise InputError(f"{where}: an MBF of {value[k]:g} mL/min/g is no flow: leave out what was not measured")
        if value[k] > HIGHEST:
            raise InputError(f"{where}: an MBF of {value[k]:g} mL/min/g is too high; is the unit mL/min/100g?")
        if row.get("sd"):
            sd[k] = _number(row["sd"], where, "sd")
            if not sd[k] > 0:
                raise InputError(f"{where}: sd {row['sd']!r} must be positive")
    if not np.isfinite(value).any():
        raise InputError(f"{path}: the table has no rows")
    check_mbf(str(path), value[np.isfinite(value)])
    return value, sd


def check_mbf(where: str, value: np.ndarray) -> None:
    """Raises `InputError` for values that are no MBF in mL/min/g."""
    if not np.isfinite(value).all():
        raise InputError(f"{where}: {int(np.sum(~np.isfinite(value)))} values inside the wall are NaN or infinite")
    if (value < 0).any():
        raise InputError(
            f"{where}: {int(np.sum(value < 0))} values are negative, the least is {value.min():.3g} mL/min/g"
        )
    middle = float(np.median(value))
    if middle > HIGHEST:
        raise InputError(f"{where}: a median of {middle:.3g} mL/min/g is not blood flow: is the unit mL/min/100g?")
    if 0 < middle < LOWEST:
        raise InputError(f"{where}: a median of {middle:.3g} mL/min/g is not blood flow: is the unit mL/s/g?")


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
