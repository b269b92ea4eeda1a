"""Results are never lost, and are read on any screen."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rows.row import ROOT, Found, Rows

ROWS = Rows()
row = ROWS.add
CODE = (
    "perfsim/cli",
    "perfsim/viz",
    "perfsim/io/template.py",
    "perfsim/io/vtk_files.py",
    "perfsim/inverse/checkpoint.py",
)
SMALL = """
[tree]
terminals = 60
[mesh]
spacing = "5 mm"
[[stenosis]]
branch = "LAD"
position = "30 mm"
diameter_reduction = 0.6
length = "10 mm"
"""


def command(*arguments) -> list[str]:
    return [sys.executable, "-m", "perfsim", *map(str, arguments)]


def process(*arguments, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """A command in a process of its own."""
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    # a run that prints in another encoding is read as far as it goes
    return subprocess.run(command(*arguments), cwd=cwd, capture_output=True, text=True, errors="replace", env=variables)


def begun(*arguments, cwd: Path) -> subprocess.Popen:
    """A command that runs while others do."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        command(*arguments), cwd=cwd, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, **pipes
    )


def tests_pass(*arguments: str) -> tuple[bool, int, str]:
    """(whether these tests pass, how many did, the last line)."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    last = (done.stdout.strip().splitlines() or [done.stderr[-200:]])[-1].strip("= ")
    passed = re.search(r"(\d+) passed", last)
    return done.returncode == 0 and "skipped" not in last, int(passed[1]) if passed else 0, last


@contextlib.contextmanager
def workplace(case: str = SMALL) -> Iterator[Path]:
    """A folder with a case."""
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "case.toml").write_text(case, encoding="utf-8")
        yield Path(scratch)


@contextlib.contextmanager
def disk(folder: Path, megabytes: float, options: str = "rw") -> Iterator[Path]:
    """A disk of its own, mounted at a folder (needs root)."""
    folder.mkdir()
    size = f"size={int(megabytes * 1024)}k,{options}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def is_whole(out: Path) -> bool:
    return {"tree.vtp", "tree.swc", "growth.json"} == {p.name for p in out.iterdir()}


@row(
    "P21",
    "--out a mount point, a link to another disk: works; in a folder that cannot be written: refused first",
    code=CODE,
)
def any_folder() -> Found:
    with workplace() as here, disk(here / "mount", 20) as mount, disk(here / "other", 20) as other:
        (other / "there").mkdir()
        (here / "link").symlink_to(other / "there")
        works = [process("grow", "case.toml", "--out", out, cwd=here) for out in (mount, here / "link")]
        good = all(w.returncode == 0 for w in works) and is_whole(mount) and is_whole(other / "there")
        with disk(here / "sealed", 1, "ro"):
            refused = [process("grow", "case.toml", "--out", f"sealed/{d}", cwd=here) for d in (".", "new/deep")]
        first = all(r.returncode == 3 and "not writable" in r.stderr and not r.stdout for r in refused)
    counts = sum(w.returncode == 0 for w in works), sum(r.returncode == 3 for r in refused)
    return Found(f"{counts[0]} of 2 work, {counts[1]} of 2 are refused before growth", good and first, 4)


@row(
    "P22",
    "a disk full at 0.1, 0.3, 1, 8 MB: exit 3, the path and what was needed; nothing half-written",
    costly=True,
    code=CODE,
)
def full_disks() -> Found:
    """A disk of that size is refused at the start; a limit of a file's size is met only when results are written."""
    case, said, good = SMALL.replace('"5 mm"', '"2.5 mm"'), [], True
    with workplace(case) as here:
        for room in (0.1, 0.3, 1.0, 8.0):
            with disk(here / "out", room) as out:
                done = process("run", "case.toml", "--out", "out", cwd=here)
                kept = {p.name for p in out.iterdir()}
            named = "out: the results need about" in done.stderr and "MB are free" in done.stderr
            good &= (done.returncode == 0 and "report.html" in kept) or (done.returncode == 3 and named and not kept)
            (here / "out").rmdir()
            limit = f"ulimit -f {int(room * 1024)}; exec {' '.join(command('run', 'case.toml', '--out', 'limited'))}"
            late = subprocess.run(
                ["bash", "-c", limit], cwd=here, capture_output=True, text=True,
                env=os.environ | {"PYTHONPATH": str(ROOT), "PERFSIM_CACHE": "off" if room < 1 else ""},
            )  # fmt: skip
            named = "limited: the results need about" in late.stderr and late.stderr.count("\n") == 1
            whole = late.returncode == 0 and (here / "limited" / "report.html").exists()
            good &= whole or (late.returncode == 3 and named and not (here / "limited").exists())
            said.append(f"{room:g} MB: {done.returncode}, {late.returncode}")
    return Found("exit codes of disk and limit: " + "; ".join(said), good, 8)


@row("P23", "two runs into one folder: the second is refused, whenever it began", costly=True, code=CODE)
def two_runs() -> Found:
    rng, one_each, refusals, pairs = random.Random(0), 0, 0, 8
    with workplace() as here:
        for k in range(pairs):
            both = []
            for delay in (0.0, rng.uniform(0.0, 4.0) if k % 2 else 0.0):
                time.sleep(delay)
                both.append(begun("grow", "case.toml", "--out", f"out{k}", cwd=here))
            errors = [p.communicate()[1] for p in both]
            codes = sorted(p.returncode for p in both)
            one_each += codes == [0, 3] and is_whole(here / f"out{k}")
            refusals += sum("another run is writing" in e or "earlier run" in e for e in errors)
    return Found(f"{one_each} of {pairs} pairs: one whole, one refused", one_each == refusals == pairs, pairs)


@row("P24", "Ctrl-C, SIGTERM anywhere: 130 or 143, one sentence; `fit` resumes", costly=True, code=CODE)
def interruptions() -> Found:
    rng, right, count = random.Random(1), 0, 12
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background may ignore it
    with workplace() as here:
        for k in range(count):
            number = (signal.SIGINT, signal.SIGTERM)[k % 2]
            running = begun("run", "case.toml", "--out", "out", cwd=here)
            time.sleep(rng.uniform(1.0, 30.0))
            running.send_signal(number)
            errors = running.communicate()[1]
            left = (here / "out").exists()
            ended = running.returncode == 0 and (here / "out" / "summary.json").exists() and not errors
            stopped = running.returncode == 128 + number and errors.startswith("perfsim: interrupted") and not left
            right += ended or (stopped and errors.count("\n") == 1)
            if left:
                subprocess.run(["rm", "-r", here / "out"], check=True)
    resumes, _, last = tests_pass("tests/test_cli.py", "-k", "fit_recovers")
    return Found(
        f"{right} of {count} at random times of a run; fit after Ctrl-C: {last}", right == count and resumes, count + 1
    )


@row(
    "P25",
    "damaged, foreign, cut checkpoints of fit and learn: refused with the reason",
    costly=True,
    code=(*CODE, "perfsim/learn"),
)
def checkpoints() -> Found:
    files = ["tests/test_fit.py", "tests/test_training.py", "tests/test_checkpoints.py"]
    passed, n, last = tests_pass(*files, "-k", "checkpoint or fingerprint or same_bits")
    return Found(last, passed, n)


@row(
    "P26",
    "case.toml of a run reads again and reproduces the run, whatever names and paths hold",
    costly=True,
    code=CODE,
)
def cases_again() -> Found:
    from perfsim.io import parse_case, resolved

    import tomlkit

    rng, letters = random.Random(0), "ab \"'[]{}()\\/\n\r\t#=.,:;$^%&äöüßéλµ冠🫀\x01\x7f"
    same = 0
    for _ in range(1000):
        names = ["".join(rng.choices(letters, k=rng.randint(1, 20))) for _ in range(3)]
        a, b, c = (tomlkit.item(name).as_string() for name in names)
        tone = f"{{ {tomlkit.key(names[1]).as_string()} = {rng.random() + 0.01!r} }}"
        case = parse_case(
            f'name = {a}\n[[stenosis]]\nbranch = {b}\nposition = "{rng.uniform(1, 90)!r} mm"\nlength = "5 mm"\n'
            f'diameter_reduction = {rng.random() * 0.9!r}\n[[treatment]]\nkind = "graft"\nbranch = {c}\n'
            f'position = "20 mm"\ndiameter = "3 mm"\nlength = "{rng.uniform(20, 300)!r} mm"\n'
            f'[rest]\ndemand = "{rng.uniform(0.1, 5.0)!r} mL/min/g"\n[tissue]\ntone = {tone}\n'
        )
        same += parse_case(resolved(case)).model_dump() == case.model_dump()
    passed, n, last = tests_pass("tests/test_kept.py", "-k", "repeated or names_of_files")
    return Found(
        f"{same} of 1000 random cases read back equal; run and paths: {last}", same == 1000 and passed, 1000 + n
    )


@row(
    "P27",
    "terminals in cp1252, ascii, latin-1, gone; names with markup: written first, printed as they are",
    costly=True,
    code=CODE,
)
def terminals() -> Found:
    passed, n, last = tests_pass("tests/test_kept.py", "-k", "terminal or reader or repeated")
    name = 'name = "Müller [red]x[/x] µ"\n'
    with workplace(name + SMALL) as here:
        codes = []
        for encoding in ("cp1252", "ascii", "latin-1"):
            done = process("run", "case.toml", "--out", encoding, cwd=here, PYTHONIOENCODING=encoding)
            codes.append(done.returncode + ("[red]x[/x]" not in done.stdout))
        piped = " ".join(command("run", "case.toml", "--out", "piped")) + " | head -1"
        subprocess.run(["bash", "-c", piped], cwd=here, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True)
        closed = " ".join(command("run", "case.toml", "--out", "closed")) + " >&- 2>&-"
        subprocess.run(["bash", "-c", closed], cwd=here, env=os.environ | {"PYTHONPATH": str(ROOT)})
        whole = all((here / out / "summary.json").exists() for out in ("cp1252", "ascii", "latin-1", "piped", "closed"))
    return Found(
        f"5 runs: exit codes {codes}, all written: {whole}; {last}", passed and whole and not any(codes), n + 5
    )


@row("P28", "Windows, no HOME, a cache that is read-only, no GPU where asked: runs, or one sentence", code=CODE)
def other_places() -> Found:
    passed, n, last = tests_pass("tests/test_kept.py", "-k", "unix or device")
    cached, m, other = tests_pass("tests/test_runtime.py", "-k", "cache or read_only")
    return Found(f"{last}; caches: {other}", passed and cached, n + m)


@row(
    "P29",
    "report and fit page at 390 and 1280 pixels: no console errors, nothing serious by axe-core, ≤ 3 MB",
    costly=True,
    code=CODE,
)
def pages() -> Found:
    """The report of the demo, and the page of a fit to segments of it."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browser import looked_at

    said, good = [], True
    with workplace() as here:
        process("demo", "--out", "demo", cwd=here)
        segments = (here / "demo" / "segments.csv").read_text(encoding="utf-8").splitlines()
        stress = [r.split(",") for r in segments if ",hyperemia," in r]
        rows = "".join(f"{s},{0.7 * float(v):.4f}\n" for s, _, v in stress if v)
        (here / "stress.csv").write_text(f"segment,mbf_mL_min_g\n{rows}", encoding="utf-8")
        process("fit", "case.toml", "--stress", "stress.csv", "--out", "fit", cwd=here)
        for page in (here / "demo" / "report.html", here / "fit" / "fit.html", here / "fit" / "report.html"):
            size = page.stat().st_size
            for width in (390, 1280):
                found, errors = looked_at(page, width, here)
                good &= not errors and found["violations"] == [] and found["width"] <= width and "axe" in found
            good &= size <= 3e6
            said.append(f"{page.parent.name}/{page.name} {size / 1e6:.2f} MB")
    return Found(f"{'; '.join(said)}; axe-core {found.get('axe', 'absent')}", good, 6)
