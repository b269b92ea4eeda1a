"""The folder that a run writes: free, writable, and filled all at once or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perfsim._results import InputError


def free_folder(default: Path) -> Path:
    """The default folder, or where it holds results already the first of default-2, default-3, ... that does not."""
    candidates = [default, *(default.with_name(f"{default.name}-{k}") for k in range(2, 1000))]
    return next((c for c in candidates if not (c / "summary.json").exists()), default)


def check_folder(out: Path, overwrite: bool, mark: str = "summary.json") -> None:
    """Refuse a path that cannot become a folder, or holds results already, before anything is computed."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: --out needs a folder")
    if (out / mark).exists() and not overwrite:
        raise InputError(f"{out} holds the results of an earlier run: choose another --out, or add --overwrite")
    parent = out if out.is_dir() else next(p for p in [*out.absolute().parents] if p.exists())
    if not _writable(parent):
        raise InputError(f"{parent} is not writable: choose another --out")


def _writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@contextmanager
def all_or_nothing(out: Path) -> Iterator[Path]:
    """A scratch folder beside `out` whose files move there only when all are written."""
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield scratch
        out.mkdir(exist_ok=True)
        for file in scratch.iterdir():
            file.replace(out / file.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
