"""FFR of a large tree without a wall: the gradient to every radius, and batches."""

import sys
from pathlib import Path

from perfsim.coupling import network_only, simulate
from perfsim.flow import LumpedOutlets, Steady
from perfsim.observe import branch_ends
from perfsim.units import ML_MIN, MMHG

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytestmark = pytest.mark.slow
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))


@pytest.fixture(scope="module")
def large():
    import ffr

    network = ffr.tree(900)
    count = len(network.outlets)
    outlets = LumpedOutlets(
        np.full(count, count * 75 * MMHG / (300 * ML_MIN)), np.full(count, 15 * MMHG), np.zeros(count)
    )
    return network_only(network, outlets, aortic_pressure=93 * MMHG)


def test_gradient_to_every_radius(large):
    """FFR at one end against central differences of all of its 1,780 radii, by vmap; largest error 1e-6 of the largest slope."""
    end = branch_ends(large.network)["b0"]

    def ffr_at(lumen):
        state = simulate(eqx.tree_at(lambda s: s.network.lumen, large, lumen), flow=Steady(tolerance=1e-13)).hyperemia
        return state.static_pressure[end] / state.aortic_pressure

    lumen = large.network.lumen
    exact = np.asarray(jax.grad(ffr_at)(lumen)).ravel()
    h = 1e-7  # [m], 0.1 µm

    @jax.jit
    def difference(k):
        def at(t):
            return ffr_at(lumen.ravel().at[k].add(t).reshape(lumen.shape))

        return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)

    found = np.asarray(jax.lax.map(difference, jnp.arange(lumen.size), batch_size=200))
    assert lumen.size > 1700 and np.abs(exact).max() > 1.0
    assert np.abs(exact - found).max() <= 1e-6 * np.abs(exact).max()


def test_a_batch_is_what_each_tree_is_alone(large):
    scale = jnp.linspace(0.9, 1.1, 7)[:, None, None]

    def inflow(lumen):
        return simulate(eqx.tree_at(lambda s: s.network.lumen, large, lumen)).hyperemia.inlet_flow[0]

    batch = jax.vmap(inflow)(scale * large.network.lumen)
    alone = [float(inflow(s * large.network.lumen)) for s in scale]
    np.testing.assert_allclose(batch, alone, rtol=1e-9)
    assert np.all(np.diff(alone) > 0)
