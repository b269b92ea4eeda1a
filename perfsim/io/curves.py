"""Time courses of activity in blood, from tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from perfsim import units
from perfsim._notes import note
from perfsim._results import InputError
from perfsim.io.json_files import read_json
from perfsim.io.tables import Column, Table, read_table

import numpy as np

if TYPE_CHECKING:
    from perfsim.observe.tracers import Curve, Frames

TIME = ("time", "t")
ACTIVITY = ("activity", "value", "whole blood radioactivity", "whole blood", "blood", "radioactivity")
START, END = ("start", "frame start", "time start"), ("end", "frame end", "time end")
LONGEST = 6 * 3600.0
"""[s], longest time course of a perfusion scan"""
Sample = Literal["point", "start", "middle", "end"]


def read_curve(
    path: str | Path, *, column: str | None = None, sample: Sample = "point", frames: "Frames | None" = None
) -> "Curve":
    """Read a time course from a table with the columns time_s and activity, or start_s, end_s and activity.

    Activity is given in Bq/mL where the column's name has a unit (``activity_kBq_mL``, ``value[kBq/cc]``; of a BIDS
    table, its sidecar), otherwise in the file's. Arguments: `path`; `column`, the name of the activity where a table
    holds several; `sample`: what a time means, a "point" in time, or the "start", "middle" or "end" of the frame whose
    mean is given; `frames` whose times these are, needed for all but "point".

    Returns: the curve; means over frames become one that has these means (see `Curve.of_frames`).

    Raises: `InputError` naming file, line and value.
    """
    from perfsim.observe.tracers import Curve, Frames

    path = Path(path)
    start, end, values = _columns(path, column)
    try:
        if end is not None:
            return Curve.of_frames(Frames.of(start, end - start), values)
        if sample == "point":
            return Curve.of(*_sampled(path, start, values))
        if frames is None:
            raise InputError(f"sample={sample!r} needs the frames: give frames=")
        return Curve.of_frames(_matched(frames, start, sample), values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_samples(path: str | Path, column: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(times [s], activity) of a table as it stands, the middles where it gives starts and ends."""
    path = Path(path)
    start, end, values = _columns(path, column)
    time, values = _sampled(path, start if end is None else 0.5 * (start + end), values)
    if not len(time):
        raise InputError(f"{path}: the table has no rows")
    return time, values


def _columns(path: Path, column: str | None) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """(times or starts [s], ends or None, activity) of a table."""
    table = _with_sidecar(path, read_table(path, is_curve_table))
    activity_at, start_at, end_at = _activity_of(table, column), table.find(*START), table.find(*END)
    if start_at is None or end_at is None:
        time_at = table.need("time_s", *TIME)
        table.say_unused([time_at, activity_at])
        return _seconds(table, time_at), None, _activity(table, activity_at)
    table.say_unused([start_at, end_at, activity_at])
    start, end = _seconds(table, start_at), _seconds(table, end_at, table.columns[start_at].unit)
    return start, end, _activity(table, activity_at, end_at)


def is_curve_table(names: list[str]) -> bool:
    """Whether a header is one of a time course."""
    found = [Column.of(n).bare for n in names]
    return any(n in found for n in (*TIME, *START)) and not any(n in ("pa", "pd") for n in found)


def _activity_of(table: Table, column: str | None) -> int:
    if column is not None:
        return table.need(column, Column.of(column).bare)
    known = table.find(*ACTIVITY)
    others = [k for k, c in enumerate(table.columns) if c.name and c.bare not in (*TIME, *START, *END)]
    if known is None and table.find(*START) is not None and len(others) == 1:
        return others[0]
    return table.need("activity", *ACTIVITY)


def _seconds(table: Table, column: int, unit: str = "") -> np.ndarray:
    head = table.columns[column]
    if head.unit and units.scale(head.unit, "activity") is not None:  # PMOD writes start[seconds], end[kBq/cc]
        factor = units.scale(unit or "s", "time") or 1.0
    else:
        factor = table.factor(column, ("time",), unit or "s")
    time = factor * table.numbers(column, empty=False)
    if len(time) and np.max(time) > LONGEST:
        raise InputError(f"{table.source}: {head.name} reaches {np.max(time):g} s: is it in ms?")
    return time


def _activity(table: Table, column: int, end: int | None = None) -> np.ndarray:
    """[Bq/mL] where the table names a unit."""
    own = table.columns[column].unit or ("" if end is None else table.columns[end].unit)
    if own and units.scale(own, "activity") is not None:
        return units.scale(own, "activity") * table.numbers(column)
    return table.factor(column, ("activity",), "Bq/mL") * table.numbers(column)


def _sampled(path: Path, time: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The samples that were measured."""
    known = np.isfinite(values)
    if not known.all():
        note(f"{path}: {int(np.sum(~known))} of {len(known)} samples are empty: taken as not measured")
    time, values = time[known], values[known]
    inner = (values == 0) & (np.cumsum(values > 0) > 0) & (np.cumsum(values[::-1] > 0)[::-1] > 0)
    if inner.any():
        at = ", ".join(f"{t:g}" for t in time[inner][:3])
        note(f"{path}: the activity is 0 at {at} s, between samples that are not: leave out what was not measured")
    if (values < 0).any():
        note(f"{path}: the activity is negative in {int(np.sum(values < 0))} samples, taken as it is")
    return time, values


def _matched(frames: "Frames", time: np.ndarray, sample: str) -> "Frames":
    start, end = np.asarray(frames.start), np.asarray(frames.end)
    expected = {"start": start, "middle": 0.5 * (start + end), "end": end}[sample]
    if len(time) != len(expected) or not np.allclose(time, expected, atol=0.5):
        raise InputError(
            f"its {len(time)} times are not the {sample}s of the {len(expected)} frames: the first are "
            f"{time[:3].tolist()} and {expected[:3].tolist()} s"
        )
    return frames


def _with_sidecar(path: Path, table: Table) -> Table:
    """The table with the units that a BIDS sidecar beside it (.json) gives its columns."""
    stem = path.name.removesuffix(".gz")
    beside = path.parent / (stem.removesuffix(".tsv") + ".json")
    if not stem.endswith(".tsv") or not beside.is_file():
        return table
    said = read_json(beside)
    columns = []
    for column in table.columns:
        entry = said.get(column.name)
        unit = entry.get("Units", "") if isinstance(entry, dict) else ""
        columns.append(Column(column.name, column.bare, column.unit or str(unit)))
    table.columns = tuple(columns)
    return table
