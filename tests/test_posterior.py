"""What is known after a fit: gradients through everything, posteriors, identifiability, the next measurement."""

import dataclasses

import perfsim
from perfsim.cohorts import Stenosis, lesions
from perfsim.coupling import simulate
from perfsim.inverse import (
    Free,
    ToneField,
    clinical_quantities,
    clinical_table,
    comparisons,
    fit,
    identifiability,
    next_measurement,
    posterior,
    problem,
    profile,
    verdicts,
)
from perfsim.inverse.linearized import Linearized, evaluate
from perfsim.inverse.posterior import Ensemble, _leading
from perfsim.observe import Cuff, LongAxis, Noise, PolarMap, Pose, Scan, Segments, Voxels, Wire, lesion_sites
from perfsim.observe import territory_mbf as mbf_of_territories

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

EVERYTHING = (
    "tone", "throat", "lumen", "drainage", "mobility", "exponent", "hematocrit", "pressure", "demand", "rotation",
    "tilt", "shift", "scale", "state_scale", "hyperemia.back_pressure_endo", Free("terminal_tone", by="branch"),
    ToneField(0.2, 15e-3), ToneField(0.2, 15e-3, on="terminals"), ToneField(border=0.7),
)  # fmt: skip


@pytest.fixture(scope="module")
def heart(small_heart):
    return small_heart


@pytest.fixture(scope="module")
def sim(padded_sim):
    return padded_sim


def scan(heart, sim, states=("rest", "hyperemia"), noise=None, blurred=False):
    axis = LongAxis.of(heart.wall.frame)
    blur = Voxels.grid(sim.volumes, axis, 7e-3, 5e-3) if blurred else None
    measured = Scan(states, jnp.zeros((len(states), 17)), noise or Noise(0.12, 0.02), Segments(axis, blur))
    return eqx.tree_at(lambda s: s.value, measured, measured.predict(sim, simulate(sim)))


@pytest.fixture(scope="module")
def everything(heart, sim):
    """All parameter classes at once, through tree, tissue, blur, segments and pose, away from where data were made."""
    posed, _ = problem(sim, [scan(heart, sim, blurred=True)], EVERYTHING)
    start = 0.3 * np.random.default_rng(0).normal(size=posed.size)
    here = evaluate(posed, start)
    return posed, start, lambda xi: evaluate(posed, xi).r, Linearized(posed, here)


def classes(posed):
    ends = np.cumsum([b.size for b in posed.blocks])
    return list(zip(ends - [b.size for b in posed.blocks], ends, strict=True))


@pytest.mark.parametrize("k", range(len(EVERYTHING)))
def test_taylor_slope_is_two(everything, k):
    """|r(ξ + hv) - r(ξ) - hJv| falls as h² along every class of parameters."""
    posed, start, residual, linear = everything
    low, high = classes(posed)[k]
    v = np.zeros(posed.size)
    v[low:high] = np.random.default_rng(k).normal(size=high - low)
    v = v / np.linalg.norm(v)
    value, along = linear.here.r, linear.tangents(v[None])[0]

    def left(h):
        return float(np.linalg.norm(residual(start + h * v) - value - h * along))

    h = (0.1, 0.05) if k < 16 else (0.4, 0.2)
    rest = [left(x) for x in h]
    size = float(np.linalg.norm(along))
    assert rest[-1] > 1e-9 * max(size, 1.0), "linear to round-off: nothing is tested"
    slope = np.log(rest[-2] / rest[-1]) / np.log(2.0)
    assert slope == pytest.approx(2.0, abs=0.15)
    # the limit: Richardson's slope of the finer pairs
    finer = [left(0.1 * x) for x in h]
    assert finer[-1] > 1e-10 * size, "linear to round-off: nothing is tested"
    assert np.log(finer[0] / finer[1]) / np.log(2.0) == pytest.approx(2.0, abs=0.05)


def test_tangent_and_adjoint_agree(everything):
    """⟨Jv, w⟩ = ⟨v, Jᵀw⟩ to 1e-10, several at a time and one alone."""
    posed, _, _, linear = everything
    rng = np.random.default_rng(1)
    v, w = (rng.normal(size=(6, n)) for n in (posed.size, posed.data_size))
    Jv, JTw = linear.tangents(v), linear.cotangents(w)  # four and two
    scale = np.linalg.norm(Jv, axis=1) * np.linalg.norm(w, axis=1)
    assert np.all(np.abs(np.sum(Jv * w, axis=1) - np.sum(v * JTw, axis=1)) <= 1e-10 * scale)


FREE = ("tone", "throat", "pressure", "scale")


@pytest.fixture(scope="module")
def stress(heart, sim):
    """One hyperemic map of segments, fitted where it was made."""
    return posterior(fit(sim, [scan(heart, sim, ("hyperemia",))], FREE))


def test_posterior_is_the_inverse_of_the_hessian(stress):
    """Covariance, deviations and draws against (I + JᵀJ)⁻¹ computed directly."""
    fitted = stress.fit
    J = Linearized(fitted.problem, evaluate(fitted.problem, fitted.xi)).tangents(np.eye(len(fitted.xi))).T
    exact = np.linalg.inv(np.eye(len(fitted.xi)) + J.T @ J)
    np.testing.assert_allclose(stress.covariance(np.arange(len(fitted.xi))), exact, atol=1e-8)
    np.testing.assert_allclose(stress.sd, np.sqrt(np.diag(exact)), atol=1e-8)
    np.testing.assert_allclose(stress.times_covariance(J), J @ exact, atol=1e-7)
    draws = stress.draw(20_000)
    np.testing.assert_allclose(np.cov(draws.T), exact, atol=0.03)
    np.testing.assert_allclose(draws.mean(0), fitted.xi, atol=1e-12)  # in opposite pairs


def test_random_products_find_the_eigenvalues(stress):
    from perfsim.inverse.gauss_newton import Work

    found, directions = _leading(stress.fit.problem, stress.fit.xi, Work())
    np.testing.assert_allclose(found[:5], stress.eigenvalues[:5], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(directions.T @ directions, np.eye(directions.shape[1]), atol=1e-9)


def test_stenosis_and_tone_are_told_to_be_confounded(heart, sim):
    """One stress map of a heart with a stenosis in front of the whole LAD: more of it or more tone make the same
    defect, and the fit says so in words.
    """
    near = lesions(heart.sim.network, (Stenosis("LAD", 0.008, 0.55, 0.008),))
    sim = eqx.tree_at(lambda s: s.lesions, sim, near)
    known = posterior(fit(sim, [scan(heart, sim, ("hyperemia",), Noise(0.05, 0.02))], ("tone", "severity", "demand")))
    said = identifiability(known)
    worst = said.confounded[0]
    assert {worst.first, worst.second} == {"severity[LAD@8mm]", "tone[LAD]"} and worst.correlation > 0.8
    assert said.informed < said.parameters
    text = " ".join(said.lines())
    assert "LAD stenosis" in text and "LAD microvascular tone, correlation +0." in text
    assert "Not informed by these data: resting demand." in text


def test_a_wire_tells_stenosis_from_tone(heart, sim, stress):
    """The wire shrinks the stenosis' uncertainty far more than another map does."""
    site = lesion_sites(sim)[0]
    candidates = {
        "wire": Wire(0.0, site, Noise(0.0, 0.01)),
        "cuff": Cuff(0.0),
        "rest": scan(heart, sim, ("rest",)),
    }
    values = {v.name: v for v in next_measurement(stress, candidates)}
    assert values["wire"].sd["throat[LAD@30mm]"] < 0.7 < values["rest"].sd["throat[LAD@30mm]"]
    assert values["cuff"].sd["pressure[hyperemia]"] < 0.9
    assert values["rest"].sd["tone[LAD]"] <= 1.0 + 1e-9 and all(v.bits >= 0 for v in values.values())
    # the same as doing it: the posterior with the wire's reading at hand
    wire = Wire(simulate(sim).hyperemia.static_pressure[site] / sim.states[1].aortic_pressure, site, Noise(0.0, 0.01))
    both = posterior(fit(sim, [*stress.fit.problem.model.data, wire], FREE))
    k = both.fit.names.index("throat[LAD@30mm]")
    assert values["wire"].sd["throat[LAD@30mm]"] == pytest.approx(both.sd[k] / stress.sd[k], rel=0.05)


def test_derived_quantities_come_with_intervals(stress):
    table, draws = clinical_table(stress, draws=24)
    named = {q.name: q for q in table}
    ffr = named["FFR LAD 30 mm"]
    assert ffr.low < ffr.middle < ffr.high < 1.0 and 0.0 <= ffr.probability <= 1.0
    flow = named["MBF, hyperemia LCx"]  # what was measured is known better than before
    assert flow.before[0] < flow.low and flow.high < flow.before[1]
    assert named["MFR LCx"].event == "P(MFR < 2)" and named["microvascular resistance RCA"].low > 0
    assert draws.weight.sum() == pytest.approx(1.0) and 1.0 <= draws.effective <= 24.0
    best = clinical_quantities(stress.fit.sim)(
        simulate(stress.fit.sim)
    )  # at the optimum; see test_derived_numbers for its parts
    places = {kind: ["LAD", "LCx", "RCA"] for kind in best} | {"FFR": ["LAD 30 mm"]}
    for kind, value in best.items():
        for place, there in zip(places[kind], np.asarray(value), strict=True):
            q = named[f"{kind} {place}"]
            assert q.low <= there <= q.high and abs(q.middle - there) <= 0.5 * (q.high - q.low), q.name
    below = draws.values["FFR"][:, 0] <= 0.80
    assert ffr.probability == pytest.approx(float(draws.weight @ below))
    low, high = draws.interval(0.9, "FFR")
    assert float(draws.mean("FFR")[0]) == pytest.approx(float(ffr.middle), abs=float(high[0] - low[0]))
    # one territory is behind the stenosis; its tone is a parameter of every draw
    lad, lcx, _ = verdicts(stress, dataclasses.replace(draws, k_hat=0.0))
    posed, at = stress.fit.problem, stress.fit.names.index("tone[LAD]")
    tone = np.array([float(posed.values(jnp.asarray(x))[at]) for x in draws.xi])
    assert lad.microvascular == pytest.approx(float(draws.weight @ (tone <= 0.6)), abs=1e-9)
    assert lad.obstructive == pytest.approx(ffr.probability) and lcx.obstructive == 0.0 and lcx.ffr is None
    assert sum(lad.probability.values()) == pytest.approx(1.0) and lcx.given == "neither"
    assert lad.ffr == pytest.approx((ffr.low, ffr.middle, ffr.high)) and lad.tone[0] < lad.tone[1] < lad.tone[2]
    # what was measured, beside what the fit predicts of it: noise-free, fitted where it was made
    by_place = {c.place: c for c in comparisons(stress.fit)}
    assert list(by_place)[:4] == ["LAD", "LCx", "RCA", "1 basal anterior"] and len(by_place) == 20
    for c in by_place.values():
        assert c.fitted["hyperemia"] == pytest.approx(c.measured["hyperemia"], rel=0.02)
    flow = np.asarray(mbf_of_territories(stress.fit.sim, simulate(stress.fit.sim).hyperemia))
    for name, there in zip(("LAD", "LCx", "RCA"), flow, strict=True):  # segments lie across borders of territories
        assert by_place[name].fitted["hyperemia"] == pytest.approx(there, rel=0.15)
    assert np.isnan(by_place["LAD"].mfr).all()


def test_an_interval_of_few_draws_holds_one_more_as_often_as_it_says():
    """90 % of 4,000 further draws lie within the interval of 30 others, to three standard errors of the count; with
    unequal weights that are worth as many, to 0.03."""
    rng = np.random.default_rng(0)
    for uneven, off in ((0.0, 0.0142), (1.0, 0.03)):
        count = 30 if not uneven else 75
        weight = np.exp(uneven * rng.normal(size=(count,)))
        few = Ensemble({"x": rng.normal(size=(count, 4000))}, weight / weight.sum())
        low, high = few.interval(0.9, "x")
        more = rng.normal(size=4000)
        assert np.mean((more >= low) & (more <= high)) == pytest.approx(0.9, abs=off)


def test_profile_is_flat_where_nothing_is_known(stress):
    """Rest pressure does not enter a stress map: its profile is its prior's parabola. The LCx's tone has a minimum."""
    values, cost = profile(stress.fit, "pressure[rest]", (-1.0, 0.0, 1.0))
    np.testing.assert_allclose(cost - cost[1], [0.5, 0.0, 0.5], atol=0.02)
    assert values[1] == pytest.approx(93.0) and values[2] > values[0]
    _, cost = profile(stress.fit, "tone[LCx]", (-1.0, 0.0, 1.0))
    assert min(cost[0], cost[2]) > cost[1] + 0.5


@pytest.mark.slow
def test_pose_error_is_recovered(heart, sim):
    """A polar map turned by 10°, noise-free: the fit finds it to 2°, against a prior of 5°."""
    view = PolarMap(LongAxis.of(heart.wall.frame), rings=16, sectors=24)
    turned = Scan(("hyperemia",), jnp.zeros((1, 384)), Noise(0.02, 0.02), view, Pose(np.radians(10.0)))
    value = turned.predict(sim, simulate(sim))
    data = Scan(("hyperemia",), value, Noise(0.02, 0.02), view)
    fitted = fit(sim, [data], ("rotation", "tone", "throat", "scale"))
    assert fitted.after[0] == pytest.approx(10.0, abs=2.0)


def test_a_fit_without_a_prior_has_no_posterior(stress):
    fitted = dataclasses.replace(stress.fit, problem=dataclasses.replace(stress.fit.problem, prior=False))
    with pytest.raises(perfsim.InputError, match="without a prior"):
        posterior(fitted)
