"""The files of a run, and its tables on the terminal."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfsim import io, viz
from perfsim.cli.tables import print_table
from perfsim.cli.terminal import warn
from perfsim.observe import aha17, territory_shares

from rich.console import Console

if TYPE_CHECKING:
    from perfsim.cli.run import Run

FILES = ("report.html", "network.vtp", "tissue.vtu", "mbf.nii.gz", "segments.csv", "summary.json")
"""the files of a run that a reader should know of"""


def write_results(
    folder: Path, run: "Run", seconds: dict[str, float], fitted: tuple[str, ...] = ()
) -> Iterator[tuple[int, int]]:
    """Write every file of a run, telling how far it is. `fitted` names the parameters that a fit has changed."""
    case = with_its_map(folder, run.case)
    heart, sim, solution, summary = run.heart, run.heart.sim, run.solution, run.summary | {"seconds": seconds}
    colors = viz.Colors.of(run.solution, *([run.treated[1]] if run.treated else []))
    jobs = [
        *_fields(folder, run, ""),
        lambda: (folder / "case.toml").write_text(io.resolved(case), encoding="utf-8"),
        lambda: viz.polar_maps(folder / "polar.png", heart, solution, colors, f"{case.name}: MBF and MFR"),
        lambda: viz.tree_picture(folder / "tree.png", sim, solution.hyperemia, heart.wall.frame, colors, case.name),
        lambda: (folder / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8"),
        lambda: viz.write_report(
            folder / "report.html", case.name, summary, heart, solution, colors, io.provenance(case, fitted), run.gain,
            run.treated,
        ),
    ]  # fmt: skip
    if run.treated is not None:
        jobs += _fields(folder, run, "-treated")
    for done, job in enumerate(jobs, 1):
        job()
        yield done, len(jobs)


def _fields(folder: Path, run: "Run", suffix: str) -> list:
    """The jobs that write network, tissue, image and segments, before or after the treatments."""
    heart = run.heart
    sim, solution = run.treated if suffix and run.treated else (heart.sim, run.solution)
    label = aha17(heart.wall.frame, sim.volumes.center)

    def tissue():
        shares = territory_shares(sim, solution.hyperemia)
        names = sim.tissue.territory_names
        fields = {"aha_segment": label + 1} | {f"share_{n}": shares[:, k] for k, n in enumerate(names)}
        io.write_tissue(folder / f"tissue{suffix}.vtu", sim, solution, heart.samples, fields)

    return [
        lambda: io.write_network(folder / f"network{suffix}.vtp", sim, solution),
        tissue,
        lambda: io.write_mbf(
            folder / f"mbf{suffix}.nii.gz",
            solution,
            heart.samples,
            run.case.anatomy.labels,
            run.case.anatomy.orientation,
        ),
        lambda: io.write_segments(folder / f"segments{suffix}.csv", io.segment_mbf(heart, solution)),
    ]


def with_its_map(folder: Path, case: io.Case) -> io.Case:
    """The case with its map of tone, where it has one, copied beside it."""
    source = case.tissue.tone_map
    if source is None:
        return case
    copy = folder / f"tone{''.join(source.suffixes[-2:])}"
    shutil.copyfile(source, copy)
    return case.model_copy(update={"tissue": case.tissue.model_copy(update={"tone_map": Path(copy.name)})})


def print_summary(console: Console, summary: dict[str, Any]) -> None:
    """The answer, the tables of the report and the warnings, on the terminal."""
    console.print(
        f"\n{summary['name']}: {summary['mass_g']:.1f} g, {summary['terminals']} terminals, "
        f"{summary['vessels']} vessels, {summary['volumes']} volumes", style="bold",
    )  # fmt: skip
    for line in viz.answers(summary):
        console.print(line)
    console.print()
    for title, header, rows in viz.tables(summary):
        print_table(console, title, header, rows)
    for warning in summary["warnings"]:
        warn(console, warning)
