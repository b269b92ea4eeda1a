"""The process that perfsim runs in: the cache of compiled programs, memory. Importing perfsim changes none of it."""

import os
from pathlib import Path


def enable_compile_cache(folder: Path | str | None = None) -> Path | None:
    """Keep compiled programs on disk, so that the next process need not compile them again.

    Arguments: `folder`, by default that of the environment variable `PERFSIM_CACHE` (`off` declines), or
    `~/.cache/perfsim`. Returns the folder, or None where programs are kept in memory only: the cache is declined, or
    the folder cannot be written. jax reads it from the next compilation on.
    """
    chosen = os.environ.get("PERFSIM_CACHE", "") if folder is None else str(folder)
    where = None if chosen == "off" else _writable(Path(chosen) if chosen else _default_cache())
    if where is not None:
        import jax

        jax.config.update("jax_compilation_cache_dir", str(where))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.02)
    return where


def _default_cache() -> Path | None:
    if "XDG_CACHE_HOME" in os.environ:
        return Path(os.environ["XDG_CACHE_HOME"]) / "perfsim"
    try:
        return Path.home() / ".cache" / "perfsim"
    except RuntimeError:  # nobody's process: no HOME and no entry among the users
        return None


def _writable(folder: Path | None) -> Path | None:
    """The folder, made if need be, if this process may write into it."""
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def peak_memory_mb() -> float:
    """Peak resident memory of this process [MB]; NaN where the system keeps no peak, as macOS."""
    import psutil

    if psutil.LINUX:  # psutil leaves the peak out there
        status = Path("/proc/self/status").read_text()
        return float(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) / 1e3
    return getattr(psutil.Process().memory_info(), "peak_wset", float("nan")) / 1e6
