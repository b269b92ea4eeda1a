"""Fitting a case to MBF tables."""

import json
from pathlib import Path

from perfsim import _runtime, io, viz
from perfsim._results import InputError
from perfsim.cli.folder import check_folder
from perfsim.cli.run import run_case
from perfsim.cli.stages import Stages
from perfsim.cli.tables import print_table
from perfsim.coupling import Simulation
from perfsim.inverse import (
    PARAMETERS,
    Fit,
    Identifiability,
    Model,
    Posterior,
    Quantity,
    Value,
    clinical_table,
    fit,
    identifiability,
    next_measurement,
    posterior,
)
from perfsim.observe import Cuff, LongAxis, Noise, Scan, Segments, Wire, lesion_sites
from perfsim.units import ML_MIN_G

import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.markup import escape

WRITTEN = {
    "tone", "throat", "severity", "supply", "drainage", "mobility", "exponent", "hematocrit", "pressure", "demand",
}  # fmt: skip
"""what a case file can hold"""
INSTRUMENT = {"scale", "state_scale", "rotation", "tilt", "shift"}


def fit_case(case: io.Case, stress: Path, rest: Path | None, out: Path | None, overwrite: bool = False) -> None:
    """Fit, print what was found and what the data cannot tell, and write it all where `out` is given."""
    console = Console(width=None if Console().is_terminal else 110)
    _runtime.enable_compile_cache()
    unknown = [p for p in case.fit.parameters if p not in WRITTEN | INSTRUMENT]
    if unknown:
        possible = ", ".join(sorted(WRITTEN | INSTRUMENT))
        raise InputError(f"fit.parameters: {unknown[0]!r} cannot be fitted to a table: choose among {possible}")
    if out is not None:
        check_folder(out, overwrite)
    tables = {"rest": rest, "hyperemia": stress}
    read = {s: io.read_segments(p, case.fit.sd / ML_MIN_G) for s, p in tables.items() if p is not None}
    stages = Stages(console)
    with stages.show():
        with stages.stage("grow") as stage:
            grown = io.grow_case(case, lambda done, total: stage.update(done, total))
        with stages.stage("mesh"):
            heart = io.couple_case(case, grown)
        view = Segments(LongAxis.of(heart.wall.frame))
        data = [Scan((s,), value[None], Noise(0.0, sd), view) for s, (value, sd) in read.items()]
        with stages.stage("fit") as stage:
            fitted = fit(
                heart.sim,
                data,
                tuple(case.fit.parameters),
                progress=lambda k, c: stage.update(k, 12, f"misfit {c:.4g}"),
            )
        with stages.stage("posterior"):
            known = posterior(fitted)
            said = identifiability(known)
        with stages.stage("intervals"):
            quantities, _ = clinical_table(known)
        with stages.stage("next"):
            values = next_measurement(known, _candidates(fitted, view, rest is None))
    _print(console, known, said, quantities, values)
    if out is not None:
        run_case(_fitted_case(case, fitted.sim), out, tuple(case.fit.parameters), overwrite=overwrite)
        _write(out, case.name, known, said, quantities, values)
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
    states = {}
    for state in fitted.states:
        update = {"aortic_pressure": float(state.aortic_pressure)}
        if state.demand is not None:
            update["demand"] = float(state.demand)
        states[state.name] = getattr(case, state.name).model_copy(update=update)
    tree = case.tree.model_copy(update={"exponent": float(fitted.network.exponent)})
    blood = case.blood.model_copy(update={"hematocrit": float(PARAMETERS["hematocrit"].where(Model(fitted, ())))})
    changed = {"name": f"{case.name} (fitted)", "tissue": tissue, "stenosis": lesions, "tree": tree, "blood": blood}
    return case.model_copy(update=changed | states)


def _print(
    console: Console, known: Posterior, said: Identifiability, quantities: list[Quantity], values: list[Value]
) -> None:
    for title, (header, rows) in (
        ("Fit", viz.parameter_rows(known, said)),
        ("Derived, every draw through the model", viz.quantity_rows(quantities)),
        ("What to measure next", (["measurement", "information [bits]"], [[v.name, f"{v.bits:.1f}"] for v in values])),
    ):
        print_table(console, title, header, rows)
    console.print(viz.outcome(known.fit))
    if not known.fit.converged:
        console.print(f"[yellow]warning:[/yellow] {known.fit.result.message}")
    for line in said.lines():
        console.print(escape(line))


def _write(
    out: Path, name: str, known: Posterior, said: Identifiability, quantities: list[Quantity], values: list[Value]
) -> None:
    fitted = known.fit
    _, solution = fitted.problem.solved(jnp.asarray(fitted.xi))
    maps = {}
    for scan in fitted.fitted.scans:
        predicted = scan.predict(fitted.sim, solution)
        residual = scan.residual(fitted.sim, solution)
        maps[scan.states[0]] = tuple(np.asarray(x) for x in (scan.value[0], predicted[0], residual))
    viz.write_fit_report(out / "fit.html", name, maps, known, said, quantities, values)
    at = {n: k for k, n in enumerate(fitted.names)}
    content = {
        "converged": fitted.converged,
        "result": fitted.result.name,
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
            q.name: {"median": q.middle, "interval_90": [q.low, q.high], "unit": q.unit}
            | ({} if q.probability is None else {q.event: q.probability})
            for q in quantities
        },
        "identifiability": said.lines(),
        "eigenvalues": [float(x) for x in said.eigenvalues],
        "next_measurement_bits": {v.name: v.bits for v in values},
    }
    (out / "fit.json").write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
