"""Results are never lost: folders, full disks, two runs at once, interruptions, terminals, names."""

import contextlib
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

from perfsim import InputError
from perfsim.cli import folder as folders
from perfsim.cli import interrupts, main
from perfsim.cli.folder import claimed
from perfsim.cli.results import write_results
from perfsim.cli.run import computed
from perfsim.cli.stages import Stages
from perfsim.cli.terminal import open_console
from perfsim.io import parse_case, resolved
from perfsim.io.vtk_files import add_names, save_mesh

import jax
import pytest
import pyvista as pv
import tomlkit
from command import perfsim

CASE = """
[tree]
terminals = 150
[mesh]
spacing = "5 mm"
[[stenosis]]
branch = "LAD"
position = "30 mm"
diameter_reduction = 0.6
length = "10 mm"
"""
NAME = 'Müller "x" [red]5 $ and x^[/red] [/x] :smile: \\ \'\ntwo µ\t'


def fill(folder: Path, mark: str = "summary.json") -> None:
    for name in (mark, "a.txt", "z.txt"):
        (folder / name).write_text(name)


@pytest.mark.parametrize("place", ["new", "deep/er/new", "there", "link"])
def test_any_folder_that_can_be_written_will_do(tmp_path, place):
    """New ones, nested ones, empty ones, links; everything happens within, for it may be a disk of its own."""
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there", target_is_directory=True)
    before = set(tmp_path.iterdir())
    with claimed(tmp_path / place) as folder, folder.filled() as scratch:
        assert scratch.parent == tmp_path / place and not (folder.path / "summary.json").exists()
        assert set(tmp_path.iterdir()) <= before | {tmp_path / place.partition("/")[0]}
        fill(scratch)
    assert {p.name for p in (tmp_path / place).iterdir()} == {"summary.json", "a.txt", "z.txt"}


def test_a_folder_that_will_not_do_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    for place, said in (("file", "is a file"), ("file/in", "not writable"), ("dangling", "is a link to")):
        with pytest.raises(InputError, match=said), claimed(tmp_path / place):
            pytest.fail("it was claimed")

    def refuse(dir):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(folders.tempfile, "TemporaryFile", refuse)
        with pytest.raises(InputError, match=r"not writable \(Read-only"), claimed(tmp_path / "a" / "b"):
            pytest.fail("it was claimed")
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 300_000))
    with (
        pytest.raises(InputError, match=r"need about 4.5 MB.*0.3 MB are free"),
        claimed(tmp_path / "a", need=4_500_000),
    ):
        pytest.fail("it was claimed")
    assert {p.name for p in tmp_path.iterdir()} == {"file", "dangling"}


def test_a_run_that_fails_leaves_the_folder_as_it_was(tmp_path):
    with pytest.raises(ValueError), claimed(tmp_path / "a" / "b") as folder, folder.filled() as scratch:
        fill(scratch)
        raise ValueError
    assert not list(tmp_path.iterdir())
    (tmp_path / "old").mkdir()
    fill(tmp_path / "old")
    with pytest.raises(ValueError), claimed(tmp_path / "old", overwrite=True) as folder, folder.filled() as scratch:
        (scratch / "a.txt").write_text("new")
        raise ValueError
    assert (tmp_path / "old" / "a.txt").read_text() == "a.txt" and len(list((tmp_path / "old").iterdir())) == 3


def test_the_mark_of_a_finished_run_comes_last(tmp_path, monkeypatch):
    """Power fails while the files get their names: what is there does not pass for a run's results."""
    (tmp_path / "out").mkdir()
    fill(tmp_path / "out")
    moved, real = [], Path.replace

    def fail_at_second(self, target):
        moved.append(Path(target).name)
        if len(moved) == 2:
            raise RuntimeError("no power")
        return real(self, target)

    with claimed(tmp_path / "out", overwrite=True) as folder:
        monkeypatch.setattr(Path, "replace", fail_at_second)
        with pytest.raises(RuntimeError), folder.filled() as scratch:
            fill(scratch)
        monkeypatch.undo()
    assert "summary.json" not in moved and not (tmp_path / "out" / "summary.json").exists()


def test_the_second_of_two_runs_is_refused(tmp_path):
    """Whenever it began: in this process and from another one; the lock goes with the run that holds it."""
    code = (
        "import sys, pathlib; from perfsim.cli.folder import claimed\n"
        "with claimed(pathlib.Path(sys.argv[1])) as f: print('held', flush=True); sys.stdin.read()"
    )
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", code, out], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        refused = perfsim("grow", "c.toml", "--out", out, cwd=case_in(tmp_path, "[tree]\nterminals = 30\n"))
        assert refused.returncode == 3 and "another run is writing into this folder" in refused.stderr
        other.kill()
    with claimed(out), pytest.raises(InputError, match="another run"), claimed(out):
        pytest.fail("it was claimed")
    assert not out.exists() or not list(out.iterdir())


def case_in(folder: Path, text: str) -> Path:
    (folder / "c.toml").write_text(text, encoding="utf-8")
    return folder


@contextlib.contextmanager
def files_no_larger_than(size: int):
    """As on a disk with this much room, for one file."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    keep = "jax_persistent_cache_min_compile_time_secs"  # the cache of programs is to stay whole
    least = getattr(jax.config, keep)
    jax.config.update(keep, 1e9)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        jax.config.update(keep, least)


@pytest.mark.parametrize("kind", ["vtp", "vtu"])
def test_a_mesh_is_written_whole_or_not_at_all(tmp_path, kind):
    """VTK's own writers cut the file without a word, or end the process."""
    mesh = pv.Sphere(theta_resolution=60, phi_resolution=60)
    mesh = mesh if kind == "vtp" else mesh.delaunay_3d()
    mesh.point_data["x"] = mesh.points[:, 0].astype(float)
    add_names(mesh, "names", ["LAD", "Ränder"])
    with pytest.raises(OSError), files_no_larger_than(20_000):
        save_mesh(tmp_path / f"m.{kind}", mesh)
    save_mesh(tmp_path / f"m.{kind}", mesh)
    again = pv.read(tmp_path / f"m.{kind}")
    assert (again.points == mesh.points).all() and (again["x"] == mesh["x"]).all() and again.n_cells == mesh.n_cells
    assert list(again.field_data["names"]) == ["LAD", "Ränder"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A whole run, computed and not yet written."""
    case = parse_case(CASE + '[[treatment]]\nkind = "stent"\nbranch = "LAD"\nstart = "20 mm"\nend = "40 mm"\n')
    with claimed(tmp_path_factory.mktemp("run") / "out") as folder:
        return computed(case, Stages(open_console(quiet=True)), folder)


@pytest.mark.parametrize("room", [3_000, 1_000_000])
def test_a_full_disk_is_named_with_what_was_needed(run, tmp_path, room):
    """Whichever file meets it: nothing is left under a final name, not even half of one."""
    out = tmp_path / "out"
    said = pytest.raises(InputError, match=r"out: the results need about 4\.5 MB.*File too large")
    with said, claimed(out, need=4_500_000) as folder, files_no_larger_than(room), folder.filled() as scratch:
        list(write_results(scratch, run, {}))
    assert not out.exists()


def test_before_and_after_a_treatment_are_in_one_report(run, tmp_path):
    """A stent: the FFR rises behind the stenosis, where the LAD feeds the wall flow rises, and nowhere else."""
    list(write_results(tmp_path, run, {}))
    summary = json.loads((tmp_path / "summary.json").read_text())
    after = summary["treated"]
    assert after["treatments"] == ["a stent of the LAD from 20 to 40 mm"]
    assert (
        after["lesions"][0]["ffr_before"]
        == summary["lesions"][0]["ffr"]
        < 0.8
        < 0.93
        < after["lesions"][0]["ffr_after"]
    )
    low, high = summary["lesions"][0]["ffr_90_of_reading"]
    assert low < summary["lesions"][0]["ffr"] < high
    gain = {
        t: after["states"]["hyperemia"]["mbf_mL_min_g"][t] / m
        for t, m in summary["states"]["hyperemia"]["mbf_mL_min_g"].items()
    }
    assert gain["LAD"] > 1.1 and gain["RCA"] == pytest.approx(1.0, abs=0.01)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "FFR at vessel ends, treated" in text and "a stent of the LAD" in text
    before, treated = (pv.read(tmp_path / f"network{x}.vtp")["pd_pa_hyperemia"] for x in ("", "-treated"))
    assert treated.min() > before.min() + 0.05


TREATMENTS = {
    "unknown branch": ('kind = "stent"\nbranch = "LADD"\nstart = "20 mm"\nend = "40 mm"', "did you mean 'LAD'"),
    "beyond the end": ('kind = "graft"\nbranch = "LAD"\nposition = "400 mm"\ndiameter = "3 mm"\nlength = "150 mm"', "mm long"),
    "no end": ('kind = "stent"\nbranch = "LAD"\nstart = "20 mm"', "end missing"),
    "backwards": ('kind = "stent"\nbranch = "LAD"\nstart = "40 mm"\nend = "20 mm"', "must end behind its start"),
    "a graft's diameter for a stent": ('kind = "stent"\nbranch = "LAD"\nstart = "2 mm"\nend = "20 mm"\ndiameter = "3 mm"', "it has no diameter"),
    "no such kind": ('kind = "magic"\nbranch = "LAD"', "stent"),
}  # fmt: skip


@pytest.mark.parametrize("name", TREATMENTS)
def test_a_treatment_that_cannot_be_is_refused_by_a_dry_run_too(name, tmp_path):
    text, said = TREATMENTS[name]
    dry = perfsim("run", "c.toml", "--dry-run", cwd=case_in(tmp_path, f"[[treatment]]\n{text}\n"))
    assert dry.returncode == 3 and said in dry.stderr and "treatment" in dry.stderr


def test_a_dry_run_reads_what_the_run_would_read(tmp_path):
    """Branches, territories, tables and the parameters of a fit."""
    stress = tmp_path / "stress.csv"
    stress.write_text("segment,mbf_mL_min_g\n1,250\n")
    for command, text, said in (
        (["run"], '[[stenosis]]\nbranch = "LAT"\nposition = "2 mm"\ndiameter_reduction = 0.5\nlength = "5 mm"', "LAT"),
        (["run"], "[tissue]\ntone = { LDA = 0.5 }", "did you mean 'LAD'"),
        (["fit", "--stress", stress], "", "stress.csv"),
        (["fit", "--stress", stress], '[fit]\nparameters = ["tones"]', "did you mean 'tone'"),
    ):
        dry = perfsim(command[0], "c.toml", *command[1:], "--dry-run", cwd=case_in(tmp_path, text))
        assert dry.returncode == 3 and said in dry.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"c.toml", "stress.csv"}


@pytest.fixture
def ctrl_c():
    """Ctrl-C is heard, although shells let what they start in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("command", [["run"], ["grow"], ["fit", "--stress", "s.csv"]])
def test_an_interruption_is_one_sentence(tmp_path, monkeypatch, ctrl_c, command, number, code):
    """In the midst of growth: the shell's exit code, nothing left behind."""
    from perfsim import io as reading

    def interrupted(case, progress=None):
        os.kill(os.getpid(), number)
        progress(0, 1)  # where a library swallowed the exception, the next stage raises it

    monkeypatch.setattr(reading, "grow_case", interrupted)
    (tmp_path / "s.csv").write_text("segment,mbf_mL_min_g\n1,2.5\n")
    done = perfsim(command[0], "c.toml", *command[1:], "--out", "out", cwd=case_in(tmp_path, CASE))
    assert done.returncode == code and done.stderr == "perfsim: interrupted; nothing was written\n"
    assert {p.name for p in tmp_path.iterdir()} == {"c.toml", "s.csv"}
    assert signal.getsignal(number) is not interrupts._receive


def test_an_interruption_that_a_library_swallows_is_heard(ctrl_c):
    """Within a destructor, or turned into an error of its own."""

    class Late:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(interrupts.Interrupted), interrupts.listening():
        late = Late()
        del late
        interrupts.check()
    assert interrupts.exit_code() == 143

    def app():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except interrupts.Interrupted:
            raise RuntimeError("a callback failed") from None

    with mock.patch("perfsim.cli.commands.app", app), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


def test_an_interruption_waits_while_files_get_their_names(tmp_path):
    with interrupts.listening(), contextlib.suppress(interrupts.Interrupted):
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGTERM)
            (tmp_path / "whole").touch()
        pytest.fail("it was not heard")
    assert (tmp_path / "whole").exists() and interrupts.received()


class Terminal(io.TextIOWrapper):
    """A stream in some encoding, of which what was written can be read."""

    def __init__(self, encoding: str):
        super().__init__(io.BytesIO(), encoding=encoding, newline="")

    @property
    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_any_terminal_shows_any_name(run, encoding, monkeypatch):
    """Markup as it is; letters that the encoding lacks as question marks."""
    from perfsim.cli.results import print_summary
    from perfsim.cli.terminal import prepare_streams

    stream = Terminal(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    prepare_streams()
    summary = run.summary | {"name": NAME, "warnings": ["a [bold]warning[/x] µ –"]}
    print_summary(open_console(), summary)
    shown = "Müller" if encoding != "ascii" else "M?ller"
    assert f'{shown} "x" [red]5 $ and x^[/red] [/x] :smile: \\' in stream.text
    assert "warning: a [bold]warning[/x]" in stream.text and "reserve" in stream.text


def test_a_reader_that_goes_away_ends_no_run(monkeypatch):
    """`perfsim run … | head`, or standard output on a full disk: what is printed is lost, what is written is not."""

    class Gone(Terminal):
        def flush(self):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone("utf-8"))
    open_console().print("lost")
    monkeypatch.setattr(sys, "stdout", None)
    open_console().print("nowhere")


def test_a_run_is_repeated_from_its_case_file(tmp_path):
    """Whatever its name holds: the same numbers to the last bit, on a terminal that knows no letters but ASCII."""
    text = f'name = {tomlkit.item(NAME).as_string()}\n{CASE}[rest]\naortic_pressure = "91.37 mmHg"\n'
    here = tmp_path / 'p "q" [b]ü\\'
    here.mkdir()
    first = perfsim("run", "c.toml", "--out", "out", cwd=case_in(here, text), encoding="ascii")
    assert first.returncode == 0, first.stderr
    again = perfsim("run", "out/case.toml", "--out", "again", cwd=here, encoding="cp1252")
    assert again.returncode == 0, again.stderr
    one, two = (json.loads((here / x / "summary.json").read_text()) for x in ("out", "again"))
    assert one["name"] == two["name"] == NAME and one["states"] == two["states"] and one["ffr"] == two["ffr"]
    assert (here / "out" / "case.toml").read_text(encoding="utf-8") == (here / "again" / "case.toml").read_text(
        encoding="utf-8"
    )
    assert "[red]5 $ and x^[/red] [/x]" in first.stdout


@pytest.mark.parametrize("key", ["epicardium", "labels", "left"])
def test_names_of_files_survive(tmp_path, key):
    """Quotes, brackets, backslashes, line breaks and umlauts in the paths that a case names."""
    folder = tmp_path / 'a "b" [c]\\ü\n\'d'
    folder.mkdir()
    for name in ("epicardium", "endocardium", "right_ventricle", "guide_points", "labels", "left"):
        (folder / f"{name} [x]").touch()
    of = {
        k: tomlkit.item(str(folder / f"{k} [x]")).as_string()
        for k in ("epicardium", "endocardium", "right_ventricle", "guide_points", "labels", "left")
    }
    text = {
        "epicardium": "[anatomy]\n" + "".join(f"{k} = {of[k]}\n" for k in list(of)[:4]),
        "labels": f"[anatomy]\nlabels = {of['labels']}\nlabel_values = {{ wall = 1, cavity = 2, right_ventricle = 3 }}\n",
        "left": f'[vessels]\nleft = {of["left"]}\nmissing = ["RCA"]\nnames = {{ "a.b \\"c" = "LAD" }}\n',
    }[key]
    case = parse_case(text)
    assert parse_case(resolved(case)).model_dump() == case.model_dump()


WINDOWS = """
import importlib, pathlib, pkgutil, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
for name in ("resource", "fcntl", "pwd", "grp", "termios"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
import perfsim
perfsim.enable_x64()
for found in pkgutil.walk_packages(perfsim.__path__, "perfsim."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
from perfsim._runtime import enable_compile_cache
print(enable_compile_cache())
from perfsim.cli.folder import claimed
with claimed(pathlib.Path(sys.argv[1])) as folder, folder.filled() as scratch:
    (scratch / "summary.json").touch()
sys.argv = ["perfsim", "doctor"]
from perfsim.cli import main
main()
"""


def test_it_needs_nothing_of_unix(tmp_path):
    """Without `resource`, `fcntl`, `pwd` and a home, on a console of code page 1252: all imports, a lock, a solve."""
    clean = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME", "PERFSIM_CACHE", "USERPROFILE")}
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS, tmp_path / "out"], capture_output=True, cwd=tmp_path,
        env=clean | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
    )  # fmt: skip
    out = done.stdout.decode("cp1252")
    assert done.returncode == 0, done.stderr.decode("cp1252")
    assert out.startswith("None") and "memory only" in out and "Poiseuille's: ok" in out
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["summary.json"]


def test_a_device_that_is_not_there_is_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "perfsim", "doctor"], capture_output=True, text=True, cwd=tmp_path,
        env=os.environ | {"JAX_PLATFORMS": "no_such_device"},
    )  # fmt: skip
    assert done.returncode == 3 and "JAX_PLATFORMS=no_such_device" in done.stderr
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1


def test_version_and_completion(tmp_path):
    from perfsim import __version__

    said = perfsim("--version", cwd=tmp_path)
    assert said.returncode == 0 and said.stdout == f"perfsim {__version__}\n"
    assert "--install-completion" in perfsim("--help", cwd=tmp_path).stdout


def test_the_library_prints_nothing():
    """What it has to say goes to the logger `perfsim`, which is silent until somebody listens."""
    code = (
        "import logging, perfsim; perfsim.enable_x64()\n"
        "from perfsim.growth import Box\n"
        "perfsim.reference_heart(terminals=30, spacing=6e-3)\n"
        "assert any(isinstance(h, logging.NullHandler) for h in logging.getLogger('perfsim').handlers)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == done.stderr == ""


def test_a_converted_tree_is_written_whole_or_not_at_all(tmp_path):
    """On a full disk an older file of that name stays as it was."""
    rows = "\n".join(f"{k} 2 {0.25 * k} 0 0 1.5 {k - 1 if k > 1 else -1}" for k in range(1, 400))
    (tmp_path / "tree.swc").write_text(rows)
    (tmp_path / "out.vtp").write_text("old")
    with files_no_larger_than(2000):
        done = perfsim("convert", "tree.swc", "out.vtp", "--overwrite", cwd=tmp_path)
    assert done.returncode == 3 and "File too large" in done.stderr
    assert (tmp_path / "out.vtp").read_text() == "old" and len(list(tmp_path.iterdir())) == 2
    assert perfsim("convert", "tree.swc", "out.vtp", "--overwrite", cwd=tmp_path).returncode == 0
    assert pv.read(tmp_path / "out.vtp").n_points == 399
