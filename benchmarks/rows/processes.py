"""Processes: no side effects, true dependencies, tests that answer, speeds."""

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows.row import ROOT, Found, Rows

ROWS = Rows()
row = ROWS.add


def run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    """A fresh process of this Python, without settings of jax and equinox."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "EQX_", "PERFSIM_"))}
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=clean | {"PYTHONPATH": str(ROOT)} | environment,
    )


def tests_pass(*arguments: str) -> Found:
    """Whether these tests pass in a process of their own."""
    done = run("-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *arguments)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()[-200:]
    passed = re.search(r"(\d+) passed", last)
    return Found(last.strip("= "), done.returncode == 0, int(passed[1]) if passed else 0)


@row("T12", "importing perfsim in any order changes nothing of jax, equinox, diffrax, optimistix")
def no_side_effects() -> Found:
    return tests_pass("tests/test_imports.py")


@row("T13", "float64 off: one error names what to call; precision='f32' on purpose")
def precision_by_name() -> Found:
    return tests_pass("tests/test_runtime.py", "-k", "float or precision or f32 or x64")


@row("T14", "enable_compile_cache is public; a folder that cannot be written is no failure")
def public_compile_cache() -> Found:
    return tests_pass("tests/test_runtime.py", "-k", "cache")


def environment(scratch: str, *install: str) -> Path:
    """A fresh virtual environment with these arguments to `uv pip install`; the path of its Python."""
    python = Path(scratch) / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", scratch], check=True)
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", python, *install], cwd=ROOT, check=True
    )
    return python


@row("T15", "the lowest versions that pyproject.toml allows pass the smoke tests", costly=True)
def lowest_versions() -> Found:
    with tempfile.TemporaryDirectory() as scratch:
        python = environment(scratch, "--resolution", "lowest-direct", ".[test]")
        done = subprocess.run(
            [python, "-m", "pytest", "-q", "-n0", "-m", "smoke"], cwd=ROOT, capture_output=True, text=True
        )
    last = done.stdout.strip().splitlines()[-1].strip("= ")
    return Found(last, done.returncode == 0, int(re.search(r"(\d+) passed", last)[1]))


@row(
    "T16",
    "core without VTK, pyvista, plotly, matplotlib, nibabel, pydantic, typer; a bare perfsim says what to add",
    costly=True,
)
def weight() -> Found:
    with tempfile.TemporaryDirectory() as scratch:
        environment(scratch, ".")
        size = sum(p.stat().st_size for p in Path(scratch).rglob("*") if p.is_file() and not p.is_symlink()) / 1e6
        heavy = ("vtkmodules", "pyvista", "plotly", "matplotlib", "nibabel", "pydantic", "typer")
        there = [name for name in heavy if list(Path(scratch).glob(f"lib/*/site-packages/{name}"))]
        bare = subprocess.run([Path(scratch) / "bin" / "perfsim"], capture_output=True, text=True)
    says_it = 'pip install "perfsim[' in bare.stdout + bare.stderr
    return Found(f"{size:.0f} MB; {', '.join(there) or 'none of them'}; names the extra", not there and says_it, 1)


@row("T17", "from perfsim import simulate, fit, reference_heart: ≤ 1.8 CPU-s, median of three")
def import_time() -> Found:
    taken = []
    for _ in range(4):
        before = sum(os.times()[2:4])
        run("-c", "from perfsim import simulate, fit, reference_heart", OMP_NUM_THREADS="1").check_returncode()
        taken.append(sum(os.times()[2:4]) - before)
    seconds = statistics.median(taken[1:])  # the first one warms the disk
    return Found(f"{seconds:.2f} CPU-s", seconds <= 1.8, 3)


def pytest_cost(cache: str) -> tuple[float, float, str]:
    """(CPU-minutes of the default tests, largest memory of a worker [GB], last line)."""
    import psutil

    before, peak = sum(os.times()[2:4]), 0.0
    with tempfile.TemporaryFile("w+") as out:
        tests = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q"], cwd=ROOT, stdout=out, env=os.environ | {"PERFSIM_CACHE": cache}
        )
        while tests.poll() is None:
            time.sleep(2.0)
            for child in psutil.Process(tests.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    peak = max(peak, child.memory_info().rss / 1e9)
        out.seek(0)
        last = out.read().strip().splitlines()[-1].strip("= ")
    return (sum(os.times()[2:4]) - before) / 60.0, peak, last


@row(
    "T18",
    "pytest, empty cache ≤ 25 CPU-min; ≤ 10 from the second time on; T21: a worker ≤ 4 GB",
    costly=True,
    code=("perfsim", "tests"),
)
def cost_of_the_tests() -> Found:
    with tempfile.TemporaryDirectory() as cache:
        (first, peak, last), (second, _, again) = pytest_cost(cache), pytest_cost(cache)
    holds = first <= 25.0 and second <= 10.0 and "failed" not in last + again
    return Found(f"{first:.1f}; {second:.1f} CPU-min ({last}); worker {peak:.1f} GB", holds, 2)


@row("T19", "bash .ci/run ≤ 40 min on two cores", costly=True, code=("perfsim", "tests", ".ci", "pyproject.toml"))
def continuous_run() -> Found:
    started = time.monotonic()
    done = subprocess.run(["bash", ".ci/run"], cwd=ROOT, capture_output=True, text=True)
    minutes = (time.monotonic() - started) / 60.0
    return Found(f"{minutes:.0f} min, exit {done.returncode}", minutes <= 40.0 and done.returncode == 0, 1)


@row("T20", "one file of tests, cache warm: ≤ 60 CPU-s for 80 % of the files", costly=True, code=("perfsim", "tests"))
def cost_of_a_file() -> Found:
    taken = {}
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        before = sum(os.times()[2:4])
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-n0", path], cwd=ROOT, capture_output=True)
        taken[path.name] = sum(os.times()[2:4]) - before
    quick = sum(t <= 60.0 for t in taken.values())
    worst = max(taken, key=taken.get)
    return Found(
        f"{quick} of {len(taken)}; the longest is {worst}, {taken[worst]:.0f} s", quick >= 0.8 * len(taken), len(taken)
    )


@row("T21", "a process that compiles 60 shapes does not run out of memory maps", costly=True)
def many_shapes() -> Found:
    return tests_pass("-m", "slow or not slow", "tests/test_maps_of_memory.py")


@row("T22", "pytest -m slow ≤ 60 min", costly=True, code=("perfsim", "tests"))
def slow_tests() -> Found:
    started = time.monotonic()
    done = run("-m", "pytest", "-q", "-m", "slow")
    minutes = (time.monotonic() - started) / 60.0
    last = done.stdout.strip().splitlines()[-1].strip("= ")
    return Found(f"{minutes:.0f} min, {last}", minutes <= 60.0 and done.returncode == 0, 1)


def benchmark(script: str, *arguments: str) -> dict:
    """The JSON that a benchmark prints last."""
    done = run(str(ROOT / "benchmarks" / script), *arguments, "--json")
    done.check_returncode()
    return json.loads(done.stdout.strip().splitlines()[-1])


@row("T23", "tissue of 10⁵ voxels: value and gradient over solve ≤ 2.5")
def gradient_of_the_tissue() -> Found:
    ratio = statistics.median(
        benchmark("darcy.py", "--volumes", "100000", "--no-peer")["gradient_ratio"] for _ in range(3)
    )
    return Found(ratio, ratio <= 2.5, 3)


@row("T24", "pulsatile gradient over run, 9,035 cells ≤ 5.5", costly=True)
def gradient_of_the_waves() -> Found:
    found = benchmark("flow.py", "--case", "network")
    return Found(found["gradient_ratio"], found["gradient_ratio"] <= 5.5, 1)


@row(
    "T25",
    "60 random mutants of a fresh seed, killed of those not equivalent ≥ 85 %; of the silent ones ≥ 80 %",
    costly=True,
    code=("perfsim", "tests"),
)
def killed_mutants() -> Found:
    seed = str(int(time.time()) % 100_000)
    found = benchmark("mutants.py", "--count", "60", "--seed", seed, "--state", str(ROOT / "out-mutants"))
    holds = found["rate"] >= 0.85 and found["silent_rate"] >= 0.80
    said = (
        f"{found['rate']:.0%} of {found['killed'] + found['survived']}, {found['silent_rate']:.0%} of {found['silent']}"
    )
    return Found(f"{said} (seed {seed})", holds, found["drawn"])
