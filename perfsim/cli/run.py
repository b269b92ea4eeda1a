"""The main job: from a case to a folder of files and printed results."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

from perfsim import __version__, _runtime, io, viz
from perfsim._results import InputError
from perfsim.cli.cost import cost_of
from perfsim.cli.folder import ResultFolder, claimed
from perfsim.cli.results import FILES, print_summary, write_results
from perfsim.cli.stages import Stages
from perfsim.cli.terminal import open_console, show_log
from perfsim.cli.treatment import summarize_treated, treat
from perfsim.cohorts import Heart
from perfsim.coupling import Simulation, Solution, simulate
from perfsim.observe import branch_ends, ffr, lesion_sites
from perfsim.study import lumen_gain, misread

import jax
import numpy as np
from rich.console import Console

_log = logging.getLogger("perfsim.cli")


@dataclasses.dataclass(frozen=True)
class Run:
    """All that a run found."""

    case: io.Case
    heart: Heart
    solution: Solution
    treated: tuple[Simulation, Solution] | None
    """the heart after the case's treatments, where it has some"""
    gain: tuple[int, np.ndarray]
    """the vessel whose FFR is read, and what it gains by more lumen of each vessel"""
    summary: dict[str, Any]


def run_case(case: io.Case, out: Path, *, overwrite: bool = False, quiet: bool = False, verbose: bool = False) -> None:
    """Grow, mesh, solve rest and hyperemia, write, then print. Nothing is left in `out` if a stage fails.

    `verbose` adds devices, growth statistics, solver counts and memory.
    """
    console = open_console(quiet)
    with claimed(out, overwrite, need=cost_of(case).disk) as folder:
        stages = started(console, verbose)
        with stages.show():
            run = computed(case, stages, folder)
            with stages.stage("write") as stage, folder.filled() as scratch:
                for done, total in write_results(scratch, run, stages.seconds):
                    stage.update(done, total)
    _log.info("peak memory: %.0f MB", _runtime.peak_memory_mb())
    print_summary(console, run.summary | {"seconds": stages.seconds})
    console.print(f"Results are in {out}: {', '.join(FILES)}")
    console.print("Research software, not a medical device.", style="dim")


def started(console: Console, verbose: bool) -> Stages:
    """What every computing command begins with: the log where it is asked for, the cache of programs, devices."""
    if verbose:
        show_log(console)
    cache = _runtime.enable_compile_cache()
    devices = ", ".join(map(str, jax.devices()))
    _log.info("devices: %s; %s; compiled programs: %s", devices, jax.numpy.zeros(()).dtype, cache or "in memory only")
    return Stages(console)


def computed(case: io.Case, stages: Stages, folder: ResultFolder) -> Run:
    """Build the heart of a case, solve it, also after its treatments, and say how sure the answers are."""
    try:
        heart, solution = solve(case, stages)
    except io.FrameMismatch as error:
        picture = folder.path / "frames.png"
        viz.frames_picture(picture, error.tree, error.wall)
        raise InputError(f"{error}; {picture} shows both") from None
    sim, treated = heart.sim, None
    if case.treatment:
        with stages.stage("treated"):
            after = treat(case, sim)
            treated = after, simulate(after)
    with stages.stage("lumen"):
        read = reading_site(sim, solution)
        gain = read, lumen_gain(sim, read)
        intervals = misread(sim, [s.reading_error for s in case.stenosis])
    with stages.stage("certify") as stage:
        proved = io.certified(heart, solution)
        worst = max(found["mbf_of_a_volume"] for found in proved.values())
        stage.update(1, 1, f"MBF is solved for to {100 * worst:.0e} %")
    summary = {"name": case.name, "perfsim": __version__, **io.summarize(heart, solution), "certified": proved}
    for lesion, (low, high) in zip(summary["lesions"], intervals, strict=True):
        lesion["ffr_90_of_reading"] = [round(low, 4), round(high, 4)]
    if treated is not None:
        summary["treated"] = summarize_treated(case, heart, solution, *treated)
    return Run(case, heart, solution, treated, gain, summary)


def solve(case: io.Case, stages: Stages) -> tuple[Heart, Solution]:
    """Build the heart and solve its states, one stage each."""
    with stages.stage("grow") as stage:
        grown = io.grow_case(case, lambda done, total: stage.update(done, total, f"{done} of {total} terminals"))
        _log.info("growth: %s", grown.growth)
    with stages.stage("mesh") as stage:
        heart = io.couple_case(case, grown)
        stage.update(1, 1, f"{len(heart.sim.volumes.volume)} volumes")
    _log.info(
        "solver sees %d chains of %d vessels, %d levels deep",
        heart.sim.forest.chains, len(heart.sim.network.tail), len(heart.sim.forest.levels),
    )  # fmt: skip
    states = {}
    for name in ("rest", "hyperemia"):
        with stages.stage(name) as stage:
            states[name] = jax.block_until_ready(simulate(heart.sim, states=(name,))[name])
            counters = states[name].counters
            stage.update(1, 1, f"{int(counters.newton)} Newton, {int(counters.krylov)} CG iterations")
        _log.info("%s: mass defect %.1e of the inflow", name, float(states[name].mass_defect))
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
