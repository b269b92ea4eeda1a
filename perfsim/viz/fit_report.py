"""The report of a fit: measured against fitted maps, what the data tell, what to measure next."""

import io
from collections.abc import Sequence
from pathlib import Path

from perfsim.inverse import Fit, Identifiability, Posterior, Quantity, Value
from perfsim.viz.pages import write_page
from perfsim.viz.polar import RINGS, SECTORS, middle_of, name_walls

import matplotlib
import numpy as np
from matplotlib.figure import Figure


def write_fit_report(
    path: Path,
    name: str,
    maps: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    known: Posterior,
    said: Identifiability,
    quantities: Sequence[Quantity],
    next_values: Sequence[Value] = (),
) -> None:
    """One self-contained HTML file. `maps` holds, per state, what was measured and fitted [mL/min/g] and the
    residuals [standard deviations]: of the 17 segments, or bull's eyes as `polar_grid` makes them.
    """
    fit = known.fit
    figures = {
        "maps": _maps(maps),
        "quantities": _known_of(quantities),
        "parameters": _intervals(said),
        "information": _spectrum(said),
    }
    if next_values:
        figures["next"] = _bars(next_values)
    write_page(
        path,
        "fit",
        name=f"fit of {name}",
        outcome=outcome(fit),
        warnings=[] if fit.converged else [fit.result.message],
        told=said.lines(),
        pictures={"next": None} | {key: _png(figure) for key, figure in figures.items()},
        quantities=quantity_rows(quantities),
        parameters=parameter_rows(known, said),
    )


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
         "" if q.probability is None else f"{q.event} {_share(q.probability)}"]
        for q in quantities
    ]  # fmt: skip
    return ["quantity", "median", "90 % interval", "before the data", "unit", ""], rows


def _share(p: float) -> str:
    return "< 0.01" if p < 0.005 else "> 0.99" if p > 0.995 else f"= {p:.2f}"


def parameter_rows(known: Posterior, said: Identifiability) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the parameters that are no field's."""
    fit = known.fit
    at = {n: k for k, n in enumerate(fit.names)}
    rows = [
        [n, f"{fit.before[at[n]]:.4g}", f"{fit.after[at[n]]:.4g}", fit.units[at[n]], f"{100 * s:.0f} %"]
        for n, s in zip(said.names, said.sd, strict=True)
    ]
    return ["parameter", "before", "after", "unit", "uncertainty left"], rows


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    return buffer.getvalue()


def _maps(maps) -> Figure:
    figure = Figure(figsize=(11.5, 3.7 * len(maps)), layout="constrained")
    for row, (state, (measured, fitted, residual)) in enumerate(maps.items()):
        top = 1.05 * float(np.nanmax([np.nanmax(measured), np.nanmax(fitted)]))
        panels = (
            (f"{state}: measured", measured, "viridis", (0.0, top), "mL/min/g", "{:.2f}"),
            (f"{state}: fitted", fitted, "viridis", (0.0, top), "mL/min/g", "{:.2f}"),
            (f"{state}: residual", residual, "RdBu_r", (-3.0, 3.0), "standard deviations", "{:+.1f}"),
        )
        for column, (title, value, colors, limits, unit, text) in enumerate(panels):
            axes = figure.add_subplot(len(maps), 3, 3 * row + column + 1, projection="polar")
            _bulls_eye(axes, value, colors, limits, text)
            axes.set_title(title, fontsize=10)
            scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(*limits), colors)
            figure.colorbar(scale, ax=axes, shrink=0.7, pad=0.09, label=unit)
    return figure


def _bulls_eye(axes, value, colors, limits, text) -> None:
    """One color per AHA segment, or the bull's eye itself."""
    cmap, norm = matplotlib.colormaps[colors], matplotlib.colors.Normalize(*limits)
    if value.ndim == 2:
        rings, sectors = (np.linspace(0.0, top, n + 1) for top, n in zip((1.0, 2.0 * np.pi), value.shape, strict=True))
        axes.pcolormesh(sectors, rings, value, cmap=cmap, norm=norm)
        name_walls(axes, 7)
        return
    for segment, (ring, start, width) in enumerate(SECTORS):
        v = value[segment] if segment < len(value) else np.nan
        color = cmap(norm(v)) if np.isfinite(v) else (0.9, 0.9, 0.9, 1.0)
        low, high = RINGS[ring], RINGS[ring + 1]
        axes.bar(np.radians(start + 0.5 * width), high - low, np.radians(width), low, color=color, edgecolor="white")
        dark = np.isfinite(v) and sum(color[:3]) < 1.5
        label = text.format(v) if np.isfinite(v) else "–"
        axes.text(*middle_of(segment), label, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    axes.set_ylim(0, 1)
    name_walls(axes, 7)


NARROWEST = 0.1
"""range of an axis over its values: what is known better than that shows as a point"""


def _known_of(quantities: Sequence[Quantity]) -> Figure:
    """90 % intervals of what was derived, before and after the data, one panel per kind."""
    kinds = list(dict.fromkeys(q.kind for q in quantities))
    figure = Figure(figsize=(11.5, 2.6), layout="constrained")
    for axes, kind in zip(np.atleast_1d(figure.subplots(1, len(kinds))), kinds, strict=True):
        of_kind = [q for q in quantities if q.kind == kind]
        y = np.arange(len(of_kind))[::-1]
        axes.hlines(y, *zip(*(q.before for q in of_kind), strict=True), color="#dddddd", lw=11, label="before")
        axes.hlines(y, [q.low for q in of_kind], [q.high for q in of_kind], color="#31688e", lw=5, label="after")
        axes.plot([q.middle for q in of_kind], y, "|", color="#12263a", ms=13, mew=1.5)
        axes.set_yticks(y, [q.place for q in of_kind], fontsize=8)
        axes.set_ylim(-0.7, len(of_kind) - 0.3)
        axes.set_title(f"{kind}\n[{of_kind[0].unit}]" if of_kind[0].unit else kind, fontsize=8)
        low, high = axes.get_xlim()
        short = max(0.0, NARROWEST * abs(high) - (high - low)) / 2.0
        axes.set_xlim(low - short, high + short)
        axes.tick_params(axis="x", labelsize=8)
    return figure


def _intervals(said: Identifiability) -> Figure:
    n = len(said.names)
    figure = Figure(figsize=(8.5, 1.0 + 0.28 * n), layout="constrained")
    axes = figure.add_subplot()
    y = np.arange(n)[::-1]
    axes.barh(y, np.ones(n), color="#e4e4e4", label="before")
    axes.barh(y, said.sd, height=0.5, color="#31688e", label="after the data")
    axes.set_yticks(y, said.names, fontsize=8)
    axes.set_xlabel("standard deviation, of what was known before")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, frameon=False, fontsize=8)
    return figure


def _spectrum(said: Identifiability) -> Figure:
    figure = Figure(figsize=(8.5, 3.0), layout="constrained")
    axes = figure.add_subplot()
    shown = np.maximum(said.eigenvalues[:60], 1e-6)
    axes.semilogy(np.arange(1, len(shown) + 1), shown, "o-", ms=3, color="#31688e")
    axes.axhline(1.0, color="#b5367a", lw=1)
    y, side = (1.2, "bottom") if shown[-1] < 0.5 else (0.85, "top")  # off the curve
    axes.text(len(shown), y, "as much as was known before", ha="right", va=side, fontsize=8, color="#b5367a")
    axes.set_ylim(bottom=max(1e-6, 0.5 * min(1.0, float(shown.min()))))
    axes.set_xlabel("direction")
    axes.set_ylabel("information")
    return figure


def _bars(values: Sequence[Value]) -> Figure:
    figure = Figure(figsize=(8.5, 0.9 + 0.35 * len(values)), layout="constrained")
    axes = figure.add_subplot()
    y = np.arange(len(values))[::-1]
    axes.barh(y, [v.bits for v in values], color="#35b779")
    axes.set_yticks(y, [v.name for v in values], fontsize=9)
    axes.set_xlabel("information on all parameters [bits]")
    return figure
