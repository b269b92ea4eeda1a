"""The main job: from a case to printed results and a folder of files."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from perfsim import __version__, _runtime, io, viz
from perfsim._results import InputError
from perfsim.cli.stages import Stages
from perfsim.cohorts import Heart
from perfsim.coupling import Solution, check, simulate
from perfsim.observe import aha17, territory_shares

import jax
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def run_case(
    case: io.Case, out: Path, fitted: tuple[str, ...] = (), *, overwrite: bool = False, quiet: bool = False
) -> None:
    """Grow, mesh, solve rest and hyperemia, write and print. Nothing is left in `out` if a stage fails.

    `fitted` names the parameters that a fit has changed, for the report.
    """
    console = Console(width=None if Console().is_terminal else 110, quiet=quiet)
    _runtime.enable_compile_cache()
    check_folder(out, overwrite)
    stages = Stages(console)
    with stages.show():
        heart, solution = solve(case, stages)
        summary = {"name": case.name, "perfsim": __version__, **io.summarize(heart, solution)}
        with stages.stage("write") as stage, _all_or_nothing(out) as folder:
            for done, total in write_results(folder, case, heart, solution, summary, stages, fitted):
                stage.update(done, total)
    print_summary(console, summary | {"seconds": stages.seconds})
    if quiet:
        for warning in summary["warnings"]:
            print(f"perfsim: warning: {warning}", file=sys.stderr)
    console.print(
        f"Results are in [bold]{out}[/bold]: report.html, network.vtp, tissue.vtu, mbf.nii.gz, segments.csv, "
        "summary.json"
    )
    console.print("Research software, not a medical device.", style="dim")


def solve(case: io.Case, stages: Stages) -> tuple[Heart, Solution]:
    """Build the heart and solve its states, one stage each."""
    with stages.stage("grow") as stage:
        grown = io.grow_case(case, lambda done, total: stage.update(done, total, f"{done} of {total} terminals"))
    with stages.stage("mesh") as stage:
        heart = io.couple_case(case, grown)
        stage.update(1, 1, f"{len(heart.sim.volumes.volume)} volumes")
    states = {}
    for name in ("rest", "hyperemia"):
        with stages.stage(name) as stage:
            states[name] = jax.block_until_ready(simulate(heart.sim, states=(name,))[name])
            counters = states[name].counters
            stage.update(1, 1, f"{int(counters.newton)} Newton, {int(counters.krylov)} CG iterations")
    return heart, check(Solution(states))


def write_results(
    folder: Path, case, heart: Heart, solution: Solution, summary, stages, fitted=()
) -> Iterator[tuple[int, int]]:
    """Write every file of a run, telling how far it is."""
    sim = heart.sim
    label = aha17(heart.wall.frame, sim.volumes.center)
    shares = territory_shares(sim, solution.hyperemia)
    fields = {"aha_segment": label + 1} | {f"share_{n}": shares[:, k] for k, n in enumerate(sim.tissue.territory_names)}
    maps = {
        "rest": (solution.rest.mbf, "mL/min/g"),
        "hyperemia": (solution.hyperemia.mbf, "mL/min/g"),
        "MFR": (solution.mfr, ""),
    }
    pictures = {"Perfusion": folder / "polar.png", "Coronary tree": folder / "tree.png"}
    frame = heart.wall.frame
    volumes = sim.volumes
    jobs = [
        lambda: io.write_network(folder / "network.vtp", sim, solution),
        lambda: io.write_tissue(folder / "tissue.vtu", sim, solution, heart.samples, fields),
        lambda: io.write_mbf(folder / "mbf.nii.gz", solution, heart.samples),
        lambda: io.write_segments(folder / "segments.csv", io.segment_mbf(heart, solution)),
        lambda: (folder / "case.toml").write_text(io.resolved(case), encoding="utf-8"),
        lambda: viz.polar_maps(
            pictures["Perfusion"], frame, volumes.center, volumes.volume, maps, f"{case.name}: MBF and MFR"
        ),
        lambda: viz.tree_picture(pictures["Coronary tree"], sim, solution.hyperemia, frame, f"{case.name}: hyperemia"),
        lambda: (folder / "summary.json").write_text(
            json.dumps(summary | {"seconds": stages.seconds}, indent=1), encoding="utf-8"
        ),
        lambda: viz.write_report(
            folder / "report.html",
            case.name,
            summary | {"seconds": stages.seconds},
            pictures,
            sim,
            solution,
            heart.samples,
            io.provenance(case, fitted),
        ),
    ]
    for done, job in enumerate(jobs, 1):
        job()
        yield done, len(jobs)


def print_summary(console: Console, summary: dict[str, Any]) -> None:
    """The tables of the report, on the terminal."""
    console.print(
        f"\n[bold]{summary['name']}[/bold]: {summary['mass_g']:.1f} g, {summary['terminals']} terminals, "
        f"{summary['vessels']} vessels, {summary['volumes']} volumes"
    )
    for title, header, rows in viz.tables(summary):
        table = Table(
            title=escape(title), title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2)
        )
        for k, column in enumerate(header):
            table.add_column(escape(column), justify="left" if k == 0 else "right")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
        console.print()
    for warning in summary["warnings"]:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")


def free_folder(default: Path) -> Path:
    """The default folder, or where it holds results already the first of default-2, default-3, ... that does not."""
    candidates = [default, *(default.with_name(f"{default.name}-{k}") for k in range(2, 1000))]
    return next((c for c in candidates if not (c / "summary.json").exists()), default)


def check_folder(out: Path, overwrite: bool) -> None:
    """Refuse a path that cannot become a folder, or holds results already, before anything is computed."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: --out needs a folder")
    if (out / "summary.json").exists() and not overwrite:
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
def _all_or_nothing(out: Path) -> Iterator[Path]:
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
