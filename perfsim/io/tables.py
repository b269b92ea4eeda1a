"""Tables with a header as people export them: comma, semicolon or tab, decimal commas, Excel workbooks."""

import csv
import dataclasses
import datetime
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from perfsim import units
from perfsim._files import read_text
from perfsim._notes import note
from perfsim._results import InputError
from perfsim.io.workbooks import is_workbook, read_sheets

import numpy as np

Cell = str | float | datetime.datetime
HEADER_WITHIN = 40
"""lines in which the header must come; titles may stand above it"""
KINDS = ("perfusion", "perfusion by volume", "pressure", "time", "activity", "length", "flow")
"""kinds of units that a column's name may carry"""
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_SPLIT = re.compile(r"0\d+")
"""what a decimal comma leaves behind in a table whose columns are split by commas: the 05 of 2,05"""
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_EMPTY = ("", "n/a", "na", "-", "–", "—")


@dataclasses.dataclass(frozen=True)
class Column:
    """A column's name, taken apart."""

    name: str
    """as the file has it"""
    bare: str
    """in lower case without its unit, words separated by blanks"""
    unit: str
    """as the file has it; empty if the name carries none"""

    @classmethod
    def of(cls, name: str) -> "Column":
        """Split ``"MBF rest [mL/min/g]"``, ``"mbf_mL_min_g"`` or ``"time (s)"`` into name and unit."""
        bracket = re.fullmatch(r"(.+?)[\s_]*[\[(]([^\[\]()]*(?:\([^()]*\))?[^\[\]()]*)[\])]", name)
        if bracket and _is_unit(bracket[2]):
            return cls(name, _plain(bracket[1]), bracket[2].strip())
        places = [m for m in re.finditer(r"[\s_,]+", name) if m.start() > 0]
        for place in places:  # the longest ending first
            if _is_unit(name[place.end() :]):
                return cls(name, _plain(name[: place.start()]), name[place.end() :].replace("_", "/"))
        return cls(name, _plain(name), "")


def _is_unit(text: str) -> bool:
    return any(units.scale(text, kind) is not None for kind in KINDS)


def _plain(text: str) -> str:
    return re.sub(r"[\s_.\-]+", " ", text.lower()).strip()


@dataclasses.dataclass
class Table:
    """The cells of a table below its header. `numbers` turns a column into numbers and checks them."""

    source: str
    """file, and sheet of a workbook"""
    columns: tuple[Column, ...]
    rows: list[tuple[str, list[Cell]]]
    """(file and line, cells); text is stripped, empty cells are empty text"""
    delimiter: str = ","
    """that splits the columns; empty for a workbook, whose numbers are numbers"""
    sheet: str = ""
    _style: dict[str, str] = dataclasses.field(default_factory=dict)
    """decimal sign → where it was first met"""

    def find(self, *names: str) -> int | None:
        """The column of one of these names (as `Column.bare`), or None. Raises `InputError` for more than one."""
        found = [k for k, column in enumerate(self.columns) if column.bare in names]
        if len(found) > 1:
            a, b = (repr(self.columns[k].name) for k in found[:2])
            raise InputError(f"{self.source}: the columns {a} and {b} may both be meant by {names[0]!r}: leave one")
        return found[0] if found else None

    def need(self, label: str, *names: str) -> int:
        """As `find`; raises `InputError` where there is none, naming `label` as what was looked for."""
        found = self.find(*names)
        if found is None:
            there = ", ".join(c.name for c in self.columns if c.name)
            raise InputError(f"{self.source}: no column {label!r}; it has {there or 'nothing'}")
        return found

    def factor(self, column: int, kinds: Sequence[str], default: str) -> float:
        """What numbers of a column are multiplied by to be in `default`, the unit of those whose name has none.

        Raises `InputError` for a unit of another kind.
        """
        head = self.columns[column]
        unit = head.unit or default
        for kind in kinds:
            value, base = units.scale(unit, kind), units.scale(default, kinds[0])
            if value is not None and base is not None:
                return value / base
        raise InputError(f"{self.source}: the column {head.name!r} is in {unit}, which is no unit of {kinds[0]}")

    def numbers(self, column: int, *, empty: bool = True) -> np.ndarray:
        """A column as numbers in the file's unit, NaN where a cell is empty.

        Arguments: `column`; `empty`: whether empty cells are accepted. Raises `InputError` naming row and value for
        what is no finite number, and for decimal points and commas in one table.
        """
        values = np.array([self.number(row, column, empty=empty) for row in range(len(self.rows))], float)
        self.check_thousands([(row, column) for row in range(len(self.rows))])
        return values

    def check_thousands(self, places: Sequence[tuple[int, int]]) -> None:
        """Raises `InputError` where all commas of these cells (row, column) may separate thousands, as in 2,050."""
        texts = [self.rows[row][1][column] for row, column in places]
        cells = [c for c in texts if isinstance(c, str) and "," in c]
        if cells and self.delimiter != ";" and all(_THOUSANDS.fullmatch(c) for c in cells):
            raise InputError(
                f"{self.source}: {cells[0]!r} may be a thousand or have decimals: write decimal points and no signs "
                "between thousands"
            )

    def number(self, row: int, column: int, *, empty: bool = True) -> float:
        """One cell as `numbers` reads it."""
        where, cells = self.rows[row]
        cell, name = cells[column], self.columns[column].name
        if isinstance(cell, datetime.datetime):
            raise InputError(
                f"{where}: {name} is the date {cell:%d.%m.%Y}: the spreadsheet took a number for it; enter it as number"
            )
        if isinstance(cell, str):
            if cell.lower() in _EMPTY:
                if empty:
                    return np.nan
                raise InputError(f"{where}: {name} is empty: give a number, or leave the row out")
            cell = cell.replace("−", "-")
            if not _NUMBER.fullmatch(cell):
                raise InputError(f"{where}: {name} {cell!r} is not a number; leave cells empty that were not measured")
            if self.delimiter == "," and _SPLIT.fullmatch(cell):
                raise InputError(
                    f"{where}: {name} {cell!r} is what decimal commas leave in a table of commas: write decimal "
                    "points, or separate the columns by semicolons"
                )
            self._check_style(cell, where)
            cell = float(cell.replace(",", "."))
        if not np.isfinite(cell):
            raise InputError(f"{where}: {name} {cell!r} is not finite: leave cells empty that were not measured")
        return float(cell)

    def _check_style(self, cell: str, where: str) -> None:
        for sign in ".,":
            if sign in cell:
                self._style.setdefault(sign, where)
        if len(self._style) > 1:
            raise InputError(
                f"{self._style[',']} has a decimal comma, {self._style['.'].rpartition(', ')[2]} a decimal point: use "
                "one of them throughout"
            )

    def say_unused(self, used: Sequence[int | None]) -> None:
        """Note the columns that hold something and are not in `used`."""
        left = [
            repr(column.name)
            for k, column in enumerate(self.columns)
            if k not in used and column.name and any(cells[k] != "" for _, cells in self.rows)
        ]
        if left:
            note(f"{self.source}: not used: the column{'s' * (len(left) > 1)} {', '.join(left)}")


def read_table(path: Path, is_header: Callable[[list[str]], bool] = any) -> Table:
    """Read a table as `read_tables` does. Raises `InputError` for a workbook with several such tables."""
    tables = read_tables(path, is_header)
    if len(tables) > 1:
        names = ", ".join(repr(t.sheet) for t in tables)
        raise InputError(f"{path}: the sheets {names} all hold such a table: keep one, or save it as CSV")
    return tables[0]


def read_tables(path: Path, is_header: Callable[[list[str]], bool] = any) -> list[Table]:
    """Read a table from text, or those of a workbook (.xlsx).

    In text the columns are separated by tabs, semicolons, commas or blanks, whichever makes the header. Decimal commas
    are read where they can be told from separators; a row with more values than columns is refused. Arguments: `path`;
    `is_header`: whether a row's cells are the header, which is looked for among the first 40 lines (default: the first
    row that is no comment).

    Returns: one table, or one for each sheet that has such a header.

    Raises: `InputError` naming file and row for what is no table, two columns of one name, or rows that do not fit the
    header.
    """
    if is_workbook(path):
        sheets = [(name, list(rows)) for name, rows in read_sheets(path)]
        tables = [_sheet_table(path, name, rows, is_header) for name, rows in sheets if rows]
        known = [t for t in tables if is_header([c.name for c in t.columns])]
        return known or tables[:1] or [Table(str(path), (), [])]
    text = read_text(path)
    start, delimiter = _header_of(text.split("\n"), is_header)
    return [_text_table(path, text, start, delimiter)]


def _header_of(lines: list[str], is_header) -> tuple[int, str]:
    """(line, delimiter) of the header: the first that `is_header` accepts, else the first line that is no comment."""
    first: tuple[int, str] | None = None
    for k, line in enumerate(lines[:HEADER_WITHIN]):
        if not line.strip() or (k == 0 and line.lower().startswith("sep=")):
            continue
        for delimiter in ("\t", ";", ",", " "):
            cells = _cells(line.lstrip("# "), delimiter)
            if len(cells) > 1 and is_header(cells):
                return k, delimiter
        if first is None and not line.startswith("#"):
            first = k, max("\t;,", key=line.count) if any(d in line for d in "\t;,") else " "
    return first or (0, ",")


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return line.split()
    try:
        return [c.strip() for c in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:
        return []


def _text_table(path: Path, text: str, start: int, delimiter: str) -> Table:
    lines = text.split("\n")
    columns = _columns(str(path), _cells(lines[start].lstrip("# ") if lines else "", delimiter))
    rows = []
    for number, cells in _read_rows(path, lines[start + 1 :], start + 2, delimiter):
        where = f"{path}, line {number}"
        if not any(cells) or cells[0].startswith("#"):
            continue
        rows.append((where, _fitted(where, cells, len(columns), delimiter)))
    return Table(str(path), columns, rows, delimiter)


def _read_rows(path: Path, lines: list[str], first: int, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line, stripped cells) of each row."""
    if delimiter == " ":
        yield from ((first + k, line.split()) for k, line in enumerate(lines))
        return
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            yield first + reader.line_num - 1, [c.strip() for c in cells]
    except csv.Error as error:
        raise InputError(f"{path}, line {first + reader.line_num - 1}: {error}") from None


def _sheet_table(path: Path, sheet: str, rows: list[tuple[int, list[Cell]]], is_header) -> Table:
    def names(cells):
        return ["" if c == "" else f"{c:g}" if isinstance(c, float) else str(c) for c in cells]

    head = next((k for k, (_, cells) in enumerate(rows[:HEADER_WITHIN]) if is_header(names(cells))), 0)
    source = f"{path}, sheet {sheet}"
    columns = _columns(source, names(rows[head][1]))
    body = [(f"{source}, row {n}", cells) for n, cells in rows[head + 1 :] if any(c != "" for c in cells)]
    return Table(source, columns, [(w, _fitted(w, c, len(columns), "")) for w, c in body], "", sheet)


def _columns(source: str, names: list[str]) -> tuple[Column, ...]:
    while names and not names[-1]:
        names = names[:-1]
    plain = [_plain(n) for n in names]
    twice = next((n for k, n in enumerate(names) if n and plain[k] in plain[:k]), None)
    if twice is not None:
        raise InputError(f"{source}: two columns are called {twice!r}: rename or remove one")
    return tuple(Column.of(n) for n in names)


def _fitted(where: str, cells: list, count: int, delimiter: str) -> list:
    """The cells of a row, filled up with empty ones to the number of columns."""
    surplus = [c for c in cells[count:] if c != ""]
    if surplus:
        hint = "; are there decimal commas? Write decimal points, or separate the columns by semicolons"
        raise InputError(f"{where}: {len(cells)} values for {count} columns{hint if delimiter == ',' else ''}")
    return [*cells[:count], *[""] * (count - len(cells))]
