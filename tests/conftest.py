"""Shared fixtures: a small heart, and the data beside the project."""

import gc
from pathlib import Path

import perfsim

import jax
import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


MAPS = Path("/proc/self/maps")

perfsim.enable_x64()
perfsim.enable_compile_cache()  # workers, and what they run as programs of their own, compile the same code once


@pytest.fixture(autouse=True)
def few_programs():
    """Each compiled program holds memory maps (a heart's 1,300), of which Linux gives a process 65,530 and LLVM then
    crashes: forget the programs in time.
    """
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > 25_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def without_jax() -> str:
    """First lines of a script in which importing jax raises."""
    return """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("jax", "jaxlib", "equinox"):
            raise RuntimeError(name + " is imported")
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real anatomies; tests that need it skip where it is absent."""
    if not DATA.exists():
        pytest.skip(f"needs the reference data in {DATA.parent.name}/{DATA.name} beside the project, which is absent")
    return DATA


@pytest.fixture(scope="session")
def small_heart():
    """300 terminals, 4 mm mesh, a 55 % LAD lesion: seconds to solve, every term of the equations active."""
    from perfsim.cohorts import Stenosis, reference_heart

    return reference_heart(terminals=300, spacing=4e-3, stenoses=(Stenosis("LAD", 0.03, 0.55, 0.010),))


@pytest.fixture(scope="session")
def heart():
    """The embedded heart as the demo runs it, without a lesion."""
    from perfsim.cohorts import reference_heart

    return reference_heart()
