"""Merged meshes: what they keep of the finer one, and how close their flow is."""

from perfsim import InputError
from perfsim.anatomy import EllipsoidWall, coronary_trunks
from perfsim.cohorts import couple, grow_heart
from perfsim.coupling import coarsened, simulate, three_compartments

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="module")
def fine(small_heart):
    return small_heart.sim


def with_mobility(sim, K):
    return eqx.tree_at(lambda s: s.tissue.mobility, sim, jnp.asarray(K))


def test_tissue_and_what_terminals_conduct_are_kept(fine):
    coarse, merging = coarsened(fine, 2)
    V, W = np.asarray(fine.volumes.volume), np.asarray(coarse.volumes.volume)
    assert len(W) < 0.1 * len(V)
    np.testing.assert_allclose(W, np.bincount(merging.own, V, len(W)), rtol=1e-13)
    np.testing.assert_allclose(np.asarray(coarse.couplings.weight).sum(0), W, rtol=1e-12)

    def conducts(sim):
        return sim.couplings.to_terminals(sim.couplings.weight * sim.tissue.transmural)

    np.testing.assert_allclose(conducts(coarse), conducts(fine), rtol=1e-12)
    # a linear field of a mean: faces conduct what two points at their centers do
    neighbor = np.asarray(coarse.volumes.neighbor)
    assert np.all(np.asarray(coarse.volumes.conductor)[neighbor == np.arange(len(W))] == 0)


def test_where_tissue_mixes_freely_the_merged_heart_is_the_fine_one(fine):
    """Wide spread: pressure is even within a volume, and the merged equations are the fine ones summed up."""
    sim = with_mobility(fine, 1e-6)
    coarse, merging = coarsened(sim, 1)
    mean = merging.mean(simulate(sim).hyperemia.mbf, np.asarray(sim.volumes.volume))
    np.testing.assert_allclose(simulate(coarse).hyperemia.mbf, mean, rtol=2e-4)


@pytest.mark.slow
def test_merging_is_closer_than_cutting_anew():
    """At the default screening length, against 27,000 volumes, both with about as many: total flow, and mean error."""
    wall = EllipsoidWall()
    grown = grow_heart(wall, coronary_trunks(wall), terminals=300)
    fine = couple(grown, spacing=2.2e-3).sim
    coarse, merging = coarsened(fine, 1)
    exact = simulate(fine).hyperemia
    found = simulate(coarse).hyperemia
    V = np.asarray(fine.volumes.volume)
    mean = merging.mean(exact.mbf, V)
    error = np.average(np.abs(found.mbf / mean - 1.0), weights=np.asarray(coarse.volumes.volume))
    assert error < 0.005
    assert float(jnp.sum(found.inlet_flow) / jnp.sum(exact.inlet_flow)) == pytest.approx(1.0, abs=1e-3)
    anew = couple(grown, spacing=4.4e-3).sim
    flow = simulate(anew).hyperemia
    assert abs(float(jnp.sum(flow.inlet_flow) / jnp.sum(exact.inlet_flow)) - 1.0) > abs(
        float(jnp.sum(found.inlet_flow) / jnp.sum(exact.inlet_flow)) - 1.0
    )


def test_a_scar_keeps_its_depth(fine):
    """Merged volumes in which nothing drains lie where their parts do."""
    dead = np.asarray(fine.volumes.center)[:, 2] < np.quantile(np.asarray(fine.volumes.center)[:, 2], 0.3)
    scarred = eqx.tree_at(
        lambda s: s.tissue.transmural, fine, jnp.where(jnp.asarray(dead), 0.0, fine.tissue.transmural)
    )
    coarse, merging = coarsened(scarred, 1)
    V = np.asarray(fine.volumes.volume)
    silent = merging.mean(~dead, V) == 0
    assert silent.sum() > 20
    np.testing.assert_allclose(np.asarray(coarse.volumes.depth)[silent], merging.mean(fine.volumes.depth, V)[silent])
    assert float(simulate(coarse).hyperemia.mass_defect) <= 1e-10


def test_what_cannot_be_merged_is_said(fine):
    with pytest.raises(InputError, match=r"can be merged \d times, not 9"):
        coarsened(fine, 9)
    with pytest.raises(InputError, match="one compartment"):
        coarsened(three_compartments(fine))
    same, merging = coarsened(fine, 0)
    assert merging.count == len(fine.volumes.volume)
    np.testing.assert_allclose(same.couplings.weight, fine.couplings.weight, rtol=1e-12)
