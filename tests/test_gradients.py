"""The gradient: every parameter kind against finite differences, Taylor, dot test, vmap, degenerate states."""

from perfsim.coupling import simulate
from perfsim.flow import Steady
from perfsim.observe import lesion_sites

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


def seen(sim):
    """What the readouts of this file are made of."""
    solution = simulate(sim, flow=TIGHT)
    stress = solution.hyperemia
    return solution.rest.mbf, stress.mbf, stress.static_pressure, stress.aortic_pressure, stress.flow


def _split(sim):
    """(its floating-point leaves, what is seen as a function of them)."""
    arrays, static = eqx.partition(sim, eqx.is_inexact_array)
    return arrays, lambda arrays: seen(eqx.combine(arrays, static))


@eqx.filter_jit
def adjoint(sim, weights):
    """Jᵀw, from all that is seen to all floating-point leaves: the gradient of any readout, by one program."""
    arrays, function = _split(sim)
    return jax.vjp(function, arrays)[1](weights)[0]


@eqx.filter_jit
def tangent(sim, direction):
    """(what is seen, J times a direction)."""
    arrays, function = _split(sim)
    return jax.jvp(function, (arrays,), (direction,))


def dot(a, b) -> float:
    return float(sum(jax.tree.leaves(jax.tree.map(jnp.vdot, a, b))))


@pytest.fixture(scope="module")
def readout(small_heart):
    """One number that depends on MBF at rest and in hyperemia and on FFR behind the lesion, with its gradient."""
    sim = small_heart.sim
    site = lesion_sites(sim)[0]
    weight = jnp.asarray(np.random.default_rng(5).random(len(sim.volumes.volume)))

    def number(of):
        rest, stress, pressure, aortic, _ = of
        return jnp.mean(weight * stress) + jnp.mean(weight * rest) + pressure[site] / aortic

    return sim, lambda sim: number(seen(sim)), adjoint(sim, jax.grad(number)(seen(sim)))


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

    exact = dot(where(gradient), d)
    # Richardson's extrapolation takes the truncation error of the difference below the tolerance that is tested
    h = 2.5e-5 if kind == "stenosis position" else 5e-5  # which side branch a jet begins before turns over a vessel
    difference = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    assert abs(exact) > 1e-6, "this readout does not see the parameter"
    assert exact == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize("kind", ["stenosis throat", "radius exponent", "tone", "aortic pressure", "lumens"])
def test_taylor_remainder_is_quadratic(readout, kind):
    sim, value, gradient = readout
    where = KINDS[kind]
    d = direction(where(sim), np.random.default_rng(1))
    slope = dot(where(gradient), d)
    base = float(value(sim))
    h = np.array([8e-3, 4e-3, 2e-3, 1e-3])
    moved = [float(value(eqx.tree_at(where, sim, jax.tree.map(lambda x, v, t=t: x + t * v, where(sim), d)))) for t in h]
    remainder = np.abs(np.array(moved) - base - h * slope)
    order = np.polyfit(np.log(h), np.log(remainder), 1)[0]
    assert order == pytest.approx(2.0, abs=0.05)


def test_forward_and_reverse_agree(small_heart):
    """⟨J v, w⟩ = ⟨v, Jᵀ w⟩ to 1e-10, from all floating-point leaves to flows and pressures of both states."""
    arrays = eqx.filter(small_heart.sim, eqx.is_inexact_array)
    rng = np.random.default_rng(0)
    v = jax.tree.map(lambda x: jnp.asarray(1e-3 * rng.standard_normal(x.shape)) * x, arrays)
    out, along = tangent(small_heart.sim, v)
    scale = (1.0, 1.0, 1e-4, 1e-4, 1e6)  # of Pa and m³/s to numbers of the size of MBF
    w = tuple(c * jnp.asarray(rng.standard_normal(x.shape)) for c, x in zip(scale, out, strict=True))
    assert dot(along, w) == pytest.approx(dot(v, adjoint(small_heart.sim, w)), rel=1e-10)


def test_vmap_over_parameters(small_heart):
    """A batch of stenoses at once gives what each gives alone."""
    sim = small_heart.sim
    throats = jnp.array([[0.3], [0.5], [0.9]])

    def mbf(throat):
        return simulate(eqx.tree_at(lambda s: s.lesions.throat, sim, throat), flow=TIGHT).hyperemia.mbf

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

    def total(of):
        _, mbf, _, _, flow = of
        return jnp.sum(mbf) + jnp.sum(flow) * 1e6

    value, weights = jax.value_and_grad(total)(seen(still))
    assert abs(float(value)) < 1e-8
    gradient = adjoint(still, weights)
    for leaf in jax.tree.leaves(gradient):
        assert bool(jnp.all(jnp.isfinite(leaf)))
    h = 1e-3  # a vein begins to open: over 1 Pa its flow is no straight line
    moved = [eqx.tree_at(lambda s: s.states[1].aortic_pressure, still, jnp.asarray(2e3 + t)) for t in (h, -h)]
    slope = (float(total(seen(moved[0]))) - float(total(seen(moved[1])))) / (2 * h)
    assert float(gradient.states[1].aortic_pressure) == pytest.approx(slope, rel=1e-6)
