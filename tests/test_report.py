"""The HTML report in a browser: it loads offline, without errors, and the view is drawn."""

import json
import re
import shutil
import subprocess

from perfsim.cli.run import run_case
from perfsim.io import parse_case, provenance
from perfsim.viz import pullback, pullback_figure

import numpy as np
import pytest

CASE = """name = "report"
[tree]
terminals = 150
[mesh]
spacing = "5 mm"
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


def test_it_says_where_parameters_come_from():
    rows = {name: (value, origin) for name, value, origin in provenance(parse_case(CASE), fitted=("tone",))}
    assert rows["rest.demand"] == ("1 mL/min/g", "given")
    assert rows["tree.terminals"] == ("150", "given") and rows["tree.seed"][1] == "default"
    assert rows["tree.shares"][0] == "free" and rows["anatomy.label_values"][0] == "none"
    assert rows["tissue.supply"][1] == "calibrated" and rows["tissue.tone"][1] == "fitted"


def test_pullback_falls_at_the_lesion(small_heart):
    """FFR along the LAD: flat before, a fall across the plateau, a recovery of the jet, never above the start."""
    from perfsim.coupling import simulate

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
