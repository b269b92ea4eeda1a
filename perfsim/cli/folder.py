"""The folder that a run writes: claimed before anything is computed, filled all at once or not at all."""

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perfsim._extras import needed
from perfsim._results import InputError
from perfsim.cli import interrupts

with needed("cli"):
    import filelock

LOCK, SCRATCH, CHECKPOINT = ".perfsim.lock", ".perfsim-", "checkpoint"
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""errors of a disk, or a quota of it, that is full"""


def free_folder(default: Path) -> Path:
    """The default folder, or where it holds results already the first of default-2, default-3, ... that does not."""
    candidates = [default, *(default.with_name(f"{default.name}-{k}") for k in range(2, 1000))]
    return next((c for c in candidates if not (c / "summary.json").exists()), default)


class ResultFolder:
    """A folder that is this run's alone. Made by `claimed`."""

    def __init__(self, path: Path, mark: str, need: int):
        self.path, self.mark, self.need = path, mark, need

    @property
    def checkpoint(self) -> Path:
        """Where an interrupted run goes on."""
        return self.path / CHECKPOINT

    @contextmanager
    def filled(self) -> Iterator[Path]:
        """A scratch folder within this one. Its files get their names here when all of them are written.

        It lies within, for a folder may be the only thing on its disk that can be written. The file that marks a
        finished run (`mark`) is the first of an earlier run to go, and the last to come. Raises `InputError` where the
        disk is full.
        """
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=self.path))
        try:
            yield scratch
            with interrupts.held():
                (self.path / self.mark).unlink(missing_ok=True)
                for file in sorted(scratch.iterdir(), key=lambda file: file.name == self.mark):
                    file.replace(self.path / file.name)
                self.checkpoint.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in FULL:
                raise
            shutil.rmtree(scratch, ignore_errors=True)
            raise InputError(_no_room(self.path, self.need, error.strerror)) from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def claimed(
    out: Path, overwrite: bool = False, mark: str = "summary.json", need: int = 2_000_000
) -> Iterator[ResultFolder]:
    """Hold a folder for one run, from before its first computation until its end; make it if need be.

    Arguments: `out`; `overwrite`: whether results of an earlier run may be replaced; `mark`: the file that says that
    there are some; `need`: size of the results [bytes], about.

    Yields: a `ResultFolder`. A folder that was made for a run which fails is removed again, unless it holds a
    checkpoint.

    Raises: `InputError` for a path that cannot become a folder, that cannot be written, has no room, holds results
    already, or that another run is writing.
    """
    made = _made(out, need)
    lock = filelock.FileLock(out / LOCK)
    try:
        _locked(lock, out)
        if (out / mark).exists() and not overwrite:
            raise InputError(f"{out} holds the results of an earlier run: choose another --out, or add --overwrite")
        try:
            for left in out.glob(f"{SCRATCH}*"):  # by a run that was killed
                shutil.rmtree(left, ignore_errors=True)
            yield ResultFolder(out, mark, need)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or interrupts.received():
                goes_on = f"the same command goes on from {out / CHECKPOINT}"
                raise interrupts.Interrupted(
                    goes_on if (out / CHECKPOINT).exists() else "nothing was written"
                ) from None
            raise
        finally:
            with suppress(OSError):  # Windows removes it once it is released
                (out / LOCK).unlink()
            lock.release()
    finally:
        for folder in made:
            _removed_if_empty(folder)


def _made(out: Path, need: int) -> list[Path]:
    """Make a folder, and those above it. Returns those that were not there, the innermost first."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: --out needs a folder")
    if out.is_symlink() and not out.exists():
        raise InputError(f"{out} is a link to {out.readlink()}, which does not exist: choose another --out")
    missing = [folder for folder in (out, *out.absolute().parents) if not folder.exists()]
    there = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        free = shutil.disk_usage(out).free
    except OSError as error:
        for folder in missing:
            _removed_if_empty(folder)
        if error.errno in FULL:
            raise InputError(_no_room(out, need, error.strerror)) from None
        raise InputError(f"{there} is not writable ({error.strerror}): choose another --out") from None
    if free < need:
        for folder in missing:
            _removed_if_empty(folder)
        raise InputError(_no_room(out, need, f"{_mb(free)} are free"))
    return missing


def _locked(lock: filelock.BaseFileLock, out: Path) -> None:
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise InputError(
            f"{out}: another run is writing into this folder: wait for it, or choose another --out"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise InputError(f"{out}: this disk cannot lock a file ({error}): choose an --out on another") from None


def _no_room(out: Path, need: int, why: str | None) -> str:
    return (
        f"{out}: the results need about {_mb(need)}, and there is no room ({why}): free some, or choose another --out"
    )


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _removed_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
