"""Pressures said by a network: balanced, certified, finished by the solver where they are not good enough."""

import perfsim
from perfsim import InputError
from perfsim.coupling import Predicted, simulate, three_compartments
from perfsim.flow import Steady
from perfsim.learn import PressureNetwork, Training, pressure, train

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

STATE = ("hyperemia",)
RAW = Steady(given=True)
"""what the network says, before any solver touches it"""


@pytest.fixture(scope="module")
def walls():
    """Two walls of one shape, so that they share programs."""
    return [pressure.random_wall(k, volumes=600, screening=3e-3) for k in (1, 4)]


@pytest.fixture(scope="module")
def random_network():
    """An untrained network whose last layer is not zero: it says nonsense."""
    model = PressureNetwork.of(jax.random.key(0), width=8, rounds=1, passes=2)
    last = lambda m: m.decoder.layers[-1].weight  # noqa: E731
    return eqx.tree_at(last, model, 3.0 * jax.random.normal(jax.random.key(1), last(model).shape))


def test_energy_is_the_one_whose_minimum_solves_the_equations(walls):
    problem = walls[0].problem
    p = problem.local + jnp.asarray(np.random.default_rng(0).normal(size=problem.local.shape))
    slope = jax.grad(problem.energy)(p)
    np.testing.assert_allclose(slope, -problem.residual(p), rtol=1e-9, atol=1e-9 * float(jnp.abs(slope).max()))


def test_without_spread_nothing_needs_to_be_learned(walls):
    """K = 0: an untrained network's field is the solution of the whole heart, stenosis losses included."""
    sim = pressure.with_screening(walls[0].sim, 1e-9)
    said = simulate(sim, RAW, Predicted(PressureNetwork.of(jax.random.key(0))), STATE).hyperemia
    exact = simulate(sim, states=STATE).hyperemia
    # terminals that share a volume are settled by repetition
    np.testing.assert_allclose(said.mbf, exact.mbf, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(said.total_pressure, exact.total_pressure, rtol=1e-4)


def test_any_network_balances_and_is_certified(walls, random_network):
    """Residuals of the wall sum to nothing, and the bound holds."""
    network = Predicted(random_network)
    for wall in walls:
        exact = simulate(wall.sim, states=STATE)
        said = simulate(wall.sim, RAW, network, STATE)
        assert float(said.hyperemia.mass_defect) <= 1e-10
        error = np.abs(np.asarray(said.hyperemia.mbf - exact.hyperemia.mbf))
        assert error.max() > 0.05  # it is nonsense
        bound = perfsim.certify(wall.sim, said)["hyperemia"]
        assert np.all(error <= np.asarray(bound.mbf) + 1e-12)


@pytest.mark.slow
def test_any_network_is_finished_by_the_solver(walls, random_network):
    """It ends where it always does, or as near as it is asked to."""
    network = Predicted(random_network)
    for wall in walls:
        exact = simulate(wall.sim, states=STATE)
        ended = simulate(wall.sim, tissue=network, states=STATE)
        np.testing.assert_allclose(ended.hyperemia.mbf, exact.hyperemia.mbf, rtol=1e-8, atol=1e-10)
        near = simulate(wall.sim, Steady(accuracy=1e-5), network, STATE).hyperemia
        assert int(near.counters.newton) > 0
        mean = float(jnp.average(exact.hyperemia.mbf, weights=wall.sim.volumes.volume))
        assert float(jnp.abs(near.mbf - exact.hyperemia.mbf).max()) <= 1e-5 * mean


@pytest.mark.slow
def test_gradients_do_not_know_where_the_solver_started(walls, random_network):
    sim = walls[0].sim

    @eqx.filter_jit
    def mean(tone, tissue):
        moved = eqx.tree_at(lambda s: s.tissue.tone, sim, tone)
        return jnp.sum(simulate(moved, tissue=tissue, states=STATE).hyperemia.mbf * sim.volumes.volume)

    plain = jax.grad(mean)(sim.tissue.tone, None)
    found = jax.grad(mean)(sim.tissue.tone, Predicted(random_network))
    np.testing.assert_allclose(found, plain, rtol=1e-7)


def test_training_on_the_energy_alone_finds_the_solution(walls):
    """60 steps on two small hearts: a third one's MBF is several times closer than before any was taken."""
    model = PressureNetwork.of(jax.random.key(0), width=8, rounds=1, passes=2)
    model, history = train(model, pressure.loss, walls, Training(60, 2, 1e-2))
    unseen = pressure.random_wall(8, volumes=600, screening=2e-3)
    score = pressure.score(model, unseen)
    print(score, history[0], history[-1])
    assert history[0] == pytest.approx(0.0, abs=1e-12)
    assert score["error"] < 0.25 * score["error_without"]


def test_what_cannot_be_predicted_is_said(small_heart):
    with pytest.raises(InputError, match="one compartment"):
        simulate(three_compartments(small_heart.sim), RAW, Predicted(PressureNetwork.of(jax.random.key(0))))
