"""Fitting a case to tables or maps of MBF."""

import json
import tempfile
from pathlib import Path

from perfsim import _runtime, io, viz
from perfsim._results import InputError, SimulationError, meant
from perfsim.cli.fitted import fitted_case
from perfsim.cli.folder import check_folder
from perfsim.cli.measured import panels, read_measured
from perfsim.cli.run import run_case
from perfsim.cli.stages import Stages
from perfsim.cli.tables import print_table
from perfsim.cohorts import Heart
from perfsim.inverse import (
    Ensemble,
    Fit,
    Identifiability,
    Posterior,
    Quantity,
    ToneField,
    Value,
    clinical_table,
    fit,
    identifiability,
    next_measurement,
    posterior,
)
from perfsim.observe import Cuff, LongAxis, Noise, Scan, Segments, Wire, lesion_sites

import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.markup import escape

WRITTEN = {
    "tone", "throat", "severity", "supply", "drainage", "mobility", "exponent", "hematocrit", "pressure", "demand",
}  # fmt: skip
"""what a case file can hold"""
FIELD = "tone_field"
"""what goes into a map beside it"""
INSTRUMENT = {"scale", "state_scale", "rotation", "tilt", "shift"}


def fit_case(case: io.Case, stress: Path, rest: Path | None, out: Path | None, overwrite: bool = False) -> None:
    """Fit, print what was found and what the data cannot tell, and write it all where `out` is given."""
    console = Console(width=None if Console().is_terminal else 110)
    _runtime.enable_compile_cache()
    possible = [*sorted(WRITTEN), FIELD, *sorted(INSTRUMENT)]
    unknown = [p for p in case.fit.parameters if p not in possible]
    if unknown:
        hint = meant(unknown[0], possible, f"choose among {', '.join(possible)}")
        raise InputError(f"fit.parameters: {unknown[0]!r} cannot be fitted to MBF: {hint}")
    if out is not None:
        check_folder(out, overwrite)
    given = [read_measured(case, p, s) for s, p in (("rest", rest), ("hyperemia", stress)) if p is not None]
    stages = Stages(console)
    with stages.show():
        with stages.stage("grow") as stage:
            grown = io.grow_case(case, lambda done, total: stage.update(done, total))
        with stages.stage("mesh"):
            heart = io.couple_case(case, grown)
            data = [measured.scan(heart) for measured in given]
        with stages.stage("fit") as stage:
            free = tuple(ToneField() if p == FIELD else p for p in case.fit.parameters)
            fitted = fit(
                heart.sim, data, free, progress=lambda k, c: stage.update(k, 12, f"misfit {c:.4g}"), throw=False
            )
            if fitted.failed and not fitted.converged:
                raise SimulationError(f"the fit ended after {fitted.iterations} steps: {fitted.message}")
        with stages.stage("posterior"):
            known = posterior(fitted, throw=False)
            said = identifiability(known)
        with stages.stage("intervals"):
            quantities, draws = clinical_table(known)
        with stages.stage("next"):
            view = Segments(LongAxis.of(heart.wall.frame))
            values = next_measurement(known, _candidates(fitted, view, rest is None))
    _print(console, known, said, quantities, draws, values)
    if out is not None:
        with tempfile.TemporaryDirectory() as scratch:
            found = fitted_case(case, heart, fitted.sim, Path(scratch))
            run_case(found, out, tuple(case.fit.parameters), overwrite=overwrite)
        _write(out, case.name, heart, known, said, quantities, draws, values)
        console.print(f"The fit is in [bold]{out}[/bold]: fit.html, fit.json")


def _candidates(fitted: Fit, view: Segments, no_rest: bool) -> dict:
    """What a cardiologist could measure next."""
    sim = fitted.sim
    segments = jnp.zeros((1, 17))
    out = {
        "cuff pressure in hyperemia": Cuff(0.0),
        "hyperemic map with half the noise": Scan(("hyperemia",), segments, Noise(0.06, 0.02), view),
    }
    if no_rest:
        out["resting map"] = Scan(("rest",), segments, Noise(0.12, 0.02), view)
    for k, site in enumerate(lesion_sites(sim)):
        branch = sim.network.branch_names[int(sim.lesions.branch[k])]
        out[f"pressure wire behind the {branch} stenosis"] = Wire(0.0, site)
    return out


def _print(
    console: Console,
    known: Posterior,
    said: Identifiability,
    quantities: list[Quantity],
    draws: Ensemble,
    values: list[Value],
) -> None:
    for line in draws.lines():
        console.print(escape(line), style="" if draws.reliable else "yellow", highlight=False)
    for title, (header, rows) in (
        ("Fit", viz.parameter_rows(known, said)),
        ("Derived, every draw through the model", viz.quantity_rows(quantities)),
        ("What to measure next", (["measurement", "information [bits]"], [[v.name, f"{v.bits:.1f}"] for v in values])),
    ):
        print_table(console, title, header, rows)
    console.print(viz.outcome(known.fit))
    if not known.fit.converged:
        console.print(f"[yellow]warning:[/yellow] {escape(known.fit.message)}")
    for line in said.lines():
        console.print(escape(line))


def _write(
    out: Path,
    name: str,
    heart: Heart,
    known: Posterior,
    said: Identifiability,
    quantities: list[Quantity],
    draws: Ensemble,
    values: list[Value],
) -> None:
    fitted = known.fit
    _, solution = fitted.problem.solved(jnp.asarray(fitted.xi))
    maps = panels(heart, fitted.fitted, solution)
    viz.write_fit_report(out / "fit.html", name, maps, known, said, quantities, values)
    at = {n: k for k, n in enumerate(fitted.names)}
    content = {
        "converged": fitted.converged,
        "result": fitted.result.name,
        "message": fitted.message,
        "iterations": fitted.iterations,
        "solves": fitted.solves,
        "misfit": {"before": fitted.cost_before, "after": fitted.cost_after},
        "parameters": {
            n: {
                "before": float(fitted.before[at[n]]),
                "after": float(fitted.after[at[n]]),
                "uncertainty_left": float(s),
            }
            for n, s in zip(said.names, said.sd, strict=True)
        },
        "quantities": {
            q.name: {"median": q.middle, "interval_90": [q.low, q.high], "before": list(q.before), "unit": q.unit}
            | ({} if q.probability is None else {q.event: q.probability})
            for q in quantities
        },
        "draws": {
            "count": len(draws.weight),
            "failed": draws.failed,
            "effective": draws.effective,
            "pareto_k": draws.k_hat if draws.k_hat is not None and np.isfinite(draws.k_hat) else None,
            "pareto_k_limit": draws.k_limit,
            "reliable": draws.reliable,
        },
        "identifiability": said.lines(),
        "eigenvalues": [float(x) for x in said.eigenvalues],
        "next_measurement_bits": {v.name: v.bits for v in values},
    }
    (out / "fit.json").write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
