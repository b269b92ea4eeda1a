"""Fibers by rule, and what they do to the flow of a heart."""

from perfsim.anatomy import EllipsoidWall
from perfsim.coupling import assemble, certify, check, simulate
from perfsim.darcy import FiniteVolumes, along_fibers, cut_cells, fibers
from perfsim.darcy.fibers import transmural

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="module")
def wall():
    return EllipsoidWall()


@pytest.fixture(scope="module")
def mesh(wall):
    return cut_cells(wall, 3e-3, faces=True)


def test_helix_turns_across_the_wall(wall, mesh):
    """Unit vectors in the wall's surface; +60° under the endocardium, around at midwall, -60° at the epicardium."""
    volumes, _ = mesh
    f, phi = fibers(volumes, jnp.asarray(wall.frame.axis)), transmural(volumes)
    np.testing.assert_allclose(jnp.linalg.norm(f, axis=1), 1.0, atol=1e-12)
    across = volumes.faces.gradient(phi).T
    across = across / jnp.linalg.norm(across, axis=1, keepdims=True)
    assert float(jnp.abs(jnp.sum(f * across, axis=1)).max()) < 1e-9
    assert float(phi.min()) > 0.0 and float(phi.max()) < 1.0
    z, _, _ = wall.frame.cylindrical(np.asarray(volumes.center))
    body = (np.asarray(z) > 0.2 * z.max()) & (np.asarray(z) < 0.7 * z.max())
    rise = -np.asarray(f) @ wall.frame.axis
    for depth, angle in ((0.1, -48.0), (0.5, 0.0), (0.9, 48.0)):
        at = body & (np.abs(np.asarray(phi) - depth) < 0.05)
        assert np.degrees(np.arcsin(rise[at])).mean() == pytest.approx(angle, abs=4.0)


def test_direction_around_is_right_handed(wall, mesh):
    """Seen from the base, midwall fibers run counterclockwise: upwards they make a right-handed screw at positive α."""
    volumes, _ = mesh
    f, phi = np.asarray(fibers(volumes, jnp.asarray(wall.frame.axis))), np.asarray(transmural(volumes))
    center = np.asarray(volumes.center) - wall.frame.base
    up = -np.asarray(wall.frame.axis)
    out = center - np.outer(center @ up, up)
    around = np.cross(up, out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9))
    mid = (np.abs(phi - 0.5) < 0.1) & (np.linalg.norm(out, axis=1) > 10e-3)
    assert np.median(np.sum(f * around, axis=1)[mid]) > 0.95


@pytest.fixture(scope="module")
def with_fibers(small_heart, mesh):
    """A heart with an LAD lesion, fibers of ratio 4 and a screening length of 2 mm, where fibers matter."""
    volumes, samples = mesh
    sim = assemble(small_heart.sim.network, volumes, samples, lesions=small_heart.sim.lesions)
    K = (2e-3) ** 2 * (sim.tissue.supply + sim.tissue.drainage)
    f = fibers(volumes, jnp.asarray(small_heart.wall.frame.axis))
    return eqx.tree_at(lambda s: s.tissue.mobility, sim, along_fibers(K, 4.0, f))


def test_heart_with_fibers(with_fibers):
    """Corrected fluxes balance to round-off, differ from two-point ones by a little, and say that nothing is proved."""
    corrected = check(simulate(with_fibers, states=("hyperemia",)))
    plain = check(simulate(with_fibers, tissue=FiniteVolumes(corrected=False), states=("hyperemia",)))
    for name, state in corrected.in_order():
        assert float(state.mass_defect) <= 1e-12 and float(state.counters.imbalance) <= 1e-10
        change = jnp.abs(state.mbf - plain[name].mbf) / state.mbf.mean()
        assert float(change.mean()) < 0.01
        estimate, bound = (
            certify(with_fibers, s, m)[name] for s, m in ((corrected, None), (plain, FiniteVolumes(corrected=False)))
        )
        assert not estimate.proved and bound.proved
        assert float(estimate.relative) < 1e-8 and float(bound.relative) < 1e-8
    assert float(change.max()) > 1e-4


@pytest.mark.slow
def test_gradient_through_corrected_fluxes(with_fibers):
    """d(mean MBF²)/d(ratio, tone) against central differences."""
    f = fibers(with_fibers.volumes, jnp.array([0.0, 0.0, -1.0]))
    K = (2e-3) ** 2 * (with_fibers.tissue.supply + with_fibers.tissue.drainage)

    def flow(parameters):
        ratio, tone = parameters
        sim = eqx.tree_at(
            lambda s: (s.tissue.mobility, s.tissue.tone), with_fibers, (along_fibers(K, ratio, f), tone * jnp.ones(3))
        )
        return jnp.mean(simulate(sim).hyperemia.mbf ** 2)

    at = jnp.array([4.0, 0.9])
    gradient = jax.jit(jax.grad(flow))(at)
    for k in range(2):
        h = 1e-3 * at[k] * jnp.eye(2)[k]
        difference = (8 * (flow(at + h) - flow(at - h)) - (flow(at + 2 * h) - flow(at - 2 * h))) / (12e-3 * at[k])
        assert float(gradient[k]) == pytest.approx(float(difference), rel=1e-6)
