"""The HTML report in a browser: it loads offline, without errors, and the view is drawn."""

import csv
import json
import re
import shutil
import subprocess

from perfsim.cli.run import run_case
from perfsim.coupling import simulate
from perfsim.io import couple_case, grow_case, parse_case, provenance, segment_mbf
from perfsim.observe import lesion_sites
from perfsim.units import ML_MIN
from perfsim.viz import pullback, pullback_figure

import numpy as np
import pytest
import pyvista as pv

CASE = """name = "report"
[tree]
terminals = 300
[mesh]
spacing = "4 mm"
[[stenosis]]
branch = "LAD"
position = "30 mm"
diameter_reduction = 0.6
length = "10 mm"
[rest]
demand = "1.0 mL/min/g"
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "out"
    run_case(parse_case(CASE, "report"), folder, quiet=True)
    return folder


def test_it_is_self_contained(report):
    """No request leaves the file: scripts, pictures and styles are inside."""
    text = (report / "report.html").read_text()
    own = text[text.rindex("</script>") :] + text[: text.index("<script>")]
    assert not re.findall(r'(?:src|href)="(?!data:)', own)
    assert "not a medical device" in text and "What not to trust" in text


def cells(text: str, title: str) -> dict[str, list[str]]:
    """Rows of the table under a heading of the page, by their first cell."""
    body = re.search(rf"<h2>{re.escape(title)}</h2>\s*<table>(.*?)</table>", text, flags=re.S)[1]
    rows = [re.findall(r"<t[dh]>(.*?)</t[dh]>", row) for row in re.findall(r"<tr>(.*?)</tr>", body, flags=re.S)]
    return {row[0]: row[1:] for row in rows}


def test_its_numbers_are_the_solutions(report):
    """Tables, words and the files beside the page hold what a solve of the same case gives."""
    case = parse_case(CASE, "report")
    heart = couple_case(case, grow_case(case))
    solution = simulate(heart.sim)
    text, sim = (report / "report.html").read_text(), heart.sim
    stress, rest = solution.hyperemia, solution.rest
    flow = cells(text, "Flow [mL/min]")
    assert flow["vessel"] == ["rest", "hyperemia"]
    for k, name in enumerate(sim.network.inlet_names):
        expected = [float(s.inlet_flow[k]) / ML_MIN for s in (rest, stress)]
        np.testing.assert_allclose([float(x) for x in flow[f"{name} (inlet)"]], expected, atol=0.051)
    mbf = cells(text, "Myocardial blood flow [mL/min/g]")
    volume = np.asarray(sim.volumes.volume)
    whole = [float(np.average(np.asarray(s.mbf), weights=volume)) for s in (rest, stress)]
    np.testing.assert_allclose([float(x) for x in mbf["global"]], [*whole, whole[1] / whole[0]], atol=6e-3)
    assert f"receives {whole[0]:.2f} mL/min/g at rest and {whole[1]:.2f} in hyperemia" in text
    site = lesion_sites(sim)[0]
    ffr = float(stress.static_pressure[site] / stress.aortic_pressure)
    lesion = cells(text, "Lesions")["LAD at 30 mm"]
    assert lesion[0] == "60 %" and float(lesion[1]) == pytest.approx(ffr, abs=6e-4)
    network = pv.read(report / "network.vtp")
    np.testing.assert_allclose(
        network.cell_data["flow_mL_min_rest"], np.asarray(rest.flow) / ML_MIN, rtol=1e-6, atol=1e-9
    )
    np.testing.assert_allclose(pv.read(report / "tissue.vtu").cell_data["mbf_hyperemia"], stress.mbf, rtol=1e-6)
    rows = list(csv.DictReader((report / "segments.csv").open()))
    means = segment_mbf(heart, solution)
    for row in rows:
        expected = means[row["state"]][int(row["segment"]) - 1]
        assert (row["mbf_mL_min_g"] == "") == np.isnan(expected)
        assert np.isnan(expected) or float(row["mbf_mL_min_g"]) == pytest.approx(expected, rel=1e-5)
    assert len(rows) == 34


def test_it_says_where_parameters_come_from():
    rows = {name: (value, origin) for name, value, origin in provenance(parse_case(CASE), fitted=("tone",))}
    assert rows["rest.demand"] == ("1 mL/min/g", "given")
    assert rows["tree.terminals"] == ("150", "given") and rows["tree.seed"][1] == "default"
    assert rows["tree.shares"][0] == "free" and rows["anatomy.label_values"][0] == "none"
    assert rows["tissue.supply"][1] == "calibrated" and rows["tissue.tone"][1] == "fitted"


def test_pullback_falls_at_the_lesion(small_heart):
    """FFR along the LAD: flat before, a fall across the plateau, a recovery of the jet, never above the start."""
    state = simulate(small_heart.sim).hyperemia
    lines = pullback_figure(small_heart.sim, state).data
    assert [line.visible for line in lines[:4]] == [True, True, True, "legendonly"]  # of ten colours that repeat
    curve = pullback(small_heart.sim, state)["LAD"]
    x, y = curve["distance_mm"], curve["ffr"]
    before, throat, after = (y[(x > a) & (x < b)] for a, b in ((10, 22), (27, 33), (60, 80)))
    assert before.mean() > after.mean() + 0.05 > throat.min() and y.max() <= 1.0
    assert np.all(curve["diameter_mm"] > 0)


def test_it_loads_in_a_browser(report, tmp_path):
    """Headless Chromium: no error on the console, and WebGL has drawn the scene."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium, which is not installed")
    script = """<script>setTimeout(() => { const c = document.querySelector('#scene canvas');
    document.title = JSON.stringify({canvas: !!c, width: c ? c.width : 0, menus: document.querySelectorAll('#scene .updatemenu-container').length}) }, 6000)</script>"""
    page = tmp_path / "report.html"
    page.write_text((report / "report.html").read_text().replace("</body>", script + "</body>"))
    run = subprocess.run(
        [
            browser, "--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
            "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--v=0",
            "--virtual-time-budget=20000", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    errors = [line for line in run.stderr.splitlines() if "CONSOLE" in line and ("Error" in line or "Uncaught" in line)]
    assert not errors
    found = json.loads(re.search(r"<title>(\{.*?\})</title>", run.stdout).group(1).replace("&quot;", '"'))
    assert found["canvas"] and found["width"] > 300 and found["menus"] >= 1
