"""Measurements, anatomy and case files written here by hand: every number that is read can be seen in the text."""

import json
import warnings
from pathlib import Path

import perfsim
from perfsim import InputError
from perfsim._notes import InputNote
from perfsim.anatomy.frame import frame_from_points
from perfsim.flow import Steady
from perfsim.io import (
    parse_case,
    provenance,
    read_pressure_wire,
    read_segments,
    resolved,
)
from perfsim.io.aha_names import segment_of
from perfsim.io.centerlines import read_centerlines
from perfsim.io.flow_case import refuse_flow, refuse_period, refuse_pressure, refuse_twice
from perfsim.io.guide_points import frame_from_guide_points, read_guide_points
from perfsim.io.json_files import read_json
from perfsim.io.labelmap import wall_from_labels
from perfsim.io.segments import check_mbf
from perfsim.io.sidecars import check_sidecar, half_life_of
from perfsim.io.surfaces import read_surface
from perfsim.io.svzerod import read_svzerod
from perfsim.io.walls import read_volume_mesh, wall_from_mesh
from perfsim.observe import Noise
from perfsim.units import ML_MIN_G, MMHG

import numpy as np
import pytest
import pyvista as pv

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
        ("[tree]\nshares = { LM = 1.2 }", "shares"), ("[tree]\nshares = { LM = 0.5, RCA = 0.4 }", "shares sum to 0.9"),
        ("[anatomy]\nlabel_values = { wall = 1, cavity = 2, right_ventricle = 3 }", "label_values says how labels are"),
        ('[anatomy]\norientation = "sform"', "orientation says how labels are read, but there are none"),
        ('[vessels]\nunit = "mm"', "unit speaks of a tree from a file, but there is none"),
        ('[vessels]\nmissing = ["RCA"]', "missing speaks of a tree"), ("[[stenosis]]\nbranch = 'LAD'", "missing"),
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


# Limits: what can be meant is read at both ends, what lies half a percent beyond is refused -------------------------


LIMITS = [
    ("[mesh]\nspacing = {}", "mm", 0.5, 6.0), ("[tree]\nreference_diameter = {}", "um", 40.0, 100.0),
    ("[anatomy]\nmass = {}", "g", 20.0, 1000.0), ("[rest]\ndemand = {}", "mL/min/g", 0.01, 20.0),
    ("[blood]\nplasma_viscosity = {}", "mPa·s", 0.5, 10.0), ("[tissue]\nsupply = {}", "1/(Pa·s)", 1e-8, 1e-2),
    ("[tissue]\ndrainage = {}", "1/(Pa·s)", 1e-8, 1e-2), ("[tissue]\nmobility = {}", "m²/(Pa·s)", 1e-14, 1e-7),
    ("[fit]\nfwhm = {}", "mm", 1.0, 30.0), ("[fit]\nsd = {}", "mL/min/g", 0.01, 20.0),
    ('[[stenosis]]\nbranch = "LAD"\nposition = "1 mm"\ndiameter_reduction = 0.5\nlength = {}', "mm", 0.5, 100.0),
    ("[tree]\nexponent = {}", "", 2.0, 3.5), ("[fit]\nnoise = {}", "", 1e-9, 1.0), ("[learn]\nrate = {}", "", 1e-9, 1.0),
    ("[tissue]\ntone = {{ LAD = {} }}", "", 1e-9, 20.0),
    ('[[treatment]]\nkind = "dilation"\nbranch = "a"\nstart = "1 mm"\nend = "2 mm"\nresidual = {}', "", None, 0.9),
    ('[[stenosis]]\nbranch = "a"\nposition = "1 mm"\ndiameter_reduction = 0.5\nlength = "5 mm"\nreading_error = {}', "", 1e-9, 0.5),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "unit", "low", "high"), LIMITS, ids=[x[0].split("\n")[-1].split(" ")[0] for x in LIMITS]
)
def test_limits_of_cases(text, unit, low, high):
    said = lambda x: text.format(f'"{x!r} {unit}"' if unit else repr(x))  # noqa: E731
    for fine in (low, high):
        if fine is not None:
            parse_case(said(fine))
    for wrong in ([] if low in (None, 1e-9) else [0.995 * low]) + [1.005 * high]:
        with pytest.raises(perfsim.InputError):
            parse_case(said(wrong))
    if low == 1e-9:
        with pytest.raises(perfsim.InputError):
            parse_case(said(0.0))


def test_defaults_of_cases():
    """The embedded heart of 140 g, and what a fit and training assume."""
    c = parse_case("")
    assert (c.anatomy.mass, c.mesh.spacing, c.tree.exponent, c.tree.reference_diameter) == (0.140, 1.5e-3, 7 / 3, 1e-4)
    assert (c.blood.hematocrit, c.blood.plasma_viscosity, c.fit.fwhm, c.fit.noise) == (0.45, 1.2e-3, 7e-3, 0.15)
    assert c.fit.sd == pytest.approx(0.25 * ML_MIN_G, rel=1e-12) and c.learn.rate == 5e-3
    assert c.rest.aortic_pressure == pytest.approx(93 * MMHG) and c.hyperemia.aortic_pressure == pytest.approx(
        88 * MMHG
    )
    assert (c.rest.back_pressure_epi, c.rest.back_pressure_endo) == pytest.approx((10 * MMHG, 25 * MMHG))
    assert c.rest.demand == pytest.approx(0.9 * ML_MIN_G) and (c.tree.terminals, c.fit.draws) == (2000, 400)
    assert c.vessels.place and c.anatomy.unit == "mm" and c.fit.unit == "mL/min/g" and c.fit.per == "gram"
    assert (c.tissue.supply, c.tissue.drainage, c.tissue.mobility) == (1.5661e-5, 4.6966e-5, 3e-11)


TREATMENT = '[[treatment]]\nbranch = "LAD"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('kind = "stent"\nstart = "1 mm"', "a stent needs start, end: end missing"),
        (
            'kind = "stent"\nstart = "1 mm"\nend = "2 mm"\nresidual = 0.1',
            "a stent needs start, end: it has no residual",
        ),
        ('kind = "dilation"\nstart = "1 mm"\nend = "2 mm"', "residual missing"),
        ('kind = "graft"\nposition = "1 mm"\ndiameter = "3 mm"', "position, diameter, length: length missing"),
        ('kind = "stent"\nstart = "2 mm"\nend = "2 mm"', "must end behind its start"),
        ('kind = "bypass"', "kind"),
    ],
)
def test_treatments_that_cannot_be(text, words):
    with pytest.raises(perfsim.InputError, match=words):
        parse_case(TREATMENT + text)


def test_a_treated_case_is_written_out_and_read_again():
    """Every kind with its numbers, files' units, names and words that need quotes; held parameters; learning."""
    case = parse_case(
        'name = "a \\"b\\" c"\n' + TREATMENT + 'kind = "stent"\nstart = "12.5 mm"\nend = "3 cm"\n'
        + TREATMENT + 'kind = "dilation"\nstart = "1 mm"\nend = "2 mm"\nresidual = 0.15\n'
        + TREATMENT + 'kind = "graft"\nposition = "40 mm"\ndiameter = "3.5 mm"\nlength = "120 mm"\n'
        + '[fit]\nparameters = ["tone"]\nfixed = ["tone"]\n[learn]\nvolumes = 5000\nrate = 0.01\n[tissue]\ntone = { LAD = 0.5 }\n'
    )  # fmt: skip
    again = parse_case(resolved(case))
    assert again.name == 'a "b" c' and again.treatment == case.treatment and again.learn == case.learn
    assert (again.fit.parameters, again.fit.fixed, again.free) == (["tone"], ["tone"], [])
    stent, dilation, graft = again.treatment
    assert (stent.start, stent.end, dilation.residual) == (0.0125, 0.03, 0.15)
    assert (graft.position, graft.diameter, graft.length) == (0.04, 0.0035, 0.12)
    assert (
        "# parameters = [" in resolved(parse_case(""))
        and "fixed" not in resolved(parse_case("")).split("[fit]")[1][:400]
    )


def test_where_values_of_a_case_come_from():
    """Given, default, calibrated or fitted, each in the unit that it is shown in."""
    case = parse_case('[anatomy]\nmass = "150 g"\n[tissue]\ntone = { LAD = 0.5 }\n' + STENOSIS)
    rows = {name: (value, origin) for name, value, origin in provenance(case, fitted=("throat", "pressure"))}
    assert rows["anatomy.mass"] == ("150 g", "given") and rows["mesh.spacing"] == ("1.5 mm", "default")
    assert rows["tree.reference_diameter"] == ("100 µm", "default") and rows["tree.shares"] == ("free", "default")
    assert rows["rest.aortic_pressure"] == ("93 mmHg", "fitted") and rows["rest.demand"] == ("0.9 mL/min/g", "default")
    assert rows["rest.back_pressure_endo"] == ("25 mmHg", "default")
    assert rows["tissue.supply"] == ("1.5661e-05 1/(Pa·s)", "calibrated") and rows["tissue.tone"] == (
        "LAD 0.5",
        "given",
    )
    assert rows["tissue.mobility"] == ("3e-11 m²/(Pa·s)", "default") and rows["tissue.tone_map"] == ("none", "default")
    assert rows["blood.plasma_viscosity"] == ("1.2 mPa·s", "default") and rows["blood.hematocrit"] == (
        "0.45",
        "default",
    )
    assert rows["stenosis[0].diameter_reduction"] == ("0.6", "fitted") and rows["stenosis[0].length"] == (
        "8 mm",
        "given",
    )
    assert rows["stenosis[0].reading_error"] == ("0.2 mm of the diameter", "given")
    plain = {name: value for name, value, _ in provenance(parse_case(""))}
    assert plain["tissue.tone"] == "1 everywhere" and not any("stenosis" in name for name in plain)


STENOSIS = '[[stenosis]]\nbranch = "LAD"\nposition = "20 mm"\ndiameter_reduction = 0.6\nlength = "8 mm"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[mesh]\nspaceing = 3", "unknown key 'mesh.spaceing': did you mean 'spacing'"),
        ("zzz = 1", "unknown key 'zzz': known keys are name, anatomy, vessels"),
        (STENOSIS + "qqqq = 1", r"unknown key 'stenosis.0.qqqq': known keys are branch, position"),
        (STENOSIS.replace('branch = "LAD"\n', ""), "'stenosis.0.branch' is missing"),
        ('[tree]\nterminals = "many"', "tree.terminals: 'many': "), ("[tree]\nterminals = 9", "tree.terminals: 9: "),
        ('[anatomy]\nunit = "ft"', "anatomy.unit: 'ft' is not one of mm, cm, m, um"),
    ],
)  # fmt: skip
def test_faults_of_a_case_in_sentences(text, words):
    with pytest.raises(perfsim.InputError, match=words):
        parse_case(text, "c.toml")


SIDECAR = {
    "Units": "Bq/mL", "FrameTimesStart": [0, 5, 10, 20], "FrameDuration": [5, 5, 10, 20], "ImageDecayCorrected": True,
    "ImageDecayCorrectionTime": 0, "TracerRadionuclide": "Rb82",
}  # fmt: skip


@pytest.mark.parametrize(
    ("fine", "wrong"),
    [
        ({"FrameTimesStart": [0, 5], "FrameDuration": [4, 3.03]}, {"FrameTimesStart": [0, 5], "FrameDuration": [4, 2.96]}),
        ({"FrameTimesStart": [0, 295], "FrameDuration": [290, 10490]}, {"FrameTimesStart": [0, 295], "FrameDuration": [290, 10555]}),
        ({"FrameTimesStart": [0, 299], "FrameDuration": [299, 299]}, {"FrameTimesStart": [0, 301.5], "FrameDuration": [301.5, 301.5]}),
        ({"FrameTimesStart": [0, 10, 29.8], "FrameDuration": [5, 5, 10]}, {"FrameTimesStart": [0, 10, 30.3], "FrameDuration": [5, 5, 10]}),
        ({"ScanStart": 0.498}, {"ScanStart": 0.503}), ({"InjectionStart": -86000.0}, {"InjectionStart": -86800.0}),
        ({"ImageDecayCorrectionTime": 86000.0}, {"ImageDecayCorrectionTime": 86800.0}),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::perfsim._notes.InputNote")
def test_limits_of_sidecars(fine, wrong):
    """A scan of 8 s to 3 h, frames of 5 min at most, gaps of half of it, half a second before it starts, a day away."""
    assert len(check_sidecar(SIDECAR | fine, Path("s.json")).start) > 1
    with pytest.raises(perfsim.InputError, match=r"s\.json: "):
        check_sidecar(SIDECAR | wrong, Path("s.json"))


@pytest.mark.filterwarnings("ignore::perfsim._notes.InputNote")
def test_decay_of_frames_by_hand():
    """λT e^(λt)/(1 - e^(-λT)); factors that a file names may be 2 % off; times from the injection."""
    rate, start, long = np.log(2) / 76.4, np.array([0.0, 5, 10, 20]), np.array([5.0, 5, 10, 20])
    exact = rate * long * np.exp(rate * start) / (1 - np.exp(-rate * long))
    raw = check_sidecar(SIDECAR | {"ImageDecayCorrected": False}, Path("s.json"))
    np.testing.assert_allclose(raw.decay_factors(Path("s.nii"), None), exact, rtol=1e-12)
    np.testing.assert_allclose(raw.decay_factors(Path("s.nii"), 1e9), 1.0, rtol=1e-6)  # what is given counts more
    moved = check_sidecar(SIDECAR | {"ImageDecayCorrectionTime": 30}, Path("s.json"))
    np.testing.assert_allclose(moved.decay_factors(Path("s.nii"), None), np.exp(30 * rate), rtol=1e-12)
    assert check_sidecar(SIDECAR, Path("s.json")).decay_factors(Path("s.nii"), None).tolist() == [1.0] * 4
    check_sidecar(SIDECAR | {"DecayCorrectionFactor": (1.0198 * exact).tolist()}, Path("s.json"))
    for factor in (1.0201 * exact, exact[:3]):
        with pytest.raises(perfsim.InputError, match="DecayCorrectionFactor"):
            check_sidecar(SIDECAR | {"DecayCorrectionFactor": factor.tolist()}, Path("s.json"))
    late = check_sidecar(SIDECAR | {"InjectionStart": 4, "ImageDecayCorrectionTime": 6}, Path("s.json"), "injection")
    assert late.start.tolist() == [-4, 1, 6, 16] and (late.reference, late.injection) == (2.0, 0.0)
    unknown = check_sidecar(SIDECAR | {"ImageDecayCorrected": None, "TracerRadionuclide": "Xx1"}, Path("s.json"))
    assert unknown.corrected and unknown.half_life is None and unknown.scale == 1.0
    said = [half_life_of(n) for n in ("O-15", "[15O]water", "13N", "F18", "", None, "15C")]
    assert said == [122.24, 122.24, 597.9, 6586.2, None, None, None]


def test_limits_of_flow_cases():
    """Periods of 0.05 to 30 s, 3 L/s, pressures of 20 to 400 Pa that were meant in mmHg."""
    for period in (0.0503, 29.9):
        refuse_period(period, "x")
    for period, words in ((0.0498, "times are in s"), (30.1, "in ms")):
        with pytest.raises(perfsim.InputError, match=rf"x: the period is {period} s, .*{words}"):
            refuse_period(period, "x")
    refuse_flow(2.99e-3, "x")
    with pytest.raises(perfsim.InputError, match=r"the inflow reaches 0\.00301"):
        refuse_flow(3.01e-3, "x")
    for pressure in (19.9, 401.0):
        refuse_pressure(pressure, "x")
    for pressure in (20.1, 399.0):
        with pytest.raises(perfsim.InputError, match=rf"reaches {pressure:.4g} Pa, {pressure / 133.322:.2g} mmHg"):
            refuse_pressure(pressure, "x")
    refuse_twice(["a", "b"], "x")
    with pytest.raises(perfsim.InputError, match="x: 'b' is there 2 times"):
        refuse_twice(["a", "b", "b"], "x")


def test_limits_of_recordings(write):
    """Samples 0.3 s apart, medians of Pa of 30 to 250 mmHg; what rises along the artery is said from 2 % on."""

    def of(level, step=0.02, ratio=0.95):
        t = np.arange(0.0, 60.0, step)
        aortic = level + 8 * np.sin(2.1 * t)
        return wire(write, t, aortic, ratio * aortic)

    assert of(30.3).ffr == pytest.approx(0.95, abs=1e-3) and of(90.0, 0.298).rest_ratio == pytest.approx(0.95, abs=1e-3)
    with pytest.raises(perfsim.InputError, match=r"samples are 0\.302 s apart"):
        of(90.0, 0.302)
    for level in (29.8, 251.2):
        with pytest.raises(perfsim.InputError, match=f"median of Pa is {level:.3g}"):
            of(level)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of(90.0, ratio=1.015)
    with pytest.warns(InputNote, match="Pd/Pa is 1.02 at rest"):
        of(90.0, ratio=1.0205)


@pytest.mark.filterwarnings("ignore::perfsim._notes.InputNote")
@pytest.mark.parametrize(("level", "fine"), [(10.05, True), (9.95, False), (249.9, True), (251.0, False)])
def test_pressures_of_an_artery(write, level, fine):
    """Between 10 and 250 mmHg, at either sensor."""
    t, aortic, distal = trace()
    off = (t > 10) & (t < 10.5)
    assert wire(write, t, aortic, np.where(off, level, distal)).valid[off].all() == fine
    assert wire(write, t, np.where(off, level, aortic), distal).valid[off].all() == fine


def test_a_flat_line_is_no_pressure(write):
    """Movements below 5 mmHg within 1.2 s, as of a flushed catheter; 5.1 are a pulse."""
    t, aortic, distal = trace()
    for swing, live in ((4.97, False), (5.06, True)):
        off = (t > 10) & (t < 20)
        flat = np.where(off, 90.0 + 0.5 * swing * np.sin(2 * np.pi * t), aortic)
        found = wire(write, t, flat, distal)
        assert found.valid[(t > 12) & (t < 18)].all() == live and found.valid[(t < 8) | (t > 22)].all()


def test_segments_beside_their_units(write):
    """Values per mL of muscle are divided by 1.05, others by their unit; 20 mL/min/g is the most, medians 0.1 the least."""
    for unit, factor in (("mL_min_mL", 1 / 1.05), ("mL_min_100g", 0.01), ("mL_min_g", 1.0)):
        rows = "".join(f"{k},{2.0 / factor!r}\n" for k in range(1, 18))
        np.testing.assert_allclose(read_segments(write("s.csv", f"segment,mbf_{unit}\n{rows}"), 0.2)[0], 2.0, rtol=1e-9)
    read_segments(write("s.csv", "segment,mbf_mL_min_g\n1,19.95\n2,1.5\n"), 0.2)
    for value in ("20.1", "0.0995"):
        with pytest.raises(perfsim.InputError):
            read_segments(write("s.csv", f"segment,mbf_mL_min_g\n1,{value}\n"), 0.2)
    assert read_segments(write("s.csv", "segment,mbf_mL_min_g\n1,0.1005\n"), 0.2)[0][0] == 0.1005
    assert read_segments(write("s.csv", "segment,mbf_mL_min_g,sd\n1,2.0,1.99\n2,0.5,0.99\n"), 0.2)[1][:2].tolist() == [
        1.99,
        0.99,
    ]
    for name in ("sd %", "sd_percent", "sd [%]"):  # of the MBF
        table = write("s.csv", f"segment,mbf_mL_min_g,{name}\n1,2.0,15\n2,0.5,10\n")
        assert read_segments(table, 0.2)[1][:2].tolist() == [0.3, 0.05]
    wide = f"what{WIDE}\nmbf{ROW}\nsd %{ROW.replace('2.0', '15')}\n"
    np.testing.assert_allclose(read_segments(write("s.csv", wide), 0.2)[1], 0.3)
    for row in ("1,2.0,2.01", "1,0.5,1.005"):
        with pytest.raises(perfsim.InputError, match="larger than the MBF"):
            read_segments(write("s.csv", f"segment,mbf_mL_min_g,sd\n{row}\n"), 0.2)


WIDE = "," + ",".join(str(k) for k in range(1, 18))
ROW = "," + ",".join(["2.0"] * 17)


@pytest.mark.parametrize(
    ("text", "state", "words"),
    [
        ("segment,state,mbf_mL_min_g\n1,rest,1.0\n2,nap,1.0\n", "rest", "the state 'nap' is none of rest and hyperemia"),
        ("segment,state,mbf_mL_min_g\n1,rest,1.0\n", None, "say which one is meant"),
        ("segment,rest mbf,stress mbf\n1,1,2\n", None, "say which one is meant"), ("segment,rest mbf\n1,1\n", "hyperemia", "not the MBF in hyperemia"),
        ("segment,mbf_mL_min_g,sd,std\n1,1.0,0.1,0.2\n", None, "'sd' and 'std' may both be the deviation"),
        ("segment,mbf_mL_min_g,flow_mL_min_g\n1,1.0,1.0\n", None, "may all be meant"), ("segment,mbf_mmHg\n1,1.0\n", None, "no unit of blood flow"),
        (f"state{WIDE},1 basal anterior\nrest{ROW},1\n", "rest", "number and name are not those of one AHA segment"),
        (f"state{WIDE}\nrest{ROW}\nstress{ROW}\n", None, "holds several states"), (f"what{WIDE}\nmbf{ROW}\nflow{ROW}\n", None, "2 rows may be meant"),
        (f"state{WIDE}\nrest{ROW}\n", "hyperemia", "no row holds the MBF in hyperemia"),
        (f"what,unit{WIDE}\nmbf,mL/min/g{ROW}\nsd,mL/min/100g{ROW}\n", None, "holds the units mL/min/100g, mL/min/g"),
        ("segment,name,mbf_mL_min_g\n1,basal inferior,1.0\n", None, "number and name are of two segments"),
        ("segment,mbf_mL_min_g\n1,\n", None, "no segment has a value"), ("segment,mbf_mL_min_g\n", None, "the table has no rows"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::perfsim._notes.InputNote")
def test_tables_of_segments_that_cannot_be(write, text, state, words):
    with pytest.raises(perfsim.InputError, match=words):
        read_segments(write("s.csv", text), 0.2, state)


@pytest.mark.filterwarnings("ignore::perfsim._notes.InputNote")
def test_tables_of_segments_across(write):
    """A column for each segment: values and deviations by the row's name, of the state that is asked for; ratios are none."""
    text = f"row{WIDE}\nrest mbf{ROW}\nstress mbf{ROW.replace('2.0', '3.0')}\nrest sd{ROW.replace('2.0', '0.4')}\nMFR{ROW}\n"
    for state, value, sd in (("rest", 2.0, 0.4), ("hyperemia", 3.0, 0.2)):
        found = read_segments(write("s.csv", text), 0.2, state)
        assert set(found[0]) == {value} and set(found[1]) == {sd}
    per_mL = read_segments(write("s.csv", f"row,unit{WIDE}\nmbf,mL/min/mL{ROW}\n"), 0.2)[0]
    np.testing.assert_allclose(per_mL, 2.0 / 1.05, rtol=1e-9)


@pytest.mark.parametrize(
    ("label", "segment"),
    [
        ("3", 3), ("Seg 03", 3), ("3.0", 3), ("17", 17), ("18", None), ("0", None), ("1.5", None), ("-3", None), ("Basal antero-septal", 2),
        ("2. basal anteroseptal", 2), ("3 basal anteroseptal", 0), ("mid inferolateral wall", 11), ("distal septum", 14), ("apical cap", 17), ("apex", 17),
        ("midventricular inferoseptal", 9), ("apical lateral", 16), ("basal septal", None), ("anterior", None), ("4 5", None), ("basal mid anterior", None),
        ("LAD", None), ("apical anterolateral", None), ("mid infero lateral", 11), ("4 LAD", None), ("segment", None),
    ],
)  # fmt: skip
def test_segments_by_their_names(label, segment):
    assert segment_of(label) == segment


# Meshes that cannot be --------------------------------------------------------------------------------------------


def tetrahedra(size: float, second=(4, 0, 1, 2)) -> pv.UnstructuredGrid:
    """Two tetrahedra on one face, the corner of a cube and a point below it; `size` is the whole height."""
    x = size * np.array([[0.0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.6], [0.1, 0.1, -0.4]])
    return pv.UnstructuredGrid(np.array([4, 0, 1, 2, 3, 4, *second]), [pv.CellType.TETRA] * 2, x)


def test_volume_meshes_that_cannot_be(tmp_path):
    """Surfaces, faces alone, cells turned inside out, points that are nowhere, another unit."""
    frame = frame_from_points(np.eye(3) * 1e-3, [0, 0, -0.05], [0.01, 0.01, 0], [0.01, -0.01, 0])
    path = tmp_path / "m.vtu"
    pv.Sphere().save(tmp_path / "s.vtp")
    with pytest.raises(perfsim.InputError, match=r"s\.vtp: is no volume mesh"):
        read_volume_mesh(tmp_path / "s.vtp")
    pv.UnstructuredGrid(np.array([3, 0, 1, 2]), [pv.CellType.TRIANGLE], np.eye(3)).save(path)
    with pytest.raises(perfsim.InputError, match="holds 1 TRIANGLE: no volumes"):
        read_volume_mesh(path)
    tetrahedra(50.0, (0, 4, 1, 2)).save(path)
    with pytest.raises(perfsim.InputError, match=r"cell 1 has the volume .* \(1 of 2 cells"):
        read_volume_mesh(path)
    tetrahedra(50.0).save(path)
    assert read_volume_mesh(path).n_cells == 2
    broken = pv.PolyData(np.array([[0.0, 0, 0], [np.nan, 1, 0], [1, 0, 0]]), lines=[3, 0, 1, 2])
    broken.save(tmp_path / "b.vtp")
    with pytest.raises(perfsim.InputError, match="point 1 lies at"):
        read_centerlines(tmp_path / "b.vtp")
    for size, heart in ((39.8, False), (40.2, True), (299.0, True), (301.5, False)):
        tetrahedra(size).save(path)
        words = (
            "encloses no cavity|enclose no wall"
            if heart
            else f"{size:g} mm in the unit given: no heart; set anatomy.unit to"
        )
        with pytest.raises(perfsim.InputError, match=words):
            wall_from_mesh(path, frame, spacing=0.05 * size * MM)


@pytest.mark.parametrize(
    ("size", "unit"),
    [(39.8, []), (40.2, ["mm"]), (298.5, ["mm"]), (301.5, []), (4.02, ["cm"]), (29.8, ["cm"]), (0.1, ["m"])],
)
def test_surfaces_the_size_of_a_heart(write, size, unit):
    """40 to 300 mm along the longest side, in some unit; a flat sheet encloses nothing."""
    corners = size * np.array([[0, 0, 0], [1, 0, 0], [0, 0.9, 0], [0, 0, 0.8]])
    faces = [(1, 3, 2), (1, 2, 4), (1, 4, 3), (2, 3, 4)]
    text = "".join("v {:.9g} {:.9g} {:.9g}\n".format(*x) for x in corners) + "".join(
        "f {} {} {}\n".format(*f) for f in faces
    )
    found = read_surface(write("c.obj", text))
    assert found.plausible_units() == unit and found.volume() == pytest.approx(size**3 * 0.72 / 6, rel=1e-5)
    assert found.openings == () and not found.inverted and found.problems() == []
    if unit != ["mm"]:
        with pytest.raises(perfsim.InputError, match="no heart"):
            found.check_unit(1e-3)
    turned = read_surface(write("c.obj", text.replace("f 1 3 2", "f 1 2 3")))
    assert turned.inconsistent == 3 and turned.volume() == pytest.approx(found.volume(), rel=1e-9)
    with pytest.raises(perfsim.InputError, match="no triangles that enclose anything"):
        read_surface(write("f.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"))


def test_what_sidecars_leave_out():
    """Frames must be there; without a word on decay correction the image counts as corrected, and only that is said."""
    for field in ("FrameTimesStart", "FrameDuration"):
        with pytest.raises(perfsim.InputError, match=f"s.json: no field '{field}', which BIDS-PET requires"):
            check_sidecar({k: v for k, v in SIDECAR.items() if k != field}, Path("s.json"))
    for corrected, words in ((None, "ImageDecayCorrected is missing"), (False, "the image is not corrected for decay")):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            check_sidecar(SIDECAR | {"ImageDecayCorrected": corrected}, Path("s.json"))
        assert len(said) == 1 and words in str(said[0].message)


def test_numbers_too_long_and_lists_too_deep(tmp_path):
    """A sentence, in tables, cases and JSON; as for a home folder that nobody has."""
    assert segment_of("9" * 5000) is None and segment_of("17.000") == 17
    for text in (f"[tree]\nseed = {'9' * 5000}\n", f"a = {'[' * 3000}{']' * 3000}\n"):
        with pytest.raises(InputError, match="case: holds a number too long, or lists nested too deep"):
            parse_case(text)
    (tmp_path / "a.json").write_text('{"a": ' + "9" * 5000 + "}")
    with pytest.raises(InputError, match=r"a\.json: holds a number too long"):
        read_json(tmp_path / "a.json")
    (tmp_path / "b.json").write_text('{"a": 1, "a": 2}')
    with pytest.raises(InputError, match="is there twice"):
        read_json(tmp_path / "b.json")
    with pytest.raises(InputError, match=r"vessels\.left: there is no home folder for ~nobody_of_this_name/x\.swc"):
        parse_case('[vessels]\nleft = "~nobody_of_this_name/x.swc"\nmissing = ["RCA"]\n')


def test_numbers_of_a_solver_and_of_noise_that_cannot_be():
    for wrong in ({"tolerance": np.inf}, {"tolerance": -1.0}, {"tolerance": 0.5}, {"max_steps": 1.5}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Steady(**wrong)
    assert float(Steady(tolerance=1e-3).tolerance) == 1e-3
    for relative, absolute in ((-0.1, 0.05), (0.1, -0.05), (np.nan, 0.05), (0.1, np.nan)):
        with pytest.raises(InputError, match="standard deviations that are not negative"):
            Noise(relative, absolute)


def one_vessel(inflow: dict, kind: str, outlet: dict) -> dict:
    """A case of svZeroDSolver: a vessel of resistance 100 between a flow and an outlet of this kind."""
    return {
        "simulation_parameters": {},
        "vessels": [
            {"vessel_id": 0, "vessel_name": "v", "zero_d_element_type": "BloodVessel",
             "boundary_conditions": {"inlet": "in", "outlet": "out"}, "zero_d_element_values": {"R_poiseuille": 100.0}}
        ],
        "junctions": [],
        "boundary_conditions": [
            {"bc_name": "in", "bc_type": "FLOW", "bc_values": inflow},
            {"bc_name": "out", "bc_type": kind, "bc_values": outlet},
        ],
    }  # fmt: skip


@pytest.mark.parametrize("value", [True, "1e3", [1.0, "2"], None, {"a": 1}])
def test_what_is_no_number_in_svzerods_format(tmp_path, value):
    """Python would count true as 1 and read "1e3" as a number."""
    case = one_vessel({"Q": 5.0}, "RESISTANCE", {"R": 100.0, "Pd": 0.0})
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case))
    read_svzerod(path)
    for place in (case["vessels"][0]["zero_d_element_values"], case["boundary_conditions"][1]["bc_values"]):
        key = next(iter(place))
        before, place[key] = place[key], value
        path.write_text(json.dumps(case))
        with pytest.raises(InputError, match=rf"case\.json: (v|out): {key} holds .*: give a number"):
            read_svzerod(path)
        place[key] = before


@pytest.mark.parametrize("key", ["Rp", "Rd"])
def test_a_negative_outlet_is_no_short_circuit(tmp_path, key):
    """In svZeroD's format, read for a steady solve: it passed for a pressure, at which all blood would leave."""
    outlet = {"Rp": 100.0, "Rd": 1000.0, "C": 1e-4, "Pd": 0.0}
    case = one_vessel({"Q": [5.0, 5.0], "t": [0.0, 1.0]}, "RCR", outlet)
    path = tmp_path / "c.json"
    path.write_text(json.dumps(case))
    pressure, flow = read_svzerod(path).solve()  # mean of Q (R + Rp + Rd), in the file's own units
    assert pressure == {"v": pytest.approx(6000.0, rel=1e-9)} and flow == {"v": pytest.approx(5.0, rel=1e-9)}
    outlet[key] = -50.0
    path.write_text(json.dumps(case))
    with pytest.raises(InputError, match=rf"c\.json: boundary condition 'out': {key} is -50"):
        read_svzerod(path)
