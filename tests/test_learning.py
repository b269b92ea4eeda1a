"""What a network learns through the simulator."""

import perfsim
from perfsim import GraphNetwork
from perfsim.cohorts import Stenosis, reference_heart
from perfsim.learn import Closures
from perfsim.observe import LongAxis, Pose, Segments

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest

STATES = ("hyperemia",)


def case(spacing: float, seed: int):
    """(heart, image, the same heart with a supply that follows the image, what sees its segments)."""
    lesion = (Stenosis("LAD", 0.03, 0.2, 0.010),)
    heart = reference_heart(terminals=300, spacing=spacing, seed=seed, stenoses=lesion)
    sim, view = heart.sim, Segments(LongAxis.of(heart.wall.frame))
    x, y, z = sim.volumes.center.T / 10e-3
    image = (jnp.sin(0.9 * x + 0.3 * y + 0.2 * z) + jnp.cos(-0.2 * x + 0.8 * y + 0.5 * z))[:, None]
    truth = eqx.tree_at(lambda s: s.tissue.supply, sim, sim.tissue.supply * jnp.exp(0.4 * image[:, 0]))
    return sim, image, perfsim.simulate(truth, states=STATES).hyperemia.mbf, view


def error(model: Closures, sim, image, truth) -> float:
    found = perfsim.simulate(sim, tissue=GraphNetwork(model, image), states=STATES).hyperemia.mbf
    return float(jnp.average(jnp.abs(found / truth - 1.0), weights=sim.volumes.volume))


@pytest.mark.slow
def test_a_law_of_supply_is_learned_from_segments_and_holds_on_another_tree_and_mesh():
    sim, image, truth, view = case(4e-3, 0)
    seen = view(sim.volumes, truth, Pose())
    model = Closures.of(jax.random.key(0), features=1, width=8, rounds=1)
    rule = optax.adam(2e-2)
    state = rule.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model, state):
        def loss(model):
            found = perfsim.simulate(sim, tissue=GraphNetwork(model, image), states=STATES)
            return jnp.mean((view(sim.volumes, found.hyperemia.mbf, Pose()) / seen - 1.0) ** 2)

        value, slope = eqx.filter_value_and_grad(loss)(model)
        update, state = rule.update(slope, state)
        return eqx.apply_updates(model, update), state, value

    for _ in range(100):
        model, state, value = step(model, state)
    other = case(3.5e-3, 5)[:3]
    untrained = Closures.of(jax.random.key(0), features=1, width=8, rounds=1)
    before, after, elsewhere = error(untrained, *other), error(model, sim, image, truth), error(model, *other)
    print(f"segments {float(value) ** 0.5:.2%}; volumes {after:.2%}; elsewhere {before:.2%} to {elsewhere:.2%}")
    assert before > 0.15
    assert float(value) ** 0.5 < 0.01 and after < 0.04 and elsewhere < 0.05
