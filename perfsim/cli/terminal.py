"""What is printed, on any terminal: letters that it lacks are replaced, names are shown as they are."""

import logging
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.logging import RichHandler


class _Lenient:
    """A stream whose failures do not end a run: its reader may be gone (`perfsim run … | head`), its disk full."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        return self._tried(self._stream.write, text) or len(text)

    def flush(self) -> None:
        self._tried(self._stream.flush)

    def _tried(self, call, *arguments):
        try:
            return call(*arguments)
        except (OSError, ValueError):
            silence(self._stream)
            return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def silence(stream: TextIO) -> None:
    """Send what a stream still holds to nowhere, so that it is not tried again when the process ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # no file of the system's: nothing is tried again
        pass


def prepare_streams() -> None:
    """Print letters that the terminal's encoding lacks as question marks, instead of failing at them."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def note(message, category, filename, lineno, file=None, line=None) -> None:
    """Print a warning of perfsim as one line; those of other packages (glyphs, caches) are no user's business."""
    ours = Path(__file__).parents[1]
    if category.__module__.startswith("perfsim") or ours in Path(filename).parents:
        print(f"perfsim: note: {message}", file=sys.stderr)
    else:
        logging.getLogger("perfsim.cli").debug("%s: %s", filename, message)


def open_console(quiet: bool = False) -> Console:
    """The terminal: 110 columns where it is none. No markup, no emoji codes, so that any name is shown as it is."""
    file: Any = None if sys.stdout is None else _Lenient(sys.stdout)
    console = Console(file=file, quiet=quiet, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console = Console(file=file, quiet=quiet, markup=False, emoji=False, highlight=False, width=110)
    return console


def warn(console: Console, warning: str) -> None:
    """Print a warning, on the error stream where the console is quiet."""
    if console.quiet:
        print(f"perfsim: warning: {warning}", file=sys.stderr)
    else:
        console.print("[yellow]warning:[/yellow] ", end="", markup=True)
        console.print(warning)


def show_log(console: Console) -> None:
    """Print what the library logs (the logger `perfsim`) among what is printed."""
    handler = RichHandler(console=console, show_time=False, show_level=False, show_path=False, markup=False)
    handler.setFormatter(logging.Formatter("            %(message)s"))
    logger = logging.getLogger("perfsim")
    logger.handlers = [h for h in logger.handlers if not isinstance(h, RichHandler)] + [handler]
    logger.setLevel(logging.INFO)
