"""What a fit found: on the console, as a page, and as JSON."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from perfsim import viz
from perfsim.cli.measured import panels
from perfsim.cli.tables import print_table
from perfsim.cli.terminal import warn
from perfsim.cohorts import Heart
from perfsim.coupling import simulate
from perfsim.inverse import Ensemble, Goodness, Identifiability, Posterior, Quantity, Value, Verdict, comparisons

import numpy as np
from rich.console import Console


@dataclasses.dataclass(frozen=True)
class Found:
    """A fit and what follows from it; nothing does where the model does not explain the data."""

    known: Posterior
    said: Identifiability
    good: Goodness
    held: list[str]
    """what the fit left as it was, in sentences"""
    quantities: list[Quantity] = dataclasses.field(default_factory=list)
    draws: Ensemble | None = None
    values: list[Value] = dataclasses.field(default_factory=list)
    """of further measurements"""
    judged: list[Verdict] = dataclasses.field(default_factory=list)


def print_found(console: Console, found: Found) -> None:
    """The verdicts first, then how far to trust them, then the numbers."""
    for verdict in found.judged:
        console.print(str(verdict))
    console.print(found.good.verdict, style="" if found.good.explained else "yellow")
    for line in [] if found.draws is None else found.draws.lines():
        console.print(line, style="" if found.draws is not None and found.draws.reliable else "yellow")
    bits = [[v.name, f"{v.bits:.1f}"] for v in found.values]
    for title, (header, rows) in (
        ("Fit", viz.parameter_rows(found.known, found.said)),
        ("Derived, every draw through the model", viz.quantity_rows(found.quantities)),
        ("What to measure next", (["measurement", "information [bits]"], bits)),
    ):
        print_table(console, title, header, rows)
    console.print(viz.outcome(found.known.fit))
    if not found.known.fit.converged:
        warn(console, found.known.fit.message)
    for line in (*found.said.lines(), *found.held):
        console.print(line)


def write_found(out: Path, name: str, heart: Heart, found: Found) -> None:
    """Write fit.html and fit.json into a folder."""
    fitted, posed = found.known.fit, found.known.fit.problem
    maps = panels(heart, fitted.fitted, simulate(fitted.sim, posed.flow, posed.tissue, posed.states))
    compared = comparisons(fitted)
    viz.write_fit_report(
        out / "fit.html", name, maps, found.known, found.said, found.good, found.held, found.quantities, found.values,
        found.draws, found.judged, compared,
    )  # fmt: skip
    content = {
        "converged": fitted.converged,
        "result": fitted.result.name,
        "message": fitted.message,
        "iterations": fitted.iterations,
        "solves": fitted.solves,
        "goodness_of_fit": _goodness(found.good),
        "verdicts": {
            v.territory: {"verdict": v.given, "probability": v.probability, "ffr": v.ffr, "tone": v.tone}
            for v in found.judged
        },
        "measured_and_fitted": [
            {"kind": c.kind, "place": c.place, "measured": _finite(c.measured), "fitted": _finite(c.fitted)}
            for c in compared
        ],
        "misfit": {"before": fitted.cost_before, "after": fitted.cost_after},
        "parameters": _parameters(found),
        "quantities": {
            q.name: {"median": q.middle, "interval_90": [q.low, q.high], "before": list(q.before), "unit": q.unit}
            | ({} if q.probability is None else {q.event: q.probability})
            for q in found.quantities
        },
        "draws": None if found.draws is None else _draws(found.draws),
        "identifiability": found.said.lines(),
        "held": found.held,
        "eigenvalues": [float(x) for x in found.said.eigenvalues],
        "next_measurement_bits": {v.name: v.bits for v in found.values},
    }
    (out / "fit.json").write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def _goodness(good: Goodness) -> dict[str, Any]:
    return {
        "verdict": good.verdict,
        "explained": good.explained,
        "usable": good.usable,
        "chi2": good.chi2,
        "data": good.data,
        "effective_parameters": good.effective,
        "probability": good.probability,
        "probability_of_largest_residual": good.probability_of_largest,
        "missed": good.missed,
    }


def _parameters(found: Found) -> dict[str, dict[str, float]]:
    """Those that are no field's, in their units."""
    fitted, said = found.known.fit, found.said
    at = {n: k for k, n in enumerate(fitted.names)}
    return {
        n: {"before": float(fitted.before[at[n]]), "after": float(fitted.after[at[n]]), "uncertainty_left": float(s)}
        for n, s in zip(said.names, said.sd, strict=True)
    }


def _draws(draws: Ensemble) -> dict[str, Any]:
    return {
        "count": len(draws.weight),
        "failed": draws.failed,
        "effective": draws.effective,
        "pareto_k": draws.k_hat if draws.k_hat is not None and np.isfinite(draws.k_hat) else None,
        "pareto_k_limit": draws.k_limit,
        "reliable": draws.reliable,
    }


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    """Numbers that JSON can hold."""
    return {name: v if np.isfinite(v) else None for name, v in values.items()}
