"""A self-contained HTML report of a run: it opens from a file, offline."""

from pathlib import Path
from typing import Any

from perfsim.cohorts import Heart
from perfsim.coupling import Perfusion, Simulation, Solution
from perfsim.viz.colors import Colors
from perfsim.viz.lumen import lumen_figure
from perfsim.viz.pages import as_json, packed, packed_plotly, png, write_page
from perfsim.viz.polar import draw_map, maps_of, segment_means
from perfsim.viz.pullback import pullback, pullback_figure
from perfsim.viz.scene import scene
from perfsim.viz.tree import VIEWS, draw_tree

import numpy as np
from matplotlib.figure import Figure

GAIN = "gain of FFR, 0.1 mm × 5 mm"
CAUTIONS = (
    "MBF of a single volume: it shows where the grown arterioles happen to lie; read segments and territories.",
    "Absolute MBF and MFR of the healthy heart: calibrated inputs. What a lesion changes is a prediction.",
    "Endo/epi of the healthy heart in hyperemia: prescribed. Behind a lesion it is a prediction.",
    "Throats below 1 mm and lesions at a bifurcation: the loss law is that of straight concentric stenoses.",
    "FFR less than 20 mm past a lesion: the jet has not mixed out there.",
)
NO_LESION = (
    "No stenosis is in this case: epicardial disease is not in the model, and no FFR below says that there is none."
)


def write_report(
    path: Path,
    name: str,
    summary: dict[str, Any],
    heart: Heart,
    solution: Solution,
    colors: Colors,
    parameters: list[tuple[str, str, str]],
    gain: tuple[int, np.ndarray],
    treated: tuple[Simulation, Solution] | None = None,
) -> None:
    """One file that opens offline: the answer, what not to trust, maps, a view in space, curves, tables, parameters.

    `gain` holds the vessel whose FFR is read and, per vessel, what it gains by more lumen there (`study.lumen_gain`).
    """
    vessel, by_vessel = gain
    sim = heart.sim
    figures = {
        "scene": scene(heart, solution, colors, {GAIN: by_vessel}),
        "pullback": pullback_figure(
            sim, solution.hyperemia, treated=None if treated is None else (treated[0], treated[1].hyperemia)
        ).to_plotly_json(),
        "lumen": lumen_figure(sim, vessel, by_vessel).to_plotly_json(),
    }
    maps = _map_pictures(heart, solution, colors)
    trees = _tree_pictures(sim, solution.hyperemia, heart, colors, "")
    if treated is not None:
        maps += _map_pictures(heart, treated[1], colors, ", treated")
        trees += _tree_pictures(treated[0], treated[1].hyperemia, heart, colors, ", treated")
    write_page(
        path,
        "run",
        name=name,
        cards=cards(summary),
        outcome=in_words(summary),
        warnings=summary["warnings"],
        maps=maps,
        trees=trees,
        choices={kind: list(figures["scene"][kind]) for kind in ("vessel", "wall", "cameras")},
        branches=list(pullback(sim, solution.hyperemia)),
        shown=figures["scene"]["shown"],
        lumen=_where_lumen_matters(sim, vessel, by_vessel),
        tables=tables(summary),
        cautions=([] if summary.get("lesions") else [NO_LESION]) + list(CAUTIONS),
        parameters=parameters,
        version=summary.get("perfsim", ""),
        figures=packed(as_json(figures)),
        plotly=packed_plotly(),
    )


def _map_pictures(heart: Heart, solution: Solution, colors: Colors, after: str = "") -> list[tuple[str, str, bytes]]:
    """(title, what it shows in words, picture) of every bull's eye."""
    found = []
    for title, (value, scale) in maps_of(solution, colors).items():
        figure = Figure(figsize=(4.6, 4.2), layout="constrained")
        draw_map(figure.add_subplot(projection="polar"), heart, value, scale, title + after, fontsize=9.0)
        means = ", ".join(f"{k} {m:.2f}" for k, m in enumerate(segment_means(heart, value), 1) if np.isfinite(m))
        found.append((title + after, f"{scale.label} by AHA segment: {means}", png(figure)))
    return found


def _tree_pictures(
    sim: Simulation, state: Perfusion, heart: Heart, colors: Colors, after: str
) -> list[tuple[str, str, bytes]]:
    """(title, what it shows in words, picture) of both sides of the tree."""
    found = []
    for view in VIEWS:
        figure = Figure(figsize=(5.2, 5.6), layout="constrained")
        axes = figure.add_subplot()
        figure.colorbar(colors.ffr.mappable, ax=axes, shrink=0.6, label=colors.ffr.label)
        draw_tree(axes, sim, state, heart.wall.frame, colors, view, after)
        found.append((view + after, f"Coronary tree colored by FFR, {view}; diamonds mark stenoses", png(figure)))
    return found


def cards(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The answers, the most important first: (what, value, its interval and where it comes from)."""
    found = []
    treated = summary.get("treated")
    for k, lesion in enumerate(summary.get("lesions", [])):
        place = f"FFR, {100 * lesion['diameter_reduction']:.0f} % stenosis of the {lesion['branch']}"
        interval = lesion.get("ffr_90_of_reading")
        said = "" if interval is None else f"90 % interval {interval[0]:.2f} to {interval[1]:.2f} {_OF_READING}"
        found.append((place, f"{lesion['ffr']:.2f}", said))
        if treated:
            found.append(
                (f"{place}, treated", f"{treated['lesions'][k]['ffr_after']:.2f}", "; ".join(treated["treatments"]))
            )
    hyper, rest = (summary["states"][s]["mbf_mL_min_g"] for s in ("hyperemia", "rest"))
    worst = min((t for t in hyper if t != "global"), key=lambda t: hyper[t])
    reserve = summary["mfr"].get(worst)
    none = "no interval: this run takes its inputs as exact; perfsim fit weighs them against measured maps"
    after = "" if not treated else f"; treated {treated['states']['hyperemia']['mbf_mL_min_g'][worst]:.2f}"
    found.append((f"hyperemic MBF of the {worst}, the least perfused", f"{hyper[worst]:.2f} mL/min/g", none + after))
    if reserve is not None:
        found.append((f"flow reserve of the {worst}", f"{reserve:.1f}", f"at rest {rest[worst]:.2f} mL/min/g"))
    return found


_OF_READING = "from the error of the throat's reading alone"


def answers(summary: dict[str, Any]) -> list[str]:
    """The same, one line each, for a terminal."""
    return [f"{what}: {value}" + (f" ({said})" if said else "") for what, value, said in cards(summary)]


def _where_lumen_matters(sim: Simulation, vessel: int, gain: np.ndarray) -> str:
    best = int(np.argmax(gain))
    return (
        f"FFR is read on the {_place(sim, vessel)}. To first order it gains most, {gain[best]:+.3f}, where 5 mm of the "
        f"{_place(sim, best)} get 0.1 mm more radius."
    )


def _place(sim: Simulation, vessel: int) -> str:
    network = sim.network
    name = network.branch_names[int(network.branch[vessel])]
    return f"{name} {1e3 * float(network.coordinate[vessel].mean()):.0f} mm from its origin"


def in_words(summary: dict[str, Any]) -> str:
    """The outcome in a few sentences."""
    states = summary["states"]
    hyper, rest = states["hyperemia"]["mbf_mL_min_g"], states["rest"]["mbf_mL_min_g"]
    text = (
        f"A left ventricle of {summary['mass_g']:.0f} g receives {rest['global']:.2f} mL/min/g at rest and "
        f"{hyper['global']:.2f} in hyperemia, a flow reserve of {summary['mfr']['global']:.1f}."
    )
    for lesion in summary.get("lesions", []):
        text += (
            f" The {100 * lesion['diameter_reduction']:.0f} % stenosis of the {lesion['branch']} has an FFR of "
            f"{lesion['ffr']:.2f}, {lesion['read_mm_past_lesion']:.0f} mm past it."
        )
    worst = min((t for t in hyper if t != "global"), key=lambda t: hyper[t])
    return text + f" Least perfused in hyperemia is the {worst} territory with {hyper[worst]:.2f} mL/min/g."


def tables(summary: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, header, rows) of every table: the command line prints the same ones."""
    states = summary["states"]
    names = list(states)
    first = states[names[0]]
    flows = [
        [f"{r} (inlet)", *(f"{states[s]['inlet_flow_mL_min'][r]:.1f}" for s in names)]
        for r in first["inlet_flow_mL_min"]
    ]
    flows += [[b, *(f"{states[s]['branch_flow_mL_min'][b]:.1f}" for s in names)] for b in first["branch_flow_mL_min"]]
    out = [("Flow [mL/min]", ["vessel", *names], flows)]
    mbf, mfr = {s: states[s]["mbf_mL_min_g"] for s in names}, summary.get("mfr", {})
    rows = [[t, *(f"{mbf[s][t]:.3f}" for s in names), f"{mfr[t]:.2f}" if t in mfr else "–"] for t in mbf[names[0]]]
    out.append(("Myocardial blood flow [mL/min/g]", ["territory", *names, "MFR"], rows))
    between = {s: summary["balance"][s]["territories"] for s in names}
    rows = [
        [t, *(f"{between[s][t]['supply'] - between[s][t]['drainage']:+.2f}" for s in names)] for t in between[names[0]]
    ]
    out.append(("Flow to neighboring territories through the wall [mL/min]", ["territory", *names], rows))
    if summary.get("lesions"):
        rows = [
            [f"{x['branch']} at {x['position_mm']:.0f} mm", f"{100 * x['diameter_reduction']:.0f} %", f"{x['ffr']:.3f}",
             f"{x['read_mm_past_lesion']:.0f} mm past it", f"{x['endo_epi_behind']:.2f}"]
            for x in summary["lesions"]
        ]  # fmt: skip
        out.append(("Lesions", ["lesion", "diameter reduction", "FFR", "read", "endo/epi behind it"], rows))
    if "treated" in summary:
        out += _treated_tables(summary)
    if "ffr" in summary:
        rows = [[b, f"{x['diameter_mm']:.2f}", f"{x['ffr']:.3f}"] for b, x in summary["ffr"].items()]
        out.append(("FFR at vessel ends", ["vessel", "diameter [mm]", "FFR"], rows))
    counts = [f"{states[s]['newton_iterations']} / {states[s]['krylov_iterations']}" for s in names]
    solver = [
        ["pressure at 100 µm [mmHg]", *(f"{states[s]['pressure_at_d_ref_mmHg']:.1f}" for s in names)],
        ["mass defect", *(f"{states[s]['mass_defect']:.1e}" for s in names)],
        ["Newton / CG iterations", *counts],
    ]
    if "certified" in summary:
        proved = [summary["certified"][s] for s in names]
        solver += [
            ["solver's error of any pressure, at most [mmHg]", *(f"{x['pressure_mmHg']:.0e}" for x in proved)],
            ["of any volume's MBF, at most [%]", *(f"{100 * x['mbf_of_a_volume']:.0e}" for x in proved)],
            ["of any segment's MBF, at most [%]", *(f"{100 * x['mbf_of_a_segment']:.0e}" for x in proved)],
        ]
    out.append(("Pressure, balance, solver", ["", *names], solver))
    if "seconds" in summary:
        out.append(("Time [s]", ["stage", ""], [[k, f"{v:.2f}"] for k, v in summary["seconds"].items()]))
    return out


def _treated_tables(summary: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Before and after the treatments: hyperemic MBF by territory, FFR at vessel ends."""
    after = summary["treated"]
    mbf = [s["states"]["hyperemia"]["mbf_mL_min_g"] for s in (summary, after)]
    rows = [[t, *(f"{values[t]:.3f}" for values in mbf)] for t in mbf[0]]
    ends = [[b, *(f"{s['ffr'][b]['ffr']:.3f}" for s in (summary, after))] for b in summary["ffr"]]
    return [
        ("Hyperemic MBF, treated [mL/min/g]", ["territory", "before", "after"], rows),
        ("FFR at vessel ends, treated", ["vessel", "before", "after"], ends),
    ]
