"""What people bring: the rows of every module people_*.py beside this one."""

import importlib
from pathlib import Path

from rows.row import Row, place

ROWS: list[Row] = []
for path in sorted(Path(__file__).parent.glob("people_*.py")):
    ROWS += importlib.import_module(f"rows.{path.stem}").ROWS
ROWS.sort(key=lambda row: place(row.name))
