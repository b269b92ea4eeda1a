"""A self-contained HTML report of a run: it opens from a file, offline."""

from pathlib import Path
from typing import Any

from perfsim.coupling import Simulation, Solution
from perfsim.darcy import Samples
from perfsim.viz.lumen import lumen_figure
from perfsim.viz.pages import write_page
from perfsim.viz.pullback import pullback_figure
from perfsim.viz.scene import scene

import numpy as np
from plotly.offline import get_plotlyjs

GAIN = "gain of FFR, 0.1 mm × 5 mm"
CAUTIONS = (
    "MBF of a single volume: it shows where the grown arterioles happen to lie; read segments and territories.",
    "Absolute MBF and MFR of the healthy heart: calibrated inputs. What a lesion changes is a prediction.",
    "Endo/epi of the healthy heart in hyperemia: prescribed. Behind a lesion it is a prediction.",
    "Throats below 1 mm and lesions at a bifurcation: the loss law is that of straight concentric stenoses.",
    "FFR less than 20 mm past a lesion: the jet has not mixed out there.",
)


def write_report(
    path: Path,
    name: str,
    summary: dict[str, Any],
    pictures: dict[str, Path],
    sim: Simulation,
    solution: Solution,
    samples: Samples,
    parameters: list[tuple[str, str, str]],
    gain: tuple[int, np.ndarray],
) -> None:
    """Numbers, pictures, an interactive view, pull-back curves, parameters and warnings of one run in one file.

    `gain` holds the vessel whose FFR is read and, per vessel, what it gains by more lumen there (`study.lumen_gain`).
    """
    vessel, by_vessel = gain
    write_page(
        path,
        "run",
        name=name,
        outcome=in_words(summary),
        warnings=summary["warnings"],
        pictures={caption: picture.read_bytes() for caption, picture in pictures.items()},
        figures={
            "scene": _figure(scene(sim, solution, samples, {GAIN: by_vessel}), "scene"),
            "pullback": _figure(pullback_figure(sim, solution.hyperemia), "pullback"),
            "lumen": _figure(lumen_figure(sim, vessel, by_vessel), "lumen"),
        },
        lumen=_where_lumen_matters(sim, vessel, by_vessel),
        tables=tables(summary),
        cautions=CAUTIONS,
        parameters=parameters,
        version=summary.get("perfsim", ""),
        plotly=get_plotlyjs(),
    )


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
            f"{lesion['ffr']:.2f} {lesion['read_mm_past_lesion']:.0f} mm past it."
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
    if summary.get("lesions"):
        rows = [
            [f"{x['branch']} at {x['position_mm']:.0f} mm", f"{100 * x['diameter_reduction']:.0f} %", f"{x['ffr']:.3f}",
             f"{x['read_mm_past_lesion']:.0f} mm past it", f"{x['endo_epi_behind']:.2f}"]
            for x in summary["lesions"]
        ]  # fmt: skip
        out.append(("Lesions", ["lesion", "diameter reduction", "FFR", "read", "endo/epi behind it"], rows))
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


def _figure(figure, name: str) -> str:
    return figure.to_html(include_plotlyjs=False, full_html=False, div_id=name)
