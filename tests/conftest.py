"""Shared fixtures: few hearts, whose programs all tests share, and the data beside the project.

A program costs 10 to 30 CPU-seconds to compile whatever the size of its arrays. So a test takes one of these hearts,
changes its values and not its shapes, and solves both states where other tests do.
"""

import gc
import os
from importlib.metadata import version
from pathlib import Path

import perfsim

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["programs"]

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

perfsim.enable_x64()
perfsim.enable_compile_cache()  # workers, and what they run as programs of their own, compile the same code once


def pytest_configure(config):
    """Settings of the process, before jax starts in it.

    Without LLVM's optimization, and with XLA's older emitter where there is one, programs compile in a third of the
    time, and small ones hardly run longer. The slow tests run as users' programs do. A worker keeps to one core:
    XLA's threads would spin while they wait for the other worker's. What tracing leaves is collected less often.
    """
    gc.set_threshold(50_000, 20, 50)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
    if "not slow" in config.option.markexpr:
        flags = ["--xla_backend_optimization_level=0"]
        if tuple(map(int, version("jaxlib").split(".")[:2])) < OLDER_EMITTER_ENDS:
            flags.append("--xla_cpu_use_fusion_emitters=false")
        os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags]).strip()


OLDER_EMITTER_ENDS = (0, 11)
"""the jaxlib from which on the flag for it may be unknown, which ends the process: 0.12 has none"""
FULL = 2.5e9
"""memory [bytes] from which on a worker forgets its programs between two files: the disk still knows them"""


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Programs stay in memory until they are forgotten, some 30 MB each with what they were made from."""
    if nextitem is None or nextitem.path == item.path:
        return
    import jax
    import psutil

    if psutil.Process().memory_info().rss > FULL:
        jax.clear_caches()
        gc.collect()


_RANDOM = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
settings.register_profile("dev", max_examples=25, **_RANDOM)
settings.register_profile("nightly", max_examples=200, **_RANDOM)


@pytest.fixture(params=["dev", pytest.param("nightly", marks=pytest.mark.slow)])
def examples(request) -> settings:
    """How many random examples hypothesis draws: 25, or 200 among the slow tests."""
    return settings.get_profile(request.param)


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
    """150 terminals, 5 mm mesh, a 55 % LAD lesion: milliseconds to solve, every term of the equations active."""
    from perfsim.cohorts import Stenosis, reference_heart

    return reference_heart(terminals=150, spacing=5e-3, stenoses=(Stenosis("LAD", 0.03, 0.55, 0.010),))


@pytest.fixture(scope="session")
def small_solution(small_heart):
    """Flow of the small heart at rest and in hyperemia."""
    from perfsim.coupling import simulate

    return simulate(small_heart.sim)


@pytest.fixture(scope="session")
def padded_sim(small_heart):
    """The small heart in arrays of standard sizes, as fits run on it."""
    from perfsim.coupling import pad

    return pad(small_heart.sim)


@pytest.fixture(scope="session")
def heart():
    """The embedded heart as the demo runs it, without a lesion."""
    from perfsim.cohorts import reference_heart

    return reference_heart()
