"""Fitting a case to tables or maps of MBF."""

import contextlib
import dataclasses
import tempfile
from pathlib import Path

from perfsim import io
from perfsim._results import InputError, SimulationError, meant
from perfsim.cli.cost import cost_of
from perfsim.cli.fit_results import Found, print_found, write_found
from perfsim.cli.fitted import fitted_case
from perfsim.cli.folder import claimed
from perfsim.cli.measured import read_measured
from perfsim.cli.results import write_results
from perfsim.cli.run import computed, started
from perfsim.cli.terminal import open_console
from perfsim.cohorts import Heart
from perfsim.inverse import (
    Fit,
    Free,
    ToneField,
    clinical_table,
    fit,
    goodness,
    identifiability,
    left_out,
    next_measurement,
    posterior,
    throat_errors,
    verdicts,
)
from perfsim.observe import Cuff, LongAxis, Noise, Scan, Segments, Wire, lesion_sites

import jax.numpy as jnp

WRITTEN = {
    "tone", "throat", "severity", "supply", "drainage", "mobility", "exponent", "hematocrit", "pressure", "demand",
}  # fmt: skip
"""what a case file can hold"""
FIELD = "tone_field"
"""what goes into a map beside it"""
INSTRUMENT = {"scale", "state_scale", "rotation", "tilt", "shift"}


def fit_case(
    case: io.Case,
    stress: Path,
    rest: Path | None,
    out: Path | None,
    overwrite: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> None:
    """Fit, write all that was found into `out` where it is given, and print what the data tell and what they cannot.

    With a folder the fit keeps a checkpoint there: the same command goes on from it after an interruption.
    """
    check_parameters(case)
    given = [read_measured(case, p, s) for s, p in (("rest", rest), ("hyperemia", stress)) if p is not None]
    console = open_console(quiet)
    claim = contextlib.nullcontext() if out is None else claimed(out, overwrite, need=cost_of(case).disk)
    with claim as folder:
        stages = started(console, verbose)
        checkpoint = None if folder is None else folder.checkpoint
        if checkpoint is not None and checkpoint.exists():
            console.print(f"going on from {checkpoint}")
        with stages.show():
            with stages.stage("grow") as stage:
                grown = io.grow_case(case, lambda done, total: stage.update(done, total))
            with stages.stage("mesh"):
                heart = io.couple_case(case, grown)
                data = [measured.scan(heart) for measured in given]
            with stages.stage("fit") as stage:
                free = free_parameters(case, heart)
                fitted = fit(
                    heart.sim, data, free, progress=lambda k, c: stage.update(k, 12, f"misfit {c:.4g}"),
                    checkpoint=checkpoint, throw=False,
                )  # fmt: skip
                if fitted.failed and not fitted.converged:
                    raise SimulationError(f"the fit ended after {fitted.iterations} steps: {fitted.message}")
            with stages.stage("posterior"):
                known = posterior(fitted, throw=False)
                found = Found(known, identifiability(known), goodness(known), left_out(fitted))
            if found.good.usable:  # of others nothing may follow
                with stages.stage("intervals"):
                    quantities, draws = clinical_table(known, case.fit.draws)
                with stages.stage("next"):
                    view = Segments(LongAxis.of(heart.wall.frame))
                    values = next_measurement(known, _candidates(fitted, view, rest is None))
                judged = verdicts(known, draws, values)
                found = dataclasses.replace(found, quantities=quantities, draws=draws, values=values, judged=judged)
            if folder is not None:
                with tempfile.TemporaryDirectory() as made, folder.filled() as scratch:
                    run = computed(fitted_case(case, heart, fitted.sim, Path(made)), stages, folder)
                    for _ in write_results(scratch, run, stages.seconds, tuple(case.free)):
                        pass
                    write_found(scratch, case.name, heart, found)
    if found.good.usable:
        print_found(console, found)
    if out is not None:
        console.print(f"The fit is in {out}: fit.html, fit.json; the fitted case and its run beside them: report.html")
    if not found.good.usable:
        raise SimulationError(found.good.verdict)


def check_parameters(case: io.Case) -> None:
    """Raise `InputError` for a parameter of the case that maps of MBF cannot tell."""
    possible = [*sorted(WRITTEN), FIELD, *sorted(INSTRUMENT)]
    unknown = [p for p in case.free if p not in possible]
    if unknown:
        hint = meant(unknown[0], possible, f"choose among {', '.join(possible)}")
        raise InputError(f"fit.parameters: {unknown[0]!r} cannot be fitted to MBF: {hint}")
    named = case.model_copy(update={"fit": case.fit.model_copy(update={"fixed": []})}).free
    for name in case.fit.fixed:
        if name not in named:
            raise InputError(f"{name!r} cannot be held: the fit would change {', '.join(named)} only")
    if not case.free:
        raise InputError("every parameter is held: there is nothing to fit")


def free_parameters(case: io.Case, heart: Heart) -> tuple[str | Free | ToneField, ...]:
    """What `fit` is asked for: a field of tone for its name, throats with the errors of their readings."""
    kinds: dict[str, Free | ToneField] = {FIELD: ToneField()}
    errors = [s.reading_error for s in case.stenosis]
    if any(e is not None for e in errors):
        usual = throat_errors(heart.sim)
        spread = tuple(float(u if e is None else e) for e, u in zip(errors, usual, strict=True))
        kinds["throat"] = Free("throat", spread=spread)
    return tuple(kinds.get(name, name) for name in case.free)


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
