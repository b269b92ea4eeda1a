"""The command line, as a user meets it."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from perfsim import InputError
from perfsim.cli.stages import Stage
from perfsim.inverse.verdict import WORDS
from perfsim.io import DEMO, grow_case, parse_case, read_segments, resolved

import nibabel as nib
import numpy as np
import pytest
import pyvista as pv
from browser import looked_at
from command import perfsim

QUICK = ["--terminals", "150", "--spacing", "5 mm"]


def as_program(*arguments, cwd):
    """In a process of its own, as a user starts it."""
    command = [sys.executable, "-c", "from perfsim.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    run = perfsim("demo", "--out", folder / "out", *QUICK, cwd=folder)
    assert run.returncode == 0, run.stderr
    return run, folder / "out"


def test_demo_prints_the_results(demo):
    run, _ = demo
    for words in ("LAD", "MFR", "FFR", "mass defect", "mL/min/g", "hyperemia", "Newton", "pressure at 100 µm", "write"):
        assert words in run.stdout
    assert "Traceback" not in run.stderr


def test_demo_writes_every_file(demo):
    _, out = demo
    assert {p.name for p in out.iterdir()} == {
        "network.vtp", "tissue.vtu", "mbf.nii.gz", "segments.csv", "summary.json", "case.toml", "polar.png", "tree.png", "report.html",
    }  # fmt: skip
    assert not [p for p in out.parent.iterdir() if p.name.startswith(".out")]


def test_files_agree_with_each_other(demo):
    """The wall's mean MBF is the same in the summary, the voxels, the image and the segments."""
    _, out = demo
    summary = json.loads((out / "summary.json").read_text())
    expected = summary["states"]["hyperemia"]["mbf_mL_min_g"]["global"]
    tissue = pv.read(out / "tissue.vtu")
    volume = tissue.cell_data["volume_mm3"]
    assert np.average(tissue.cell_data["mbf_hyperemia"], weights=volume) == pytest.approx(expected, rel=1e-4)
    image = nib.load(out / "mbf.nii.gz")
    data = image.get_fdata()
    assert data.shape[3] == 2 and np.isfinite(data[..., 1]).sum() == tissue.n_cells
    rows = list(csv.DictReader((out / "segments.csv").open()))
    assert {r["segment"] for r in rows} == {str(k) for k in range(1, 18)} and {r["state"] for r in rows} == {
        "rest",
        "hyperemia",
    }
    label = tissue.cell_data["aha_segment"]
    seven = label == 7
    mean = np.average(tissue.cell_data["mbf_hyperemia"][seven], weights=volume[seven])
    written = next(float(r["mbf_mL_min_g"]) for r in rows if r["segment"] == "7" and r["state"] == "hyperemia")
    assert written == pytest.approx(mean, rel=1e-4)


def test_image_lies_where_the_voxels_lie(demo):
    """NIfTI is RAS, the VTK files are LPS: centroids of the hyperemic maps coincide after the flip."""
    _, out = demo
    image = nib.load(out / "mbf.nii.gz")
    data = image.get_fdata()[..., 1]
    at = np.argwhere(np.isfinite(data))
    world = nib.affines.apply_affine(image.affine, at)
    tissue = pv.read(out / "tissue.vtu")
    np.testing.assert_allclose(world.mean(0) * [-1, -1, 1], tissue.cell_centers().points.mean(0), atol=1e-3)


def test_network_file_has_what_paraview_needs(demo):
    _, out = demo
    network = pv.read(out / "network.vtp")
    assert network.n_lines == len(network.cell_data["flow_mL_min_hyperemia"])
    assert network.cell_data["pd_pa_hyperemia"].max() <= 1.0 and network.point_data["radius_mm"].min() > 0


def test_resolved_case_reproduces_the_run(demo, tmp_path):
    _, out = demo
    again = perfsim("run", out / "case.toml", "--out", tmp_path / "again", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    first, second = (json.loads((p / "summary.json").read_text()) for p in (out, tmp_path / "again"))
    for state in ("rest", "hyperemia"):
        a, b = (s["states"][state]["mbf_mL_min_g"] for s in (first, second))
        assert a == pytest.approx(b, rel=1e-4)


def test_init_writes_a_case_that_parses(tmp_path):
    assert perfsim("init", tmp_path / "new", cwd=tmp_path).returncode == 0
    text = (tmp_path / "new" / "case.toml").read_text(encoding="utf-8")
    case = parse_case(text)
    assert text.startswith(resolved(case)) and not case.stenosis and not case.treatment
    examples = "".join(
        line.removeprefix("# ")
        for line in text[len(resolved(case)) :].splitlines(True)
        if "[[" in line or " = " in line
    )
    assert parse_case(examples).stenosis[0].branch == parse_case(examples).treatment[0].branch == "LAD"
    second = perfsim("init", tmp_path / "new", cwd=tmp_path)
    assert second.returncode != 0 and "exists already" in second.stderr


def interrupted_at_second_step(stage, done, total, note=None):
    if (note or "").startswith("misfit") and done == 2:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.programs(40)  # the first fit of its process, and the report of what it found
def test_fit_recovers_a_tone(demo, tmp_path, monkeypatch):
    """Segments of the demo itself, stress halved in the LAD's: the fit lowers the LAD's tone only.

    It is interrupted, and the same command goes on.
    """
    _, out = demo
    case = (out / "case.toml").read_text()
    (tmp_path / "case.toml").write_text(case)
    rows = [r for r in csv.DictReader((out / "segments.csv").open()) if r["state"] == "hyperemia"]
    lad = {"1", "2", "7", "8", "13", "14", "17"}
    with (tmp_path / "stress.csv").open("w") as file:
        file.write("segment,mbf_mL_min_g,sd\n")
        for r in rows:
            file.write(f"{r['segment']},{float(r['mbf_mL_min_g']) * (0.6 if r['segment'] in lad else 1.0):.5f},0.2\n")
    command = ["fit", "case.toml", "--stress", "stress.csv", "--out", tmp_path / "fitted", "--fix", "rotation"]
    command += ["--draws", 40]
    with monkeypatch.context() as patch:
        patch.setattr(Stage, "update", interrupted_at_second_step)
        cut = perfsim(*command, cwd=tmp_path)
    assert cut.returncode == 143 and "interrupted; the same command goes on from" in cut.stderr
    assert [p.name for p in (tmp_path / "fitted").iterdir()] == ["checkpoint"]
    run = perfsim(*command, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "going on from" in run.stdout and not (tmp_path / "fitted" / "checkpoint").exists()
    assert "before" in run.stdout and "tone[LAD]" in run.stdout and "converged" in run.stdout
    fitted = parse_case((tmp_path / "fitted" / "case.toml").read_text())
    assert fitted.tissue.tone["LAD"] < 0.75 and 0.85 < fitted.tissue.tone["LCx"] < 1.2
    found = json.loads((tmp_path / "fitted" / "fit.json").read_text())
    free = [
        "tone[LAD]",
        "tone[LCx]",
        "tone[RCA]",
        "throat[LAD@30mm]",
        "demand[rest]",
        "pressure[rest]",
        "pressure[hyperemia]",
        "scale",
    ]
    assert list(found["parameters"]) == free  # all that explains a map as well as another
    lad = found["verdicts"]["LAD"]
    assert (
        sum(lad["probability"].values()) == pytest.approx(1.0)
        and f"LAD: {WORDS.get(lad['verdict'], lad['verdict'])}" in run.stdout
    )
    (compared,) = (c for c in found["measured_and_fitted"] if c["place"] == "8 mid anteroseptal")
    stress = next(r for r in rows if r["segment"] == "8")
    assert compared["measured"]["hyperemia"] == pytest.approx(0.6 * float(stress["mbf_mL_min_g"]), abs=1e-4)
    good = found["goodness_of_fit"]
    assert good["explained"] and good["data"] == 17 and good["verdict"] in run.stdout.replace("\n", " ")
    assert found["held"] == ["Held, so that their uncertainty is in no interval: rotation of the map at 0 °."]
    page, errors = looked_at(tmp_path / "fitted" / "fit.html", 390, tmp_path)
    assert not errors and page["width"] <= 390 and page["violations"] == [] and page["broken"] == 0
    assert page["first"] == ["Answer", "What not to trust"]
    assert (tmp_path / "fitted" / "fit.html").stat().st_size <= 3e6


def test_a_map_that_the_model_cannot_explain_has_no_answer(demo, tmp_path):
    """Segments of twenty times the flow a heart can have: exit 4 with the verdict, a page without an answer."""
    _, out = demo
    (tmp_path / "case.toml").write_text((out / "case.toml").read_text())
    rows = "".join(f"{k},{6.0 if k % 2 else 0.5},0.05\n" for k in range(1, 18))
    (tmp_path / "stress.csv").write_text("segment,mbf_mL_min_g,sd\n" + rows)
    run = perfsim("fit", "case.toml", "--stress", "stress.csv", "--out", "fitted", cwd=tmp_path)
    assert run.returncode == 4 and "does not explain the data: nothing that follows from it may be used" in run.stderr
    assert (
        "Derived" not in run.stdout
        and not json.loads((tmp_path / "fitted" / "fit.json").read_text())["goodness_of_fit"]["usable"]
    )
    assert "No answer" in (tmp_path / "fitted" / "fit.html").read_text()
    for name, said in (("scael", "would change tone"), ("throat", "")):
        held = perfsim("fit", "case.toml", "--stress", "stress.csv", "--fix", name, "--dry-run", cwd=tmp_path)
        assert held.returncode == (3 if said else 0) and said in held.stderr


BAD = {
    "unknown key": ('[tree]\nterminal = 100', "did you mean 'terminals'"),
    "unknown section": ("[mehs]\nspacing = '2 mm'", "did you mean 'mesh'"),
    "missing unit": ("[mesh]\nspacing = 2", "no unit"),
    "wrong unit": ("[mesh]\nspacing = '2 mmHg'", "mmHg"),
    "impossible value": ("[anatomy]\nmass = '14 kg'", "14 kg"),
    "negative": ("[tree]\nterminals = -5", "terminals"),
    "wrong word": ("[anatomy]\ndominance = 'both'", "right, left, co"),
    "unknown branch": ("[[stenosis]]\nbranch='LAT'\nposition='2 mm'\ndiameter_reduction=0.5\nlength='5 mm'", "LAT"),
    "beyond the end": ("[[stenosis]]\nbranch='LAD'\nposition='400 mm'\ndiameter_reduction=0.5\nlength='5 mm'", "mm long"),
    "closed vessel": ("[[stenosis]]\nbranch='LAD'\nposition='20 mm'\ndiameter_reduction=1.0\nlength='5 mm'", "0.98"),
    "missing field": ("[[stenosis]]\nbranch='LAD'\nposition='20 mm'\nlength='5 mm'", "diameter_reduction"),
    "no driving pressure": ("[rest]\naortic_pressure='20 mmHg'", "exceed"),
    "unknown territory": ("[tissue]\ntone = {LDA = 0.5}\n[tree]\nterminals = 150\n[mesh]\nspacing='5 mm'", "did you mean 'LAD'"),
    "not TOML": ("[tree\nterminals = 5", "TOML"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_cases_get_one_clear_message(name, tmp_path):
    text, words = BAD[name]
    (tmp_path / "case.toml").write_text(text)
    run = perfsim("run", "case.toml", "--out", "out", cwd=tmp_path)
    assert run.returncode != 0
    assert words in run.stderr and "Traceback" not in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["case.toml"]


def test_absent_file(tmp_path):
    run = perfsim("run", "nothing.toml", cwd=tmp_path)
    assert run.returncode != 0 and "nothing.toml: no such file" in run.stderr and not list(tmp_path.iterdir())


def test_results_are_never_overwritten_unasked(demo, tmp_path):
    _, out = demo
    before = (out / "summary.json").read_bytes()
    refused = perfsim("demo", "--out", out, *QUICK, cwd=tmp_path)
    assert refused.returncode == 3 and "--overwrite" in refused.stderr
    assert (out / "summary.json").read_bytes() == before
    (tmp_path / "perfsim-demo").mkdir()
    (tmp_path / "perfsim-demo" / "summary.json").write_text("mine")
    again = perfsim("demo", "-q", *QUICK, cwd=tmp_path)
    assert again.returncode == 0 and again.stdout == ""
    assert (tmp_path / "perfsim-demo" / "summary.json").read_text() == "mine"
    assert (tmp_path / "perfsim-demo-2" / "summary.json").exists()


def test_exit_codes(tmp_path):
    """2 for usage, 3 for input; the process's own too."""
    assert perfsim("run", cwd=tmp_path).returncode == 2
    assert perfsim("demo", "--colour", cwd=tmp_path).returncode == 2
    assert perfsim("run", "absent.toml", cwd=tmp_path).returncode == 3
    assert as_program("run", "absent.toml", cwd=tmp_path).returncode == 3


def test_dry_run_and_doctor(tmp_path):
    perfsim("init", "new", cwd=tmp_path)
    dry = perfsim("run", "new/case.toml", "--dry-run", cwd=tmp_path)
    assert dry.returncode == 0 and "GB" in dry.stdout and 'spacing = "1.5 mm"' in dry.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["new"]
    doctor = perfsim("doctor", cwd=tmp_path)
    assert doctor.returncode == 0 and "float64" in doctor.stdout and "ok" in doctor.stdout


def test_out_that_is_a_file(tmp_path):
    (tmp_path / "out").write_text("mine")
    run = perfsim("demo", "--out", "out", cwd=tmp_path)
    assert run.returncode != 0 and "is a file" in run.stderr and (tmp_path / "out").read_text() == "mine"


def test_shares_of_a_case_are_met_and_written_down(tmp_path):
    case = parse_case("[tree]\nterminals = 300\nshares = { LM = 0.6, RCA = 0.4 }\n")
    assert parse_case(resolved(case)).tree.shares == {"LM": 0.6, "RCA": 0.4}
    report = grow_case(case).growth
    assert report.shares["LM"] == pytest.approx(0.6, abs=0.015)
    with pytest.raises(InputError, match="LCA"):
        grow_case(parse_case("[tree]\nterminals = 30\nshares = { LCA = 1.0 }\n"))


def test_grow_writes_a_tree(tmp_path):
    """The tree alone, readable again, with its statistics; a second run does not overwrite it."""
    (tmp_path / "c.toml").write_text("[tree]\nterminals = 80\n")
    run = perfsim("grow", "c.toml", "--out", "t", cwd=tmp_path)
    assert run.returncode == 0 and "80 terminals, 0 dropped" in run.stdout
    record = json.loads((tmp_path / "t" / "growth.json").read_text())
    assert record["growth"]["terminals"] == 80 and record["elements"][0]["order"] == 1
    mesh = pv.read(tmp_path / "t" / "tree.vtp")
    assert mesh.n_lines > 160 and mesh.cell_data["radius_mm"].min() > 0
    again = perfsim("grow", "c.toml", "--out", "t", cwd=tmp_path)
    assert again.returncode == 3 and "--overwrite" in again.stderr


def test_verbose_adds_and_quiet_removes(tmp_path):
    loud = perfsim("demo", "-v", *QUICK, "--out", "a", cwd=tmp_path)
    assert loud.returncode == 0 and all(
        w in loud.stdout for w in ("float64", "0 dropped", "levels deep", "peak memory")
    )
    still = perfsim("demo", "-q", *QUICK, "--out", "b", cwd=tmp_path)
    assert still.returncode == 0 and not still.stdout


def test_help_does_not_import_jax(tmp_path):
    code = "import sys\nfrom perfsim.cli.commands import app\ntry:\n app(['--help'])\nexcept SystemExit: pass\nsys.exit('jax' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0 and "demo" in run.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("segment,value\n1,2", "mbf_mL_min_g"),
        ("segment,mbf_mL_min_g\n18,2", "18"),
        ("segment,mbf_mL_min_g\n1,two", "two"),
        ("segment,mbf_mL_min_g\n1,250", "mL/min/100g"),
        ("segment,mbf_mL_min_g\n1,0.03\n2,0.04", "mL/s/g"),
        ("segment,mbf_mL_min_g\n1,2\n2,-0.4", "line 3: an MBF of -0.4 mL/min/g is no flow"),
        ("segment,mbf_mL_min_g\n1,nan", "not a number"),
        ("segment,mbf_mL_min_g\n1,2\n1,3", "twice"),
        ("segment,mbf_mL_min_g,sd\n1,2,-1", "positive"),
        ("segment,mbf_mL_min_g\n", "no rows"),
    ],
)
def test_bad_tables_name_line_and_value(text, words, tmp_path):
    path = tmp_path / "stress.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_segments(path, 0.2)
    assert "stress.csv" in str(caught.value)


def test_demo_case_is_valid():
    case = parse_case(DEMO)
    assert case.stenosis[0].branch == "LAD" and Path(case.name).name == "demo"
