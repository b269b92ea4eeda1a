"""Trust: failures that cannot be missed, no side effects, true dependencies, tests that answer in minutes."""

from rows import failures, processes
from rows.row import place

ROWS = sorted([*failures.ROWS, *processes.ROWS], key=lambda row: place(row.name))
