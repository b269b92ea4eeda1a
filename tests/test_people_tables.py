"""Tables of measurements as people have them: every reader against every kind, and what other programs export."""

import gzip
from pathlib import Path

import perfsim
from perfsim._notes import InputNote
from perfsim.flow.pulsatile.waveform import read_waveform
from perfsim.io import read_case, read_pressure_wire, read_segments, write_segments
from perfsim.io.aha_names import segment_of
from perfsim.io.guide_points import read_guide_points
from perfsim.observe import SEGMENT_NAMES
from perfsim.units import scale

import numpy as np
import pytest
from command import perfsim as command
from people_tables import KINDS, READERS, is_right, text_of, wire_cells, write_workbook

CASES = Path(__file__).parent / "cases"
REST, STRESS = np.linspace(0.8, 1.2, 17), np.linspace(2.0, 3.6, 17)
pytestmark = pytest.mark.filterwarnings("ignore::perfsim._notes.InputNote")


@pytest.fixture
def write(tmp_path):
    def written(name: str, content: str | bytes) -> Path:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path / name

    return written


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_and_kind(reader, kind, tmp_path):
    assert is_right(READERS[reader], kind, tmp_path)


# Given cases ------------------------------------------------------------------------------------------------------


def test_given_tables():
    expected = np.linspace(2.05, 2.85, 17)
    with pytest.raises(
        perfsim.InputError, match=r"seg_deccomma_comma\.csv, line 2: 5 values for 3 columns.*semicolons"
    ):
        read_segments(CASES / "seg_deccomma_comma.csv", 0.25)
    for name in ("seg_deccomma_semicolon.csv", "seg_latin1.csv"):
        value, sd = read_segments(CASES / name, 0.25)
        np.testing.assert_allclose(value, expected)
        np.testing.assert_allclose(sd, 0.2)
    with pytest.warns(InputNote, match="0 in segment 1, 7, 13"):
        read_segments(CASES / "seg_zero_is_missing.csv", 0.25)
    points = read_guide_points(CASES / "guide_points_latin1.txt")
    assert sum(map(len, points.values())) > 3
    assert read_case(CASES / "case_bom.toml").tree.terminals == 300


# Segments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("1,2,05", "line 2: sd '05' is what decimal commas leave"),
        ("1,2,15", "line 2: sd 15 .* larger than the MBF"),
        ("1,2,1\n2,3,1\n3,2,2", "every MBF and sd is a whole number"),
        ('1,"2,050",\n2,"2,100",', "may be a thousand"),
        ("1,2.5,0.2\nfoo,2.5,0.2", "line 3: segment 'foo' is not an AHA segment"),
        ("3 basal anterior,2.5,0.2", "two segments"),
    ],
)
def test_numbers_that_commas_split(write, rows, words):
    with pytest.raises(perfsim.InputError, match=words):
        read_segments(write("s.csv", f"segment,mbf_mL_min_g,sd\n{rows}\n"), 0.25)


EXPORTS = {
    "perfsim's own": "segment,state,mbf_mL_min_g\n"
    + "".join(f"{k + 1},{s},{v[k]:.6g}\n" for s, v in (("rest", REST), ("hyperemia", STRESS)) for k in range(17)),
    "a row each, by name, per mL": "# PMOD-like\nPatient\tA\nSegment\tRest Flow [ml/min/ml]\tStress Flow [ml/min/ml]\tCFR\n"
    + "".join(f"{n}\t{1.05 * REST[k]:.6g}\t{1.05 * STRESS[k]:.6g}\t3\n" for k, n in enumerate(SEGMENT_NAMES))
    + "LAD\t1\t3\t3\nTotal\t1\t3\t3\n",
    "a column each, decimal commas": "State;"
    + ";".join(f"{k}" for k in range(1, 18))
    + ";LAD\n"
    + "".join(
        f"{s};" + ";".join(f"{x:.6g}".replace(".", ",") for x in v) + ";1,0\n" for s, v in (("Rest", REST), ("Stress", STRESS))
    ),
    "a column each, by name, a unit in the row": "Quantity," + ",".join(n.title() for n in SEGMENT_NAMES)
    + "\nMBF rest (mL/min/100 g)," + ",".join(f"{100 * x:.6g}" for x in REST)
    + "\nMBF stress (mL/min/100 g)," + ",".join(f"{100 * x:.6g}" for x in STRESS) + "\nMFR," + ",".join(["3"] * 17) + "\n",
    "a column for the unit": "segment no,unit,rest mbf,stress mbf\n"
    + "".join(f"{k + 1},ml/g/min,{REST[k]:.6g},{STRESS[k]:.6g}\n" for k in range(17)),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPORTS)
def test_segments_of_other_programs(write, name):
    path = write("export.csv", EXPORTS[name])
    for state, expected in (("rest", REST), ("hyperemia", STRESS)):
        np.testing.assert_allclose(read_segments(path, 0.25, state)[0], expected, rtol=1e-5)
    with pytest.raises(perfsim.InputError, match="say which"):
        read_segments(path, 0.25)


def test_segments_in_a_workbook(tmp_path):
    import openpyxl

    cells = [
        ["Report"],
        [],
        ["Segment", "MBF (ml/min/g)", "SD"],
        *([n, f"{v}", "0.2"] for n, v in zip(SEGMENT_NAMES, STRESS, strict=True)),
    ]
    path = write_workbook(tmp_path / "r.xlsx", cells, "Stress")
    book = openpyxl.load_workbook(path)
    book.create_sheet("About").append(["made by hand"])
    rest = book.create_sheet("Rest")
    for row in cells[:3]:
        rest.append(row)
    for n, v in zip(SEGMENT_NAMES, REST, strict=True):
        rest.append([n, float(v), 0.2])
    book.save(path)
    np.testing.assert_allclose(read_segments(path, 0.25, "hyperemia")[0], STRESS)
    np.testing.assert_allclose(read_segments(path, 0.25, "rest")[0], REST)
    with pytest.raises(perfsim.InputError, match="several sheets"):
        read_segments(path, 0.25)


def test_what_is_left_out_is_said(write):
    path = write("s.csv", EXPORTS["a row each, by name, per mL"])
    with pytest.warns(InputNote) as notes:
        read_segments(path, 0.25, "rest")
    said = " ".join(str(n.message) for n in notes)
    assert "rows LAD, Total" in said and "'CFR'" in said and "'Stress Flow" in said
    with pytest.raises(perfsim.InputError, match="holds 'stress_mbf', not the MBF in rest"):
        read_segments(write("t.csv", "segment,stress_mbf\n1,2.5\n"), 0.25, "rest")
    with pytest.warns(InputNote, match="no unit is named: the MBF is taken as mL/min/g"):
        read_segments(write("u.csv", "segment,mbf\n1,2.5\n"), 0.25)


def test_own_segments_come_back(tmp_path):
    write_segments(tmp_path / "s.csv", {"rest": REST, "hyperemia": np.where(np.arange(17) == 3, np.nan, STRESS)})
    value, _ = read_segments(tmp_path / "s.csv", 0.25, "hyperemia")
    np.testing.assert_allclose(value, np.where(np.arange(17) == 3, np.nan, STRESS), rtol=1e-5)


def test_segments_are_found_by_name():
    assert [segment_of(n) for n in SEGMENT_NAMES] == list(range(1, 18))
    for text, segment in (
        ("Seg 03", 3), ("S17", 17), ("Basal antero-septal", 2), ("2. basal anteroseptal", 2), ("Anterior, mid", 7),
        ("mid-ventricular inferolateral wall", 11), ("apical septum", 14), ("basal ant lat", 6), ("3 basal anterior", 0),
        ("basal septal", None), ("18", None), ("1.5", None), ("-1", None), ("LAD", None), ("apical", None),
    ):  # fmt: skip
        assert segment_of(text) == segment, text


def test_units_in_names():
    for text in ("mL/min/g", "ml·min⁻¹·g⁻¹", "cc/g/min", "ml per min per g", "mL_min_g", "ml min^-1 g^-1"):
        assert scale(text, "perfusion") == pytest.approx(scale("mL/min/g", "perfusion"))
    for text in ("ml/min/100 g", "mL/100g/min"):
        assert scale(text, "perfusion") == pytest.approx(scale("mL/min/g", "perfusion") / 100)
    for text in ("ml/ccm/min", "mL/min/cm³", "1/min"):
        assert scale(text, "perfusion by volume") == pytest.approx(1 / 60)
    assert scale("kBq/cc", "activity") == 1e3 and scale("mL/min/g", "activity") is None


# Pressure wires and waveforms ----------------------------------------------------------------------------------------


def trace(rest: float, hyperemia: float, pa: float = 92.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pd/Pa at rest and from 15 to 25 s in hyperemia."""
    t = np.arange(0, 35, 0.05)
    aortic = pa + 18 * np.sin(2 * np.pi * t / 0.9)
    drop = np.where((t > 15) & (t < 25), hyperemia, rest)
    return t, aortic, pa * drop + drop * (aortic - pa)


def wire(write, t, aortic, distal, header="t_s,Pa_mmHg,Pd_mmHg"):
    rows = "".join(f"{a:.6g},{b:.6g},{c:.6g}\n" for a, b, c in zip(t, aortic, distal, strict=True))
    return write("w.csv", f"{header}\n{rows}")


def test_drift_is_said_with_the_number_to_subtract(write):
    """A sensor that reads 8 mmHg too much: what is sure of it is what Pd lies above Pa."""
    t, aortic, distal = trace(1.0, 0.75)
    with pytest.warns(InputNote, match=r"Pd/Pa is 1\.09 at rest.*Pd lies 8\.0 mmHg above Pa.*ratio is then 0\.75\)"):
        assert read_pressure_wire(wire(write, t, aortic, distal + 8)).ffr > 0.82
    with pytest.warns(InputNote, match=r"exchanged.*the least ratio is 0\.75"):
        read_pressure_wire(wire(write, *np.array(trace(0.95, 0.75))[[0, 2, 1]]))
    with pytest.warns(InputNote, match=r"Pd is negative in 40 samples \(least -30"):
        read_pressure_wire(wire(write, t, aortic, np.where(t < 1.99, -30.0, distal)))


@pytest.mark.filterwarnings("error::perfsim._notes.InputNote")
def test_a_sound_recording_says_nothing(write):
    t, aortic, distal = trace(0.95, 0.75)
    assert read_pressure_wire(wire(write, t, aortic, distal)).ffr == pytest.approx(0.75, abs=1e-3)


def test_units_of_recordings(write):
    t, aortic, distal = trace(0.95, 0.75)
    kpa = 0.133322387415
    path = wire(write, 1e3 * t, kpa * aortic, kpa * distal, "time [ms],Pa [kPa],Pd [kPa]")
    np.testing.assert_allclose(read_pressure_wire(path).aortic, aortic, rtol=1e-5)
    with pytest.raises(perfsim.InputError, match="the time in ms"):
        read_pressure_wire(wire(write, 1e3 * t, aortic, distal))
    with pytest.raises(perfsim.InputError, match="is the unit kPa"):
        read_pressure_wire(wire(write, t, kpa * aortic, kpa * distal))
    with pytest.raises(perfsim.InputError, match="no unit of pressure"):
        read_pressure_wire(wire(write, t, aortic, distal, "t_s,Pa_mm,Pd_mm"))


def test_empty_samples_of_a_recording(write):
    cells = wire_cells()
    cells[40][2] = ""
    with pytest.warns(InputNote, match="Pd is empty in 1 samples"):
        found = read_pressure_wire(write("w.csv", text_of(cells)))
    assert not found.valid[39] and found.valid.sum() == len(cells) - 2


def test_periods_whose_ends_differ(write):
    with pytest.warns(InputNote, match="differs from the first by 0.5, 50 %"):
        read_waveform(write("q.dat", "0 0\n0.3 1\n1 0.5\n"))
    closed = read_waveform(write("q.dat.gz", gzip.compress(b"0 0\n0.3 1\n1 0\n")))
    assert float(closed.values[0, 1]) == 1.0


# The command ---------------------------------------------------------------------------------------------------------


def test_inspect_says_what_tables_are(write, tmp_path):
    for name, content, words in (
        ("own.csv", EXPORTS["perfsim's own"], ["17 AHA segments in rest", "17 AHA segments in hyperemia"]),
        ("w.csv", text_of(wire_cells()), ["pressure wire"]),
        ("blood.tsv", "time\tactivity_kBq_mL\n0\t0\n10\t5\n", ["time course: 2 samples", "5000"]),
        ("g.txt", (CASES / "guide_points_latin1.txt").read_bytes(), ["guide points"]),
        ("zero.csv", (CASES / "seg_zero_is_missing.csv").read_bytes(), ["note: MBF is 0 in segment 1, 7, 13"]),
    ):
        said = command("inspect", write(name, content), cwd=tmp_path)
        assert said.returncode == 0, said.stdout + said.stderr
        for word in words:
            assert word in said.stdout, said.stdout
    wrong = command("inspect", write("x.csv", "a,b\n1,2\n"), cwd=tmp_path)
    assert wrong.returncode == 3 and "a table of a, b" in wrong.stdout
