"""Failed solves: each kind, in everything that uses a solve. A failure is a value that nobody can drop."""

import dataclasses
import re

import perfsim
from perfsim import darcy
from perfsim._outcome import worst_of
from perfsim._results import RESULTS, InputError, SimulationError
from perfsim.coupling import State, check, simulate
from perfsim.flow import Balance, Steady, minimize
from perfsim.flow.pulsatile import Arteries, Fourier, Inlets, Windkessel, discretize, periodic_state
from perfsim.growth import Box
from perfsim.inverse import fit, identifiability, next_measurement, posterior, problem
from perfsim.inverse.posterior import pareto_smoothed
from perfsim.network import Centerlines, stenosis
from perfsim.observe import Cuff, LongAxis, Measurement, Noise, Scan, Segments, lesion_sites
from perfsim.study import sensitivity

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from tiny import tiny_heart

STATES = ("rest", "hyperemia")


def with_supply(sim, value):
    return eqx.tree_at(lambda s: s.tissue.supply, sim, jnp.asarray(value))


def with_lumen(sim, radius):
    vessel = int(np.flatnonzero(np.asarray(sim.network.measured))[-1])
    return eqx.tree_at(lambda s: s.network.lumen, sim, sim.network.lumen.at[vessel].set(radius))


FAILURES = {
    "newton_not_converged": (lambda sim: sim, Steady(max_steps=1)),
    "linear_not_converged": (lambda sim: sim, Steady(max_krylov=1)),
    "not_finite": (lambda sim: with_supply(sim, np.nan), Steady()),
    "vessel_too_narrow": (lambda sim: with_lumen(sim, 1e-7), Steady()),
}


@pytest.fixture(scope="module", params=FAILURES)
def failure(request, small_heart):
    """(its name, the simulation, the solver)"""
    change, flow = FAILURES[request.param]
    return request.param, change(small_heart.sim), flow


@eqx.filter_jit
def value_and_gradient(sim, flow, lumen):
    """Mean hyperemic MBF with its derivative by every lumen, and the outcome."""

    def at(lumen):
        changed = eqx.tree_at(lambda s: s.network.lumen, sim, lumen)
        state = simulate(changed, flow, states="hyperemia").hyperemia
        return jnp.mean(state.mbf), state

    (value, state), slope = jax.value_and_grad(at, has_aux=True)(lumen)
    return value, state, slope


def test_on_the_host_a_failure_is_a_sentence(failure):
    name, sim, flow = failure
    with pytest.raises(SimulationError) as error:
        simulate(sim, flow, states="hyperemia")
    assert RESULTS[name].message in str(error.value) and "'hyperemia'" in str(error.value)
    assert int(error.value.partial.hyperemia.counters.result) == RESULTS[name]


def test_without_throw_the_last_iterate_comes_with_its_result(failure):
    name, sim, flow = failure
    state = simulate(sim, flow, states="hyperemia", throw=False).hyperemia
    assert int(state.counters.result) == RESULTS[name]
    assert bool(jnp.all(jnp.isfinite(state.mbf))) == (name != "not_finite")


def test_under_jit_and_grad_a_failure_is_nan(failure):
    """Values and derivatives of all floats; the result and the steps stay readable."""
    name, sim, flow = failure
    value, state, slope = value_and_gradient(sim, flow, sim.network.lumen)
    measured = np.asarray(sim.network.measured)  # the others follow the radius law
    assert np.isnan(value) and np.isnan(np.asarray(slope)[measured]).all()
    floats = eqx.filter(
        eqx.tree_at(lambda s: s.counters, state, None, is_leaf=lambda x: x is None), eqx.is_inexact_array
    )
    assert all(bool(jnp.all(jnp.isnan(x))) for x in jax.tree.leaves(floats) if x.size)
    assert int(state.counters.result) == RESULTS[name]


def test_a_derivative_whose_linear_solve_fails_is_nan(small_heart):
    """The value is good, the adjoint is not: a start at the solution needs no step, its derivative does."""
    sim = small_heart.sim
    near = simulate(sim, states="hyperemia")

    @eqx.filter_jit
    def slope(sim, flow, near):
        def at(tone):
            changed = eqx.tree_at(lambda s: s.tissue.tone, sim, tone)
            state = simulate(changed, flow, states="hyperemia", near=near).hyperemia
            return jnp.sum(state.mbf), state.counters.result

        return jax.value_and_grad(at, has_aux=True)(sim.tissue.tone)

    (_, result), good = slope(sim, Steady(tolerance=1e-9), near)
    (value, same), bad = slope(sim, Steady(tolerance=1e-9, max_krylov=1), near)
    assert int(result) == int(same) == RESULTS.successful and np.isfinite(value)
    assert bool(jnp.all(jnp.isfinite(good))) and bool(jnp.all(jnp.isnan(bad)))


def test_members_of_a_batch_fail_by_themselves(small_heart):
    sim = small_heart.sim
    tone = jnp.stack([sim.tissue.tone * f for f in (1.0, 0.8, np.nan, 0.9)])
    batch = jax.vmap(lambda t: simulate(eqx.tree_at(lambda s: s.tissue.tone, sim, t), states="hyperemia"))(tone)
    mbf = np.asarray(batch.hyperemia.mbf)
    np.testing.assert_array_equal(np.isnan(mbf).all(axis=1), [False, False, True, False])
    alone = simulate(eqx.tree_at(lambda s: s.tissue.tone, sim, tone[1]), states="hyperemia")
    np.testing.assert_allclose(mbf[1], alone.hyperemia.mbf, rtol=1e-8, atol=1e-10)
    with pytest.raises(SimulationError, match=r"1 of 4 members failed: the first is 2, not_finite"):
        check(batch)


def test_a_state_that_was_not_solved_is_named(small_heart):
    solution = simulate(small_heart.sim, states="hyperemia")
    for read in (lambda: solution.rest, lambda: solution["rest"], lambda: solution.mfr):
        with pytest.raises(InputError, match="holds hyperemia, not 'rest': ask `simulate` for that state"):
            read()
    with pytest.raises(InputError, match="no state 'stress': it has rest, hyperemia"):
        simulate(small_heart.sim, states="stress")


def test_causes_count_more_than_symptoms():
    assert int(worst_of(RESULTS.newton_not_converged, RESULTS.not_finite)) == RESULTS.not_finite
    assert int(worst_of(RESULTS.vessel_too_narrow, RESULTS.not_finite)) == RESULTS.vessel_too_narrow
    assert int(worst_of(RESULTS.successful, RESULTS.successful)) == RESULTS.successful


def test_no_flow_is_not_maintained():
    with pytest.raises(InputError, match=r"demand of 0 .* cannot be maintained"):
        State("rest", 1.2e4, 1e3, 2e3, 0.0)


def test_a_field_that_is_not_finite_is_no_solution():
    """A potential without a gradient that is a number: NaN and a result, not the starting field."""
    start = jnp.ones(3)
    x, counters = minimize(
        lambda x: Balance(x * jnp.nan, jnp.ones(())),
        lambda x, F, rtol, picard: (-F, 1, True),
        start,
        jnp.ones(3),
        Steady(),
    )
    assert bool(jnp.all(jnp.isnan(x))) and int(counters.result) == RESULTS.not_finite and int(counters.newton) == 0


@pytest.fixture(scope="module")
def cube():
    return darcy.box([0.03] * 3, [6] * 3)[0]


def test_tissue_solves_say_when_they_fail(cube):
    K, sink = jnp.full(216, 4e-6), cube.volume
    load = cube.volume * jnp.asarray(np.random.default_rng(0).standard_normal(216))
    exact, info = darcy.solve(cube, K, sink, load)
    assert int(info.result) == RESULTS.successful and float(info.imbalance) <= 1e-12
    with pytest.raises(SimulationError, match=r"`max_steps` of `darcy.solve`.* after 2 steps"):
        darcy.solve(cube, K, sink, load, max_steps=2)
    last, info = darcy.solve(cube, K, sink, load, max_steps=2, throw=False)
    assert int(info.result) == RESULTS.linear_not_converged and 1e-6 < float(info.imbalance) < 0.1
    assert 0.0 < float(jnp.max(jnp.abs(last - exact))) < float(jnp.max(jnp.abs(exact)))
    for none in (0.0 * sink, -sink):
        with pytest.raises(SimulationError, match=re.escape(RESULTS.not_drained.message)):
            darcy.solve(cube, K, none, load)

    def total(K, steps):
        return jnp.sum(darcy.solve(cube, K, sink, load, max_steps=steps)[0] ** 2)

    good, bad = (jax.jit(jax.value_and_grad(total))(K, jnp.asarray(steps)) for steps in (500, 2))
    assert np.isfinite(good[0]) and bool(jnp.all(jnp.isfinite(good[1])))
    assert np.isnan(bad[0]) and bool(jnp.all(jnp.isnan(bad[1])))


@pytest.fixture(scope="module")
def scan(small_heart):
    """17 segments of the small heart with another tone and a tighter lesion."""
    sim = eqx.tree_at(
        lambda s: (s.tissue.tone, s.lesions.throat), small_heart.sim, (jnp.array([0.6, 1.1, 0.9]), jnp.array([0.35]))
    )
    empty = Scan(STATES, jnp.zeros((2, 17)), Noise(0.12, 0.02), Segments(LongAxis.of(small_heart.wall.frame)))
    return eqx.tree_at(lambda s: s.value, empty, empty.predict(sim, simulate(sim)))


FREE = ("tone", "throat")


@pytest.mark.parametrize("method", ["dense", "krylov", "lbfgs"])
@pytest.mark.parametrize("name", ["newton_not_converged", "linear_not_converged"])
def test_a_fit_does_not_use_failed_solves(small_heart, scan, method, name):
    flow = FAILURES[name][1]
    fitted = fit(small_heart.sim, [scan], FREE, method=method, flow=flow, throw=False)
    assert not fitted.converged and fitted.result is RESULTS.fit_solve_failed
    assert fitted.failed["hyperemia"] is RESULTS[name] and fitted.work.failed >= 1
    assert "State 'hyperemia'" in fitted.message and RESULTS[name].message in fitted.message
    np.testing.assert_array_equal(fitted.xi, 0.0)
    with pytest.raises(SimulationError, match="did not converge") as error:
        fit(small_heart.sim, [scan], FREE, method=method, flow=flow)
    assert isinstance(error.value.partial, perfsim.inverse.Fit)
    with pytest.raises(SimulationError, match="has no posterior"):
        posterior(fitted)


def test_a_fit_starts_from_an_occlusion(small_heart, scan):
    """Throats of case files and occlusions are legal starts; beyond them the value and the bound are named."""
    network = small_heart.sim.network
    for throat in (0.04, 0.03):
        start = eqx.tree_at(lambda s: s.lesions.throat, small_heart.sim, jnp.array([throat]))
        fitted = fit(start, [scan], FREE, max_steps=4, throw=False)
        assert np.isfinite(fitted.after).all() and fitted.cost_after < 0.5 * fitted.cost_before and not fitted.failed
    assert float(stenosis(network, "LAD", 0.03, 0.97, 0.01).throat[0]) == pytest.approx(0.03)
    closed = eqx.tree_at(lambda s: s.lesions.throat, small_heart.sim, jnp.array([0.015]))
    for name in FREE[1], "severity":
        with pytest.raises(InputError, match=f"{name!r} starts at 0.015, but a fit needs a value .*0.02"):
            fit(closed, [scan], (name,))
    with pytest.raises(InputError, match=r"diameter reduction 0\.985: give at least 0 and less than 0\.98"):
        stenosis(network, "LAD", 0.03, 0.985, 0.01)


def test_hematocrit_out_of_bounds_is_refused(small_heart, scan):
    """0.72 is a legal start, as in case files; 0.76 is named with its bounds before the first solve."""
    thick = eqx.tree_at(lambda s: s.viscosity.hematocrit, small_heart.sim, jnp.asarray(0.72))
    posed, _ = problem(thick, [scan], ["hematocrit"])
    assert (
        float(posed.values(jnp.zeros(1))[0]) == pytest.approx(0.72) and float(posed.values(jnp.full(1, 9.0))[0]) < 0.75
    )
    thicker = eqx.tree_at(lambda s: s.viscosity.hematocrit, small_heart.sim, jnp.asarray(0.76))
    with pytest.raises(InputError, match=r"'hematocrit' starts at 0\.76, but a fit needs a value between 0 and 0\.75"):
        fit(thicker, [scan], ("hematocrit",))


@pytest.mark.slow
def test_hematocrit_is_fitted_from_the_highest_that_case_files_allow(small_heart, scan):
    thick = eqx.tree_at(lambda s: s.viscosity.hematocrit, small_heart.sim, jnp.asarray(0.72))
    fitted = fit(thick, [scan], (*FREE, "hematocrit"))
    assert fitted.converged and np.isfinite(fitted.after).all() and 0.0 < fitted.after[-1] < 0.75
    assert np.isfinite(posterior(fitted).sd).all()


@pytest.fixture(scope="module")
def fitted(small_heart, scan):
    return fit(small_heart.sim, [scan], FREE)


def with_solver(fitted, flow):
    """The same fit, had the solver been this."""
    return dataclasses.replace(fitted, problem=dataclasses.replace(fitted.problem, flow=flow))


def test_what_follows_a_fit_refuses_failed_solves(fitted):
    """Posterior, draws, identifiability, the next measurement: with a solver that fails, each raises its sentence."""
    bad = with_solver(fitted, Steady(max_steps=1))
    with pytest.raises(SimulationError, match="derivative of the simulation could not be computed"):
        posterior(bad)
    known = posterior(fitted)
    assert identifiability(known).informed >= 1
    broken = type(known)(bad, known.eigenvalues, known.directions, known.work)
    with pytest.raises(SimulationError, match=re.escape(RESULTS.draws_failed.message) + ".*max_steps"):
        broken.sample(lambda s: s.hyperemia.aortic_pressure, 4)
    with pytest.raises(SimulationError, match="max_steps"):
        next_measurement(broken, {"cuff": Cuff(0.0)})


def test_draws_that_fail_are_dropped_and_counted(fitted):
    """Draws that are not numbers cannot be solved: the others make the ensemble."""
    known = posterior(fitted)
    draw = known.draw(8, seed=1)
    draw[[2, 5]] = np.nan
    object.__setattr__(known, "draw", lambda count, seed=0: draw)
    ensemble = known.sample(lambda s: s.hyperemia.inlet_flow, 8)
    assert ensemble.failed == 2 and len(ensemble.weight) == 6 and ensemble.weight.sum() == pytest.approx(1.0)
    assert np.isfinite(ensemble.mean()).all()
    assert "2 of 8 draws could not be solved and were left out." in ensemble.lines()


def test_weights_are_pareto_smoothed():
    """Ratios of known tails: k̂ of a Pareto distribution is its shape, equal ratios give equal weights."""
    rng = np.random.default_rng(0)
    for shape in (0.3, 0.9):
        ratio = scipy.stats.genpareto(shape).rvs(20_000, random_state=rng) + 1e-3
        weight, k_hat = pareto_smoothed(np.log(ratio))
        assert k_hat == pytest.approx(shape, abs=0.1) and weight.sum() == pytest.approx(1.0)
    few, k_hat = pareto_smoothed(np.log([1.0, 2.0, 5.0]))
    np.testing.assert_allclose(few, [0.125, 0.25, 0.625], rtol=1e-12)
    assert k_hat == np.inf
    sample = perfsim.inverse.Ensemble({"": np.zeros(400)}, np.full(400, 1 / 400), k_hat=0.65)
    assert sample.k_limit == pytest.approx(1.0 - 1.0 / np.log10(400)) and not sample.reliable
    assert any("not reliable" in line for line in sample.lines())
    assert perfsim.inverse.Ensemble({"": np.zeros(10_000)}, np.full(10_000, 1e-4), k_hat=0.65).reliable


def test_a_sensitivity_of_a_failed_solve_is_refused(small_heart):
    site = lesion_sites(small_heart.sim)[0]
    with pytest.raises(SimulationError, match="check_inputs"):
        sensitivity(with_supply(small_heart.sim, np.nan), site)


def tube(mean: float) -> Arteries:
    """A vessel of 10 cm into a windkessel of four beats, with a pulsating inflow of this mean [m³/s]."""
    inflow = Inlets(0, Fourier(mean, [[0.6 * mean]], [[0.0]], 1.0))
    windkessel = Windkessel(1, 2.5e8, 1.9e9, 1.7e-9, 0.0)
    return Arteries.build(
        [0], [1], 0.1, 3e-3, 210.0, period=1.0, flow_inlets=inflow, outlets=(windkessel,), reference_pressure=1e4
    )


def test_a_beat_that_fails_is_nan_with_its_reason():
    """Settled in 40 cycles; not in 2; broken by a thousandfold inflow."""
    grid = discretize(tube(3e-6), 2e-2, samples=5)
    solve = jax.jit(lambda arteries, tolerance, cycles: periodic_state(arteries, grid, tolerance, cycles))
    for mean, tolerance, cycles, result in (
        (3e-6, 1e-6, 40, RESULTS.successful),
        (3e-6, 1e-9, 2, RESULTS.not_periodic),
        (3e-3, 1e-6, 10, RESULTS.wave_not_finite),
    ):
        wave, reached = solve(tube(mean), tolerance, cycles)
        assert int(reached.result) == result
        assert np.isnan(wave.A).all() == (result is not RESULTS.successful)


class Islands:
    """Two boxes that do not touch."""

    parts = (
        Box(np.zeros(3), np.array([0.02, 0.04, 0.04])),
        Box(np.array([0.03, 0.0, 0.0]), np.array([0.05, 0.04, 0.04])),
    )

    def bounds(self):
        return np.zeros(3), np.array([0.05, 0.04, 0.04])

    def signed_distance(self, points):
        return np.minimum(*(part.signed_distance(points) for part in self.parts))


def test_a_tree_that_cannot_reach_its_terminals_is_refused():
    x = np.linspace(-0.03, 0.0, 31)
    trunk = Centerlines.build(
        np.stack([x, 0.0 * x + 0.02, 0.0 * x + 0.02], 1), np.arange(30), np.arange(1, 31), np.full(30, 2e-3),
        inlets=[0], branch_names=("stem",),
    )  # fmt: skip
    with pytest.raises(SimulationError, match=r"parts that no trunk reaches. \(32 terminals, 8 dropped") as error:
        perfsim.grow(Islands(), trunk, 40)
    _, report = error.value.partial
    assert report.result is RESULTS.growth_incomplete
    _, report = perfsim.grow(Islands(), trunk, 40, throw=False)
    assert report.dropped == 8


class Deceiving(Measurement):
    """The logarithm of tone, but for its value or its derivative."""

    value: jnp.ndarray
    noise: Noise
    kind: str = eqx.field(static=True)

    @property
    def needs(self):
        return ()

    def predict(self, sim, solution):
        x = jnp.log(sim.tissue.tone)
        return 1.0 + x - jax.lax.stop_gradient(x) if self.kind == "flat" else jnp.sqrt(x)


@pytest.mark.parametrize(
    ("kind", "method", "result"),
    [
        ("flat", "dense", RESULTS.fit_stalled),
        ("flat", "lbfgs", RESULTS.fit_stalled),
        ("infinite slope", "dense", RESULTS.fit_derivative_failed),
        ("infinite slope", "lbfgs", RESULTS.fit_derivative_failed),
    ],
)
def test_a_fit_says_why_it_ends(kind, method, result):
    """A value that no step changes, though the derivative promises it; a derivative that is no number."""
    sim = eqx.tree_at(lambda s: s.states, tiny_heart(), ())
    data = [Deceiving(jnp.full(2, 0.5), Noise(0.0, 0.1), kind)]
    ended = fit(sim, data, ("tone",), method=method, throw=False, max_steps=80)
    assert ended.result is result and not ended.converged and ended.message == result.message
    with pytest.raises(SimulationError, match="the fit did not converge"):
        fit(sim, data, ("tone",), method=method, max_steps=80)
