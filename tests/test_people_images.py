"""NIfTI images as people have them: orientation, units, dimensions, types, resolution."""

import gzip

import perfsim
from perfsim._notes import InputNote
from perfsim.io import read_mbf_map, read_tone, write_mbf
from perfsim.io.images import open_image
from perfsim.io.labelmap import wall_from_labels
from perfsim.observe import LongAxis

import nibabel as nib
import numpy as np
import pytest
from command import perfsim as command

VALUES = {"wall": 2, "cavity": 3, "right_ventricle": 1}


def cup(step: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """(labels, affine) of a cup with a right ventricle on its left, in voxels of `step` [mm]."""
    shape = tuple(int(n / step) for n in (90, 84, 78))
    x, y, z = np.moveaxis(np.stack(np.meshgrid(*[np.arange(n) * step for n in shape], indexing="ij"), -1), -1, 0)
    across = np.hypot(x - 45, y - 42)
    cavity = (across < 15) & (z > 18) & (z < 68)
    wall = (across < 25) & (z > 8) & (z < 68) & ~cavity
    right = (across < 34) & ~wall & ~cavity & (x < 33) & (z > 22) & (z < 62)
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = [-45, -42, -40]
    return (2 * wall + 3 * cavity + right).astype(np.int16), affine


def image(labels, affine, kind=nib.Nifti1Image, codes=(2, 0), qform=None):
    made = kind(labels, affine)
    made.set_sform(affine, code=codes[0])
    made.set_qform(affine if qform is None else qform, code=codes[1])
    return made


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "l.nii.gz"
    nib.save(image(*cup()), path)
    return wall_from_labels(path, **VALUES, spacing=2e-3)


def scaled(labels, affine, slope: float):
    made = image((labels / slope).round().astype(np.int16), affine)
    made.header.set_slope_inter(slope, 0.0)
    return made


def in_unit(labels, affine, unit: str, factor: float):
    made = image(labels, np.diag([factor, factor, factor, 1.0]) @ affine)
    made.header.set_xyzt_units(unit)
    return made


def with_nan(labels, affine):
    return image(np.where(labels == 0, np.nan, labels).astype(np.float32), affine)


def turned(labels, affine):
    """The same heart, its axes permuted and reversed in the array."""
    made = image(labels, affine)
    return made.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))


def mirrored(affine):
    return affine @ np.diag([1.0, -1.0, 1.0, 1.0])


COLORS = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
KINDS = {
    "as it is": (lambda l, a: image(l, a), None),
    "both codes, agreeing": (lambda l, a: image(l, a, codes=(1, 1)), None),
    "qform alone": (lambda l, a: image(l, a, codes=(0, 1)), None),
    "NIfTI-2": (lambda l, a: image(l, a, nib.Nifti2Image), None),
    "4D with one frame": (lambda l, a: image(l[..., None], a), None),
    "5D with one frame": (lambda l, a: image(l[..., None, None], a), None),
    "labels as floats": (lambda l, a: image(l.astype(np.float64), a), None),
    "NaN outside": (with_nan, None),
    "scaled integers": (lambda l, a: scaled(l, a, 0.1), None),
    "metres": (lambda l, a: in_unit(l, a, "meter", 1e-3), None),
    "micrometres": (lambda l, a: in_unit(l, a, "micron", 1e3), None),
    "axes turned": (turned, None),
    "no codes": (lambda l, a: image(l, a, codes=(0, 0)), "no orientation"),
    "codes in conflict": (lambda l, a: image(l, a, codes=(1, 1), qform=mirrored(a)), "place the voxels differently"),
    "RGB": (lambda l, a: image(np.zeros(l.shape, COLORS), a), "RGB"),
    "two frames": (lambda l, a: image(np.stack([l, l], -1), a), "three dimensions"),
    "one slice": (lambda l, a: image(l[:, :, 10], a), "no volume"),
    "empty": (lambda l, a: image(np.zeros_like(l), a), "no voxel has the label 2"),
    "interpolated labels": (lambda l, a: image((l * 0.7).astype(np.float32), a), "nearest neighbor"),
    "a CT": (lambda l, a: image((l * 4e4).astype(np.float32), a), "not a label map"),
    "centimetres as mm": (lambda l, a: image(l, 0.1 * a), "no heart"),
    "cavity and right ventricle exchanged": (
        lambda l, a: image(np.choose(l, [0, 3, 2, 1]).astype(np.int16), a), "exchanged with the right ventricle",
    ),
}  # fmt: skip
"""kind → (what makes it, words of the refusal or None where it is read as the sound one)"""


@pytest.mark.parametrize("kind", KINDS)
def test_label_maps(kind, sound, tmp_path):
    make, words = KINDS[kind]
    path = tmp_path / "L.NII.GZ"
    nib.save(make(*cup()), tmp_path / "l.nii.gz")
    (tmp_path / "l.nii.gz").rename(path)
    if words is not None:
        with pytest.raises(perfsim.InputError, match=words):
            wall_from_labels(path, **VALUES, spacing=2e-3)
        return
    found = wall_from_labels(path, **VALUES, spacing=2e-3)
    assert found.mask.sum() == pytest.approx(sound.mask.sum(), rel=0.01)
    np.testing.assert_allclose(found.frame.axis, sound.frame.axis, atol=0.02)
    np.testing.assert_allclose(found.frame.lateral, sound.frame.lateral, atol=0.03)
    np.testing.assert_allclose(found.frame.base, sound.frame.base, atol=1.5e-3)


def test_the_volume_of_labels_is_kept(sound):
    """Cubes of 2 mm in voxels of 3 mm hold the volume that is labelled."""
    labels, _ = cup()
    assert sound.mask.sum() * 2.0**3 == pytest.approx((labels == 2).sum() * 27.0, rel=0.02)


def test_the_user_says_which_affine_counts(tmp_path):
    labels, affine = cup()
    nib.save(image(labels, affine, codes=(1, 1), qform=mirrored(affine)), tmp_path / "l.nii.gz")
    by_sform, by_qform = (open_image(tmp_path / "l.nii.gz", trust).to_world for trust in ("sform", "qform"))
    np.testing.assert_allclose(by_sform[1, 1], -3e-3)  # RAS is turned to LPS
    np.testing.assert_allclose(by_qform[1, 1], 3e-3)
    walls = [wall_from_labels(tmp_path / "l.nii.gz", **VALUES, spacing=3e-3, trust=t) for t in ("sform", "qform")]
    assert walls[0].frame.base[1] != pytest.approx(walls[1].frame.base[1], abs=0.05)
    said = command("inspect", "l.nii.gz", cwd=tmp_path)
    assert said.returncode == 3 and "sform code 1 (scanner) RAS, qform code 1 (scanner) RPS" in said.stdout


def test_cases_say_which_affine_counts(tmp_path):
    from perfsim.io import parse_case, resolved

    nib.save(image(*cup(), codes=(0, 0)), tmp_path / "l.nii.gz")
    text = '[anatomy]\nlabels = "l.nii.gz"\nlabel_values = { wall = 2, cavity = 3, right_ventricle = 1 }\norientation = "sform"\n'
    case = parse_case(text, "c", tmp_path)
    assert case.anatomy.orientation == "sform" == parse_case(resolved(case)).anatomy.orientation


def test_labels_at_the_resolution_of_ct(tmp_path):
    """Voxels of 0.5 mm are resampled, and it is said. Each flat face, 60 mm apart, may move by half a cube of 2 mm."""
    nib.save(image(*cup(0.5)), tmp_path / "l.nii.gz")
    with pytest.warns(InputNote, match="voxels of 0.5 mm are resampled to 2 mm"):
        found = wall_from_labels(tmp_path / "l.nii.gz", **VALUES, spacing=2e-3)
    labels, _ = cup(0.5)
    assert found.mask.sum() * 8.0 == pytest.approx((labels == 2).sum() * 0.125, rel=1 / 60)


def test_a_header_that_asks_for_too_much(tmp_path):
    """Two gigabytes of zeros pack into two megabytes."""
    header = image(np.zeros((2, 2, 2), np.int16), np.eye(4)).header.copy()
    header.set_data_shape((1024, 1024, 1024))
    header["vox_offset"] = 352
    (tmp_path / "z.nii.gz").write_bytes(gzip.compress(bytes(header.binaryblock) + bytes(4) + bytes(3 << 20)))
    with pytest.raises(perfsim.InputError, match=r"z\.nii\.gz: .*(promises|more than 1 GB)"):
        wall_from_labels(tmp_path / "z.nii.gz", **VALUES)


# Maps ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(small_heart):
    """(volumes, axis, a map's affine [mm] and shape that hold the wall)."""
    volumes, axis = small_heart.sim.volumes, LongAxis.of(small_heart.wall.frame)
    center = np.asarray(volumes.center) * [-1, -1, 1] * 1e3
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = center.min(0) - 9
    return volumes, axis, affine, tuple(int(n) for n in (np.ptp(center, axis=0) + 18) // 3 + 1)


def side(place) -> np.ndarray:
    """1 where NIfTI's y is smaller than the wall's middle, 3 beyond."""
    volumes, _, affine, shape = place
    y = affine[1, 1] * np.arange(shape[1]) + affine[1, 3]
    middle = -1e3 * float(np.mean(np.asarray(volumes.center)[:, 1]))
    return np.broadcast_to(np.where(y < middle, 1.0, 3.0)[None, :, None], shape).astype(np.float32)


MAPS = {
    "as it is": (lambda v, a: image(v, a), None),
    "4D with one frame": (lambda v, a: image(v[..., None], a), None),
    "metres": (lambda v, a: in_unit(v, a, "meter", 1e-3), None),
    "NIfTI-2": (lambda v, a: image(v, a, nib.Nifti2Image), None),
    "scaled integers": (lambda v, a: scaled(v, a, 0.001), None),
    "doubles": (lambda v, a: image(v.astype(float), a), None),
    "axes turned": (turned, None),
    "no codes": (lambda v, a: image(v, a, codes=(0, 0)), "no orientation"),
    "codes in conflict": (lambda v, a: image(v, a, codes=(1, 1), qform=mirrored(a)), "place the voxels differently"),
    "two frames": (lambda v, a: image(np.stack([v, v], -1), a), "give one state's"),
    "empty": (lambda v, a: image(0 * v, a), "covers 0 %"),
    "infinite": (lambda v, a: image(np.where(v > 2, np.inf, v).astype(np.float32), a), "NaN or infinite"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MAPS)
def test_maps(kind, place, tmp_path):
    """The half with low flow is where it was put, and the other likewise."""
    volumes, axis, affine, _ = place
    make, words = MAPS[kind]
    nib.save(make(side(place), affine), tmp_path / "m.nii.gz")
    if words is not None:
        with pytest.raises(perfsim.InputError, match=words):
            read_mbf_map(tmp_path / "m.nii.gz", volumes, axis, fwhm=7e-3)
        return
    value, view = read_mbf_map(tmp_path / "m.nii.gz", volumes, axis, fwhm=7e-3)
    middle = float(np.mean(np.asarray(volumes.center)[:, 1]))
    low = np.asarray(view.point)[:, 1] > middle + 2e-3  # LPS: y is turned
    high = np.asarray(view.point)[:, 1] < middle - 2e-3
    np.testing.assert_allclose(value[low], 1.0, rtol=1e-3)
    np.testing.assert_allclose(value[high], 3.0, rtol=1e-3)
    assert low.sum() > 50 < high.sum()


def test_units_of_maps(place, tmp_path):
    volumes, axis, affine, shape = place

    def read(factor, description="", **options):
        made = image(np.full(shape, factor, np.float32), affine)
        made.header["descrip"] = description.encode()
        nib.save(made, tmp_path / "m.nii.gz")
        return np.unique(read_mbf_map(tmp_path / "m.nii.gz", volumes, axis, fwhm=7e-3, **options)[0])

    np.testing.assert_allclose(read(210.0, unit="mL/min/100g"), 2.1, rtol=1e-6)
    np.testing.assert_allclose(read(2.1, unit="mL/min/mL"), 2.0, rtol=1e-6)
    with pytest.warns(InputNote, match="header says mL/min/100g"):
        np.testing.assert_allclose(read(210.0, "MBF (mL/min/100g)"), 2.1, rtol=1e-6)
    with pytest.raises(perfsim.InputError, match="mL/min/100g"):
        read(210.0)


def test_maps_with_holes(place, tmp_path):
    volumes, axis, affine, shape = place
    holes = np.full(shape, 2.0, np.float32)
    holes[: shape[0] // 3] = np.nan
    nib.save(image(holes, affine), tmp_path / "m.nii.gz")
    with pytest.warns(InputNote, match="of the voxels on the wall are NaN"):
        value, _ = read_mbf_map(tmp_path / "m.nii.gz", volumes, axis, fwhm=7e-3)
    assert np.isnan(value).any() and (value[np.isfinite(value)] == 2.0).all()


def test_fine_maps_are_merged(place, tmp_path, monkeypatch):
    """Beyond what a view may hold, voxels of 1 mm become such of a quarter of the camera's width, or wider."""
    from perfsim.io import pet

    volumes, axis, affine, _ = place

    fine = np.kron(side(place), np.ones((3, 3, 3), np.float32))
    step = affine @ np.diag([1 / 3, 1 / 3, 1 / 3, 1.0])
    step[:3, 3] = affine[:3, 3] - 1.0
    nib.save(image(fine, step), tmp_path / "m.nii.gz")
    monkeypatch.setattr(pet, "MOST_SEEN", 300_000)
    with pytest.warns(InputNote, match="voxels of 1 × 1 × 1 mm, finer than a camera of 7 mm sees: merged to"):
        value, view = read_mbf_map(tmp_path / "m.nii.gz", volumes, axis, fwhm=7e-3)
    middle = float(np.mean(np.asarray(volumes.center)[:, 1]))
    width = float(view.voxel)
    y = np.asarray(view.point)[:, 1]
    assert width >= 7e-3 / 4
    np.testing.assert_allclose(value[y > middle + 2 * width], 1.0, rtol=1e-5)
    np.testing.assert_allclose(value[y < middle - 2 * width], 3.0, rtol=1e-5)


def test_own_maps_come_back(small_heart, small_solution, place, tmp_path):
    """mbf.nii.gz holds both states; each is read back as it was written."""
    volumes, axis, _, _ = place
    write_mbf(tmp_path / "mbf.nii.gz", small_solution, small_heart.samples)
    for state in ("rest", "hyperemia"):
        value, _ = read_mbf_map(tmp_path / "mbf.nii.gz", volumes, axis, fwhm=7e-3, state=state)
        mbf = np.asarray(small_solution[state].mbf)
        known = value[np.isfinite(value)]
        assert len(known) > 0.9 * len(value)
        assert np.average(mbf, weights=volumes.volume) == pytest.approx(float(known.mean()), rel=0.05)
    with pytest.raises(perfsim.InputError, match="rest and hyperemia: give one"):
        read_mbf_map(tmp_path / "mbf.nii.gz", volumes, axis, fwhm=7e-3)


def test_maps_on_labels_in_metres(small_heart, small_solution, tmp_path):
    """Written on the grid of labels in metres, the map lies where the labels do, in mm."""
    frame = small_heart.wall.frame
    labels = np.ones((40, 40, 40), np.int16)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = 1e3 * frame.base * [-1, -1, 1] - 80
    nib.save(in_unit(labels, affine, "meter", 1e-3), tmp_path / "l.nii.gz")
    nib.save(image(labels, affine), tmp_path / "l_mm.nii.gz")
    for name in ("l", "l_mm"):
        write_mbf(tmp_path / f"{name}_mbf.nii.gz", small_solution, small_heart.samples, tmp_path / f"{name}.nii.gz")
    a, b = (nib.load(tmp_path / f"{name}_mbf.nii.gz") for name in ("l", "l_mm"))
    np.testing.assert_allclose(a.affine, b.affine, atol=1e-3)
    np.testing.assert_array_equal(a.get_fdata(), b.get_fdata())
    assert np.isfinite(a.get_fdata()).any()


def test_tone_maps(small_heart, tmp_path):
    center = np.asarray(small_heart.sim.volumes.center)
    affine = np.diag([5.0, 5.0, 5.0, 1.0])
    affine[:3, 3] = (1e3 * center * [-1, -1, 1]).min(0) - 10
    shape = tuple(int(n) for n in (1e3 * np.ptp(center, axis=0) + 25) // 5)
    tone = np.full((*shape, 1), 0.7, np.float32)
    nib.save(image(tone, affine, codes=(0, 0)), tmp_path / "t.nii.gz")
    with pytest.raises(perfsim.InputError, match="no orientation"):
        read_tone(tmp_path / "t.nii.gz", center)
    np.testing.assert_allclose(read_tone(tmp_path / "t.nii.gz", center, "sform"), 0.7, rtol=1e-6)


def test_inspect_of_images(tmp_path):
    nib.save(image(*cup()), tmp_path / "L.nii.gz")
    nib.save(image(*cup(), codes=(0, 0)), tmp_path / "none.nii.gz")
    said = command("inspect", "L.nii.gz", "none.nii.gz", cwd=tmp_path)
    assert said.returncode == 3
    for words in (
        "sform code 2 (aligned) RAS", "qform code 0 (unknown)", "labels [0, 1, 2, 3]", "voxels 3 × 3 × 3 mm", "no orientation",
    ):  # fmt: skip
        assert words in said.stdout, said.stdout
