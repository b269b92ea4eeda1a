"""Fitting a case to MBF tables."""

from pathlib import Path

from perfsim import _runtime, io
from perfsim._results import InputError
from perfsim.cli.folder import check_folder
from perfsim.cli.run import run_case
from perfsim.cli.stages import Stages
from perfsim.coupling import Simulation
from perfsim.inverse import PARAMETERS, FitReport, Observation, fit
from perfsim.observe import aha17
from perfsim.units import ML_MIN_G

import jax.numpy as jnp
from rich.console import Console
from rich.markup import escape
from rich.table import Table

FITTED = {"tone", "throat", "supply", "drainage", "mobility", "exponent", "hematocrit"}


def fit_case(case: io.Case, stress: Path, rest: Path | None, out: Path | None, overwrite: bool = False) -> None:
    """Fit, print before and after, and write the fitted case with its results where `out` is given."""
    console = Console(width=None if Console().is_terminal else 110)
    _runtime.enable_compile_cache()
    unknown = [p for p in case.fit.parameters if p not in FITTED]
    if unknown:
        raise InputError(f"fit.parameters: {unknown[0]!r} cannot be fitted: choose among {', '.join(sorted(FITTED))}")
    if out is not None:
        check_folder(out, overwrite)
    tables = {"hyperemia": io.read_segments(stress, case.fit.sd / ML_MIN_G)}
    if rest is not None:
        tables["rest"] = io.read_segments(rest, case.fit.sd / ML_MIN_G)
    stages = Stages(console)
    with stages.show():
        with stages.stage("grow") as stage:
            grown = io.grow_case(case, lambda done, total: stage.update(done, total))
        with stages.stage("mesh"):
            heart = io.couple_case(case, grown)
        label = aha17(heart.wall.frame, heart.sim.volumes.center)
        data = [Observation(s, jnp.asarray(v), jnp.asarray(sd), label) for s, (v, sd) in tables.items()]
        with stages.stage("fit") as stage:
            fitted, report = fit(
                heart.sim,
                data,
                tuple(case.fit.parameters),
                progress=lambda k, c: stage.update(k, 12, f"misfit {c:.4g}"),
            )
    _print(console, report)
    if out is not None:
        run_case(_fitted_case(case, fitted), out, tuple(case.fit.parameters), overwrite=overwrite)


def _fitted_case(case: io.Case, fitted: Simulation) -> io.Case:
    """The case with its fitted values written in."""
    found = fitted.parts()[2]
    tissue = case.tissue.model_copy(
        update={
            "supply": float(found.supply),
            "drainage": float(found.drainage),
            "mobility": float(found.mobility),
            "tone": dict(zip(found.territory_names, map(float, found.tone), strict=True)),
        }
    )
    lesions = [
        s.model_copy(update={"diameter_reduction": max(0.0, 1.0 - float(t))})
        for s, t in zip(case.stenosis, fitted.lesions.throat, strict=True)
    ]
    tree = case.tree.model_copy(update={"exponent": float(fitted.network.exponent)})
    hematocrit = float(PARAMETERS["hematocrit"].where(fitted))
    blood = case.blood.model_copy(update={"hematocrit": hematocrit})
    name = f"{case.name} (fitted)"
    return case.model_copy(update={"name": name, "tissue": tissue, "stenosis": lesions, "tree": tree, "blood": blood})


def _print(console: Console, report: FitReport) -> None:
    table = Table(title="Fit", title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2))
    for column in ("parameter", "before", "after", "± sd", "learned from the data"):
        table.add_column(column, justify="left" if column == "parameter" else "right")
    for k, name in enumerate(report.names):
        table.add_row(
            escape(name),
            f"{report.before[k]:.4g}",
            f"{report.after[k]:.4g}",
            f"{report.sd[k]:.2g}",
            f"{100 * report.learned[k]:.0f} %",
        )
    console.print(table)
    console.print(
        f"misfit {report.cost_before:.4g} → {report.cost_after:.4g} in {report.iterations} iterations, "
        f"{report.solves} solves, " + ("converged" if report.converged else "[yellow]not converged[/yellow]")
    )
    for name, learned in zip(report.names, report.learned, strict=True):
        if learned < 0.2:
            console.print(
                f"[yellow]warning:[/yellow] these data say little about {escape(name)}: its value is mostly the prior's"
            )
