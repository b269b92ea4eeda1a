"""Dynamic scans: activity through tree, tissue, tracer, camera and pose, and what a fit finds in it."""

import perfsim
from perfsim.coupling import simulate
from perfsim.inverse import Free, fit, problem
from perfsim.inverse.linearized import Linearized, evaluate
from perfsim.observe import Activity, LongAxis, Noise, Segments, Voxels
from perfsim.observe.tracers import Curve, Frames, Rubidium, Water, frame_means

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

FRAMES = Frames.sequence((6, 5), (3, 10), (2, 30))
EVERYTHING = (
    "tone", "pressure", "rotation", "tilt", "shift", "delay", "arterial", "tracer.partition",
)  # fmt: skip


def bolus() -> Curve:
    """Arrival at 10 s, peak at 22 s, and a tail."""
    t = np.arange(0.0, 151.0, 2.0)
    late = np.maximum(t - 10.0, 0.0)
    return Curve.of(t, 50.0 * (late / 6.0) ** 2 * np.exp(-late / 6.0) + 4.0 * (1.0 - np.exp(-late / 20.0)))


@pytest.fixture(scope="module")
def dynamic(small_heart, padded_sim):
    """(simulation, scans at rest and in hyperemia of 17 segments through 7 mm, as the model predicts them)."""
    sim, axis = padded_sim, LongAxis.of(small_heart.wall.frame)
    blur = Voxels.grid(sim.volumes, axis, 7e-3, 6e-3, per="region")
    solution = simulate(sim)
    scans = []
    for state in ("rest", "hyperemia"):
        empty = Activity(
            state, jnp.zeros((17, len(FRAMES.start))), Noise(0.05, 0.2), Water(), bolus(), FRAMES,
            view=Segments(axis, blur), arterial=0.2,
        )  # fmt: skip
        scans.append(eqx.tree_at(lambda m: m.value, empty, empty.predict(sim, solution)))
    return sim, scans


def test_activity_is_what_the_camera_sees_of_uptake(dynamic):
    """Without uptake there is the blood in the voxels; uptake adds F·PTF, less than a whole voxel of tissue would."""
    sim, (rest, _) = dynamic
    still = rest.predict(sim, eqx.tree_at(lambda s: s["rest"].mbf, simulate(sim), replace_fn=jnp.zeros_like))
    np.testing.assert_allclose(still, 0.2 * np.broadcast_to(frame_means(bolus(), FRAMES), still.shape), rtol=1e-12)
    whole = Water().tissue(simulate(sim).rest.mbf, bolus(), FRAMES)
    seen = np.asarray(rest.value - still)
    assert (seen[:, -1] > 0).all() and seen[:, -1].max() < float(whole[:, -1].max())


def test_fit_of_activity_finds_flow_pose_and_delay(dynamic):
    """4D data made with another tone, turned by 6° and delayed by 1.5 s are fitted to their truth."""
    sim, scans = dynamic
    free = (Free("tone", spread=0.4), "rotation", "delay", "tracer.partition")
    posed, names = problem(sim, scans, free)
    assert names[-4:] == ["rotation", "delay[rest]", "delay[hyperemia]", "tracer.partition"]
    truth = jnp.asarray(np.random.default_rng(3).normal(size=posed.size))
    model = posed.at(truth)
    solution = simulate(model.sim)
    data = [
        eqx.tree_at(lambda m: (m.value, m.noise), start, (made.predict(model.sim, solution), Noise(0.003, 0.01)))
        for start, made in zip(scans, model.data, strict=True)
    ]
    fitted = fit(sim, data, free, tolerance=0.01)
    assert fitted.converged
    np.testing.assert_allclose(fitted.xi, truth, atol=0.02)
    mbf, there = (simulate(s).hyperemia.mbf for s in (fitted.sim, model.sim))
    assert float(jnp.max(jnp.abs(mbf - there) / jnp.maximum(there, 0.1))) < 0.003  # 0 in added volumes


@pytest.fixture(scope="module")
def everything(dynamic):
    """All parameters at once, away from where the data were made."""
    posed, _ = problem(*dynamic, EVERYTHING)
    return posed, Linearized(posed, evaluate(posed, 0.3 * np.random.default_rng(5).normal(size=posed.size)))


@pytest.mark.parametrize("k", range(len(EVERYTHING)), ids=EVERYTHING)
def test_taylor_slope_is_two_through_the_tracer(everything, k):
    """|r(ξ + hv) - r(ξ) - hJv| falls as h² through tree, tissue, tracer, blur, segments and pose."""
    posed, linear = everything
    ends = np.cumsum([b.size for b in posed.blocks])
    part = slice(ends[k] - posed.blocks[k].size, ends[k])
    v = np.zeros(posed.size)
    v[part] = np.random.default_rng(k).normal(size=posed.blocks[k].size)
    here, along = linear.here, linear.tangents(np.stack([v, v]))[0]
    rest = [np.linalg.norm(evaluate(posed, here.xi + h * v).r - here.r - h * along) for h in (2e-3, 1e-3)]
    assert np.log2(rest[0] / rest[1]) == pytest.approx(2.0, abs=0.05)


def test_wrong_scans_are_refused(dynamic):
    sim, (rest, _) = dynamic
    with pytest.raises(perfsim.InputError, match="a column for each of the 11 frames"):
        Activity("rest", jnp.zeros((17, 5)), Noise(), Water(), bolus(), FRAMES)
    with pytest.raises(perfsim.InputError, match="ends at 100 s, the last frame at 120 s"):
        Activity("rest", jnp.zeros((17, 11)), Noise(), Water(), Curve.of([0.0, 100.0], [0.0, 1.0]), FRAMES)
    with pytest.raises(perfsim.InputError, match=r"did you mean 'tracer\.partition'"):
        problem(sim, [rest], ["tracer.partitoin"])
    rubidium = eqx.tree_at(lambda m: m.tracer, rest, Rubidium(volume=5.0))
    _, names = problem(sim, [rubidium], ["tracer.extraction.b"])
    assert names == ["tracer.extraction.b"]
