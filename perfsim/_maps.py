"""Room for compiled programs in a long-lived process.

Every kernel of a compiled program has memory maps of its own: a heart's program has about 1,000, its gradient 1,800.
Linux gives a process 65,530 (`vm.max_map_count`), and a process that asks for more dies within LLVM. A notebook that
simulates some 40 hearts of different sizes gets there. So the programs are forgotten before that: what is used again is
compiled again, or read from the cache on disk (`enable_compile_cache`). Results do not change.
"""

import gc
from pathlib import Path

import jax

MAPS, LIMIT = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
SHARE = 0.6
"""of the maps that a process may have, taken before programs are forgotten: a gradient's compilation needs some 4,000
at once, and other libraries have theirs"""
EVERY = 8
"""compilations between two looks"""

_compiled = 0
_looked = 0
_listening = False


def make_room(most: int | None = None) -> bool:
    """Forget all compiled programs where their memory maps near the limit of the process (Linux).

    `simulate` calls this before it compiles or runs anything. It costs nothing where nothing was compiled since the
    last call, and clearing is safe at any time: a program that is running, or being traced, is kept until it ends.

    Arguments: number of maps above which to clear (default: 60 % of `vm.max_map_count`, looked at every 8
    compilations). Returns whether programs were forgotten.
    """
    global _looked
    _listen()
    if most is None and _compiled - _looked < EVERY:
        return False
    _looked = _compiled
    if not MAPS.exists() or count_maps() <= (_allowed() if most is None else most):
        return False
    jax.clear_caches()
    gc.collect()  # executables are parts of reference cycles
    return True


def count_maps() -> int:
    """Memory maps of this process."""
    return MAPS.read_bytes().count(b"\n")


def _allowed() -> int:
    return int(SHARE * int(LIMIT.read_text())) if LIMIT.exists() else 39_000


def _listen() -> None:
    """Count compilations from now on."""
    global _listening
    if not _listening:
        _listening = True
        jax.monitoring.register_event_duration_secs_listener(_count)


def _count(event: str, _seconds: float, **_about) -> None:
    global _compiled
    if event == "/jax/core/compile/backend_compile_duration":
        _compiled += 1
