"""Tables of MBF by AHA segment: perfsim's own, and those that other programs export."""

import csv
import dataclasses
import re
from pathlib import Path

from perfsim import units
from perfsim._notes import note
from perfsim._results import InputError
from perfsim.anatomy import MYOCARDIUM
from perfsim.io.aha_names import APEX, is_summary, segment_of
from perfsim.io.tables import Column, Table, read_tables
from perfsim.units import MBF_UNIT

import numpy as np

LOWEST, HIGHEST = 0.1, 20.0
"""[mL/min/g], medians beyond which a map is taken for one in another unit"""
DENSITY = MYOCARDIUM / 1e3
"""[g/mL]"""
STATES = {
    "rest": {"rest", "resting", "baseline", "ruhe"},
    "hyperemia": {
        "hyperemia", "hyperaemia", "hyperemic", "stress", "adenosine", "regadenoson", "dipyridamole", "belastung",
    },
}  # fmt: skip
"""words by which tables name the two states"""
_FLOWS = ("perfusion", "perfusion by volume")
_FLOW, _SD = {"mbf", "flow", "perfusion"}, {"sd", "std", "stdev", "sigma", "uncertainty"}
_DERIVED = {"mfr", "cfr", "reserve", "ratio", "max", "min", "difference", "mean diff", "k1", "k2", "k3", "cv"}


class StateNeeded(InputError):
    """A table of several states, and nobody said which one is meant."""


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a value of a segment stands."""

    segment: int
    row: int
    column: int


def read_segments(
    path: str | Path, default_sd: float, state: str | None = None, unit: str = MBF_UNIT
) -> tuple[np.ndarray, np.ndarray]:
    """Read MBF by segment from a table (CSV, tab or semicolon text, .xlsx), one segment a row or one a column.

    Segments are numbered (1-17) or named ("basal anterior"). A row or column of another state, of a territory or of a
    statistic is left out, and said. Arguments: `path`; `default_sd` [mL/min/g] where the table gives none; `state`
    ("rest", "hyperemia"), for tables that hold both; `unit` of values whose column names none.

    Returns: (value, sd), 17 each [mL/min/g]; segments that the table lacks are NaN.

    Raises: `InputError` naming file, line and value.
    """
    path = Path(path)
    table = _sheet_of(read_tables(path, is_segment_table), state)
    key = table.find(*_KEYS)
    places, deviations = _wide(table, state) if key is None else _tall(table, key, state)
    table.check_thousands([(p.row, p.column) for p in places])
    unit = _unit_of(table, [*places, *deviations], unit)
    value, sd = np.full(APEX, np.nan), np.full(APEX, default_sd)
    for place in places:
        where, k = table.rows[place.row][0], place.segment - 1
        if np.isfinite(value[k]):
            raise InputError(f"{where}: segment {place.segment} appears twice (one table per state)")
        value[k] = _mbf(table, place, unit)
    for place in deviations:
        percent = _is_percent(table, place)
        scale = value[place.segment - 1] / 100.0 if percent else _factor(table, place.column, unit)
        given = table.number(place.row, place.column) * scale
        if np.isfinite(given):
            sd[place.segment - 1] = given
            _check_sd(table, place, given, value[place.segment - 1])
    if not np.isfinite(value).any():
        raise InputError(f"{path}: the table has no rows" if not places else f"{path}: no segment has a value")
    _check_whole_numbers(table, places, deviations)
    check_mbf(str(path), value[np.isfinite(value)])
    zero = [str(k + 1) for k in np.flatnonzero(value == 0)]
    if zero:
        note(f"{path}: MBF is 0 in segment {', '.join(zero)}, taken as no flow: leave cells empty if not measured")
    return value, sd


def states_in(text: str) -> set[str]:
    """The states that a name speaks of: {"rest"} for ``"MBF rest"``."""
    words = set(re.findall(r"[^\W\d_]+", text.lower()))
    return {state for state, known in STATES.items() if words & known}


def is_segment_table(names: list[str]) -> bool:
    """Whether a header is one of MBF by segment: a column of segments, or ten columns that are segments."""
    plain = [re.sub(r"[\s_.\-]+", " ", n.lower()).strip() for n in names]
    return any(n in _KEYS for n in plain) or len({s for s in map(segment_of, names) if s}) >= 10


_KEYS = ("segment", "segments", "aha segment", "aha", "segment number", "segment name", "segment no", "region", "seg")


def _sheet_of(tables: list[Table], state: str | None) -> Table:
    named = [t for t in tables if state and state in states_in(t.sheet)]
    if len(tables) > 1 and state is None and all(states_in(t.sheet) for t in tables):
        raise StateNeeded(
            f"{tables[0].source}: one of several sheets: say which is meant (state='rest' or 'hyperemia')"
        )
    if len(named or tables) > 1:
        names = ", ".join(repr(t.sheet) for t in tables)
        raise InputError(f"{tables[0].source}: the sheets {names} all hold segments: name them rest and stress, or one")
    return (named or tables)[0]


def _tall(table: Table, key: int, state: str | None) -> tuple[list[_Place], list[_Place]]:
    """Places of values and deviations in a table with a row for each segment."""
    by_state = table.find("state", "phase", "condition", "study")
    column, sd = _columns_of(table, state, {key, by_state})
    label = table.find("segment name", "name", "aha segment name")
    table.say_unused([key, by_state, column, sd, label, table.find("unit", "units")])
    places, left = [], []
    for row, (where, cells) in enumerate(table.rows):
        text = cells[key] if isinstance(cells[key], str) else f"{cells[key]:g}"
        if by_state is not None and not _is_of(str(cells[by_state]), state, where):
            continue
        segment = segment_of(text)
        if segment is None and is_summary(text):
            left.append(text)
            continue
        if label not in (None, key) and segment and segment_of(str(cells[label])) not in (None, segment):
            segment = 0
        if not segment:
            wrong = "number and name are of two segments" if segment == 0 else "use 1 to 17, or names as basal anterior"
            raise InputError(f"{where}: segment {text!r} is not an AHA segment: {wrong}")
        places.append(_Place(segment, row, column))
    if left:
        note(f"{table.source}: not used: the rows {', '.join(left)}")
    return places, [] if sd is None else [_Place(p.segment, p.row, sd) for p in places]


def _is_of(text: str, state: str | None, where: str) -> bool:
    found = states_in(text)
    if state is None:
        raise StateNeeded(f"{where}: the table holds states: say which one is meant (state='rest' or 'hyperemia')")
    if len(found) != 1:
        raise InputError(f"{where}: the state {text!r} is none of rest and hyperemia (stress)")
    return state in found


def _columns_of(table: Table, state: str | None, others: set[int | None]) -> tuple[int, int | None]:
    """(column of the MBF, of its deviation or None) of a state."""
    flows: dict[int, set[str]] = {}
    deviations: dict[int, set[str]] = {}
    for k, column in enumerate(table.columns):
        words = set(column.bare.split())
        states = states_in(column.bare)
        rest = words - {w for known in STATES.values() for w in known}
        if k in others or words & _DERIVED or (column.unit and units.scale(column.unit, "time") is not None):
            continue
        if words & _SD or "deviation" in words:
            deviations[k] = states
        elif words & _FLOW or (states and not rest) or (not rest and column.unit):
            flows[k] = states
    flow = _one_of(table, flows, state, "mbf_mL_min_g")
    fitting = [k for k, states in deviations.items() if states == flows[flow] or not states]
    if len(fitting) > 1:
        a, b = (repr(table.columns[k].name) for k in fitting[:2])
        raise InputError(f"{table.source}: the columns {a} and {b} may both be the deviation: leave one")
    return flow, fitting[0] if fitting else None


def _one_of(table: Table, flows: dict[int, set[str]], state: str | None, label: str) -> int:
    if not flows:
        table.need(label)
    fitting = [k for k, states in flows.items() if not states or (state in states if state else True)]
    names = ", ".join(repr(table.columns[k].name) for k in flows)
    if not fitting:
        raise InputError(f"{table.source}: holds {names}, not the MBF in {state}")
    own = [k for k in fitting if flows[k]]
    fitting = own if state and own else fitting
    if len(fitting) > 1 and state is None and all(len(states) == 1 for states in flows.values()):
        raise StateNeeded(f"{table.source}: holds {names}: say which one is meant (state='rest' or 'hyperemia')")
    if len(fitting) > 1:
        raise InputError(f"{table.source}: the columns {names} may all be meant: keep the MBF of one state and method")
    return fitting[0]


def _wide(table: Table, state: str | None) -> tuple[list[_Place], list[_Place]]:
    """Places of values and deviations in a table with a column for each segment."""
    columns = {k: s for k, c in enumerate(table.columns) if (s := segment_of(c.name)) is not None}
    if not columns:
        table.need("segment")
    bad = next((table.columns[k].name for k, s in columns.items() if s == 0), None)
    if bad is not None or len(set(columns.values())) < len(columns):
        raise InputError(f"{table.source}: {bad or 'two columns'}: number and name are not those of one AHA segment")
    summaries = [k for k, c in enumerate(table.columns) if is_summary(c.name)]
    labels = [k for k in range(len(table.columns)) if k not in columns and k not in summaries]
    if summaries:
        note(f"{table.source}: not used: the columns {', '.join(table.columns[k].name for k in summaries)}")
    values: list[int] = []
    deviations: list[int] = []
    for row in range(len(table.rows)):
        text = _label(table, row, labels)
        words, states = set(re.findall(r"[^\W\d_]+\d?", text.lower())), states_in(text)
        if words & _DERIVED or (states and state and state not in states):
            continue
        (deviations if words & _SD else values).append(row)
    if len(values) > 1 and state is None and all(states_in(_label(table, row, labels)) for row in values):
        raise StateNeeded(f"{table.source}: holds several states: say which one is meant (state='rest' or 'hyperemia')")
    if len(values) > 1 or len(deviations) > 1:
        raise InputError(f"{table.source}: {len(values)} rows may be meant: keep one, or name them rest and stress")
    if not values and table.rows:
        raise InputError(f"{table.source}: no row holds the MBF in {state}")
    spread = [[_Place(s, row, k) for row in rows for k, s in columns.items()] for rows in (values, deviations)]
    return spread[0], spread[1]


def _unit_of(table: Table, places: list[_Place], unit: str) -> str:
    """The unit of the columns whose names carry none: what cells beside the values say, else `unit`, with a note."""
    taken, rows = {p.column for p in places}, {p.row for p in places}
    texts = {c for row in rows for k, c in enumerate(table.rows[row][1]) if k not in taken and isinstance(c, str)}
    said = {own for text in texts if (own := _flow_unit(text))}
    if len(said) > 1:
        raise InputError(f"{table.source}: holds the units {', '.join(sorted(said))}: keep one")
    if not said and places and not table.columns[places[0].column].unit:
        note(f"{table.source}: no unit is named: the MBF is taken as {unit}")
    return said.pop() if said else unit


def _flow_unit(text: str) -> str:
    """The unit of blood flow in a cell, which is one or ends on one; else empty."""
    return next((u for u in (text, Column.of(text).unit) if is_flow_unit(u)), "")


def is_flow_unit(text: str) -> bool:
    """Whether a text is a unit of blood flow per mass or volume of muscle."""
    return any(units.scale(text, kind) is not None for kind in _FLOWS)


def _label(table: Table, row: int, columns: list[int]) -> str:
    """What a row says of itself, without units."""
    texts = [str(table.rows[row][1][k]) for k in columns]
    return " ".join(Column.of(text).bare for text in texts if not is_flow_unit(text))


def _is_percent(table: Table, place: _Place) -> bool:
    """Whether a deviation's column, or in a table across its row, says that it is a percentage of the MBF."""
    texts = [table.columns[place.column].name, *(c for c in table.rows[place.row][1] if isinstance(c, str))]
    return any("%" in text or "percent" in text.lower() for text in texts)


def _factor(table: Table, column: int, unit: str) -> float:
    """From a column's unit to mL/min/g."""
    head = table.columns[column]
    try:
        return per_gram(head.unit or unit)
    except InputError as error:
        raise InputError(f"{table.source}: the column {head.name!r}: {error}") from None


def per_gram(unit: str) -> float:
    """From a unit of blood flow, per mass or per volume of muscle, to mL/min/g. Raises `InputError` for others."""
    by_volume, by_mass = units.scale(unit, "perfusion by volume"), units.scale(unit, "perfusion")
    if by_volume is not None:
        return by_volume * units.MINUTE / DENSITY
    if by_mass is None:
        raise InputError(f"{unit!r} is no unit of blood flow: use mL/min/g, mL/min/100g or mL/min/mL")
    return by_mass / units.ML_MIN_G


def _mbf(table: Table, place: _Place, unit: str) -> float:
    where = table.rows[place.row][0]
    value = table.number(place.row, place.column) * _factor(table, place.column, unit)
    if value < 0:
        raise InputError(f"{where}: an MBF of {value:g} mL/min/g is no flow: leave out what was not measured")
    if value > HIGHEST:
        raise InputError(f"{where}: an MBF of {value:g} mL/min/g is too high; is the unit mL/min/100g?")
    return value


def _check_sd(table: Table, place: _Place, sd: float, value: float) -> None:
    where, cells = table.rows[place.row]
    if not sd > 0:
        raise InputError(f"{where}: sd {cells[place.column]!r} must be positive")
    if sd > max(1.0, value):
        raise InputError(
            f"{where}: sd {sd:g} mL/min/g is larger than the MBF, {value:g}: another unit, or split at a comma?"
        )


def _check_whole_numbers(table: Table, places: list[_Place], deviations: list[_Place]) -> None:
    """Raises `InputError` where commas may have split every number: 2,5 read as 2 with sd 5."""
    cells = [str(table.rows[p.row][1][p.column]) for p in (*places, *deviations)]
    if table.delimiter == "," and len(deviations) >= 3 and all(c.isdigit() for c in cells):
        raise InputError(f"{table.source}: every MBF and sd is a whole number: did decimal commas split them?")


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


def write_segments(path: Path, rows: dict[str, np.ndarray]) -> None:
    """Write segment, state, mbf_mL_min_g, one row per segment and state."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["segment", "state", "mbf_mL_min_g"])
        for state, values in rows.items():
            for k, value in enumerate(values):
                writer.writerow([k + 1, state, "" if np.isnan(value) else f"{value:.6g}"])
