"""PET as people have it: sidecars and their clocks, decay, blood curves, DICOM series."""

import datetime
import json
from pathlib import Path

import perfsim
from perfsim._notes import InputNote
from perfsim.io import read_curve, read_dynamic, read_frames
from perfsim.io.dicom import read_series
from perfsim.io.sidecars import read_sidecar
from perfsim.observe import Activity, Noise
from perfsim.observe.tracers import Curve, Frames, Region, Rubidium, Water, fit_regions, frame_means

import jax
import jax.numpy as jnp
import nibabel as nib
import numpy as np
import pytest
from command import perfsim as command
from pet_series import Scan

CASES = Path(__file__).parent / "cases"
FRAMES = Frames.sequence((14, 5), (3, 10), (3, 20), (4, 30))
SOUND = {
    "Units": "Bq/mL", "FrameTimesStart": [0, 5, 10, 20], "FrameDuration": [5, 5, 10, 20], "ImageDecayCorrected": True,
    "ImageDecayCorrectionTime": 0, "TracerRadionuclide": "Rb82", "InjectionStart": 0, "ScanStart": 0,
}  # fmt: skip
quiet = pytest.mark.filterwarnings("ignore::perfsim._notes.InputNote")


@pytest.fixture(scope="module")
def blood() -> Curve:
    """A bolus that arrives at 12 s, sampled every 0.5 s."""
    t = np.arange(0.0, 301.0, 0.5)
    late = np.maximum(t - 12.0, 0.0)
    return Curve.of(t, 1e5 * ((late / 8.0) ** 2 * np.exp(2.0 - late / 4.0) / 4.0 + 0.08 * (1.0 - np.exp(-late / 20.0))))


def sidecar(folder: Path, name: str = "scan.json", **changes) -> Path:
    """A sound sidecar with fields changed, or left out (None)."""
    content = {k: v for k, v in (SOUND | changes).items() if v is not None}
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder / name


# Sidecars -----------------------------------------------------------------------------------------------------------


def test_given_sidecars():
    frames, _ = read_frames(CASES / "sidecar_bom.json")
    assert frames.duration.tolist() == [5.0] * 4
    with pytest.raises(perfsim.InputError, match=r"sidecar_nan\.json: frame 0"):
        read_frames(CASES / "sidecar_nan.json")
    with pytest.raises(perfsim.InputError, match=r"frames of 5000 s.*in ms"):
        read_frames(CASES / "sidecar_ms.json")
    with pytest.warns(InputNote, match="not corrected for decay"):
        read_frames(CASES / "sidecar_not_decay_corrected.json")
    assert read_sidecar(CASES / "sidecar_kBq.json").scale == 1e3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"FrameDuration": [5, 10, 20, 40]}, "the frames' ends"),
        ({"FrameDuration": [5, 5, 10, float("inf")]}, "frame 3"),
        ({"FrameDuration": [5, 5, 10]}, "4 FrameTimesStart for 3"),
        ({"FrameTimesStart": [0, 5, 8, 20]}, "frame 2 starts at 8 s, before frame 1 ends at 10 s"),
        ({"FrameTimesStart": [0, 5, 10, 2000]}, "leave 98 % of the scan out"),
        ({"FrameTimesStart": [0, 0.1, 0.2, 0.3], "FrameDuration": [0.1] * 4}, "in minutes"),
        ({"FrameTimesStart": "soon"}, "FrameTimesStart: 'soon'"),
        ({"Units": "counts"}, "'counts' are no activity"),
        ({"ScanStart": 30}, "ScanStart is 30 s, but the first frame starts at 0 s"),
        ({"InjectionStart": float("nan")}, "InjectionStart is nan"),
        ({"ImageDecayCorrectionTime": 36000000}, "more than a day"),
        ({"DecayCorrectionFactor": [1, 1, 1, 1]}, "not that of a correction to 0 s"),
        ({"FrameDuration": None}, "no field 'FrameDuration'"),
    ],
)
def test_sidecars_that_contradict_themselves(tmp_path, changes, words):
    with pytest.raises(perfsim.InputError, match=rf"scan\.json: .*{words}"):
        read_sidecar(sidecar(tmp_path, **changes))


def test_a_name_that_stands_twice(tmp_path):
    (tmp_path / "s.json").write_text('{"FrameTimesStart": [0], "FrameTimesStart": [1], "FrameDuration": [5]}')
    with pytest.raises(perfsim.InputError, match="'FrameTimesStart' is there twice"):
        read_sidecar(tmp_path / "s.json")


@pytest.mark.parametrize("nuclide", ["Rb82", "82Rb", "Rb-82", "[82]Rb"])
def test_decay_is_corrected_to_time_zero(tmp_path, nuclide):
    """Constant activity A at time 0, as it decays, as it is corrected to 100 s, and corrected: all give A."""
    rate = np.log(2.0) / 76.4
    start, duration = (np.array(SOUND[k], float) for k in ("FrameTimesStart", "FrameDuration"))
    decaying = 1e4 * (np.exp(-rate * start) - np.exp(-rate * (start + duration))) / (rate * duration)

    def read(values, **changes):
        image = np.broadcast_to(np.asarray(values, np.float32), (3, 3, 3, 4))
        nib.save(nib.Nifti1Image(image, np.diag([2, 2, 3, 1])), tmp_path / "scan.nii.gz")
        sidecar(tmp_path, TracerRadionuclide=nuclide, **changes)
        return read_dynamic(tmp_path / "scan.nii.gz")[0][0, 0, 0]

    np.testing.assert_allclose(read(np.full(4, 1e4)), 1e4, rtol=1e-6)
    np.testing.assert_allclose(read(np.full(4, 10.0), Units="kBq/mL"), 1e4, rtol=1e-6)
    with pytest.warns(InputNote, match="corrected here to time 0"):
        np.testing.assert_allclose(read(decaying, ImageDecayCorrected=False), 1e4, rtol=1e-5)
    with pytest.warns(InputNote, match="moved from 100 s"):
        np.testing.assert_allclose(
            read(1e4 * np.exp(-rate * 100) * np.ones(4), ImageDecayCorrectionTime=100), 1e4, rtol=1e-5
        )


@quiet
def test_decay_without_a_radionuclide(tmp_path):
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3, 4), np.float32), np.eye(4)), tmp_path / "scan.nii.gz")
    sidecar(tmp_path, TracerRadionuclide=None, ImageDecayCorrected=False)
    with pytest.raises(perfsim.InputError, match="give half_life"):
        read_dynamic(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(read_dynamic(tmp_path / "scan.nii.gz", decay="as is")[0], 1.0)
    assert (read_dynamic(tmp_path / "scan.nii.gz", half_life=76.4)[0] > 1.0).all()


def test_the_injection_is_said_or_is_time_zero(tmp_path):
    path = sidecar(tmp_path, InjectionStart=3)
    with pytest.warns(InputNote, match="the injection is 3 s after time 0"):
        assert read_sidecar(path).start[0] == 0.0
    shifted = read_sidecar(path, zero="injection")
    assert shifted.start.tolist() == [-3, 2, 7, 17] and shifted.reference == -3.0


def test_sidecars_one_folder_up(tmp_path):
    """As BIDS has it: what all scans share lies above, what one has of its own beside it and counts more."""
    folder = tmp_path / "sub-01" / "pet"
    folder.mkdir(parents=True)
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3, 4), np.float32), np.eye(4)), folder / "sub-01_task-rest_pet.nii.gz")
    with pytest.raises(perfsim.InputError, match=r"sub-01_task-rest_pet\.json: no such file"):
        read_dynamic(folder / "sub-01_task-rest_pet.nii.gz")
    sidecar(tmp_path, "task-rest_pet.json", Units="kBq/mL")
    sidecar(tmp_path, "task-stress_pet.json", Units="counts")
    np.testing.assert_allclose(read_dynamic(folder / "sub-01_task-rest_pet.nii.gz")[0], 1e3)
    (folder / "sub-01_task-rest_pet.json").write_text('{"Units": "Bq/mL"}')
    np.testing.assert_allclose(read_dynamic(folder / "sub-01_task-rest_pet.nii.gz")[0], 1.0)


# Blood --------------------------------------------------------------------------------------------------------------


def test_image_derived_curves_mean_frames(blood):
    """Means over the frames come back, and the MBF of ⁸²Rb is within 3 % of the truth; at starts it is off by far more."""
    means = frame_means(blood, FRAMES)
    curve = Curve.of_frames(FRAMES, means)
    np.testing.assert_allclose(frame_means(curve, FRAMES), means, rtol=1e-9, atol=1e-6)
    tracer, mbf = Rubidium(volume=0.8), jnp.array([0.8, 2.5])
    region = Region(mbf, jnp.full(2, 0.7), jnp.full(2, 0.2))
    seen = region.activity(tracer, blood, FRAMES)
    np.testing.assert_allclose(fit_regions(seen, tracer, curve, FRAMES)[0].mbf, mbf, rtol=0.03)
    early = Curve.of(np.append(FRAMES.start, FRAMES.end[-1]), np.append(means, means[-1]))
    off = fit_regions(seen, tracer, early, FRAMES)[0].mbf
    assert (np.abs(np.asarray(off / mbf) - 1.0) > 0.05).any()


def test_which_time_a_sample_means(tmp_path, blood):
    means = np.asarray(frame_means(blood, FRAMES))
    expected = Curve.of_frames(FRAMES, means)
    start, end = np.asarray(FRAMES.start), np.asarray(FRAMES.end)
    for sample, time in (("start", start), ("middle", 0.5 * (start + end)), ("end", end)):
        path = tmp_path / f"{sample}.csv"
        path.write_text("time_s,activity\n" + "".join(f"{t},{v:.9g}\n" for t, v in zip(time, means, strict=True)))
        found = read_curve(path, sample=sample, frames=FRAMES)
        np.testing.assert_allclose(found.activity, expected.activity, rtol=1e-6, atol=1e-3)
    with pytest.raises(perfsim.InputError, match="not the starts of the 24 frames"):
        read_curve(path, sample="start", frames=FRAMES)
    with pytest.raises(perfsim.InputError, match=r"use Curve\.of_frames"):
        fit_regions(jnp.ones((1, 24)), Water(), read_curve(tmp_path / "start.csv"), FRAMES)
    with pytest.warns(InputNote, match="at the end of each frame"):
        fit_regions(jnp.asarray(means)[None], Water(), read_curve(tmp_path / "end.csv"), FRAMES)
    tac = tmp_path / "pool.tac"
    rows = "".join(f"{a}\t{b}\t{v / 1e3:.9g}\n" for a, b, v in zip(start, end, means, strict=True))
    tac.write_text(f"start[seconds]\tend[kBq/cc]\tLV\n{rows}")
    np.testing.assert_allclose(read_curve(tac).activity, expected.activity, rtol=1e-6, atol=1e-3)


@quiet
def test_units_and_gaps_of_blood_curves(tmp_path):
    def read(text: str, name: str = "blood.csv") -> Curve:
        (tmp_path / name).write_text(text)
        return read_curve(tmp_path / name)

    assert read("time_min,activity_kBq_mL\n0,0\n1,5\n2,\n3,4\n").time.tolist() == [0, 60, 180]
    assert read("time [s],value [kBq/cc]\n0,0\n1,5\n").activity.tolist() == [0, 5000]
    (tmp_path / "blood.json").write_text('{"time": {"Units": "s"}, "whole_blood_radioactivity": {"Units": "kBq/mL"}}')
    assert read("time\twhole_blood_radioactivity\n0\t0\n10\t2\n", "blood.tsv").activity.tolist() == [0, 2000]
    with pytest.raises(perfsim.InputError, match="is it in ms"):
        read("time_s,activity\n0,0\n240000,5\n")
    with pytest.raises(perfsim.InputError, match="3 values for 2 columns"):
        read("time_s,activity\n0,5,1\n")
    with pytest.raises(perfsim.InputError, match="no unit of activity"):
        read("time_s,activity_mmHg\n0,5\n")


def test_curves_that_start_late_or_in_another_unit(blood):
    late = Curve(blood.time[60:], blood.activity[60:])
    with pytest.raises(perfsim.InputError, match=r"begins at 30 s with \d+ % of its maximum"):
        fit_regions(jnp.ones((1, 24)), Water(), late, FRAMES)
    seen = Region(jnp.ones(1), jnp.ones(1), jnp.zeros(1)).activity(Water(), blood, FRAMES)
    for factor in (1e-3, 1e3):
        with pytest.raises(perfsim.InputError, match="both in one unit"):
            fit_regions(factor * seen, Water(), blood, FRAMES)
        with pytest.raises(perfsim.InputError, match="both in one unit"):
            Activity("rest", factor * seen, Noise(0.0, 1.0), Water(), blood, FRAMES)


def test_tissue_that_lags_the_pool(blood):
    """Delays of 0 and 4 s are found with the MBF; held at 0, the MBF is off. The derivative by delay is the slope."""
    tracer, mbf, late = Rubidium(volume=0.8), jnp.array([0.8, 2.5]), jnp.array([1.0, 4.0])
    region = Region(mbf, jnp.full(2, 0.7), jnp.full(2, 0.2), delay=late)
    seen = region.activity(tracer, blood, FRAMES)
    found, ended = fit_regions(seen, tracer, blood, FRAMES, delay="fit")
    np.testing.assert_allclose(found.mbf, mbf, rtol=2e-3)
    np.testing.assert_allclose(found.delay, late, atol=0.05)
    np.testing.assert_allclose(fit_regions(seen[1:], tracer, blood, FRAMES, delay=4.0)[0].mbf, mbf[1:], rtol=1e-4)
    assert (ended.misfit < 1e-3).all()
    undelayed = fit_regions(seen, tracer, blood, FRAMES)[0].mbf
    assert abs(float(undelayed[1] / mbf[1]) - 1.0) > 0.03

    def total(delay):
        return jnp.sum(Region(mbf, region.fraction, region.arterial, delay=delay).activity(tracer, blood, FRAMES)[1])

    slope = jax.grad(total)(late + 0.21)[1]  # off the samples, where the curve bends
    step = 1e-4
    by_difference = (total(late + 0.21 + step) - total(late + 0.21 - step)) / (2 * step)
    np.testing.assert_allclose(slope, by_difference, rtol=1e-5)


# DICOM --------------------------------------------------------------------------------------------------------------

START, DURATION = np.array([0, 5, 10, 15, 25, 35.0]), np.array([5, 5, 5, 10, 10, 20.0])
TRUTH = 1e5 * np.random.default_rng(0).random((5, 4, 3, 6))


def changed(**options) -> Scan:
    scan = Scan(TRUTH, options.pop("start", START), DURATION)
    for name, value in options.items():
        setattr(scan, name, value)
    return scan


MIDNIGHT = datetime.datetime(2024, 3, 1, 23, 59, 50)
NO_INJECTION = {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": None}
SERIES = {
    "as it is": (changed(), START),
    "not corrected": (changed(correction="NONE"), START),
    "corrected to the injection": (changed(correction="ADMIN", corrected_to=0.0), START),
    "corrected to the injection, no factor": (
        changed(correction="ADMIN", corrected_to=0.0, start=START + 20, changes={"DecayFactor": None}), START + 20,
    ),
    "zero by SeriesTime, rewritten an hour later": (
        changed(series_time=datetime.datetime(2024, 3, 1, 11, 20, 30)), START,
    ),
    "a window of a longer scan": (changed(start=START + 60, corrected_to=0.0), START + 60),
    "a window, no injection": (changed(start=START + 60, corrected_to=0.0, changes=NO_INJECTION), START + 60),
    "a window, no factor": (changed(start=START + 60, corrected_to=0.0, changes={"DecayFactor": None}), "longer scan"),
    "past midnight": (changed(injection=MIDNIGHT), START),
    "past midnight, one date": (changed(injection=MIDNIGHT, changes={"AcquisitionDate": "20240301"}), START),
    "past midnight, no dates": (
        changed(injection=MIDNIGHT, changes={"AcquisitionDate": None, "RadiopharmaceuticalStartDateTime": None}), START,
    ),
    "one acquisition time": (changed(changes={"AcquisitionTime": "102030"}), START),
    "reference times at starts": (changed(by_frame={"FrameReferenceTime": (1e3 * START).tolist()}), START),
    "durations too long": (changed(changes={"ActualFrameDuration": 30000, "FrameReferenceTime": None}), "overlap"),
    "durations in the wrong unit": (
        changed(changes={"FrameReferenceTime": None}, by_frame={"ActualFrameDuration": [5, 5, 5, 10, 10, 20]}), "leave a gap",
    ),
    "reference times that disagree": (
        changed(by_frame={"FrameReferenceTime": [2500, 7500, 12500, 30000, 30000, 45000]}), "disagree by",
    ),
    "an injection hours away": (changed(injection=datetime.datetime(2024, 3, 1, 2, 0, 0)), START),
    "an injection after the scan": (
        changed(changes={"RadiopharmaceuticalStartDateTime": "20240301112030"}), "one of the clocks is wrong",
    ),
    "factors of two scans": (changed(by_frame={"DecayFactor": [1.02, 1.07, 1.12, 9, 9, 9]}), "corrects to another time"),
    "counts": (changed(changes={"Units": "CNTS"}), "Units CNTS"),
    "gated": (changed(changes={"SeriesType": ["GATED", "IMAGE"]}), "gated"),
    "corrected and not": (changed(correction="NONE", changes={"CorrectedImage": ["DECY"]}), "CorrectedImage says DECY"),
    "no half-life": (changed(changes={"RadionuclideHalfLife": None}), "RadionuclideHalfLife"),
}  # fmt: skip
"""kind → (scan, starts of its frames or words of the refusal)"""


@quiet
@pytest.mark.parametrize("kind", SERIES)
def test_dicom_series(kind, tmp_path):
    """Read to the map that it was written from (16 bits a slice), or refused."""
    scan, expected = SERIES[kind]
    scan.write(tmp_path / "series")
    if isinstance(expected, str):
        with pytest.raises(perfsim.InputError, match=expected):
            read_series(tmp_path / "series")
        return
    values, to_world, said = read_series(tmp_path / "series")
    np.testing.assert_allclose(values, TRUTH, atol=4e-5 * TRUTH.max())
    np.testing.assert_allclose(to_world, scan.affine, atol=1e-9)
    np.testing.assert_allclose(said.start, expected, atol=1e-3)
    np.testing.assert_allclose(said.duration, DURATION)


@pytest.mark.parametrize("legacy", [False, True])
def test_enhanced_dicom(tmp_path, legacy):
    scan = changed(start=START + 10)
    values, to_world, said = read_series(scan.write_enhanced(tmp_path / "e", legacy))
    np.testing.assert_allclose(values, TRUTH, atol=4e-5 * TRUTH.max())
    np.testing.assert_allclose(to_world, scan.affine, atol=1e-9)
    np.testing.assert_allclose(said.start, START + 10, atol=1e-3)


def test_dicom_is_read_as_bids_is(tmp_path):
    """The same scan both ways: values, places and frames are those of the other."""
    scan = changed()
    by_dicom = read_dynamic(scan.write(tmp_path / "dicom"))
    flip = np.diag([-1e3, -1e3, 1e3, 1.0])
    nib.save(nib.Nifti1Image(TRUTH.astype(np.float32), flip @ scan.affine), tmp_path / "scan.nii.gz")
    sidecar(tmp_path, FrameTimesStart=START.tolist(), FrameDuration=DURATION.tolist())
    by_bids = read_dynamic(tmp_path / "scan.nii.gz")
    np.testing.assert_allclose(by_dicom[0], by_bids[0], atol=4e-5 * TRUTH.max())
    np.testing.assert_allclose(by_dicom[1], by_bids[1], atol=1e-8)
    np.testing.assert_allclose(by_dicom[2].edges, by_bids[2].edges, atol=1e-6)


def test_incomplete_or_several_series(tmp_path):
    changed().write(tmp_path / "a")
    (tmp_path / "a" / "002_001.dcm").unlink()
    with pytest.raises(perfsim.InputError, match="1 slices are missing: slice 1 of frame 2"):
        read_series(tmp_path / "a")
    changed(start=START + 600).write(tmp_path / "b")
    with pytest.raises(perfsim.InputError, match=r"2 series of one injection.*series="):
        read_series(tmp_path)
    (tmp_path / "c").mkdir()
    with pytest.raises(perfsim.InputError, match="no PET images"):
        read_series(tmp_path / "c")


@quiet
def test_inspect_of_folders_and_sidecars(tmp_path):
    changed(start=START + 10).write(tmp_path / "series")
    said = command(
        "inspect", "series", CASES / "sidecar_kBq.json", CASES / "sidecar_not_decay_corrected.json", cwd=tmp_path
    )
    assert said.returncode == 0, said.stdout + said.stderr
    for words in (
        "DICOM series: PET, 5 × 4 × 3", "6 frames: 3 of 5 s, 2 of 10 s, 1 of 20 s, from 10 to 65 s", "half-life 76.4 s",
        "the first frame 10 s after it", "kBq/mL, read as Bq/mL times 1000", "not corrected for decay",
    ):  # fmt: skip
        assert words in said.stdout, said.stdout
    wrong = command("inspect", CASES / "sidecar_nan.json", CASES / "sidecar_ms.json", cwd=tmp_path)
    assert wrong.returncode == 3 and "frame 0" in wrong.stdout and "in ms" in wrong.stdout
