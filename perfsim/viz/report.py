"""A self-contained HTML report of a run."""

import base64
import html
from pathlib import Path
from typing import Any

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1060px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.6em 0 1.4em}
td,th{padding:.25em .9em;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%}.note{color:#666;font-size:13px}
.warn{background:#fff4d6;padding:.5em 1em;border-left:4px solid #e0a800}h2{margin-top:1.6em}"""


def write_report(path: Path, name: str, summary: dict[str, Any], pictures: dict[str, Path]) -> None:
    """Write numbers, pictures and warnings of one run into a single file."""
    parts = [f"<h1>perfsim: {html.escape(name)}</h1>"]
    parts.append(
        '<p class="note">perfsim is research software, not a medical device. Mean MBF and MFR of the healthy embedded '
        "heart are calibrated inputs, and the healthy hyperemic endo/epi ratio is prescribed; territory means, FFR, "
        "pressures and defects are predictions of the model.</p>"
    )
    for warning in summary["warnings"]:
        parts.append(f'<p class="warn">{html.escape(warning)}</p>')
    for title, picture in pictures.items():
        data = base64.b64encode(picture.read_bytes()).decode()
        parts.append(
            f'<h2>{html.escape(title)}</h2><img alt="{html.escape(title)}" src="data:image/png;base64,{data}">'
        )
    for title, header, rows in tables(summary):
        parts.append(f"<h2>{html.escape(title)}</h2>{_table(header, rows)}")
    title = f"<title>perfsim: {html.escape(name)}</title>"
    head = f"<!doctype html><html lang=en><meta charset=utf-8>{title}<style>{_STYLE}</style>"
    path.write_text(head + "".join(parts), encoding="utf-8")


def tables(summary: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, header, rows) of every table: the command line prints the same ones."""
    states = summary["states"]
    names = list(states)
    out = []
    rows = [
        [f"{root} (inlet)", *(f"{states[s]['inlet_flow_mL_min'][root]:.1f}" for s in names)]
        for root in states[names[0]]["inlet_flow_mL_min"]
    ]
    rows += [
        [b, *(f"{states[s]['branch_flow_mL_min'][b]:.1f}" for s in names)]
        for b in states[names[0]]["branch_flow_mL_min"]
    ]
    out.append(("Flow [mL/min]", ["vessel", *names], rows))
    mbf = {s: states[s]["mbf_mL_min_g"] for s in names}
    mfr = summary.get("mfr", {})
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
    solver = [
        ["pressure at 100 µm [mmHg]", *(f"{states[s]['pressure_at_d_ref_mmHg']:.1f}" for s in names)],
        ["mass defect", *(f"{states[s]['mass_defect']:.1e}" for s in names)],
        [
            "Newton / CG iterations",
            *(f"{states[s]['newton_iterations']} / {states[s]['krylov_iterations']}" for s in names),
        ],
    ]
    out.append(("Pressure, balance, solver", ["", *names], solver))
    if "seconds" in summary:
        out.append(("Time [s]", ["stage", ""], [[k, f"{v:.2f}"] for k, v in summary["seconds"].items()]))
    return out


def _table(header, rows) -> str:
    head = "".join(f"<th>{html.escape(h)}</th>" for h in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
