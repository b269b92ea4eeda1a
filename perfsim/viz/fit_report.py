"""The report of a fit: the answers, what not to trust, measured against fitted maps, what to measure next."""

from collections.abc import Sequence
from pathlib import Path

from perfsim.inverse import Comparison, Ensemble, Fit, Goodness, Identifiability, Posterior, Quantity, Value, Verdict
from perfsim.inverse.verdict import in_hundredths
from perfsim.viz.colors import Scale, mbf_scale
from perfsim.viz.pages import png, write_page
from perfsim.viz.polar import RINGS, SECTORS, draw_grid, middle_of, name_walls

import matplotlib
import numpy as np
from matplotlib.figure import Figure

RESIDUAL = Scale("standard deviations", -3.0, 3.0, matplotlib.colormaps["RdBu_r"])
UNDER = "Intervals hold 90 % of the posterior under the model, its priors and the stated noise, not errors of these."
NO_ANSWER = ("No answer", "–", "the model does not explain the data")
ANSWERS = ("FFR", "MFR")
"""kinds of quantities that come first"""


def write_fit_report(
    path: Path,
    name: str,
    maps: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    known: Posterior,
    said: Identifiability,
    good: Goodness,
    held: Sequence[str],
    quantities: Sequence[Quantity],
    next_values: Sequence[Value] = (),
    draws: Ensemble | None = None,
    judged: Sequence[Verdict] = (),
    compared: Sequence[Comparison] = (),
) -> None:
    """One self-contained HTML file, with the verdict on each territory first. `maps` holds, per state, what was
    measured and fitted [mL/min/g] and the residuals [standard deviations]: of the 17 segments, or bull's eyes as
    `polar_grid` makes them. Where the model does not explain the data at all there is no answer. `held` says what the
    fit left as it was.
    """
    fit = known.fit
    warnings = [fit.result.message] * (not fit.converged) + [good.verdict] * (not good.explained)
    lines = [] if draws is None else draws.lines()
    write_page(
        path,
        "fit",
        name=f"fit of {name}",
        cards=[*verdict_cards(judged), *answers(quantities)] if good.usable else [NO_ANSWER],
        outcome=outcome(fit),
        warnings=warnings + (lines if draws is not None and not draws.reliable else []),
        cautions=[
            *[good.verdict] * good.explained,
            *held,
            *said.lines(),
            *(lines if draws is not None and draws.reliable else []),
            UNDER,
        ],
        maps=_maps(maps),
        compared=comparison_rows(compared),
        known=_known_of(quantities),
        parameter_picture=png(_intervals(said)),
        information=png(_spectrum(said)),
        next=png(_bars(next_values)) if next_values else None,
        next_table=(["measurement", "information [bits]"], [[v.name, f"{v.bits:.1f}"] for v in next_values]),
        quantities=quantity_rows(quantities),
        parameters=parameter_rows(known, said),
    )


def verdict_cards(judged: Sequence[Verdict]) -> list[tuple[str, str, str]]:
    """(territory, what is behind its flow, the probabilities and what to measure next)."""
    return [(f"{v.territory} territory", v.words, v.numbers) for v in judged]


def comparison_rows(compared: Sequence[Comparison]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of what was measured beside what was fitted."""
    states = [s for s in ("rest", "hyperemia") if any(s in c.measured for c in compared)]
    header, rows = ["place"], []
    for state in states:
        header += [f"{state} [mL/min/g]", "fitted"]
    reserve = len(states) == 2
    header += ["MFR", "fitted"] * reserve
    for c in compared:
        numbers = [x for state in states for x in (c.measured[state], c.fitted[state])] + list(c.mfr) * reserve
        place = f"{c.place} territory, of what was measured" if c.kind == "territory" else c.place
        rows.append([place, *(f"{x:.2f}" if np.isfinite(x) else "–" for x in numbers)])
    return header, rows


def answers(quantities: Sequence[Quantity]) -> list[tuple[str, str, str]]:
    """(what, median, its interval and probability) of the quantities that a reader asks for first."""
    found = []
    for q in sorted((q for q in quantities if q.kind in ANSWERS), key=lambda q: ANSWERS.index(q.kind)):
        event = "" if q.probability is None else f"; {q.event} {in_hundredths(q.probability)}"
        found.append((q.name, f"{q.middle:.2f} {q.unit}".strip(), f"90 % interval {q.low:.2f} to {q.high:.2f}{event}"))
    return found


def outcome(fit: Fit) -> str:
    """How the fit went, in a sentence."""
    how = "converged" if fit.converged else "did not converge"
    return (
        f"The fit {how} in {fit.iterations} iterations and {fit.solves} solves; the misfit (½χ², data and prior) fell "
        f"from {fit.cost_before:.4g} to {fit.cost_after:.4g}."
    )


def quantity_rows(quantities: Sequence[Quantity]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the derived quantities."""
    rows = [
        [q.name, f"{q.middle:.2f}", f"{q.low:.2f} to {q.high:.2f}", "{:.2f} to {:.2f}".format(*q.before), q.unit,
         "" if q.probability is None else f"{q.event} {in_hundredths(q.probability)}"]
        for q in quantities
    ]  # fmt: skip
    return ["quantity", "median", "90 % interval", "before the data", "unit", ""], rows


def parameter_rows(known: Posterior, said: Identifiability) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the parameters that are no field's."""
    fit = known.fit
    at = {n: k for k, n in enumerate(fit.names)}
    rows = [
        [n, f"{fit.before[at[n]]:.4g}", f"{fit.after[at[n]]:.4g}", fit.units[at[n]], f"{100 * s:.0f} %"]
        for n, s in zip(said.names, said.sd, strict=True)
    ]
    return ["parameter", "before", "after", "unit", "uncertainty left"], rows


def _maps(maps) -> list[tuple[str, str, bytes]]:
    """(title, what it shows in words, picture): three bull's eyes a state, MBF of all on one scale."""
    scale = mbf_scale(max(float(np.nanmax([np.nanmax(m), np.nanmax(f)])) for m, f, _ in maps.values()))
    found = []
    for state, (measured, fitted, residual) in maps.items():
        for title, value, colors, text in (
            (f"MBF, {state}: measured", measured, scale, "{:.2f}"),
            (f"MBF, {state}: fitted", fitted, scale, "{:.2f}"),
            (f"{state}: fitted minus measured", residual, RESIDUAL, "{:+.1f}"),
        ):
            figure = Figure(figsize=(4.6, 4.2), layout="constrained")
            axes = figure.add_subplot(projection="polar")
            _bulls_eye(axes, value, colors, text)
            axes.set_title(title, fontsize=12)
            figure.colorbar(colors.mappable, ax=axes, shrink=0.75, pad=0.08, label=colors.label)
            numbers = (
                ", ".join(f"{k} {text.format(v)}" for k, v in enumerate(value, 1) if np.isfinite(v))
                if value.ndim == 1
                else "a bull's eye"
            )
            found.append((title, f"{title}, {colors.label}: {numbers}", png(figure)))
    return found


def _bulls_eye(axes, value: np.ndarray, scale: Scale, text: str) -> None:
    """One color per AHA segment, or the bull's eye itself."""
    if value.ndim == 2:
        draw_grid(axes, value, scale)
        name_walls(axes, 9)
        return
    for segment, (ring, start, width) in enumerate(SECTORS):
        v = value[segment] if segment < len(value) else np.nan
        color = scale.colors(scale.norm(v)) if np.isfinite(v) else (0.9, 0.9, 0.9, 1.0)
        low, high = RINGS[ring], RINGS[ring + 1]
        edge = "white" if width < 360 else "none"  # or the apex's own would run through its number
        axes.bar(np.radians(start + 0.5 * width), high - low, np.radians(width), low, color=color, edgecolor=edge)
        ink = scale.text_on(float(v)) if np.isfinite(v) else "black"
        label = text.format(v) if np.isfinite(v) else "–"
        axes.text(*middle_of(segment), label, ha="center", va="center", fontsize=9, color=ink)
    name_walls(axes, 9)


NARROWEST = 0.1
"""range of an axis over its values: what is known better than that shows as a point"""


def _known_of(quantities: Sequence[Quantity]) -> list[tuple[str, str, bytes]]:
    """(title, what it shows in words, picture): 90 % intervals of what was derived, before and after the data."""
    found = []
    for kind in dict.fromkeys(q.kind for q in quantities):
        of_kind = [q for q in quantities if q.kind == kind]
        figure = Figure(figsize=(4.6, 1.3 + 0.35 * len(of_kind)), layout="constrained")
        axes = figure.add_subplot()
        y = np.arange(len(of_kind))[::-1]
        axes.hlines(y, *zip(*(q.before for q in of_kind), strict=True), color="#c4c4c4", lw=12, label="before")
        axes.hlines(y, [q.low for q in of_kind], [q.high for q in of_kind], color="#31688e", lw=5, label="after")
        axes.plot([q.middle for q in of_kind], y, "|", color="#12263a", ms=14, mew=2)
        axes.set_yticks(y, [q.place for q in of_kind], fontsize=10, parse_math=False)
        axes.set_ylim(-0.7, len(of_kind) - 0.3)
        title = f"{kind} [{of_kind[0].unit}]" if of_kind[0].unit else kind
        axes.set_title(title, fontsize=11)
        low, high = axes.get_xlim()
        short = max(0.0, NARROWEST * abs(high) - (high - low)) / 2.0
        axes.set_xlim(low - short, high + short)
        words = ", ".join(f"{q.place} {q.low:.2f} to {q.high:.2f}" for q in of_kind)
        found.append((title, f"{title}, 90 % intervals: {words}; grey: before the data", png(figure)))
    return found


def _intervals(said: Identifiability) -> Figure:
    n = len(said.names)
    figure = Figure(figsize=(4.8, 1.0 + 0.32 * n), layout="constrained")
    axes = figure.add_subplot()
    y = np.arange(n)[::-1]
    axes.barh(y, np.ones(n), color="#c4c4c4", label="before")
    axes.barh(y, said.sd, height=0.5, color="#31688e", label="after the data")
    axes.set_yticks(y, said.names, fontsize=8)
    axes.set_xlabel("standard deviation, of what was known before")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, frameon=False, fontsize=8)
    return figure


def _spectrum(said: Identifiability) -> Figure:
    figure = Figure(figsize=(4.8, 2.8), layout="constrained")
    axes = figure.add_subplot()
    shown = np.maximum(said.eigenvalues[:60], 1e-6)
    axes.semilogy(np.arange(1, len(shown) + 1), shown, "o-", ms=3, color="#31688e")
    axes.axhline(1.0, color="#9b1d5f", lw=1)
    y, side = (1.2, "bottom") if shown[-1] < 0.5 else (0.85, "top")  # off the curve
    axes.text(len(shown), y, "as much as was known before", ha="right", va=side, fontsize=8, color="#9b1d5f")
    axes.set_ylim(bottom=max(1e-6, 0.5 * min(1.0, float(shown.min()))))
    axes.set_xlabel("direction")
    axes.set_ylabel("information")
    return figure


def _bars(values: Sequence[Value]) -> Figure:
    figure = Figure(figsize=(4.8, 0.9 + 0.4 * len(values)), layout="constrained")
    axes = figure.add_subplot()
    y = np.arange(len(values))[::-1]
    axes.barh(y, [v.bits for v in values], color="#35b779")
    axes.set_yticks(y, [v.name for v in values], fontsize=9)
    axes.set_xlabel("information on all parameters [bits]")
    return figure
