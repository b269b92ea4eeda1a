"""Three compartments: series conductances without spread, an independent code, balance, certificate, gradients."""

from perfsim._results import InputError
from perfsim.coupling import certify, check, simulate, soft_territories, three_compartments
from perfsim.coupling.potential import Hessian, graph
from perfsim.coupling.sparse import to_scipy
from perfsim.coupling.system import coupled_system, vessel_laws
from perfsim.darcy import FiniteVolumes, conjugate_gradients
from perfsim.flow import Steady
from perfsim.units import MMHG

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.linalg import spsolve


@pytest.fixture(scope="module")
def one(small_heart):
    return small_heart.sim


@pytest.fixture(scope="module")
def three(one):
    """Mobilities that differ by compartment, as measured ones do: most in the arterioles."""
    K = float(one.tissue.mobility)
    return three_compartments(one, mobility=jnp.array([10.0 * K, K, 5.0 * K]))


def test_without_spread_conductances_add_up_in_series(one):
    """K = 0, one feeder a volume: MBF is that of one compartment, whose conductances are the series of the halves."""
    still, _ = soft_territories(eqx.tree_at(lambda s: s.tissue.mobility, one, jnp.asarray(0.0)), 1e-5)
    a, b = (check(simulate(s)).hyperemia for s in (still, three_compartments(still)))
    np.testing.assert_allclose(b.mbf, a.mbf, rtol=1e-9)
    np.testing.assert_allclose(b.tissue_pressure, a.tissue_pressure, rtol=1e-9)
    np.testing.assert_allclose(b.inlet_flow, a.inlet_flow, rtol=1e-9)


def test_flow_is_kept_from_compartment_to_compartment(three):
    """Supply = capillary flow = drainage over the wall, in both states; pressures fall from each to the next."""
    solution = check(simulate(three))
    V = three.volumes.volume * three.tissue.density
    for state in solution.states.values():
        assert float(state.mass_defect) <= 1e-12
        into, out = (float(jnp.sum(x * V)) for x in (state.mbf, state.drainage))
        assert into == pytest.approx(out, rel=1e-10)
        assert float(jnp.sum(state.supplies)) == pytest.approx(into * 1e-3 / 60.0, rel=1e-9)  # [g/kg · mL/m³ · min/s]
        p = np.asarray(state.compartment_pressure)
        assert p.shape == (3, len(V)) and (p[0] > p[1]).mean() > 0.99 and (p[1] > p[2]).mean() > 0.99


def test_against_a_direct_solver(three):
    """The linear hyperemic system of trees and three compartments, assembled and solved by scipy."""
    sim = eqx.tree_at(lambda s: (s.lesions.throat, s.loss.k_t), three, (jnp.ones(1), jnp.asarray(0.0)))
    state = check(simulate(sim)).hyperemia
    matrix, rhs, nodes = to_scipy(sim)
    x = spsolve(matrix, rhs)
    np.testing.assert_allclose(state.compartment_pressure.ravel() / MMHG, x[nodes:], rtol=1e-9)


def test_certificate_covers_three(three):
    """Compartments that drain nothing themselves included: proved, sharp, and true of a field that is off."""
    exact = check(simulate(three))
    off = simulate(eqx.tree_at(lambda s: s.tissue.tone, three, 0.97 * three.tissue.tone))
    for name, bound in certify(three, off).items():
        assert bound.proved
        for field in ("mbf", "tissue_pressure"):
            error = jnp.abs(getattr(off[name], field) - getattr(exact[name], field))
            assert bool(jnp.all(error <= getattr(bound, field) * (1 + 1e-9) + 1e-9 * error.max()))
            assert float(getattr(bound, field).max()) < 10.0 * float(error.max())


@pytest.mark.parametrize("screening", [0.3e-3, 3.4e-3, 17e-3])
def test_iterations(one, screening):
    """At most four more than the tissue alone, which takes at most 20."""
    K = screening**2 * float(one.tissue.supply + one.tissue.drainage)
    sim = three_compartments(one, mobility=jnp.array([K, K, K]))

    @eqx.filter_jit
    def steps(sim):
        mesh, links = sim.solved_on()
        system = coupled_system(sim, vessel_laws(sim), sim.states[1])
        on = graph(sim.forest, mesh, links, sim.network.terminals)
        hessian = Hessian.at(system, on, jnp.full(on.nodes + len(mesh.volume), 50.0), FiniteVolumes())
        b = mesh.volume * (1.0 + 0.5 * jnp.sin(300.0 * mesh.center[:, 0]))
        alone = conjugate_gradients(hessian.tissue, hessian.tissue_inverse, b, 1e-8, 200)[1]
        return hessian.solve(jnp.concatenate([jnp.zeros(on.nodes), b]), 1e-8, 200)[1], alone

    together, alone = steps(sim)
    assert int(alone) <= 20 and int(together) <= int(alone) + 4


def test_gradient_of_exchange_and_mobilities(three):
    def f(logs):
        c = three.tissue.compartments
        sim = eqx.tree_at(
            lambda s: (s.tissue.compartments.mobility, s.tissue.compartments.exchange), three,
            (c.mobility * jnp.exp(logs[:3]), c.exchange * jnp.exp(logs[3:])[:, None]),
        )  # fmt: skip
        return jnp.mean(simulate(sim).hyperemia.mbf ** 2)

    gradient, h = jax.jit(jax.grad(f))(jnp.zeros(5)), 1e-2
    for k in range(5):
        e = h * jnp.eye(5)[k]
        difference = (8 * (f(e) - f(-e)) - (f(2 * e) - f(-2 * e))) / (12 * h)
        assert float(gradient[k]) == pytest.approx(float(difference), rel=1e-6)


def test_what_three_compartments_cannot_do(three):
    with pytest.raises(InputError, match="one compartment"):
        simulate(three, flow=Steady(accuracy="1%"))
