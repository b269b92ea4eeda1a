"""Tables with a header, row by row."""

import csv
from collections.abc import Iterator
from pathlib import Path

from perfsim._results import InputError


def read_rows(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """(file and line, the row by column name) of a CSV. Raises `InputError` for a missing file or column."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = [c.strip() for c in reader.fieldnames or []]
        for name in needed:
            if name not in columns:
                raise InputError(f"{path}: no column {name!r}; it has {', '.join(columns) or 'nothing'}")
        reader.fieldnames = columns
        for row in reader:
            yield f"{path}, line {reader.line_num}", row
