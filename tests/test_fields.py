"""Conductances and back pressure as fields, soft territories, and where the flow goes."""

from perfsim.coupling import balance, check, screening_length, simulate, soft_territories
from perfsim.units import ML_MIN

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest


def fields(sim, supply=1.0, drainage=1.0, back=1.0):
    """The simulation with factors on its conductances and hyperemic back pressure, by volume."""
    t, h, ones = sim.tissue, sim.states[1], jnp.ones(len(sim.volumes.volume))
    return eqx.tree_at(
        lambda s: (
            s.tissue.supply, s.tissue.drainage, s.tissue.mobility,
            s.states[1].back_pressure_epi, s.states[1].back_pressure_endo,
        ),
        sim,
        (
            t.supply * supply * ones, t.drainage * drainage * ones, t.mobility * ones,
            h.back_pressure_epi * back * ones, h.back_pressure_endo * back * ones,
        ),
    )  # fmt: skip


def test_constant_fields_are_numbers(small_heart):
    one, field = (check(simulate(s)) for s in (small_heart.sim, fields(small_heart.sim)))
    for name, state in one.in_order():
        np.testing.assert_allclose(field[name].mbf, state.mbf, rtol=1e-12)
        np.testing.assert_allclose(field[name].inlet_flow, state.inlet_flow, rtol=1e-12)


def test_scar_takes_no_flow(small_heart):
    """Nothing is supplied or drained in it, everything balances, and its neighbors lose little."""
    sim = small_heart.sim
    scar = jnp.linalg.norm(sim.volumes.center - sim.volumes.center[100], axis=1) < 12e-3
    healthy, ill = (check(simulate(s)).hyperemia for s in (sim, fields(sim, 1.0 - scar, 1.0 - scar)))
    assert int(scar.sum()) > 20 and float(jnp.abs(ill.mbf[scar]).max()) == 0.0
    assert float(ill.mass_defect) < 1e-12
    far = jnp.linalg.norm(sim.volumes.center - sim.volumes.center[100], axis=1) > 25e-3
    np.testing.assert_allclose(ill.mbf[far], healthy.mbf[far], rtol=0.05)


def test_territories_as_a_field(small_heart):
    """A volume with one feeder has its territory's value; where two meet, something between; MBF follows tone."""
    sim = small_heart.sim
    tone = jnp.array([0.5, 1.0, 0.8])
    field = np.asarray(sim.by_territory(tone))
    owner = np.append(np.asarray(sim.tissue.territory), -1)[np.asarray(sim.couplings.terminal)].T
    there = np.asarray(sim.couplings.weight).T > 0
    pure = np.array([len(set(o[w])) == 1 for o, w in zip(owner, there, strict=True)])
    np.testing.assert_allclose(field[pure], np.asarray(tone)[owner[:, 0]][pure], rtol=1e-12)
    assert field.min() >= 0.5 - 1e-15 and field.max() <= 1.0 + 1e-15 and 0 < (~pure).sum() < len(pure)
    by_tone = eqx.tree_at(lambda s: s.tissue.tone, sim, tone)
    a, b = (check(simulate(s)).hyperemia.mbf for s in (fields(sim, field), by_tone))
    assert float(jnp.abs(a - b).mean()) < 0.01 * float(b.mean())


def test_gradient_of_fields(small_heart):
    """d/d(g_a, g_v, p_b of every volume), reverse mode against central differences along a random direction."""
    sim, n = small_heart.sim, len(small_heart.sim.volumes.volume)
    way = jnp.asarray(np.random.default_rng(4).standard_normal((3, n)))

    def f(x):
        state = simulate(fields(sim, *x)).hyperemia
        return jnp.sum(state.mbf**2 * sim.volumes.volume) / jnp.sum(sim.volumes.volume)

    at, h = jnp.ones((3, n)), 1e-3
    along = float(jnp.sum(jax.jit(jax.grad(f))(at) * way))
    difference = (8 * (f(at + h * way) - f(at - h * way)) - (f(at + 2 * h * way) - f(at - 2 * h * way))) / (12 * h)
    assert float(difference) == pytest.approx(along, rel=1e-7)


def test_soft_territories(small_heart):
    """Weights add up to the volumes; a small width is the nearest terminal; MBF hardly changes."""
    sim = small_heart.sim
    hard = check(simulate(sim)).hyperemia
    softened, soft = soft_territories(sim, 2e-3)
    np.testing.assert_allclose(softened.couplings.weight.sum(0), sim.volumes.volume, rtol=1e-12)
    state = check(simulate(softened)).hyperemia
    V = sim.volumes.volume
    assert float(jnp.sum(state.mbf * V)) == pytest.approx(float(jnp.sum(hard.mbf * V)), rel=0.02)
    sharp = eqx.tree_at(lambda s: s.width, soft, jnp.asarray(1e-5))(softened)
    nearest = jnp.argmax(sharp.couplings.weight, axis=0)
    at = sim.network.position[sim.network.terminals][sharp.couplings.terminal]
    distance = jnp.linalg.norm(at - sim.volumes.center, axis=-1)
    assert bool(jnp.all(nearest == jnp.argmin(distance, axis=0)))


def test_gradient_to_terminal_positions(small_heart):
    """Reverse mode through weights, design flows, radii and lengths against central differences."""
    softened, soft = soft_territories(small_heart.sim, 3e-3)
    terminals = softened.network.terminals
    way = jnp.asarray(np.random.default_rng(5).standard_normal((len(terminals), 3)))

    def f(moved):
        position = softened.network.position.at[terminals].add(moved)
        sim = soft(eqx.tree_at(lambda s: s.network.position, softened, position))
        return jnp.mean(simulate(sim).hyperemia.mbf ** 2)

    at, h = jnp.zeros((len(terminals), 3)), 2e-5
    along = float(jnp.sum(jax.jit(jax.grad(f))(at) * way))
    difference = (8 * (f(h * way) - f(-h * way)) - (f(2 * h * way) - f(-2 * h * way))) / (12 * h)
    assert abs(along) > 0.0 and float(difference) == pytest.approx(along, rel=1e-6)


def test_balance_and_screening_length(small_heart):
    """Each tree passes on what it takes in; territories together drain what they are supplied."""
    sim = small_heart.sim
    state = check(simulate(sim)).hyperemia
    found = balance(sim, state)
    for tree in found["trees"].values():
        assert tree["passed_on"] == pytest.approx(tree["inflow"], rel=1e-12)
    supply, drainage = (sum(t[k] for t in found["territories"].values()) for k in ("supply", "drainage"))
    assert supply == pytest.approx(drainage, rel=1e-10)
    assert supply + float(state.outlet_flow.sum()) / ML_MIN == pytest.approx(float(state.inlet_flow.sum()) / ML_MIN)
    lad = found["territories"]["LAD"]  # behind its lesion tissue takes from its neighbors
    assert lad["supply"] < lad["drainage"] < 1.05 * lad["supply"]
    assert float(np.median(screening_length(sim))) == pytest.approx(0.69e-3, rel=0.05)
