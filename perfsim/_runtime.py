"""Global configuration: the only module that touches it.

`configure` runs when `perfsim` is imported and does not import jax itself, so that `perfsim --help` is quick:
it sets the environment that jax and equinox read when they are imported later.
"""

import os
import sys
import warnings
from pathlib import Path


def configure() -> None:
    """Select float64 and callback-free error handling for everything imported afterwards.

    `PERFSIM_PRECISION=f32` keeps single precision. `EQX_ON_ERROR=nan` is needed because equinox's default
    inserts a host callback into compiled code, and jax cannot cache a program that holds one.
    """
    double = os.environ.get("PERFSIM_PRECISION", "f64") != "f32"
    if "equinox" in sys.modules and os.environ.get("EQX_ON_ERROR") != "nan":
        warnings.warn(
            "equinox was imported before perfsim, so its error checks keep host callbacks and compiled programs "
            "cannot be cached on disk: import perfsim first, or set EQX_ON_ERROR=nan in the environment",
            stacklevel=3,
        )
    os.environ.setdefault("EQX_ON_ERROR", "nan")
    if double:
        os.environ.setdefault("JAX_ENABLE_X64", "1")
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", double)


def enable_compile_cache() -> str | None:
    """Keep compiled programs on disk between runs (the CLI does this; `PERFSIM_CACHE=off` declines). Returns where."""
    chosen = os.environ.get("PERFSIM_CACHE", "")
    if chosen == "off":
        return None
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "perfsim"
    import jax

    folder = chosen or str(default)
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.02)
    return folder


def peak_memory_mb() -> float:
    """Peak resident memory of this process [MB]."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
