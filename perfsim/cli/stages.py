"""Progress by stage, and how long each took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from perfsim.cli import interrupts

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class Stages:
    """A progress bar per stage on a terminal, one line per finished stage elsewhere."""

    def __init__(self, console: Console):
        self.console = console
        self.seconds: dict[str, float] = {}
        columns = (
            TextColumn("{task.description:>10}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)

    @contextmanager
    def show(self) -> Iterator["Stages"]:
        """Draw the bars while the block runs."""
        with self._progress:
            yield self

    @contextmanager
    def stage(self, name: str) -> Iterator["Stage"]:
        """Time one stage; its bar fills as `Stage.update` is called, and completes at the end."""
        started = time.perf_counter()
        stage = Stage(self._progress, self._progress.add_task(name, total=None, note=""))
        yield stage
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
        stage.update(1, 1)
        if not self.console.is_terminal:
            self.console.print(f"{name:>10}  {self.seconds[name]:6.2f} s  {stage.note}")


class Stage:
    """One running stage."""

    def __init__(self, progress: Progress, task):
        self._progress, self._task, self.note = progress, task, ""

    def update(self, done: int, total: int, note: str | None = None) -> None:
        """Move the bar; `note` stands beside it. Raises `Interrupted` if a signal asks the process to end."""
        interrupts.check()
        self.note = self.note if note is None else note
        self._progress.update(self._task, completed=done, total=total, note=self.note)
