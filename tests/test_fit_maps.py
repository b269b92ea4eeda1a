"""Fits of NIfTI maps from the command line, and maps of tone in case files."""

import perfsim
from perfsim._results import InputError
from perfsim.cli.fit import fit_case
from perfsim.cli.fitted import fitted_case
from perfsim.cli.measured import panels, read_measured
from perfsim.inverse import ToneField, fit
from perfsim.io import couple_case, grow_case, parse_case, read_case, read_tone, write_tone
from perfsim.io.images import TO_RAS
from perfsim.observe import LongAxis, Noise, Pose, Scan, Voxels, correlation_factor

import equinox as eqx
import jax.numpy as jnp
import nibabel as nib
import numpy as np
import pytest

SMALL = """[tree]
terminals = 150
[mesh]
spacing = "5 mm"
[[stenosis]]
branch = "LAD"
position = "30 mm"
diameter_reduction = 0.2
length = "10 mm"
"""  # the shapes of `small_heart`
FIT = '[fit]\nparameters = ["tone_field"]\nnoise = 0.05\n'


@pytest.fixture(scope="module")
def heart():
    case = parse_case(SMALL)
    return couple_case(case, grow_case(case))


@pytest.fixture(scope="module")
def grid(heart):
    """(points of a 6 mm image around the wall, its shape, its affine)."""
    center = np.asarray(heart.sim.volumes.center)
    low = center.min(0) - 15e-3
    shape = tuple(np.ceil((np.ptp(center, axis=0) + 30e-3) / 6e-3).astype(int))
    affine = TO_RAS @ np.vstack([np.column_stack([6e-3 * np.eye(3), low]), [0.0, 0.0, 0.0, 1.0]])
    return low + 6e-3 * np.argwhere(np.ones(shape, bool)), shape, affine


def degrees(heart) -> np.ndarray:
    """The angle of each volume around the long axis."""
    return np.degrees(np.asarray(LongAxis.of(heart.wall.frame).cylindrical(heart.sim.volumes.center)[2])) % 360.0


def anterior(heart) -> np.ndarray:
    """The volumes of a sector of 60°."""
    return (degrees(heart) > 60.0) & (degrees(heart) < 120.0)


def test_tone_maps_come_back(heart, tmp_path):
    """What `write_tone` writes lies on the volumes again, and changes what a case couples."""
    rng = np.random.default_rng(0)
    tone = rng.uniform(0.5, 1.5, len(heart.sim.volumes.volume))
    write_tone(tmp_path / "tone.nii.gz", tone, heart.samples)
    back = read_tone(tmp_path / "tone.nii.gz", np.asarray(heart.sim.volumes.center))
    assert np.mean(np.isclose(back, tone, rtol=1e-6)) > 0.95  # centers of cut cells may lie beside their grid cell
    (tmp_path / "case.toml").write_text(f'{SMALL}[tissue]\ntone_map = "tone.nii.gz"\n')
    case = read_case(tmp_path / "case.toml")
    changed = couple_case(case, grow_case(case)).sim
    np.testing.assert_allclose(changed.tissue.supply, heart.sim.tissue.supply * back, rtol=1e-12)
    nib.save(
        nib.Nifti1Image(np.zeros((30, 30, 30), np.float32), np.diag([1.0, 1.0, 1.0, 1.0])), tmp_path / "tone.nii.gz"
    )
    with pytest.raises(InputError, match="covers"):
        couple_case(case, grow_case(case))


@pytest.mark.slow
def test_a_map_of_a_scar_is_fitted(heart, grid, tmp_path):
    """Voxels of a heart whose anterior wall takes up less: the fit finds where, and the case it writes has that flow.

    The scar fades over 30°, as the smooth field can: sharp ones need a border, see the next test.
    """
    point, shape, affine = grid
    volumes, axis = heart.sim.volumes, LongAxis.of(heart.wall.frame)
    scar, off_center = anterior(heart), (degrees(heart) - 90.0) / 30.0
    less = 1.0 - 0.45 * np.exp(-(off_center**2))
    sick = eqx.tree_at(lambda s: s.tissue.supply, heart.sim, heart.sim.tissue.supply * less)
    truth = perfsim.simulate(sick).hyperemia.mbf
    view = Voxels.at(volumes, axis, point, 7e-3, 6e-3)
    seen = np.asarray(view.fraction(volumes, Pose())) > 0.3
    noise = Noise(0.05, 0.05, correlation_factor(point[seen], 7e-3))  # neighbors share it, as the case assumes
    value = np.zeros(len(point))
    value[seen] = noise.draw(np.random.default_rng(1), np.asarray(view(volumes, truth, Pose()))[seen])
    value = value.reshape(shape)
    nib.save(nib.Nifti1Image(value.astype(np.float32), affine), tmp_path / "stress.nii.gz")
    (tmp_path / "case.toml").write_text(SMALL + FIT)
    case = read_case(tmp_path / "case.toml")

    scan = read_measured(case, tmp_path / "stress.nii.gz", "hyperemia").scan(heart)
    fitted = fit(heart.sim, [scan], (ToneField(),))
    assert fitted.converged
    measured, predicted, off = panels(heart, fitted.fitted, perfsim.simulate(fitted.sim))["hyperemia"]
    assert measured.shape == predicted.shape and np.abs(off).mean() < 1.0
    assert np.corrcoef(measured.ravel(), predicted.ravel())[0, 1] > 0.7

    found = fitted_case(case, heart, fitted.sim, tmp_path)
    again = couple_case(found, grow_case(found))
    tone = np.asarray(again.sim.tissue.supply / heart.sim.tissue.supply)
    assert np.median(tone[scar]) < 0.8 < 0.9 < np.median(tone[~scar])
    mbf, weight = perfsim.simulate(again.sim).hyperemia.mbf, np.asarray(volumes.volume)
    for where in (scar, ~scar):
        mean, true = (np.average(np.asarray(m)[where], weights=weight[where]) for m in (mbf, truth))
        assert mean == pytest.approx(true, rel=0.06)


@pytest.mark.slow
def test_a_border_keeps_a_scar_sharp(heart):
    """A scar with an edge, 8 % noise per voxel: the level-set field halves the error of the smooth one."""
    volumes, axis = heart.sim.volumes, LongAxis.of(heart.wall.frame)
    sick = eqx.tree_at(
        lambda s: s.tissue.supply, heart.sim, heart.sim.tissue.supply * jnp.where(anterior(heart), 0.4, 1.0)
    )
    truth = np.asarray(perfsim.simulate(sick).hyperemia.mbf)
    view, noise = Voxels.grid(volumes, axis, 7e-3, 6e-3), Noise(0.08, 0.05)
    value = noise.draw(np.random.default_rng(1), np.asarray(view(volumes, jnp.asarray(truth), Pose())))
    error = []
    for field in (ToneField(), ToneField(border=0.92)):
        fitted = fit(heart.sim, [Scan(("hyperemia",), value[None], noise, view)], (field,))
        assert fitted.converged
        off = np.abs(np.asarray(perfsim.simulate(fitted.sim).hyperemia.mbf) - truth) / np.maximum(truth, 0.1)
        error.append(np.average(off, weights=np.asarray(volumes.volume)))
    assert error[1] < 0.6 * error[0] < 0.06


def test_what_cannot_be_fitted_is_refused(tmp_path):
    (tmp_path / "case.toml").write_text(f'{SMALL}[fit]\nparameters = ["tone_feild"]\n')
    case = read_case(tmp_path / "case.toml")
    with pytest.raises(InputError, match="did you mean 'tone_field'"):
        fit_case(case, tmp_path / "s.nii.gz", None, None)
    (tmp_path / "case.toml").write_text(SMALL + FIT)
    with pytest.raises(InputError, match=r"missing\.nii: no such file"):
        fit_case(read_case(tmp_path / "case.toml"), tmp_path / "missing.nii", None, None)
