"""The coupled solve: balance, an independent solver, limits, no retrace, no callbacks."""

import re

import perfsim
from perfsim._results import RESULTS
from perfsim.coupling import assemble, check, simulate
from perfsim.coupling.potential import Hessian, graph
from perfsim.coupling.sparse import to_scipy
from perfsim.coupling.system import coupled_system, vessel_laws
from perfsim.darcy import FiniteVolumes, box, conjugate_gradients
from perfsim.flow import StenosisLaw
from perfsim.growth import Box
from perfsim.network import VesselNetwork, stenosis
from perfsim.units import MMHG

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from programs import compiled
from scipy.sparse.linalg import spsolve


@pytest.fixture(scope="module")
def solution(small_solution):
    return small_solution


def test_mass_balance(small_heart, solution):
    """Inflow = venous outflow + lumped outlets to 1e-10, in both states, and at every junction."""
    sim = small_heart.sim
    for state in solution.states.values():
        assert int(state.counters.result) == RESULTS.successful
        assert float(state.mass_defect) <= 1e-10
        net = np.zeros(len(sim.network.position))
        np.add.at(net, np.asarray(sim.network.tail), np.asarray(state.flow))
        np.subtract.at(net, np.asarray(sim.network.head), np.asarray(state.flow))
        net[np.asarray(sim.network.inlets)] -= np.asarray(state.inlet_flow)
        net[np.asarray(sim.network.terminals)] += np.asarray(state.terminal_flow)
        net[np.asarray(sim.network.outlets)] += np.asarray(state.outlet_flow)
        assert np.abs(net).max() <= 1e-13 * float(state.inlet_flow.sum())
        supply = float(jnp.sum(state.mbf * sim.volumes.volume))
        assert float(jnp.sum(state.drainage * sim.volumes.volume)) == pytest.approx(supply, rel=1e-10)


def test_matches_a_direct_solver(small_heart):
    """Without losses hyperemia is linear: the same system, assembled and solved by scipy."""
    sim = eqx.tree_at(lambda s: (s.lesions.throat, s.loss.k_t), small_heart.sim, (jnp.ones(1), jnp.asarray(0.0)))
    state = simulate(sim).hyperemia
    matrix, rhs, nodes = to_scipy(sim, "hyperemia")
    x = spsolve(matrix, rhs)
    np.testing.assert_allclose(state.tissue_pressure / MMHG, x[nodes:], rtol=1e-9)
    at = np.asarray(sim.forest.contracted[sim.network.terminals])
    np.testing.assert_allclose(state.terminal_pressure / MMHG, x[at], rtol=1e-9)


def test_newton_from_a_flat_guess_is_quick(small_heart):
    """Also with a hundredfold loss: the potential is convex."""
    for factor in (1.0, 100.0):
        sim = eqx.tree_at(lambda s: s.loss.k_t, small_heart.sim, 1.52 * jnp.asarray(factor))
        for state in simulate(sim).states.values():
            assert int(state.counters.result) == RESULTS.successful and int(state.counters.newton) <= 10


def test_all_but_closed_vessel(small_heart):
    """A 97 % lesion: nearly no flow behind it, no trouble, balance kept."""
    sim = eqx.tree_at(lambda s: s.lesions.throat, small_heart.sim, jnp.array([0.03]))
    solution = check(simulate(sim))
    assert float(solution.hyperemia.mass_defect) <= 1e-10
    assert float(solution.rest.mbf.min()) < 0.1


def test_autoregulation_holds_rest_flow(small_heart, solution):
    """Demand 0.9 mL/min/g is met wherever the reserve suffices, and never exceeded by more than the corner's width."""
    mbf = np.asarray(solution.rest.mbf)
    assert np.quantile(mbf, 0.2) == pytest.approx(0.9, rel=5e-3)
    assert mbf.max() < 0.9 * 1.01
    assert np.all(np.asarray(solution.mfr) > 0.5)


def test_nothing_retraces_when_values_change(small_heart):
    """Python floats and weakly typed arrays included."""
    simulate(small_heart.sim)
    before = compiled()
    changed = eqx.tree_at(
        lambda s: (
            s.tissue.supply,
            s.lesions.throat,
            s.states[0].aortic_pressure,
            s.viscosity.hematocrit,
            s.network.exponent,
        ),
        small_heart.sim,
        (jnp.asarray(2e-5), jnp.array([0.5]), jnp.asarray(1.3e4), 0.4, jnp.asarray(2.4)),
    )
    simulate(changed)
    assert compiled() == before


KNOWN_CALLS = {"lapack_dgetrf_ffi", "lapack_dtrsm_ffi", "cusolver_getrf_ffi", "cu_lu_pivots_to_permutation"}
"""what jax itself calls for the small dense factorization at the bottom of the multigrid"""


def test_programs_run_anywhere(small_heart):
    """Flow and its gradient are lowered for CPU and GPU: no host callback, which no cache can keep, and no custom call
    of one platform's library.
    """
    arrays, static = eqx.partition(small_heart.sim, eqx.is_inexact_array)

    def loss(arrays):
        return jnp.sum(simulate(eqx.combine(arrays, static)).hyperemia.mbf)

    made = jax.export.export(jax.jit(jax.value_and_grad(loss)), platforms=("cpu", "cuda"))(arrays)
    text = made.mlir_module()
    assert "callback" not in text
    assert set(re.findall(r"custom_call @(\w+)", text)) <= KNOWN_CALLS


def test_nan_parameter_is_reported(small_heart):
    sim = eqx.tree_at(lambda s: s.tissue.supply, small_heart.sim, jnp.asarray(jnp.nan))
    with pytest.raises(perfsim.SimulationError, match="check_inputs"):
        simulate(sim)
    with pytest.raises(perfsim.InputError, match=r"tissue\.supply"):
        perfsim.check_inputs(sim)
    assert perfsim.check_inputs(small_heart.sim) is small_heart.sim


def test_where_tissue_begins_does_not_matter(small_heart):
    """Vessels ending at 70 instead of 100 µm, the crown in between moved from the tissue to the tree: the same MBF."""
    from perfsim.cohorts import Stenosis, reference_heart
    from perfsim.observe import mean_mbf

    lesion = (Stenosis("LAD", 0.03, 0.55, 0.010),)
    coarse = small_heart
    fine = reference_heart(terminals=150, spacing=5e-3, reference_diameter=70e-6, stenoses=lesion)
    assert float(fine.sim.tissue.supply) > 1.3 * float(coarse.sim.tissue.supply)
    for state in ("rest", "hyperemia"):
        mbf = [float(mean_mbf(h.sim, simulate(h.sim)[state])) for h in (coarse, fine)]
        assert mbf[1] == pytest.approx(mbf[0], rel=0.01)
    with pytest.raises(perfsim.InputError, match="raise it"):
        reference_heart(terminals=50, spacing=6e-3, reference_diameter=30e-6)


@pytest.mark.parametrize("terminals", [pytest.param(16, marks=pytest.mark.slow), 1024])
def test_the_tree_costs_few_iterations(terminals):
    """In a block with one stem: at most four steps more than the tissue alone, whatever the tree; at most eight Newton
    steps from a flat guess, with an 80 % lesion and its losses a hundredfold.
    """
    edge, method = 0.04, FiniteVolumes()
    x = np.linspace(-0.03, 0.0, 61)
    stem = VesselNetwork.build(
        np.stack([x, 0.0 * x + edge / 2, 0.0 * x + edge / 2], 1), np.arange(60), np.arange(1, 61), np.full(60, 2e-3),
        inlets=[0], branch_names=("stem",),
    )  # fmt: skip
    network, _ = perfsim.grow(Box(np.zeros(3), np.full(3, edge)), stem, terminals)
    cells, samples = box([edge] * 3, [20] * 3)
    sim = assemble(network, cells, samples, lesions=stenosis(network, "stem", 0.015, 0.8, 0.01))

    @eqx.filter_jit
    def steps(sim):
        system = coupled_system(sim, vessel_laws(sim), sim.states[1])
        links = graph(sim.forest, sim.volumes, sim.couplings, sim.network.terminals)
        hessian = Hessian.at(system, links, jnp.full(links.nodes + 8000, 50.0), method)
        b = system.drainage * (1.0 + 0.5 * jnp.sin(300.0 * sim.volumes.center[:, 0]))
        alone = conjugate_gradients(hessian.tissue, hessian.tissue_inverse, b, 1e-8, 200)[1]
        return hessian.solve(jnp.concatenate([jnp.zeros(links.nodes), b]), 1e-8, 200)[1], alone

    together, alone = steps(sim)
    assert together <= alone + 4
    worse = eqx.tree_at(lambda s: s.loss, sim, ManifoldLoss(sim.loss, jnp.asarray(100.0)))
    found = simulate(worse, states=("hyperemia",)).hyperemia
    assert int(found.counters.result) == RESULTS.successful and int(found.counters.newton) <= 8
    assert float(found.mass_defect) <= 1e-12 and float(found.counters.imbalance) <= 1e-10
    healthy = eqx.tree_at(lambda s: (s.lesions.throat, s.loss.factor), worse, (jnp.ones(1), jnp.asarray(1.0)))
    healthy = simulate(healthy, states=("hyperemia",)).hyperemia
    assert float(found.inlet_flow[0]) < 0.2 * float(healthy.inlet_flow[0])


class ManifoldLoss(StenosisLaw):
    """A stenosis law with all losses times a factor."""

    law: StenosisLaw
    factor: jax.Array

    def __call__(self, *arguments):
        found = self.law(*arguments)
        return eqx.tree_at(lambda f: f.S, found, self.factor * found.S)
