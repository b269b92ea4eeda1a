"""Maps as data: segments, polar maps, voxels, poses, noise."""

import dataclasses

import perfsim
from perfsim.coupling import simulate
from perfsim.darcy import cut_cells
from perfsim.observe import (
    BloodPool,
    LongAxis,
    Noise,
    PolarMap,
    Pose,
    Scan,
    Segments,
    Voxels,
    aha17,
    correlation_factor,
    fractions,
    group_means,
    territories,
)

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

STILL = Pose()


@pytest.fixture(scope="module")
def seen(small_heart):
    axis = LongAxis.of(small_heart.wall.frame)
    solution = simulate(small_heart.sim)
    return small_heart.sim.volumes, axis, solution.hyperemia.mbf, small_heart


def views(volumes, axis, heart):
    voxels = Voxels.grid(volumes, axis, 7e-3, 5e-3)
    return {
        "segments": Segments(axis),
        "anchored": Segments(axis, anchored=True),
        "blurred segments": Segments(axis, voxels),
        "polar map": PolarMap(axis, rings=16, sectors=24),
        "voxels": voxels,
        "regional voxels": dataclasses.replace(voxels, per="region"),
        "territories": territories(heart.sim, simulate(heart.sim).hyperemia),
    }


def test_smooth_segments_are_the_segments(seen):
    """Borders soft by a cell's own width change means by what a cell on them weighs: 2 %."""
    _, axis, _, heart = seen
    volumes = cut_cells(heart.wall, 4e-3)[0]
    along, _, around = axis.cylindrical(volumes.center)
    mbf = 3.0 + 0.5 * jnp.cos(around) + 10.0 * along
    hard = group_means(mbf, aha17(heart.wall.frame, volumes.center), volumes.volume, 17)
    np.testing.assert_allclose(Segments(axis)(volumes, mbf, STILL), hard, rtol=0.02)
    share = Segments(axis).membership(volumes.center, jnp.cbrt(volumes.volume))
    np.testing.assert_allclose(share.sum(0), 1.0, rtol=1e-12)
    sixteen = Segments(axis, count=16).membership(volumes.center, jnp.cbrt(volumes.volume))
    np.testing.assert_allclose(sixteen, share[:16])


def test_anchored_sectors_follow_the_inserts(seen):
    """With inserts at 120° and 240° they are the equal ones; a septum of 90° is halved into 45° sectors."""
    volumes, axis, mbf, _ = seen
    np.testing.assert_allclose(
        Segments(axis, anchored=True)(volumes, mbf, STILL), Segments(axis)(volumes, mbf, STILL), rtol=1e-12
    )
    narrow = eqx.tree_at(lambda a: a.inserts, axis, jnp.radians(jnp.array([135.0, 225.0])))
    at = axis.base + 0.1 * axis.cavity_length * axis.directions[2]
    angles = np.radians([130.0, 140.0, 175.0, 185.0, 220.0, 230.0])
    x = jnp.stack([at + 0.03 * (np.cos(t) * axis.directions[0] + np.sin(t) * axis.directions[1]) for t in angles])
    share = Segments(narrow, anchored=True).membership(x, jnp.full(6, 1e-4))
    np.testing.assert_array_equal(np.argmax(share, axis=0), [0, 1, 1, 2, 2, 3])


def test_a_turn_by_one_sector_moves_every_segment_on(seen):
    volumes, axis, mbf, _ = seen
    still, turned = (Segments(axis)(volumes, mbf, Pose(np.radians(a))) for a in (0.0, 60.0))
    np.testing.assert_allclose(turned[1:6], still[:5], rtol=1e-9)
    np.testing.assert_allclose(turned[0], still[5], rtol=1e-9)
    np.testing.assert_allclose(turned[16], still[16], rtol=1e-9)


def test_nine_degrees_misplace_a_sixth_of_the_mass(seen):
    """What a pose costs when it is ignored: 9° put 17 % of the basal and mid mass into the wrong segment."""
    volumes, axis, _, heart = seen
    a = np.asarray(aha17(heart.wall.frame, volumes.center))
    b = np.asarray(aha17(heart.wall.frame, Pose(np.radians(9.0)).to_image(axis, volumes.center)))
    rings = a < 12
    assert np.average(a[rings] != b[rings], weights=np.asarray(volumes.volume)[rings]) == pytest.approx(0.15, abs=0.03)


def test_poses_invert(seen):
    volumes, axis, _, _ = seen
    pose = Pose(0.3, jnp.array([0.1, -0.2]), jnp.array([1e-3, 2e-3, -3e-3]))
    back = pose.to_heart(axis, pose.to_image(axis, volumes.center))
    np.testing.assert_allclose(back, volumes.center, atol=1e-15)
    matrix = pose.matrix()
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-14)


@pytest.mark.parametrize(
    "name", ["segments", "anchored", "blurred segments", "polar map", "voxels", "regional voxels", "territories"]
)
def test_views_are_linear_with_an_exact_adjoint(seen, name):
    """⟨Hx, y⟩ = ⟨x, Hᵀy⟩ to 1e-10; constants stay constant per gram; the slope by pose against differences."""
    volumes, axis, mbf, heart = seen
    view = views(volumes, axis, heart)[name]
    pose = Pose(0.05, jnp.array([0.02, -0.03]), jnp.array([1e-3, -1e-3, 5e-4]))

    def H(f):
        return view(volumes, f, pose)

    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=mbf.shape))
    y = jnp.asarray(rng.normal(size=H(x).shape))
    left, right = jnp.vdot(H(x), y), jnp.vdot(x, jax.linear_transpose(H, x)(y)[0])
    assert abs(left - right) <= 1e-10 * jnp.linalg.norm(H(x)) * jnp.linalg.norm(y)
    ones = H(jnp.ones_like(mbf))
    if name == "regional voxels":
        assert float(ones.max()) < 1.05
    else:
        np.testing.assert_allclose(ones[ones > 0], 1.0, rtol=1e-9)

    def by_pose(s):
        return jnp.sum(y * view(volumes, mbf, jax.tree.map(lambda p: p * (1.0 + s), pose)))

    slope = jax.jit(jax.grad(by_pose))(0.0)
    difference = (by_pose(1e-4) - by_pose(-1e-4)) / 2e-4
    assert float(slope) == pytest.approx(float(difference), rel=1e-5)


def test_blur_of_a_small_source_has_the_width_asked_for(seen):
    """One volume seen by voxels around it: second moment σ² = (7 mm/2.355)² + (h² + voxel²)/12, cut at 3σ."""
    volumes, axis, mbf, _ = seen
    k = int(jnp.argmax(volumes.volume))
    steps = np.arange(-12e-3, 12.1e-3, 1.5e-3)
    offsets = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    view = Voxels.at(volumes, axis, np.asarray(volumes.center[k]) + offsets, 7e-3, 1.5e-3, per="region")
    weight = np.asarray(view(volumes, jnp.zeros_like(mbf).at[k].set(1.0), STILL))
    assert weight.sum() * (1.5e-3) ** 3 == pytest.approx(float(volumes.volume[k]), rel=0.01)
    second = np.average(offsets**2, axis=0, weights=weight)
    expected = (7e-3 / 2.3548) ** 2 + (float(jnp.cbrt(volumes.volume[k])) ** 2 + 1.5e-3**2) / 12
    np.testing.assert_allclose(second, expected, rtol=0.03)


def test_added_voxels_see_nothing(seen):
    volumes, axis, mbf, _ = seen
    view = Voxels.grid(volumes, axis, 7e-3, 5e-3)
    wide = view.padded()
    n = len(view.point)
    np.testing.assert_allclose(wide(volumes, mbf, STILL)[:n], view(volumes, mbf, STILL), rtol=1e-12)
    np.testing.assert_array_equal(wide.fraction(volumes, STILL)[n:], 0.0)
    a, b = (Segments(axis, v)(volumes, mbf, STILL) for v in (view, wide))
    np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("relative", [0.0, 0.12, 0.15])
def test_residuals_of_noise_are_standard(relative):
    """Over many draws, of low flows and of high ones: mean 0 to 0.012, variance 1 to 8 % (second order in ρ: 2.5 ρ²)."""
    m = np.tile([0.2, 0.9, 4.0], 40_000)
    noise = Noise(relative, 0.05)
    r = np.asarray(noise.residual(jnp.asarray(m), jnp.asarray(noise.draw(np.random.default_rng(1), m)))).reshape(-1, 3)
    np.testing.assert_allclose(r.mean(0), 0.0, atol=0.012)
    np.testing.assert_allclose(r.var(0), 1.0, atol=0.08)


def test_correlated_noise_is_whitened():
    point = np.stack(np.meshgrid(*3 * [4e-3 * np.arange(6)]), -1).reshape(-1, 3)
    noise = Noise(0.1, 0.05, correlation_factor(point, 7e-3))
    rng, m = np.random.default_rng(2), np.full(len(point), 2.0)
    draws = np.stack([noise.draw(rng, m) for _ in range(400)])
    beside = np.corrcoef(draws[:, 86], draws[:, 87])[0, 1]
    assert beside == pytest.approx(0.9 * np.exp(-(4**2) / (4 * 2.973**2)), abs=0.08)
    residuals = np.stack([noise.residual(jnp.asarray(m), jnp.asarray(y)) for y in draws])
    assert residuals.var() == pytest.approx(1.0, abs=0.03)
    assert abs(np.corrcoef(residuals[:, 86], residuals[:, 87])[0, 1]) < 0.15
    with pytest.raises(perfsim.InputError, match="12,000"):
        correlation_factor(np.zeros((12_001, 3)), 7e-3)


def test_outliers_pull_less(seen):
    """Student's residual is the normal one near 0 and grows as the root of a logarithm; ½s² is minus its log-density."""
    noise = Noise(0.0, 1.0, freedom=jnp.asarray(4.0))
    y = jnp.array([0.0, 1e-5, 1.0, 30.0])
    s = noise.residual(jnp.zeros(4), y)
    np.testing.assert_allclose(0.5 * s**2, 2.5 * np.log1p(np.asarray(y) ** 2 / 4.0), rtol=1e-9)
    assert np.isfinite(jax.grad(lambda m: jnp.sum(noise.residual(m, y) ** 2))(jnp.zeros(4))).all()


def test_missing_data_are_left_out(seen):
    _, axis, _, heart = seen
    solution = simulate(heart.sim)
    scan = Scan(("hyperemia",), jnp.zeros((1, 17)), Noise(0.1, 0.05), Segments(axis))
    scan = eqx.tree_at(lambda s: s.value, scan, scan.predict(heart.sim, solution).at[0, ::2].set(jnp.nan))
    assert float(jnp.abs(scan.residual(heart.sim, solution)).max()) < 0.1  # only the shift of the mean


def test_scale_is_shared_by_states(seen):
    heart = seen[3]
    scan = Scan(("rest", "hyperemia"), jnp.zeros((2, 17)), Noise(), Segments(seen[1]))
    solution = simulate(heart.sim)
    plain = scan.predict(heart.sim, solution)
    scaled = eqx.tree_at(lambda s: s.log_scale, scan, jnp.log(1.1)).predict(heart.sim, solution)
    np.testing.assert_allclose(scaled, 1.1 * plain)
    with pytest.raises(perfsim.InputError, match="full width"):
        Voxels.at(seen[0], seen[1], np.zeros((1, 3)), 0.1, 4e-3)


def test_blood_spills_over(seen):
    """Tissue, blood and background fill a voxel; blood is the inner side's; an apex-down cavity holds its 100 mL."""
    volumes, axis, _, heart = seen
    pool = BloodPool.of(heart.wall)
    assert 60e-6 < float(pool.volume.sum()) < 140e-6
    view = Voxels.grid(volumes, axis, 7e-3, 5e-3)
    tissue, blood, background = fractions(view, volumes, pool, STILL)
    whole = np.asarray(tissue + blood + background)
    assert abs(whole - 1.0).mean() < 0.005 and abs(whole - 1.0).max() < 0.08  # cells of 4 mm at a border, at the apex
    depth = heart.wall.depth(np.asarray(view.point))
    assert blood[depth > 0.7].mean() > 0.2 > 0.05 > blood[depth < 0.3].mean()
    assert background[depth < 0.3].mean() > 0.2
