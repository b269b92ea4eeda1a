"""The HTML report in a browser: it loads offline, without errors, and the view is drawn."""

import csv
import re

from perfsim.cli.run import run_case
from perfsim.coupling import simulate
from perfsim.io import couple_case, grow_case, parse_case, provenance, segment_mbf
from perfsim.observe import lesion_sites
from perfsim.units import ML_MIN
from perfsim.viz import Colors, pullback, pullback_figure
from perfsim.viz.labels import place_labels
from perfsim.viz.lesions import marks
from perfsim.viz.scene import BESIDE, UNIT, scene

import numpy as np
import pytest
import pyvista as pv
from browser import looked_at
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

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
    assert not re.findall(r'(?:src|href)="(?!data:|#)', own)
    assert "not a medical device" in text and "What not to trust" in text


def cells(text: str, title: str) -> dict[str, list[str]]:
    """Rows of the table under a heading of the page, by their first cell."""
    body = re.search(rf"<h2>{re.escape(title)}</h2>\s*<div[^>]*><table>(.*?)</table>", text, flags=re.S)[1]
    rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in re.findall(r"<tr>(.*?)</tr>", body, flags=re.S)]
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


@pytest.mark.parametrize("width", [390, 1280])
def test_it_is_read_on_a_telephone_and_on_a_screen(report, tmp_path, width):
    """Headless Chromium: no error on the console, nothing wider than the screen, the figures drawn, pictures described,
    controls within reach of the keyboard; by the rules of axe-core nothing serious. The answer stands first.
    """
    found, errors = looked_at(report / "report.html", width, tmp_path)
    assert not errors and found["width"] <= found["seen"] == width
    assert found["canvas"] >= 1 and found["svg"] >= 3 and found["broken"] == 0 and found["lang"] == "en"
    assert found["first"] == ["Answer", "What not to trust"] and found["keyboard"] >= 15
    assert (report / "report.html").stat().st_size <= 3e6
    if "axe" not in found:
        pytest.skip("looked at, but for the rules of axe-core: pip install axe-playwright-python")
    assert found["violations"] == []


def test_one_quantity_has_one_scale(report, small_heart, small_solution):
    """Rest and hyperemia, pictures and view in space; dark is where no pressure is lost."""
    colors = Colors.of(small_solution)
    view = scene(small_heart, small_solution, colors)
    low, high = 0.0, max(float(np.quantile(s.mbf, 0.995)) for _, s in small_solution.in_order())
    for state in ("rest", "hyperemia"):
        choice = view["wall"][f"MBF, {state}"]
        assert choice["low"] == low and high <= choice["high"] == colors.mbf.high < high + 0.2
    assert (view["vessel"]["FFR"]["low"], view["vessel"]["FFR"]["high"]) == (colors.ffr.low, 1.0)
    shades = [np.dot(to_rgb(color), [0.2126, 0.7152, 0.0722]) for _, color in view["vessel"]["FFR"]["colors"]]
    assert np.all(np.diff(shades) < 0)  # lightness alone tells them apart


def test_the_stenosis_is_marked(small_heart, small_solution):
    """In space beside its vessel, on the pull-back over its length."""
    view = scene(small_heart, small_solution, Colors.of(small_solution))
    mark = next(trace for trace in view["data"] if trace["name"] == "stenoses")
    place = marks(small_heart.sim)[0]
    middle = np.asarray(small_heart.sim.volumes.center).mean(0)
    at = np.array([mark[k][0] for k in "xyz"]) / UNIT * 1e-3 + middle
    assert mark["text"] == ["55 % LAD"] and np.linalg.norm(at - place.position) == pytest.approx(BESIDE, abs=1e-5)
    lad = small_heart.sim.network.branch_names.index("LAD")
    on = np.flatnonzero(np.asarray(small_heart.sim.network.branch) == lad)
    s = np.asarray(small_heart.sim.network.coordinate)[on]
    assert np.any((s[:, 0] <= 0.03) & (s[:, 1] >= 0.03) & (on == place.vessel))
    band = pullback_figure(small_heart.sim, small_solution.hyperemia).layout.shapes[0]
    assert (band.x0, band.x1) == pytest.approx((25.0, 35.0))


def test_names_do_not_lie_on_each_other():
    """Eight at one place, and one that is longer than the picture, which is left out."""
    axes = Figure(figsize=(5, 5)).add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    place_labels(axes, [("x" * 300, 0.5, 0.5)] + [(f"OM{k} $", 0.5, 0.5) for k in range(8)])
    axes.figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) == 8
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
