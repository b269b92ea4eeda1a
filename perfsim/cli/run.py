"""The main job: from a case to printed results and a folder of files."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perfsim import __version__, _runtime, io, viz
from perfsim._results import InputError
from perfsim.cli.folder import all_or_nothing, check_folder
from perfsim.cli.stages import Stages
from perfsim.cli.tables import print_table
from perfsim.cohorts import Heart
from perfsim.coupling import Simulation, Solution, simulate
from perfsim.observe import aha17, branch_ends, ffr, lesion_sites, territory_shares
from perfsim.study import lumen_gain

import jax
import numpy as np
from rich.console import Console
from rich.markup import escape


def run_case(
    case: io.Case,
    out: Path,
    fitted: tuple[str, ...] = (),
    *,
    overwrite: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> None:
    """Grow, mesh, solve rest and hyperemia, write and print. Nothing is left in `out` if a stage fails.

    `fitted` names the parameters that a fit has changed, for the report. `verbose` adds devices, growth statistics,
    solver counts and memory.
    """
    console = Console(width=None if Console().is_terminal else 110, quiet=quiet)
    cache = _runtime.enable_compile_cache()
    check_folder(out, overwrite)
    stages = Stages(console, verbose)
    devices = ", ".join(map(str, jax.devices()))
    stages.detail(f"devices: {devices}; {jax.numpy.zeros(()).dtype}; compiled programs: {cache or 'in memory only'}")
    with stages.show():
        try:
            heart, solution = solve(case, stages)
        except io.FrameMismatch as error:
            picture = out.with_name(f"{out.name}-frames.png")
            viz.frames_picture(picture, error.tree, error.wall)
            raise InputError(f"{error}; {picture} shows both") from None
        with stages.stage("lumen"):
            read = reading_site(heart.sim, solution)
            gain = read, lumen_gain(heart.sim, read)
        with stages.stage("certify") as stage:
            proved = io.certified(heart, solution)
            worst = max(found["mbf_of_a_volume"] for found in proved.values())
            stage.update(1, 1, f"MBF is solved for to {100 * worst:.0e} %")
        summary = {"name": case.name, "perfsim": __version__, **io.summarize(heart, solution), "certified": proved}
        with stages.stage("write") as stage, all_or_nothing(out) as folder:
            for done, total in write_results(folder, case, heart, solution, summary, stages, gain, fitted):
                stage.update(done, total)
    stages.detail(f"peak memory: {_runtime.peak_memory_mb():.0f} MB")
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
        stages.detail(f"growth: {grown.growth}")
    with stages.stage("mesh") as stage:
        heart = io.couple_case(case, grown)
        stage.update(1, 1, f"{len(heart.sim.volumes.volume)} volumes")
    stages.detail(
        f"solver sees {heart.sim.forest.chains} chains of {len(heart.sim.network.tail)} vessels, "
        f"{len(heart.sim.forest.levels)} levels deep"
    )
    states = {}
    for name in ("rest", "hyperemia"):
        with stages.stage(name) as stage:
            states[name] = jax.block_until_ready(simulate(heart.sim, states=(name,))[name])
            counters = states[name].counters
            stage.update(1, 1, f"{int(counters.newton)} Newton, {int(counters.krylov)} CG iterations")
        stages.detail(f"{name}: mass defect {float(states[name].mass_defect):.1e} of the inflow")
    return heart, Solution(states)


def reading_site(sim: Simulation, solution: Solution) -> int:
    """The vessel whose FFR matters most: behind the worst lesion, or else the lowest end with a lumen above 1.5 mm."""
    value = np.asarray(ffr(solution.hyperemia))
    sites = lesion_sites(sim)
    if not sites:
        ends = list(branch_ends(sim.network).values())
        diameter = 2.0 * np.asarray(sim.network.lumen)[ends, 1]
        sites = [v for v, d in zip(ends, diameter, strict=True) if d >= min(1.5e-3, diameter.max())]
    return sites[int(np.argmin(value[sites]))]


def write_results(
    folder: Path, case, heart: Heart, solution: Solution, summary, stages, gain, fitted=()
) -> Iterator[tuple[int, int]]:
    """Write every file of a run, telling how far it is."""
    case = with_its_map(folder, case)
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
        lambda: io.write_mbf(
            folder / "mbf.nii.gz", solution, heart.samples, case.anatomy.labels, case.anatomy.orientation
        ),
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
            gain,
        ),
    ]
    for done, job in enumerate(jobs, 1):
        job()
        yield done, len(jobs)


def with_its_map(folder: Path, case: io.Case) -> io.Case:
    """The case with its map of tone, where it has one, copied beside it."""
    source = case.tissue.tone_map
    if source is None:
        return case
    copy = folder / f"tone{''.join(source.suffixes[-2:])}"
    shutil.copyfile(source, copy)
    return case.model_copy(update={"tissue": case.tissue.model_copy(update={"tone_map": Path(copy.name)})})


def print_summary(console: Console, summary: dict[str, Any]) -> None:
    """The tables of the report, on the terminal."""
    console.print(
        f"\n[bold]{summary['name']}[/bold]: {summary['mass_g']:.1f} g, {summary['terminals']} terminals, "
        f"{summary['vessels']} vessels, {summary['volumes']} volumes"
    )
    for title, header, rows in viz.tables(summary):
        print_table(console, title, header, rows)
    for warning in summary["warnings"]:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")
