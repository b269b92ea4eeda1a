"""Measurements, anatomy and case files written here by hand: every number that is read can be seen in the text."""

import perfsim
from perfsim.io import (
    parse_case,
    read_pressure_wire,
    read_segments,
    resolved,
)
from perfsim.io.guide_points import frame_from_guide_points, read_guide_points
from perfsim.io.labelmap import wall_from_labels
from perfsim.io.segments import check_mbf
from perfsim.io.surfaces import read_surface
from perfsim.units import ML_MIN_G, MMHG

import numpy as np
import pytest

MM = 1e-3


@pytest.fixture
def write(tmp_path):
    """A file of this name with this text."""

    def written(name: str, text: str):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return written


# Measurements ---------------------------------------------------------------------------------------------------


def trace(seconds: float = 40.0, step: float = 0.02):
    """Pulsing pressures: Pd/Pa 0.95, and 0.75 between 20 and 33 s."""
    t = np.arange(0.0, seconds, step)
    aortic = 95 + 20 * np.sin(2 * np.pi * t)
    return t, aortic, aortic * np.where((t > 20) & (t < 33), 0.75, 0.95)


def wire(write, t, aortic, distal):
    rows = "\n".join(f"{a:.3f},{b:.4f},{c:.4f}" for a, b, c in zip(t, aortic, distal, strict=True))
    return read_pressure_wire(write("w.csv", "t_s,Pa_mmHg,Pd_mmHg\n" + rows))


def test_pressure_wire_by_columns(write):
    t, aortic, distal = trace()
    found = wire(write, t, aortic, distal)
    np.testing.assert_allclose(found.time, t, atol=1e-3)
    np.testing.assert_allclose(found.aortic, aortic, atol=1e-4)
    np.testing.assert_allclose(found.distal, distal, atol=1e-4)
    assert found.valid.all()
    assert found.ffr == pytest.approx(0.75, abs=1e-4) and 21.5 <= found.hyperemia <= 31.5
    assert found.rest_ratio == pytest.approx(0.95, abs=1e-4)
    assert found.rest[0] < 1.5 and found.rest[0] + 10 < found.rest[1] <= found.rest[0] + 15.0
    middle = np.flatnonzero((t > 5) & (t < 15))
    np.testing.assert_allclose(found.ratio[middle], 0.95, atol=1e-3)
    early = wire(write, t, aortic, np.where(t > 8, 0.75, 0.95) * aortic)
    assert 6.0 < early.rest[1] <= 8.6 and early.rest_ratio == pytest.approx(
        0.95, abs=2e-3
    )  # the drug works from 8 s on


@pytest.mark.parametrize("level", [5.0, 251.0])
def test_pressures_that_no_artery_has_are_left_out(write, level):
    t, aortic, distal = trace()
    off = (t > 10) & (t < 14)
    found = wire(write, t, aortic, np.where(off, level, distal))
    assert not found.valid[off].any() and found.valid[~off].all() and found.ffr == pytest.approx(0.75, abs=1e-3)
    assert np.isnan(found.ratio[(t > 11.6) & (t < 12.4)]).all()


def test_a_recording_of_too_little_is_refused(write):
    """Less than two windows of 3 s that can be used, in a long recording or a short one."""
    t, aortic, distal = trace()
    with pytest.raises(perfsim.InputError, match=r"w\.csv: .* of 2000 samples are usable, too few"):
        wire(write, t, np.where(t > 5.0, 90.0, aortic), distal)  # flat, as a flushed catheter
    with pytest.raises(perfsim.InputError, match="at least 50 samples"):
        wire(write, t[:49], aortic[:49], distal[:49])
    with pytest.raises(perfsim.InputError, match="rising times"):
        wire(write, t[::-1], aortic, distal)
    with pytest.raises(perfsim.InputError, match="no column 'Pd_mmHg'; it has t_s, Pa_mmHg"):
        read_pressure_wire(write("w.csv", "t_s,Pa_mmHg\n0,90\n"))


def test_segments(write):
    """Values and deviations by segment, a comma with spaces, what is missing is NaN; 0 is a flow."""
    value, sd = read_segments(write("s.csv", "segment, mbf_mL_min_g ,sd\n3,1.5,0.3\n17,0,\n1,2.5,\n"), 0.2)
    assert (value[2], value[16], value[0], sd[2], sd[16], sd[0]) == (1.5, 0.0, 2.5, 0.3, 0.2, 0.2)
    assert np.isnan(value[[1, *range(3, 16)]]).all() and (sd[3:16] == 0.2).all()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("1,-0.1,", "line 2: an MBF of -0.1"), ("1,20.1,", "too high"), ("18,1,", "'18' is not an AHA segment"),
        ("0,1,", "'0' is not"), ("1.5,1,", "'1.5' is not"), ("1,1,\n1,2,", "line 3: segment 1 appears twice"),
        ("1,x,", "'x' is not a number"), ("1,1,0", "sd '0' must be positive"), ("", "no rows"), ("1,nan,", "not a number"),
        ("1,0.05,", "mL/s/g"),
    ],
)  # fmt: skip
def test_segments_that_are_none(write, rows, words):
    with pytest.raises(perfsim.InputError, match=rf"s\.csv.*{words}"):
        read_segments(write("s.csv", "segment,mbf_mL_min_g,sd\n" + rows), 0.2)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, np.nan], "1 values inside the wall are NaN"), ([1.0, -0.5, -0.7], "2 values are negative, the least is -0.7"),
        ([21.0] * 3, "mL/min/100g"), ([0.09] * 3, "mL/s/g"),
    ],
)  # fmt: skip
def test_what_is_no_mbf(values, words):
    with pytest.raises(perfsim.InputError, match=rf"here: .*{words}"):
        check_mbf("here", np.array(values))
    for fine in ([0.1] * 3, [20.0] * 3, [0.0, 0.0, 5.0]):
        check_mbf("here", np.array(fine))


# Anatomy --------------------------------------------------------------------------------------------------------


def test_guide_points_give_the_frame(write):
    """Base at (1, 2, 3) mm, apex 80 mm along -z, inserts at 30 mm: the angles are those that were put in."""
    base, angles = np.array([1.0, 2.0, 3.0]), {"anterior": 130.0, "inferior": 230.0}
    axis, lateral = np.array([0.0, 0.0, -1.0]), np.array([1.0, 0.0, 0.0])
    anterior = np.cross(axis, lateral)

    def at(angle, radius, below):
        t = np.radians(angle)
        return base + radius * (np.cos(t) * lateral + np.sin(t) * anterior) + below * axis

    points = [(at(a, 25, 0), "MITRAL_VALVE") for a in np.arange(0, 360, 30)] + [(base + 80 * axis, "APEX_POINT")]
    points += [(at(a, 30, 40), "RV_INSERT") for a in angles.values()]
    text = "x\ty\tz\tcontour type\n" + "\n".join("\t".join([*(f"{c:.6f}" for c in x), kind]) for x, kind in points)
    found = read_guide_points(write("g.txt", text))
    assert {k: len(v) for k, v in found.items()} == {"MITRAL_VALVE": 12, "APEX_POINT": 1, "RV_INSERT": 2}
    np.testing.assert_allclose(found["APEX_POINT"], MM * np.array([[1.0, 2.0, -77.0]]))
    frame = frame_from_guide_points(found, "g.txt")
    np.testing.assert_allclose(frame.base, MM * base, atol=1e-9)
    np.testing.assert_allclose(frame.axis, axis, atol=1e-9)
    np.testing.assert_allclose(frame.lateral, lateral, atol=1e-6)
    assert frame.length == pytest.approx(0.08) and frame.anterior_insert == pytest.approx(130.0, abs=1e-3)
    assert frame.inferior_insert == pytest.approx(230.0, abs=1e-3)
    for name in ("MITRAL_VALVE", "APEX_POINT", "RV_INSERT"):
        with pytest.raises(perfsim.InputError, match=f"g.txt: the guide points have no {name}"):
            frame_from_guide_points({k: v for k, v in found.items() if k != name}, "g.txt")
    with pytest.raises(perfsim.InputError, match="the apex lies at the base"):
        frame_from_guide_points(found | {"APEX_POINT": found["MITRAL_VALVE"].mean(0)[None]}, "g.txt")
    with pytest.raises(perfsim.InputError, match="both sides of the septum"):
        frame_from_guide_points(found | {"RV_INSERT": found["RV_INSERT"][:1]}, "g.txt")


def test_labels_by_value(tmp_path):
    """A cup of known size in voxels of 1.5 mm: its volume, its frame; NIfTI's x and y are turned."""
    import nibabel as nib

    shape, h = (60, 56, 50), 1.5
    grid = np.indices(shape).transpose(1, 2, 3, 0) * h
    center, low = np.array([45.0, 42.0]), 6.0
    across, z = np.linalg.norm(grid[..., :2] - center, axis=-1), grid[..., 2]
    cavity = (across < 15) & (z > low + 9) & (z < 66)
    wall = (across < 24) & (z > low) & (z < 66) & ~cavity
    right = (across < 32) & ~wall & ~cavity & (grid[..., 0] < center[0] - 12) & (z > 20) & (z < 60)
    labels = (1 * wall + 2 * cavity + 3 * right).astype(np.int16)
    nib.save(nib.Nifti1Image(labels, np.diag([h, h, h, 1.0])), tmp_path / "l.nii")
    found = wall_from_labels(tmp_path / "l.nii", wall=1, cavity=2, right_ventricle=3)
    assert found.mask.sum() * 1.5**3 == pytest.approx(np.pi * (24**2 * 60 - 15**2 * 51), rel=0.03)
    frame = found.frame
    np.testing.assert_allclose(frame.axis, [0, 0, -1], atol=0.05)
    np.testing.assert_allclose(frame.base * 1e3, [-45, -42, 65], atol=2.0)
    np.testing.assert_allclose(frame.lateral, [-1, 0, 0], atol=0.05)  # away from the right ventricle, in LPS
    assert frame.cavity_length * 1e3 == pytest.approx(50, abs=3)
    for scale in (0.1, 10.0):  # an affine in cm, or in tenths of a millimetre
        nib.save(nib.Nifti1Image(labels, np.diag([h * scale] * 3 + [1.0])), tmp_path / "l.nii")
        with pytest.raises(perfsim.InputError, match=r"l\.nii: the labels are .* mm across: no heart"):
            wall_from_labels(tmp_path / "l.nii", wall=1, cavity=2, right_ventricle=3)


def test_surfaces_by_value(write):
    """A cube of 60 in an OBJ, one face left open: its volume and its opening."""
    corners = [(x, y, z) for x in (0, 60) for y in (0, 60) for z in (0, 60)]
    faces = [
        (1, 2, 4),
        (1, 4, 3),
        (5, 7, 8),
        (5, 8, 6),
        (1, 5, 6),
        (1, 6, 2),
        (3, 4, 8),
        (3, 8, 7),
        (1, 3, 7),
        (1, 7, 5),
    ]
    text = "".join(f"v {x} {y} {z}\n" for x, y, z in corners) + "".join(f"f {a} {b} {c}\n" for a, b, c in faces)
    cube = read_surface(write("c.obj", text))
    assert cube.volume() == pytest.approx(60.0**3, rel=1e-6) and cube.extent.tolist() == [60, 60, 60]
    assert cube.openings == (pytest.approx(60 * np.sqrt(2)),) and cube.pieces == 1 and cube.inconsistent == 0
    assert cube.inside(np.array([[30.0, 30, 30], [30, 30, 5], [70, 30, 30]])).tolist() == [True, True, False]
    assert cube.plausible_units() == ["mm"]
    cube.check_unit(1e-3)
    lone = read_surface(write("d.obj", text + "".join(f"v {x + 200} {y} {z}\n" for x, y, z in corners) + "".join(
        f"f {a + 8} {b + 8} {c + 8}\n" for a, b, c in faces)))  # fmt: skip
    assert lone.pieces == 2 and any("2 loose pieces" in p for p in lone.problems())


# Case files -----------------------------------------------------------------------------------------------------


CASE = """
name = "all"
[anatomy]
mass = "150 g"
dominance = "left"
[tree]
terminals = 321
seed = 4
exponent = 2.5
shares = { LM = 0.7, RCA = 0.3 }
reference_diameter = "80 um"
[mesh]
spacing = "2.5 mm"
[[stenosis]]
branch = "LAD"
position = "2 cm"
diameter_reduction = 0.55
length = "8 mm"
[rest]
aortic_pressure = "12 kPa"
back_pressure_epi = "4 mmHg"
back_pressure_endo = "20 mmHg"
demand = "95 mL/min/100g"
[hyperemia]
aortic_pressure = "80 mmHg"
[tissue]
supply = "1e-5 1/(Pa·s)"
drainage = "4e-5 1/(Pa·s)"
mobility = "2e-5 mm2/(Pa·s)"
tone = { LAD = 0.5 }
[blood]
plasma_viscosity = "1.3 cP"
hematocrit = 0.4
[fit]
parameters = ["tone", "throat"]
sd = "0.3 mL/min/g"
fwhm = "6 mm"
noise = 0.2
[learn]
task = "subgrid"
volumes = 5000
"""


def test_case_by_value_and_again():
    """Quantities in SI; the case that `resolved` writes out is the same case."""
    case = parse_case(CASE)
    assert (case.anatomy.mass, case.mesh.spacing, case.tree.reference_diameter) == pytest.approx((0.15, 2.5e-3, 80e-6))
    assert case.rest.aortic_pressure == 12e3 and case.rest.demand == pytest.approx(0.95 * ML_MIN_G)
    assert case.hyperemia.aortic_pressure == pytest.approx(80 * MMHG)
    assert case.hyperemia.back_pressure_endo == pytest.approx(25 * MMHG)
    assert case.stenosis[0].position == pytest.approx(0.02) and case.tissue.mobility == pytest.approx(2e-11)
    assert case.blood.plasma_viscosity == pytest.approx(1.3e-3) and case.fit.sd == pytest.approx(0.3 * ML_MIN_G)
    again = parse_case(resolved(case))

    def flat(value, name=""):
        if isinstance(value, dict):
            return {k: v for key, x in value.items() for k, v in flat(x, f"{name}.{key}").items()}
        if isinstance(value, list):
            return {k: v for key, x in enumerate(value) for k, v in flat(x, f"{name}.{key}").items()}
        return {name: value}

    one, two = flat(case.model_dump()), flat(again.model_dump())
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert two[name] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[mesh]\nspacing = "0.4 mm"', "not between 0.5 and 6 mm"), ('[mesh]\nspacing = "6.1 mm"', "not between"),
        ('[rest]\naortic_pressure = "25 mmHg"', "must exceed the back pressures"),
        ('[anatomy]\nepicardium = "a.stl"', "missing"), ('[anatomy]\nmesh = "a.vtu"', "needs guide_points"),
        ('[anatomy]\nlabels = "a.nii"\nlabel_values = { wall = 1 }', "labels need label_values"),
        ('[vessels]\nleft = "a.swc"', 'missing = ."RCA".'), ('[tissue]\ntone_map = "no.nii"', "there is no file"),
        ("[fit]\nnoise = 0.0", "noise"), ("[tree]\nexponent = 3.6", "exponent"), ("[tree]\nterminal = 5", "terminals"),
        ('[anatomy]\ndominance = "both"', "'both' is not one of right, left, co"),
        ("[tree]\nshares = { LM = 1.2 }", "shares"), ("[[stenosis]]\nbranch = 'LAD'", "missing"),
    ],
)  # fmt: skip
def test_cases_that_cannot_be(text, words):
    with pytest.raises(perfsim.InputError, match=words):
        parse_case(text)


def test_readings_of_stenoses():
    """A fraction, percent, or percent with the reading's standard deviation; the file that is written reads back."""
    text = '[[stenosis]]\nbranch = "LAD"\nposition = "20 mm"\ndiameter_reduction = {}\nlength = "8 mm"\n'
    for written, value, error in (
        ("0.6", 0.6, None), ('"60 %"', 0.6, None), ('"60 % ± 10 %"', 0.6, 0.1), ('"62,5 % +/- 7 %"', 0.625, 0.07),
    ):  # fmt: skip
        case = parse_case(text.format(written))
        for read in (case, parse_case(resolved(case))):
            (lesion,) = read.stenosis
            assert (lesion.diameter_reduction, lesion.reading_error) == (pytest.approx(value), error)
            assert read.free == ["tone", "throat", "demand", "pressure", "scale", "rotation"]
    for wrong in ('"60"', '"60 % ± 10"', '"60 % ± 90 %"', '"130 %"'):
        with pytest.raises(perfsim.InputError, match=r"diameter_reduction|reading_error"):
            parse_case(text.format(wrong))
    assert parse_case("").free == ["tone", "demand", "pressure", "scale", "rotation"]  # no stenosis, no throat
