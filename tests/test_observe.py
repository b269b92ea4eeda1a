"""AHA segments, territories, shares."""

from perfsim.anatomy import EllipsoidWall
from perfsim.coupling import simulate
from perfsim.io import write_mbf
from perfsim.observe import SEGMENT_NAMES, aha17, group_means, mean_mbf, share_of, territory_mbf, territory_shares

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import cKDTree


@pytest.mark.parametrize(
    ("z", "theta", "name"),
    [
        (0.1, 90, "basal anterior"), (0.1, 150, "basal anteroseptal"), (0.1, 210, "basal inferoseptal"),
        (0.1, 270, "basal inferior"), (0.1, 330, "basal inferolateral"), (0.1, 30, "basal anterolateral"),
        (0.5, 90, "mid anterior"), (0.5, 0.1, "mid anterolateral"), (0.5, 359.9, "mid inferolateral"),
        (0.9, 90, "apical anterior"), (0.9, 180, "apical septal"), (0.9, 270, "apical inferior"), (0.9, 0, "apical lateral"),
        (1.05, 200, "apex"),
    ],
)  # fmt: skip
def test_segment_of_a_point(z, theta, name):
    frame = EllipsoidWall().frame
    x = frame.base + z * frame.cavity_length * frame.axis + 0.03 * frame.radial(np.array([theta]))
    assert SEGMENT_NAMES[int(aha17(frame, x)[0])] == name


def test_segment_masses(heart):
    """Basal and mid rings hold about 35 % each, apical ring and apex 30 % (Cerqueira 2002)."""
    label = np.asarray(aha17(heart.wall.frame, heart.sim.volumes.center))
    share = np.bincount(label, np.asarray(heart.sim.volumes.volume), 17)
    rings = np.array([share[:6].sum(), share[6:12].sum(), share[12:].sum()]) / share.sum()
    np.testing.assert_allclose(rings, [0.35, 0.35, 0.30], atol=0.06)


def test_group_means_weigh_and_mark_empty():
    means = group_means(jnp.array([1.0, 3.0, 5.0]), jnp.array([0, 0, 2]), jnp.array([3.0, 1.0, 2.0]), 4)
    np.testing.assert_allclose(means, [1.5, np.nan, 5.0, np.nan])


def test_shares_superpose(small_heart):
    """Territory shares sum to one, and the shares of all terminals together are everything."""
    sim = small_heart.sim
    state = simulate(sim).hyperemia
    np.testing.assert_allclose(territory_shares(sim, state).sum(1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(share_of(sim, state, jnp.ones(len(sim.network.terminals), bool)), 1.0, rtol=1e-12)


def test_territory_means_average_to_the_wall(small_heart):
    sim = small_heart.sim
    state = simulate(sim).hyperemia
    weight = np.bincount(np.asarray(sim.tissue.territory), np.asarray(sim.network.demand))
    assert np.average(territory_mbf(sim, state), weights=weight) == pytest.approx(float(mean_mbf(sim, state)), rel=1e-3)


@pytest.mark.parametrize("handed", [1.0, -1.0])
def test_mbf_on_the_grid_of_another_image(small_heart, tmp_path, handed):
    """An off-axis, anisotropic, left- or right-handed grid: every voxel holds the MBF of the volume at its center."""
    import nibabel as nib
    from scipy.spatial.transform import Rotation

    heart, solution = small_heart, simulate(small_heart.sim)
    turned = Rotation.from_euler("xyz", [0.3, -0.6, 1.1]).as_matrix() @ np.diag([handed * 2.0, 3.0, 4.5])
    shape = (60, 50, 40)
    affine = np.eye(4)
    affine[:3, :3] = turned
    center = np.diag([-1e3, -1e3, 1e3]) @ np.asarray(heart.sim.volumes.center).mean(0)
    affine[:3, 3] = center - turned @ (0.5 * np.array(shape))
    nib.save(nib.Nifti1Image(np.zeros(shape, np.uint8), affine), tmp_path / "scan.nii.gz")
    write_mbf(tmp_path / "mbf.nii.gz", solution, heart.samples, like=tmp_path / "scan.nii.gz")
    image = nib.load(tmp_path / "mbf.nii.gz")
    np.testing.assert_allclose(image.affine, affine, atol=1e-5)
    data = image.get_fdata()[..., 1]
    known = np.argwhere(np.isfinite(data))
    world = nib.affines.apply_affine(affine, known) @ np.diag([-1e-3, -1e-3, 1e-3])
    cube = heart.samples.origin + heart.samples.spacing * heart.samples.index
    gap, nearest = cKDTree(cube).query(world, p=np.inf)
    assert gap.max() <= 0.5 * heart.samples.spacing * (1 + 1e-6)
    np.testing.assert_allclose(data[tuple(known.T)], np.asarray(solution.hyperemia.mbf)[nearest], rtol=1e-6)
    filled = len(known) * abs(np.linalg.det(turned)) * 1e-9
    assert filled == pytest.approx(len(cube) * heart.samples.spacing**3, rel=0.02)
