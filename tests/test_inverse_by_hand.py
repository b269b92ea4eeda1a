"""Fits, posteriors and what follows from them where all of it is linear algebra that fits on a page.

The measurement here is linear in the logarithms of tone and supply and needs no flow field: the optimum, the posterior,
profiles and the worth of further measurements have closed forms.
"""

import dataclasses
import math
import sys
from types import SimpleNamespace

import perfsim
from perfsim._results import RESULTS
from perfsim.anatomy import EllipsoidWall
from perfsim.darcy import FiniteVolumes
from perfsim.inverse import (
    Ensemble,
    Free,
    Goodness,
    ToneField,
    Value,
    comparison,
    fit,
    goodness,
    identifiability,
    next_measurement,
    posterior,
    problem,
    profile,
    verdict,
)
from perfsim.inverse.descent import marquardt
from perfsim.inverse.fields import FieldBlock, Matern
from perfsim.inverse.gauss_newton import Dense, Krylov, Step, Trust, Work, bent
from perfsim.inverse.goodness import datum_names
from perfsim.inverse.held import left_out
from perfsim.inverse.identifiability import in_words
from perfsim.inverse.model import Model
from perfsim.inverse.posterior import pareto_smoothed
from perfsim.inverse.ridge import along, mixture
from perfsim.inverse.verdict import Verdict, feeding_lesions, territory_tone
from perfsim.network import no_lesions
from perfsim.observe import EachVolume, LongAxis, Measurement, Noise, Scan, Segments, Wire

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import solution, tiny_heart

posterior_module = sys.modules["perfsim.inverse.posterior"]
"""not the function of that name"""

FREE = ("tone", "supply")
SPREAD = 0.5
"""of both kinds"""


class Logarithms(Measurement):
    """A (log tone of the LAD, log tone of the LCx, log supply over its first value), bent by its square."""

    value: jnp.ndarray
    noise: Noise
    A: jnp.ndarray
    first: jnp.ndarray
    bow: float = 0.0

    @property
    def needs(self):
        return ()

    def predict(self, sim, solution):
        m = self.A @ jnp.append(jnp.log(sim.tissue.tone), jnp.log(sim.tissue.supply / self.first))
        return m + self.bow * m**2


@pytest.fixture(scope="module")
def sim():
    """Without a state there is nothing to solve for."""
    return eqx.tree_at(lambda s: s.states, tiny_heart(), ())


A = np.array([[1.0, 0.5, 0.2], [0.3, -1.0, 0.4], [0.8, 0.7, -0.1], [0.2, 0.1, 1.5]])
Y, SIGMA = np.array([0.6, -0.4, 0.5, 0.9]), 0.2
J = SPREAD / SIGMA * A
H = np.eye(3) + J.T @ J
BEST = np.linalg.solve(H, J.T @ Y / SIGMA)
C = np.linalg.inv(H)


def measured(sim, rows=slice(None), value=Y, sigma=SIGMA, bow=0.0):
    first = jnp.asarray(sim.tissue.supply)
    return Logarithms(jnp.asarray(value[rows]), Noise(0.0, sigma), jnp.asarray(A[rows]), first, bow)


@pytest.fixture(scope="module")
def fitted(sim):
    return fit(sim, [measured(sim)], FREE, tolerance=1e-6)


@pytest.mark.parametrize("method", ["dense", "krylov", "lbfgs", "auto"])
def test_the_optimum_is_found(sim, method):
    """(I + JᵀJ)⁻¹ Jᵀ y, by every method; costs before and after, values in their units."""
    found = fit(sim, [measured(sim)], FREE, method=method, tolerance=1e-6)
    assert found.converged and found.names == ["tone[LAD]", "tone[LCx]", "supply"]
    np.testing.assert_allclose(found.xi, BEST, atol=2e-5)
    np.testing.assert_allclose(found.after[:2], np.exp(SPREAD * BEST[:2]), rtol=2e-5)
    assert found.after[2] == pytest.approx(float(sim.tissue.supply) * np.exp(SPREAD * BEST[2]), rel=2e-5)
    assert found.cost_before == pytest.approx(0.5 * np.sum((Y / SIGMA) ** 2))
    r = J @ BEST - Y / SIGMA
    assert found.cost_after == pytest.approx(0.5 * r @ r + 0.5 * BEST @ BEST, rel=1e-6)
    np.testing.assert_allclose(found.sim.tissue.tone, np.exp(SPREAD * BEST[:2]), rtol=2e-5)


def test_without_a_prior_it_is_least_squares(sim):
    """Data that no parameters meet; data that some do; and fewer data than parameters."""
    found = fit(sim, [measured(sim)], FREE, prior=False, tolerance=1e-4)
    np.testing.assert_allclose(found.xi, np.linalg.lstsq(J, Y / SIGMA, rcond=None)[0], atol=1e-3)
    truth = np.array([0.4, -0.7, 1.1])
    exact = fit(sim, [measured(sim, value=SPREAD * A @ truth)], FREE, prior=False)
    assert exact.converged and exact.cost_after <= 4 * 0.5e-4
    np.testing.assert_allclose(J @ exact.xi, J @ truth, atol=0.03)
    few = fit(sim, [measured(sim, slice(2))], FREE, tolerance=1e-6)
    G = J[:2]
    np.testing.assert_allclose(few.xi, G.T @ np.linalg.solve(np.eye(2) + G @ G.T, Y[:2] / SIGMA), atol=1e-5)


def test_what_fits_are_asked_wrongly(sim):
    with pytest.raises(perfsim.InputError, match="no method 'newton'"):
        fit(sim, [measured(sim)], FREE, method="newton")
    with pytest.raises(perfsim.InputError, match=r"no prior|without a prior"):
        posterior(fit(sim, [measured(sim)], FREE, prior=False))


def test_a_step_promises_what_it_keeps(sim):
    """On a linear problem the model's decrease is the decrease; with damping λ the step is -(H + λ)⁻¹ g."""
    posed, _ = problem(sim, [measured(sim)], FREE)
    here = Dense(posed, np.array([0.3, -0.2, 0.1]), Work())
    np.testing.assert_allclose(here.J, J, rtol=1e-9)
    np.testing.assert_allclose(here.gradient, H @ (here.xi - BEST), rtol=1e-6)
    for damping in (0.0, 2.0):
        step = here.step(Trust(damping=damping), Work())
        np.testing.assert_allclose(step.p, -np.linalg.solve(H + damping * np.eye(3), here.gradient), rtol=1e-6)
        there = Dense(posed, here.xi + step.p, Work())
        assert step.decrease == pytest.approx(here.cost - there.cost, rel=1e-6)
        assert step.curvature == pytest.approx(step.p @ H @ step.p / (step.p @ step.p), rel=1e-6)


def test_steps_bend_with_the_second_derivative(sim):
    """r = (m + b m² - y)/σ: along p its second derivative is 2b (A s p)²/σ, the step is p - ½ H⁻¹Jᵀr''."""
    posed, _ = problem(sim, [measured(sim, bow=0.3)], FREE)
    here = Dense(posed, np.zeros(3), Work())
    p = -np.linalg.solve(H, here.gradient)
    second = 2 * 0.3 * (SPREAD * A @ p) ** 2 / SIGMA
    expected = p - 0.5 * np.linalg.solve(H, J.T @ second)
    np.testing.assert_allclose(here.step(Trust(), Work()).p, expected, rtol=1e-6)
    p, a = jnp.array([1.0, 0.0]), jnp.array([0.5, 0.5])
    np.testing.assert_allclose(bent(p, a), [1.25, 0.25])
    np.testing.assert_array_equal(bent(p, 1.1 * a), p)  # 0.78 of the step is no correction any more
    np.testing.assert_array_equal(bent(p, jnp.array([jnp.nan, 0.0])), p)


@pytest.mark.parametrize("method", ["dense", "krylov"])
def test_a_bowed_valley_is_followed(sim, method):
    """Residuals that bend strongly: both methods end where the gradient of the cost vanishes, the slower one bent."""
    data = [measured(sim, value=np.array([2.0, -0.3, 1.6, 1.9]), sigma=0.05, bow=0.8)]
    found = fit(sim, data, FREE, method=method, tolerance=1e-5)
    assert found.converged
    m = SPREAD * A @ found.xi
    r = (m + 0.8 * m**2 - np.asarray(data[0].value)) / 0.05
    slope = (SPREAD * A * (1 + 1.6 * m)[:, None] / 0.05).T
    assert np.abs(slope @ r + found.xi).max() < 1e-3


def test_products_bend_a_step_as_the_whole_jacobian_does(sim):
    """Of one parameter, where conjugate gradients are exact: p = -g/H and p - ½ Jᵀr''/H, r'' = 2b (a s p)²/σ."""
    posed, _ = problem(sim, [measured(sim, bow=0.1)], ("supply",))
    g = SPREAD / SIGMA * A[:, 2]
    h = 1.0 + g @ g
    p = g @ (Y / SIGMA) / h
    here = Krylov(posed, np.zeros(1), Work())
    assert here.cost == pytest.approx(0.5 * np.sum((Y / SIGMA) ** 2))
    straight = here.step(Trust(passes=8), Work())
    assert straight.p[0] == pytest.approx(p, rel=1e-9) and straight.curvature == pytest.approx(h, rel=1e-9)
    assert straight.decrease == pytest.approx(0.5 * h * p**2, rel=1e-9)
    bowed = p - 0.5 * g @ (2 * 0.1 * (SPREAD * A[:, 2] * p) ** 2 / SIGMA) / h
    assert here.step(Trust(passes=8, bent=True), Work()).p[0] == pytest.approx(bowed, rel=1e-6)
    assert bowed != pytest.approx(p, rel=1e-3)


def test_trust_is_gained_and_lost():
    """Gains over ½ divide the damping by six, those below ¼ raise it; below ¾ products become better and steps bend."""
    trust = Trust(damping=6.0)
    trust.adapt(0.9, 1.0, True)
    assert (trust.damping, trust.passes, trust.bent) == (1.0, 2, False)
    trust.adapt(0.6, 1000.0, True)
    assert (trust.damping, trust.passes, trust.bent) == (0.0, 4, True)  # a hundredth of the curvature is none
    trust.adapt(0.3, 10.0, True)
    assert (trust.damping, trust.passes) == (0.0, 8)
    trust.adapt(-1.0, 10.0, True)
    assert (trust.damping, trust.passes) == (1.0, 8)
    trust.adapt(0.25, 10.0, False)
    assert trust.damping == 4.0
    for gain, damping in ((0.5, 6.0), (0.501, 1.0), (0.2501, 6.0), (0.25, 24.0)):  # between ¼ and ½ it stays
        trust = Trust(damping=6.0)
        trust.adapt(gain, 10.0, True)
        assert trust.damping == pytest.approx(damping)
    for gain, bent_ in ((0.7499, True), (0.75, False)):
        trust = Trust()
        trust.adapt(gain, 10.0, True)
        assert trust.bent is bent_
    for damping, left in ((0.594, 0.0), (0.606, 0.101)):  # a sixth of it over a hundredth of the curvature, 10
        trust = Trust(damping=damping)
        trust.adapt(1.0, 10.0, True)
        assert trust.damping == pytest.approx(left)


def test_posterior_by_hand(fitted):
    known = posterior(fitted)
    np.testing.assert_allclose(known.eigenvalues, np.linalg.svd(J)[1] ** 2, rtol=1e-6)
    np.testing.assert_allclose(known.covariance(np.arange(3)), C, atol=1e-9)
    np.testing.assert_allclose(known.covariance(np.array([2, 0])), C[np.ix_([2, 0], [2, 0])], atol=1e-9)
    np.testing.assert_allclose(known.sd, np.sqrt(np.diag(C)), rtol=1e-6)
    np.testing.assert_allclose(known.times_covariance(J), J @ C, atol=1e-9)
    off = np.array([0.2, -0.1, 0.4])
    assert known.energy(fitted.xi + off) == pytest.approx(0.5 * off @ H @ off, rel=1e-6)
    draws = known.draw(100_000, seed=1)
    np.testing.assert_allclose(0.5 * (draws[:50_000] + draws[50_000:]), np.tile(fitted.xi, (50_000, 1)), atol=1e-12)
    np.testing.assert_allclose(np.cov(draws.T), C, atol=0.02 * np.diag(C).max())
    assert known.draw(5).shape == (5, 3)


def test_draws_of_a_linear_problem_weigh_the_same(fitted):
    """The approximation is exact: every draw counts, before the data and after."""
    known = posterior(fitted)
    drawn, before = known.sample(lambda _: np.ones(2), 8), known.before(lambda _: {"x": np.zeros(1)}, 6)
    np.testing.assert_allclose(drawn.weight, 1 / 8, rtol=1e-6)
    np.testing.assert_allclose(before.weight, 1 / 6)
    assert drawn.effective == pytest.approx(8.0) and drawn.values[""].shape == (8, 2)
    assert before.values["x"].shape == (6, 1)


def test_along_a_ridge_of_a_linear_problem(fitted):
    """Where ξ_0 is held at s the others are at ξ̂ + C_·0/C_00 (s - ξ̂_0), and its marginal density is normal; the
    mixture of what lies around these points is, weighted, the posterior.
    """
    known = posterior(fitted)
    row = list(along(known, 0))
    held = np.array([c.mean[0] for c in row])
    assert len(row) >= 7 and held.min() < BEST[0] - 3 * known.sd[0] and held.max() > BEST[0] + 3 * known.sd[0]
    for c in row:
        np.testing.assert_allclose(c.mean, BEST + C[:, 0] / C[0, 0] * (c.mean[0] - BEST[0]), atol=0.05)
        covariance = c.factor @ c.factor.T
        left = C - np.outer(C[:, 0], C[0]) / C[0, 0]
        slope = C[:, 0] / C[0, 0]
        np.testing.assert_allclose(covariance, left + covariance[0, 0] * np.outer(slope, slope), atol=1e-6)
    density = np.array([c.log_mass - np.log(c.factor[0, 0]) for c in row])
    exact = -0.5 * (held - BEST[0]) ** 2 / C[0, 0]
    np.testing.assert_allclose(density - density[0], exact - exact[0], atol=0.06)  # a step may leave 0.05
    found = mixture([row])
    xi = found.draw(40_000, seed=3)
    off = xi - BEST
    weight, k_hat = pareto_smoothed(found.energy(xi) - 0.5 * np.einsum("ki,ij,kj->k", off, H, off))
    assert k_hat < 0.3 and 1.0 / np.sum(weight**2) > 0.6 * len(xi)
    np.testing.assert_allclose(weight @ xi, BEST, atol=5 * np.sqrt(np.diag(C).max() / 24_000))
    np.testing.assert_allclose((weight * off.T) @ off, C, atol=0.03 * np.diag(C).max())


def test_a_bent_ridge_is_sampled_as_an_integral_says(sim):
    """m + 0.5 m² of three parameters: means and 5 and 95 % of each against sums over a fine grid."""
    value, sigma, bow = np.array([0.9, -0.3, 0.7, 1.2]), 0.4, 0.5
    known = posterior(fit(sim, [measured(sim, value=value, sigma=sigma, bow=bow)], FREE, tolerance=1e-3))
    row = mixture([list(along(known, 2))])
    axis = np.linspace(-4.0, 4.0, 121)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    m = SPREAD * grid @ A.T
    cost = 0.5 * np.sum(((m + bow * m**2 - value) / sigma) ** 2, axis=1) + 0.5 * np.sum(grid**2, axis=1)
    mass = np.exp(cost.min() - cost)
    drawn = known.sample(lambda _: 0.0, 1000, seed=1, along=row)
    assert drawn.reliable and drawn.effective > 300
    for k in range(3):
        marginal = mass.reshape(121, 121, 121).sum(tuple(i for i in range(3) if i != k))
        below = (np.cumsum(marginal) - 0.5 * marginal) / marginal.sum()
        spread = np.sqrt(np.sum(marginal * axis**2) / marginal.sum() - (marginal @ axis / marginal.sum()) ** 2)
        of_draws = dataclasses.replace(drawn, values={"": drawn.xi[:, k]})
        assert float(of_draws.mean()) == pytest.approx(marginal @ axis / marginal.sum(), abs=0.2 * spread)
        for q in (0.05, 0.95):
            assert float(of_draws.quantile(q)) == pytest.approx(np.interp(q, below, axis), abs=0.4 * spread)


def test_what_is_behind_a_territory():
    """Which stenoses feed it, and its tone: by the tissue of its terminals, times what changed in its supply."""
    heart = tiny_heart()
    assert [feeding_lesions(heart, t) for t in (0, 1)] == [[0], [1]]
    trunk = eqx.tree_at(
        lambda s: (s.lesions.branch, s.lesions.center), heart, (jnp.array([0, 1]), jnp.array([5e-3, 18e-3]))
    )
    assert [feeding_lesions(trunk, t) for t in (0, 1)] == [[0, 1], [0]]  # the left main's, and one of the LAD's
    demand = np.asarray(heart.network.demand)
    sick = eqx.tree_at(
        lambda s: (s.tissue.tone, s.tissue.terminal_tone, s.tissue.supply), heart,
        (jnp.array([0.5, 1.2]), jnp.array([1.0, 0.8, 0.9]), 2.0 * heart.tissue.supply),
    )  # fmt: skip
    shares = np.ones((8, 2)) / 2
    lad = 2.0 * 0.5 * (demand[0] + 0.8 * demand[1]) / (demand[0] + demand[1])
    np.testing.assert_allclose(territory_tone(sick, heart, shares), [lad, 2.0 * 1.2 * 0.9], rtol=1e-9)
    field = eqx.tree_at(lambda s: s.tissue.supply, heart, heart.tissue.supply * jnp.arange(8.0))
    shares = np.stack([np.arange(8) < 4, np.arange(8) >= 4], axis=1) * 1.0
    np.testing.assert_allclose(territory_tone(field, heart, shares), [1.5, 5.5], rtol=1e-9)


def test_a_verdict_is_given_where_draws_are_sure():
    at = {"neither": 0.1, "obstructive stenosis": 0.82, "microvascular dysfunction": 0.02, "both": 0.06}
    sure = Verdict("LAD", at, (0.5, 0.6, 0.7), (0.8, 0.9, 1.0), True, "a wire")
    assert sure.given == "obstructive stenosis" and sure.obstructive == pytest.approx(0.88)
    assert str(sure) == (
        "LAD: obstructive stenosis (P(stenosis, FFR ≤ 0.80) = 0.88, P(microvascular, tone ≤ 0.6) = 0.08)"
    )
    doubtful = dataclasses.replace(sure, probability=at | {"obstructive stenosis": 0.75, "both": 0.13})
    assert str(doubtful).startswith("LAD: cannot tell") and str(doubtful).endswith("; to measure next: a wire)")
    assert dataclasses.replace(sure, reliable=False).given == "cannot tell"
    assert "no stenosis is listed" in str(dataclasses.replace(sure, ffr=None))
    for kind, words in (("microvascular dysfunction", "or a stenosis that is not"), ("neither", "was not looked for")):
        alone = dataclasses.replace(sure, ffr=None, probability=dict.fromkeys(at, 0.0) | {kind: 1.0})
        assert alone.given == kind and words in alone.words  # what the model does not hold is not denied


def test_ensembles_against_numpy():
    """Means, deviations, quantiles (k/(n + 1)) and probabilities of equal and of doubled draws."""
    x = np.random.default_rng(0).normal(size=(9, 2))
    equal = Ensemble({"x": x}, np.full(9, 1 / 9))
    np.testing.assert_allclose(equal.mean("x"), x.mean(0))
    np.testing.assert_allclose(equal.sd("x"), x.std(0))
    for q in (0.2, 0.5, 0.77):
        np.testing.assert_allclose(equal.quantile(q, "x"), np.quantile(x, q, axis=0, method="weibull"))
    low, high = equal.interval(0.6, "x")
    np.testing.assert_allclose([low, high], np.quantile(x, [0.2, 0.8], axis=0, method="weibull"))
    many = np.random.default_rng(1).normal(size=(199, 1))
    usual = Ensemble({"x": many}, np.full(199, 1 / 199)).interval(name="x")  # 90 %
    np.testing.assert_allclose(usual, np.quantile(many, [0.05, 0.95], axis=0, method="weibull"))
    np.testing.assert_allclose(equal.probability(lambda v: v > 0, "x"), (x > 0).mean(0))
    uneven = Ensemble({"x": np.array([1.0, 2.0])}, np.array([0.75, 0.25]))
    assert float(uneven.mean("x")) == 1.25 and float(uneven.sd("x")) == pytest.approx(np.sqrt(0.1875))
    assert uneven.effective == pytest.approx(1 / (0.5625 + 0.0625))
    assert float(uneven.probability(lambda v: v == 2.0, "x")) == 0.25


def test_identifiability_by_hand(fitted):
    """Deviations, correlations, and the worst combination of the most confounded pair."""
    said = identifiability(posterior(fitted))
    sd = np.sqrt(np.diag(C))
    R = C / np.outer(sd, sd)
    np.testing.assert_allclose(said.sd, sd, rtol=1e-6)
    assert said.informed == int(np.sum(np.linalg.svd(J)[1] ** 2 > 1.0)) and said.parameters == 3
    pairs = {(i, j): R[i, j] for i in range(3) for j in range(i) if abs(R[i, j]) >= 0.5}
    assert len(said.confounded) == len(pairs)
    # one datum, of the sum of two tones: they take each other's place
    together = Logarithms(jnp.zeros(1), Noise(0.0, 0.05), jnp.array([[1.0, 1.0, 0.0]]), fitted.data[0].first)
    said = identifiability(posterior(fit(fitted.problem.model.sim, [together], FREE)))
    g = SPREAD / 0.05 * np.array([1.0, 1.0, 0.0])
    C1 = np.linalg.inv(np.eye(3) + np.outer(g, g))
    (pair,) = said.confounded
    assert {pair.first, pair.second} == {"tone[LAD]", "tone[LCx]"}
    assert pair.correlation == pytest.approx(C1[0, 1] / C1[0, 0], rel=1e-6) and pair.spread == pytest.approx(
        1.0, rel=1e-6
    )
    assert said.informed == 1 and said.unknown == ["supply"]
    text = said.lines()
    assert text[0] == "The data inform 1 of 3 directions." and "keeps 100 % of its prior uncertainty" in text[1]
    assert text[-1] == "Not informed by these data: supply conductance."


def test_parameters_in_words():
    assert in_words("tone[LAD]") == "LAD microvascular tone"
    assert in_words("throat[LAD@30mm]") == "LAD stenosis at 30 mm"
    assert in_words("pressure[rest]") == "aortic pressure (rest)" and in_words("pressure") == "aortic pressure"
    assert in_words("loss.k_t") == "loss.k_t" and in_words("shift[apex]") == "shift of the map (apex)"


def test_worth_of_a_measurement_by_hand(sim, fitted):
    """½ log₂ det(I + J C Jᵀ) bits, and the deviations that it leaves; the most telling comes first."""
    good, poor = measured(sim, slice(1, 2), sigma=0.02), measured(sim, slice(3, 4), sigma=2.0)
    found = next_measurement(posterior(fitted), {"poor": poor, "good": good})
    assert [v.name for v in found] == ["good", "poor"]
    for value, row, sigma in ((found[0], A[1:2], 0.02), (found[1], A[3:4], 2.0)):
        g = SPREAD / sigma * row
        inner = np.eye(1) + g @ C @ g.T
        assert value.bits == pytest.approx(0.5 * np.log2(np.linalg.det(inner)), rel=1e-5)
        left = C - C @ g.T @ np.linalg.inv(inner) @ g @ C
        np.testing.assert_allclose(list(value.sd.values()), np.sqrt(np.diag(left) / np.diag(C)), rtol=1e-5)
    assert next_measurement(posterior(fitted), {}) == []


def test_profiles_are_parabolas(fitted):
    """Least cost with ξ_k held: that of the optimum + ½ (ξ_k - ξ̂_k)²/C_kk, at the values that the steps mean."""
    steps = (-1.0, 0.0, 2.0)
    values, cost = profile(fitted, "tone[LCx]", steps)
    np.testing.assert_allclose(values, np.exp(SPREAD * np.array(steps)), rtol=1e-9)
    expected = fitted.cost_after + 0.5 * (np.array(steps) - BEST[1]) ** 2 / C[1, 1]
    np.testing.assert_allclose(cost, expected, rtol=1e-4)


def test_a_stopped_fit_goes_on(sim, tmp_path):
    """From its checkpoint to the same answer; another problem's checkpoint is refused."""
    data, file = [measured(sim, bow=0.3)], tmp_path / "fit.npz"
    whole = fit(sim, data, FREE, tolerance=1e-6)
    cut = fit(sim, data, FREE, tolerance=1e-6, max_steps=1, checkpoint=file, throw=False)
    assert not cut.converged and cut.iterations == 1
    resumed = fit(sim, data, FREE, tolerance=1e-6, checkpoint=file)
    np.testing.assert_array_equal(resumed.xi, whole.xi)
    assert resumed.iterations == whole.iterations and resumed.cost_before == whole.cost_before
    with pytest.raises(perfsim.InputError, match="checkpoint is of another fit"):
        fit(sim, data, ("tone",), checkpoint=file)
    with pytest.raises(perfsim.InputError, match="keeps no checkpoint"):
        fit(sim, data, FREE, method="lbfgs", checkpoint=file)


def test_a_field_of_tone_by_hand(sim):
    """e^u on every volume's supply; on terminals the mean of u over what each feeds; with a border a soft step."""
    volumes, links, tissue = sim.parts()
    xi = jnp.asarray(np.random.default_rng(3).normal(size=8))
    plain = FieldBlock.of(sim, ToneField(0.4, 15e-3, smooth=False))
    u = np.asarray(Matern.of(volumes, 15e-3, 0.4, False)(volumes, xi))
    model = plain.apply(Model(sim, ()), xi)
    np.testing.assert_allclose(model.sim.tissue.supply, float(tissue.supply) * np.exp(u), rtol=1e-9)
    at_ends = dataclasses.replace(plain, kind=dataclasses.replace(plain.kind, on="terminals"))
    terminal, weight = np.asarray(links.terminal), np.asarray(links.weight)
    mean = [np.sum((weight * u)[terminal == k]) / np.sum(weight[terminal == k]) for k in range(3)]
    tone = at_ends.apply(Model(sim, ()), xi).sim.tissue.terminal_tone
    np.testing.assert_allclose(tone, np.exp(mean), rtol=1e-9)
    sharp = FieldBlock.of(sim, ToneField(0.4, 15e-3, smooth=False, border=0.7))
    m = u / 0.4  # of unit deviation
    np.testing.assert_allclose(sharp.field(volumes, xi), -0.7 / (1 + np.exp(-6 * (m - 1))), rtol=1e-9)
    _, names = problem(sim, [measured(sim)], [ToneField(smooth=False), Free("tone", by="all")])
    assert names[:2] == ["tone field[0]", "tone field[1]"] and names[8:] == ["tone"]


@pytest.mark.parametrize("factor", [1.0, 2.0, 8.0])
def test_goodness_of_fit_by_hand(sim, factor):
    """χ² is yᵀ (SJJᵀS + σ²)⁻¹ y with as many degrees of freedom as data; the largest residual is tested beside it."""
    known = posterior(fit(sim, [measured(sim, value=factor * Y)], FREE, tolerance=1e-6))
    good = goodness(known)
    y = factor * Y / SIGMA
    chi2 = y @ np.linalg.solve(np.eye(4) + J @ J.T, y)
    assert good.chi2 == pytest.approx(chi2, rel=1e-6) and good.data == 4
    assert good.probability == pytest.approx(np.exp(-chi2 / 2) * (1 + chi2 / 2), rel=1e-4)  # of four degrees of freedom
    assert good.effective == pytest.approx(np.trace(np.linalg.inv(H) @ J.T @ J), rel=1e-6)
    r = J @ (factor * BEST) - y
    np.testing.assert_allclose(list(good.residuals.values()), r, atol=1e-3)
    inside = math.erf(np.abs(r).max() / np.sqrt(2.0))
    assert good.probability_of_largest == pytest.approx(1.0 - inside**4, rel=1e-2, abs=1e-6)
    said = {1.0: "explains the data (χ²", 2.0: "explains the data", 8.0: "does not explain the data: nothing"}[factor]
    assert said in good.verdict and good.usable == (factor < 8.0)


def test_what_goodness_of_fit_names():
    """A datum that is 6 standard deviations off among good ones; places and states by their names."""
    names = [f"Logarithms {k}" for k in (1, 2, 3, 4)]
    bad = Goodness(9.0, 4, 2.0, 0.06, dict(zip(names, (0.1, -6.0, 0.3, 5.0), strict=True)), 1e-8)
    assert list(bad.missed) == ["Logarithms 2", "Logarithms 4"] and not bad.explained and bad.usable
    assert "misses Logarithms 2 by -6.0, Logarithms 4 by +5.0 standard deviations" in bad.verdict
    assert datum_names(Wire(0.8, 0)) == ["the wire's reading (hyperemia)"]
    assert datum_names(Scan(("rest", "hyperemia"), np.ones((2, 3)), Noise()))[1::3] == [
        "place 2 (rest)", "place 2 (hyperemia)",
    ]  # fmt: skip


def test_thresholds_of_a_verdict_on_a_fit():
    """Doubt below 1 %, refused below 1e-6, both to a hundredth of themselves; what is missed by χ² alone, and by many."""
    fine = Goodness(9.0, 4, 2.0, 0.01005, {"a": 1.0}, 0.01005)
    assert fine.explained and not dataclasses.replace(fine, probability=0.00995).explained
    assert not dataclasses.replace(fine, probability_of_largest=0.00995).explained
    assert (
        dataclasses.replace(fine, probability=1.005e-6).usable
        and not dataclasses.replace(fine, probability=9.95e-7).usable
    )
    hardly = dataclasses.replace(fine, probability=1e-4)
    assert hardly.verdict == (
        "The model hardly explains the data (χ² 9 of 4 data, P 0.0001): look at the residuals before using it."
    )
    both = dataclasses.replace(hardly, residuals={"a": 5.0})
    assert both.verdict.startswith("The model hardly explains") and "misses a by +5.0" in both.verdict
    far = {f"d{k}": 5.0 + k for k in range(6)} | {"d9": -0.1}
    some = Goodness(9.0, 7, 2.0, 0.5, far, 1e-4)
    assert some.verdict.endswith(
        "It misses d5 by +10.0, d4 by +9.0, d3 by +8.0, d2 by +7.0 and 2 more standard deviations."
    )
    assert some.verdict.startswith("The model explains all data but some (")
    four = dataclasses.replace(some, residuals={f"d{k}": 5.0 + k for k in range(4)})
    assert "more standard" not in four.verdict and "d0 by +5.0 standard deviations" in four.verdict
    # the greatest of 100 normal numbers exceeds 3.89 in one of a hundred cases, of one number 2.58
    many = {f"d{k}": 0.0 for k in range(98)} | {"x": 3.85, "y": 3.93}
    assert list(Goodness(9.0, 100, 2.0, 0.5, many, 0.5).missed) == ["y"]
    assert Goodness(0.0, 0, 0.0, 1.0, {}, 1.0).missed == {} and list(
        dataclasses.replace(fine, residuals={"a": 2.6}).missed
    )


# Territories of a flow field that is written down -------------------------------------------------------------------


MBF = np.arange(1.0, 9.0)


def beside_the_lad(heart) -> np.ndarray:
    """Volumes of the tiny heart beside the LAD's terminals; the others lie beside the LCx's."""
    return np.asarray(heart.volumes.center)[:, 1] < 0.01


@pytest.fixture(scope="module")
def flow():
    """Hyperemia and rest, a quarter of it, in which each volume is fed by one territory alone."""
    heart = tiny_heart()
    terminal, lad = np.asarray(heart.couplings.terminal), beside_the_lad(heart)
    fed = {"supplies": np.where(np.where(lad, terminal < 2, terminal == 2), 1.0, 0.0), "mbf": MBF}
    return solution(heart, hyperemia=fed, rest=fed | {"mbf": 0.25 * MBF})


def test_verdicts_count_draws(sim, fitted, flow, monkeypatch):
    """Four draws that weigh 0.1 to 0.4: FFR 0.80 is obstructive and 0.805 is not, tone 0.599 is diseased and 0.601 not."""
    monkeypatch.setattr(verdict, "evaluate", lambda *a, **k: SimpleNamespace(solution=flow))
    tone = np.array([[0.601, 1.198, 0.5, 1.0], [0.7, 0.8, 0.9, 0.25]])
    supply = np.array([1.0, 0.5, 1.0, 2.0])
    xi = np.log(np.concatenate([tone, supply[None]])).T / SPREAD
    ffr = np.array([[0.80, 0.9], [0.805, 0.9], [0.70, 0.9], [0.95, 0.5]])
    draws = Ensemble({"FFR": ffr}, np.array([0.1, 0.2, 0.3, 0.4]), xi=xi, k_hat=0.1)
    values = [
        Value("a map", 3.0, {"tone[LAD]": 0.4, "tone[LCx]": 0.9, "supply": 0.1}),
        Value("a wire", 2.0, {"tone[LAD]": 0.5, "tone[LCx]": 0.3, "supply": 0.9}),
    ]
    lad, lcx = verdict.verdicts(posterior(fitted), draws, values)
    assert lad.probability == pytest.approx(dict(zip(verdict.KINDS, (0.4, 0.1, 0.2, 0.3), strict=True)))
    assert lcx.probability == pytest.approx(dict(zip(verdict.KINDS, (0.4, 0.0, 0.2, 0.4), strict=True)))
    assert (lad.territory, lcx.territory) == ("LAD", "LCx") and not lad.reliable  # four draws are too few
    assert (lad.following, lcx.following) == ("a map", "a wire")
    lowest = dataclasses.replace(draws, values={"": ffr[:, 0]})
    assert lad.ffr == pytest.approx(tuple(float(lowest.quantile(q)) for q in (0.05, 0.5, 0.95)))
    of_tone = dataclasses.replace(draws, values={"": tone[0] * supply})
    assert lad.tone == pytest.approx(tuple(float(of_tone.quantile(q)) for q in (0.05, 0.5, 0.95)))
    assert verdict.verdicts(posterior(fitted), draws)[0].following == ""


def test_probabilities_in_hundredths():
    said = [verdict.in_hundredths(p) for p in (0.0, 0.004999, 0.005, 0.5, 0.995, 0.99501, 1.0)]
    assert said == ["< 0.01", "< 0.01", "= 0.01", "= 0.50", "= 0.99", "> 0.99", "> 0.99"]


def test_a_verdict_needs_four_fifths():
    at = dict(zip(verdict.KINDS, (0.1, 0.804, 0.05, 0.046), strict=True))
    sure = Verdict("LAD", at, (0.5, 0.6, 0.7), (0.8, 0.9, 1.0), True, "a wire")
    assert sure.given == "obstructive stenosis" and sure.microvascular == pytest.approx(0.096)
    less = dataclasses.replace(sure, probability=at | {"obstructive stenosis": 0.798, "both": 0.052})
    assert less.given == "cannot tell" and less.likeliest == "obstructive stenosis"
    healthy = dataclasses.replace(sure, probability=dict(zip(verdict.KINDS, (0.9, 0.05, 0.05, 0.0), strict=True)))
    assert healthy.words == "no obstructive stenosis, no microvascular dysfunction" and "measure" not in str(healthy)


def test_measured_beside_fitted_by_hand(flow, monkeypatch):
    """Means of segments over the territories' tissue in each; a segment that was not measured counts in neither column."""
    heart, frame = tiny_heart(), EllipsoidWall().frame
    axis = LongAxis.of(dataclasses.replace(frame, base=np.array([0.01, 0.01, 0.02]), length=0.02, cavity_length=0.02))
    view = Segments(axis)
    volumes = heart.volumes
    member = np.asarray(view.membership(volumes.center, jnp.cbrt(volumes.volume)))
    tissue = member @ np.asarray(volumes.volume)
    measured = np.where(np.arange(17) == 3, np.nan, 1.0 + np.arange(17) / 4)
    scan = Scan(("rest", "hyperemia"), np.stack([measured, 2 * measured]), Noise(), view)
    monkeypatch.setattr(comparison, "evaluate", lambda *a, **k: SimpleNamespace(solution=flow))
    fit = SimpleNamespace(sim=heart, problem=None, xi=None, data=(scan, Wire(0.8, 0)))
    found = comparison.comparisons(fit)
    assert [(c.kind, c.place) for c in found[:2]] == [("territory", "LAD"), ("territory", "LCx")]
    model = (member * np.asarray(volumes.volume)) @ MBF / tissue
    for c, own in zip(found, (beside_the_lad(heart), ~beside_the_lad(heart)), strict=False):
        weight = (member * np.asarray(volumes.volume)) @ own
        seen = np.isfinite(measured)
        assert c.measured["hyperemia"] == pytest.approx(2 * np.average(measured[seen], weights=weight[seen]))
        assert c.fitted["hyperemia"] == pytest.approx(np.average(model[seen], weights=weight[seen]), rel=1e-9)
        assert c.mfr == (pytest.approx(2.0), pytest.approx(4.0))
    segments = [c for c in found if c.kind == "segment"]
    assert [c.place for c in segments][:4] == [
        "1 basal anterior", "2 basal anteroseptal", "3 basal inferoseptal", "5 basal inferolateral",
    ]  # fmt: skip
    assert segments[0].measured == {"rest": 1.0, "hyperemia": 2.0}
    assert segments[0].fitted["hyperemia"] == pytest.approx(model[0], rel=1e-9)
    assert np.isnan(comparison.Comparison("segment", "1", {"rest": 1.0}, {}).mfr).all()


def test_what_a_fit_holds_is_said():
    """Every confounder with its value in the unit that it is shown in; those that are free, or freed instead, are not."""
    heart = tiny_heart()
    scan = Scan(("rest", "hyperemia"), jnp.zeros((2, 8)), Noise(), EachVolume())

    def said(*free, data=(scan,), sim=heart):
        return left_out(SimpleNamespace(free=free, problem=SimpleNamespace(model=Model(sim, data))))

    assert said("tone") == [
        "Held, so that their uncertainty is in no interval: stenoses at 55, 40 % diameter reduction; resting demand at 0.9 "
        "mL/min/g; aortic pressure at 93, 88 mmHg; calibration scale at 1; rotation of the map at 0 °."
    ]
    assert said("supply", "severity", Free("demand"), "pressure", "state_scale", "rotation") == []
    (only,) = said(ToneField(), "throat", "demand", "pressure", "scale")
    assert only == "Held, so that their uncertainty is in no interval: rotation of the map at 0 °."
    wire = said("terminal_tone", "throat", "pressure", "demand", data=(Wire(0.8, 0),))
    assert wire == []  # without a map there is no scale and no rotation
    bare = eqx.tree_at(lambda s: s.lesions, heart, no_lesions())
    (lacks,) = said("tone", "demand", "pressure", "scale", "rotation", sim=bare)
    assert lacks.startswith("Epicardial disease is not in this model: it lists no stenosis")


# How a descent ends -------------------------------------------------------------------------------------------------


class Valley:
    """½ |ξ - (3, 4)|² h, of which steps may promise or reach less than they say, and solves may fail."""

    def __init__(self, h=1.0, cost=None, failed=None, promise=1.0, p=1.0):
        self.h, self.wrong, self.why, self.promise, self.p, self.seen = h, cost, failed or {}, promise, p, []

    def __call__(self, posed, xi, work):
        gap = xi - np.array([3.0, 4.0])
        cost = 0.5 * self.h * gap @ gap
        self.seen.append(xi)
        first = len(self.seen) == 1
        here = SimpleNamespace(
            xi=xi, cost=cost if first or self.wrong is None else self.wrong, failed={} if first else self.why
        )
        here.step = lambda trust, work: Step(-self.p * gap / (1 + trust.damping / self.h), self.promise * cost, self.h)
        return here


def descend(valley, prior=True, tolerance=0.1, max_steps=20, data=4, **options):
    said = []
    posed = SimpleNamespace(size=2, prior=prior, model=SimpleNamespace(data=(SimpleNamespace(value=np.ones(data)),)))
    end = marquardt(posed, valley, tolerance, max_steps, lambda *a: said.append(a), options.get("checkpoint"), Work())
    return end, said


def test_a_descent_converges_where_the_step_is_short():
    """The whole step, then one that promises nothing; costs are told from 0 on; the last short step is taken as well."""
    end, said = descend(Valley())
    assert (end.result, end.iterations, end.before, end.cost) == (RESULTS.successful, 1, 12.5, 0.0)
    assert said == [(0, 12.5), (1, 0.0)]
    half, said = descend(Valley(p=0.5), tolerance=0.1)
    # gaps 5, 2.5, ... 5/2^k: the cost that the last step promises is at most ½ 0.1²
    assert half.iterations == 6 and half.cost == pytest.approx(12.5 / 4**6) and half.cost <= 0.005 < 12.5 / 4**5
    np.testing.assert_allclose(half.xi, [3 - 3 / 2**7, 4 - 4 / 2**7])
    assert descend(Valley(p=0.5), max_steps=3)[0].result is RESULTS.fit_out_of_steps
    assert descend(Valley(p=0.5), max_steps=3)[0].iterations == 3


def test_a_descent_that_cannot_go_on_says_why():
    failing = Valley(failed={"rest": RESULTS.linear_not_converged}, cost=np.nan)
    end, _ = descend(failing, max_steps=4)
    assert (
        end.result is RESULTS.fit_out_of_steps
        and end.failed == {"rest": RESULTS.linear_not_converged}
        and end.cost == 12.5
    )
    np.testing.assert_array_equal(end.xi, [0.0, 0.0])
    # what fails is tried again with more and more damping: 0.1, 0.4, 1.6 of the curvature
    np.testing.assert_allclose([x[0] for x in failing.seen[1:5]], [3 / (1 + d) for d in (0.0, 0.1, 0.4, 1.6)])
    failing.seen.clear()
    assert descend(failing, max_steps=200)[0].result is RESULTS.fit_stalled
    assert descend(Valley(promise=np.nan))[0].result is RESULTS.fit_derivative_failed
    at_once = Valley(failed={"rest": RESULTS.linear_not_converged})
    at_once.seen.append(None)
    assert descend(at_once)[0].result is RESULTS.fit_solve_failed
    lost = Valley(cost=np.inf)
    lost.seen.append(None)
    assert descend(lost)[0].result is RESULTS.fit_not_finite
    # a step that gains next to nothing is rejected; then a promise that damping alone made small is no convergence
    stalled = Valley(h=1e4, cost=0.5e4 * 25.0)
    assert descend(stalled, max_steps=60)[0].result is RESULTS.fit_stalled


def test_without_a_prior_a_descent_ends_at_the_noise():
    """At a cost of 0.5e-4 a datum; else where a step promises ½ tolerance² of the cost; it starts with some damping."""
    exact = Valley(h=2 * 0.5e-4 * 4 / 25 * 0.995)
    assert descend(exact, prior=False)[0].result is RESULTS.successful and len(exact.seen) == 1
    above = Valley(h=2 * 0.5e-4 * 4 / 25 * 1.005, promise=1e4)
    assert len(above.seen) == 0 and descend(above, prior=False)[0].iterations > 0
    damped = Valley(h=2.0)  # the cost is 25 at the start: λ = 0.01 · 50
    descend(damped, prior=False)
    np.testing.assert_allclose(damped.seen[1], np.array([3.0, 4.0]) / (1 + 0.5 / 2.0))


# Work, weights and products -----------------------------------------------------------------------------------------


def test_what_a_fit_cost_in_solves():
    """Values, gradients and tangents count one; passes of the preconditioner by those of the first value, rounded up."""
    work = Work(values=3, gradients=2, tangents=4, passes=7, value_passes=3)
    assert work.solves == 3 + 2 + 4 + 3 and Work(values=1, passes=5).solves == 6
    work.products(SimpleNamespace(flow=perfsim.flow.Steady(), states=("rest", "hyperemia")), 4, 5)
    assert work.passes == 7 + 4 * 2 * 5 and work.tangents == 4
    work.products(SimpleNamespace(flow=None, states=("rest",)), 4, 5)
    assert work.passes == 47 and work.tangents == 9


def test_which_draws_are_reliable():
    """k̂ up to 1 - 1/log₁₀ S, and 0.7 at most; what is to know of draws is said."""
    for count, limit in ((10, 0.0), (100, 0.5), (1000, 2 / 3), (10_000, 0.7)):
        weight = np.full(count, 1 / count)
        drawn = Ensemble({"": weight}, weight, k_hat=limit)
        assert (
            drawn.k_limit == pytest.approx(limit, abs=1e-12) and dataclasses.replace(drawn, k_hat=limit - 1e-9).reliable
        )
        assert not dataclasses.replace(drawn, k_hat=limit + 1e-9).reliable
    hundred = Ensemble({"": np.ones(100)}, np.full(100, 0.01), failed=3, k_hat=0.8)
    assert hundred.lines() == [
        "Pareto k̂ of the weights: 0.80 (limit 0.50); 100 draws, effective sample size 100.",
        "The weights are dominated by a few draws, so the intervals are not reliable: take more draws, or free fewer "
        "parameters.",
        "3 of 103 draws could not be solved and were left out.",
    ]
    assert Ensemble({"": np.ones(2)}, np.full(2, 0.5)).lines() == []
    few, k_hat = pareto_smoothed(np.log(np.array([1.0, 3.0])))
    np.testing.assert_allclose(few, [0.25, 0.75])
    assert k_hat == np.inf


def test_draws_that_cannot_be_solved_are_left_out(fitted, monkeypatch):
    """Their weights are spread over the others, by the cost that each had; where all fail, it is said why."""
    known = posterior(fitted)
    tried = []

    def evaluate(posed, x, every_state):
        tried.append(x)
        fails = len(tried) % 3 == 0
        cost = np.nan if fails else float(known.energy(x[None])[0]) + 1.0 * (len(tried) == 1)
        return SimpleNamespace(failed={"rest": RESULTS.linear_not_converged} if fails else {}, cost=cost, solution=x)

    monkeypatch.setattr(posterior_module, "evaluate", evaluate)
    drawn = known.sample(lambda x: {"first": x[0]}, 6)
    assert drawn.failed == 2 and len(drawn.weight) == 4 and drawn.values["first"].shape == (4,)
    np.testing.assert_allclose(drawn.weight, np.array([np.exp(-1.0), 1, 1, 1]) / (3 + np.exp(-1.0)))
    np.testing.assert_array_equal(drawn.values["first"], drawn.xi[:, 0])
    tried.clear()
    prior = known.before(lambda x: x, 6)
    assert prior.failed == 2 and prior.values[""].shape == (4, 3) and (prior.weight == 0.25).all()
    monkeypatch.setattr(posterior_module, "evaluate", lambda *a, **k: SimpleNamespace(
        failed={"rest": RESULTS.linear_not_converged}, cost=np.nan, solution=None))  # fmt: skip
    with pytest.raises(perfsim.SimulationError, match=r"State 'rest'"):
        known.sample(lambda x: x, 3)


@pytest.mark.filterwarnings("ignore::RuntimeWarning:arviz_stats")  # draws in pairs weigh the same
def test_more_draws_are_taken_until_they_are_reliable(fitted, monkeypatch):
    """25 at a time, the next ones others, up to the most that is asked for."""
    known = posterior(fitted)

    def wide(posed, x, every_state):
        return SimpleNamespace(failed={}, cost=0.05 * float(known.energy(x[None])[0]), solution=x)

    monkeypatch.setattr(posterior_module, "evaluate", wide)
    drawn = known.sample(lambda x: x, 25, most=75)
    assert len(drawn.weight) == 75 and not drawn.reliable and len(np.unique(drawn.xi[:, 0])) == 75
    assert len(known.sample(lambda x: x, 25).weight) == 25


def test_leading_directions_by_products():
    """Of a Jacobian with 200 parameters and 40 data: all eigenvalues that matter, by products with random vectors."""
    rng = np.random.default_rng(1)
    big = rng.normal(size=(40, 200)) * 10.0 ** -np.linspace(0, 3, 40)[:, None]

    class Products:
        def __init__(self, *_):
            pass

        tangents, cotangents = (staticmethod(lambda v, M=M: v @ M) for M in (big.T, big))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(posterior_module, "Linearized", Products)
        patch.setattr(posterior_module, "evaluate", lambda *a: None)
        work = Work()
        values, directions = posterior_module._leading(None, np.zeros(200), work)
    exact = np.linalg.svd(big)[1] ** 2
    assert (values[:-1] >= values[1:]).all() and work.values == 1 and work.tangents == work.gradients > 0
    np.testing.assert_allclose(values[:8], exact[:8], rtol=1e-6)
    assert (np.abs(values[: (exact > 0.05).sum()] - exact[exact > 0.05]) < 0.02 * exact[exact > 0.05]).all()
    np.testing.assert_allclose((directions.T @ directions)[:20, :20], np.eye(20), atol=1e-7)
    np.testing.assert_allclose(big.T @ (big @ directions[:, :5]), directions[:, :5] * values[:5], atol=1e-4 * exact[0])


def test_problems_are_solved_steadily_unless_said_otherwise(sim):
    """By steady flow and finite volumes, with a prior; what is given is kept; ½|r|² + ½|ξ|² or the first alone."""
    posed, _ = problem(sim, [measured(sim)], FREE)
    assert isinstance(posed.flow, perfsim.flow.Steady) and isinstance(posed.tissue, FiniteVolumes) and posed.prior
    own = perfsim.flow.Steady(max_steps=7)
    given, _ = problem(sim, [measured(sim)], FREE, flow=own, tissue=FiniteVolumes(corrected=False), prior=False)
    assert given.flow is own and not given.tissue.corrected and (posed.size, posed.data_size) == (3, 4)
    r, xi = np.array([1.0, 2.0]), np.array([2.0, 0.0, 1.0])
    assert (posed.cost(xi, r), given.cost(xi, r)) == (5.0, 2.5)


def test_tone_is_weighed_by_tissue():
    """Of volumes of 1 to 8 mL with supplies of 0 to 7 times the healthy one, by volume times share."""
    heart, volume, share = tiny_heart(), 1e-6 * np.arange(1.0, 9.0), np.linspace(0.1, 0.8, 8)
    field = eqx.tree_at(
        lambda s: (s.volumes.volume, s.tissue.supply),
        heart,
        (jnp.asarray(volume), heart.tissue.supply * jnp.arange(8.0)),
    )
    found = territory_tone(field, heart, np.stack([share, 1 - share], axis=1))
    expected = [np.average(np.arange(8.0), weights=w * volume) for w in (share, 1 - share)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
