"""The gradient: every parameter kind against finite differences, Taylor, dot test, vmap, degenerate states."""

from perfsim.coupling import simulate
from perfsim.flow import Steady
from perfsim.observe import ffr, lesion_sites

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

TIGHT = Steady(tolerance=1e-13)
KINDS = {
    "lumens": lambda s: s.network.lumen,
    "stenosis throat": lambda s: s.lesions.throat,
    "stenosis position": lambda s: s.lesions.center,
    "radius exponent": lambda s: s.network.exponent,
    "root lumen": lambda s: s.network.root_radius,
    "node positions": lambda s: s.network.position,
    "design demand": lambda s: s.network.demand,
    "plasma viscosity": lambda s: s.viscosity.plasma,
    "hematocrit": lambda s: s.viscosity.hematocrit,
    "tone": lambda s: s.tissue.tone,
    "supply g_a": lambda s: s.tissue.supply,
    "mobility K": lambda s: s.tissue.mobility,
    "drainage g_v": lambda s: s.tissue.drainage,
    "back pressure": lambda s: s.states[1].back_pressure_endo,
    "aortic pressure": lambda s: (s.states[0].aortic_pressure, s.states[1].aortic_pressure),
    "rest demand": lambda s: s.states[0].demand,
    "loss factor": lambda s: s.loss.k_t,
}


@pytest.fixture(scope="module")
def readout(small_heart):
    """One number that depends on MBF at rest and in hyperemia and on FFR behind the lesion, with its gradient."""
    sim = small_heart.sim
    site = lesion_sites(sim)[0]
    weight = jnp.asarray(np.random.default_rng(5).random(len(sim.volumes.volume)))

    @eqx.filter_jit
    def value(sim):
        solution = simulate(sim, flow=TIGHT)
        mbf = jnp.mean(weight * solution.hyperemia.mbf) + jnp.mean(weight * solution.rest.mbf)
        return mbf + ffr(solution.hyperemia)[site]

    return sim, value, eqx.filter_jit(eqx.filter_grad(value))(sim)


def direction(leaf, rng):
    """A random direction, relative for scalars and lumens, 0.1 mm for positions."""

    def one(x):
        noise = rng.standard_normal(x.shape)
        return jnp.asarray(noise * 1e-4 if x.ndim == 2 and x.shape[1] == 3 else (1 + 0.3 * noise) * x)

    return jax.tree.map(one, leaf)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_matches_central_differences(readout, kind):
    sim, value, gradient = readout
    where = KINDS[kind]
    d = direction(where(sim), np.random.default_rng(len(kind)))

    def at(t):
        return float(value(eqx.tree_at(where, sim, jax.tree.map(lambda x, v: x + t * v, where(sim), d))))

    exact = float(sum(jax.tree.leaves(jax.tree.map(jnp.vdot, where(gradient), d))))
    # Richardson's extrapolation takes the truncation error of the difference below the tolerance that is tested
    h = 5e-5
    difference = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    assert abs(exact) > 1e-6, "this readout does not see the parameter"
    assert exact == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize("kind", ["stenosis throat", "radius exponent", "tone", "aortic pressure", "lumens"])
def test_taylor_remainder_is_quadratic(readout, kind):
    sim, value, gradient = readout
    where = KINDS[kind]
    d = direction(where(sim), np.random.default_rng(1))
    slope = float(sum(jax.tree.leaves(jax.tree.map(jnp.vdot, where(gradient), d))))
    base = float(value(sim))
    h = np.array([8e-3, 4e-3, 2e-3, 1e-3])
    moved = [float(value(eqx.tree_at(where, sim, jax.tree.map(lambda x, v, t=t: x + t * v, where(sim), d)))) for t in h]
    remainder = np.abs(np.array(moved) - base - h * slope)
    order = np.polyfit(np.log(h), np.log(remainder), 1)[0]
    assert order == pytest.approx(2.0, abs=0.05)


def test_forward_and_reverse_agree(small_heart):
    """⟨J v, w⟩ = ⟨v, Jᵀ w⟩ to 1e-10, from all floating-point leaves to both MBF maps."""
    arrays, static = eqx.partition(small_heart.sim, eqx.is_inexact_array)

    def maps(arrays):
        solution = simulate(eqx.combine(arrays, static), flow=TIGHT)
        return solution.rest.mbf, solution.hyperemia.mbf, solution.hyperemia.static_pressure / 1e4

    rng = np.random.default_rng(0)
    v = jax.tree.map(lambda x: jnp.asarray(1e-3 * rng.standard_normal(x.shape)) * x, arrays)
    out, tangent = jax.jvp(maps, (arrays,), (v,))
    w = jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape)), out)
    (back,) = jax.vjp(maps, arrays)[1](w)

    def dot(a, b):
        return float(sum(jax.tree.leaves(jax.tree.map(jnp.vdot, a, b))))

    assert dot(tangent, w) == pytest.approx(dot(v, back), rel=1e-10)


def test_vmap_over_parameters(small_heart):
    """A batch of stenoses at once gives what each gives alone."""
    sim = small_heart.sim
    throats = jnp.array([[0.3], [0.5], [0.9]])

    def mbf(throat):
        return simulate(eqx.tree_at(lambda s: s.lesions.throat, sim, throat)).hyperemia.mbf

    batch = jax.vmap(mbf)(throats)
    for row, throat in zip(batch, throats, strict=True):
        np.testing.assert_allclose(row, mbf(throat), rtol=1e-7)


def test_gradient_is_finite_at_degenerate_states(small_heart):
    """No flow anywhere (aortic pressure equals the back pressure), no lesion depth, equal radii."""
    sim = small_heart.sim
    still = eqx.tree_at(
        lambda s: (
            s.states[1].aortic_pressure,
            s.states[1].back_pressure_epi,
            s.states[1].back_pressure_endo,
            s.lesions.throat,
        ),
        sim,
        (jnp.asarray(2e3), jnp.asarray(2e3), jnp.asarray(2e3), jnp.array([1.0])),
    )

    def total(sim):
        state = simulate(sim, states=("hyperemia",)).hyperemia
        return jnp.sum(state.mbf) + jnp.sum(state.flow) * 1e6

    value, gradient = eqx.filter_value_and_grad(total)(still)
    assert abs(float(value)) < 1e-8
    for leaf in jax.tree.leaves(eqx.filter(gradient, eqx.is_inexact_array)):
        assert bool(jnp.all(jnp.isfinite(leaf)))
    h = 1.0
    moved = [eqx.tree_at(lambda s: s.states[1].aortic_pressure, still, jnp.asarray(2e3 + t)) for t in (h, -h)]
    slope = (float(total(moved[0])) - float(total(moved[1]))) / (2 * h)
    assert float(gradient.states[1].aortic_pressure) == pytest.approx(slope, rel=1e-6)
