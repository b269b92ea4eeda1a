"""Hearts brought to common sizes: nothing flows differently."""

import itertools

import perfsim
from perfsim.cohorts import synthetic_patient
from perfsim.coupling import pad, simulate
from perfsim.darcy.padding import rung
from perfsim.network import VesselNetwork, no_lesions, radii
from perfsim.network.divide import divide

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest


def test_padded_hearts_flow_alike(small_heart, small_solution, padded_sim):
    """MBF, FFR and inflow to solver accuracy; iterations the same; added volumes receive nothing."""
    sim, plain, wide = small_heart.sim, small_solution, simulate(padded_sim)
    n = len(sim.volumes.volume)
    for state in ("rest", "hyperemia"):
        a, b = plain[state], wide[state]
        np.testing.assert_allclose(b.mbf[:n], a.mbf, rtol=1e-8)
        np.testing.assert_allclose(b.mbf[n:], 0.0, atol=1e-12)
        np.testing.assert_allclose(b.inlet_flow, a.inlet_flow, rtol=1e-9)
        np.testing.assert_allclose(b.terminal_pressure, a.terminal_pressure, rtol=1e-9)
        assert int(b.counters.krylov) <= int(a.counters.krylov) + 2


def test_padded_gradients_are_the_same(small_heart, padded_sim):
    @eqx.filter_jit
    def slope(sim):
        def flow(tone):
            found = simulate(eqx.tree_at(lambda s: s.tissue.tone, sim, tone), states="hyperemia")
            return jnp.sum(found.hyperemia.terminal_flow[:50])

        return jax.grad(flow)(sim.tissue.tone)

    np.testing.assert_allclose(slope(padded_sim), slope(small_heart.sim), rtol=1e-6)


def test_two_patients_share_their_shapes():
    patients = [synthetic_patient(i, stenosed=i == 0) for i in (0, 1)]
    shapes = [[x.shape for x in jax.tree.leaves(eqx.filter(pad(p.nominal), eqx.is_array))] for p in patients]
    assert shapes[0] == shapes[1]


def test_sizes_climb_by_the_root_of_two():
    ladder = sorted({rung(n) for n in range(1, 5000)})
    assert ladder[-1] >= 5000 - 1 and all(rung(n) >= n for n in ladder)
    assert all(b / a <= 1.6 for a, b in itertools.pairwise(ladder[3:]))


def test_dividing_vessels_changes_no_lumen():
    """A taper, and a vessel that points towards its inlet: ends, lengths and order stay."""
    network = VesselNetwork.build(
        np.array([[0.0, 0, 0], [1, 0, 0], [2, 1, 0], [2, -1, 0]]), [0, 1, 3], [1, 2, 1],
        np.array([[3.0, 2.0], [2.0, 1.0], [0.5, 1.5]]), inlets=[0], outlets=[2, 3],
    )  # fmt: skip
    parts = divide(network, np.array([2, 3, 2]))
    assert float(parts.length.sum()) == pytest.approx(float(network.length.sum()))
    np.testing.assert_allclose(parts.lumen[2:5], [[2, 5 / 3], [5 / 3, 4 / 3], [4 / 3, 1]])
    turned = np.flatnonzero(np.asarray(parts.flipped))
    np.testing.assert_allclose(parts.lumen[turned], [[1.0, 1.5], [0.5, 1.0]])
    np.testing.assert_array_equal(parts.near[turned[1]], parts.far[turned[0]])
    np.testing.assert_allclose(radii(parts, no_lesions()), parts.lumen)
    np.testing.assert_array_equal(parts.subtree_end, [7, 7, 5, 5, 5, 7, 7])


def test_what_cannot_be_padded_says_so(small_heart):
    from perfsim.coupling import three_compartments

    with pytest.raises(perfsim.InputError, match="three compartments"):
        pad(three_compartments(small_heart.sim))
