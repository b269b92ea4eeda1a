"""Tables on the terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table


def print_table(console: Console, title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table without lines, names to the left, numbers to the right, and an empty line."""
    console.print(title, style="bold")
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for k, column in enumerate(header):
        table.add_column(column, justify="left" if k == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()
