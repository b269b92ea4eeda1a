"""Grafts and collaterals: loops across the trees, by low-rank correction."""

import perfsim
from perfsim._results import InputError
from perfsim.blood import ConstantViscosity
from perfsim.coupling import bridge, certify, check, network_only, simulate
from perfsim.coupling.sparse import to_scipy
from perfsim.flow import LumpedOutlets, NoLoss, Steady
from perfsim.network import VesselNetwork
from perfsim.observe import vessel_at
from perfsim.study import collateral, graft, occlude
from perfsim.units import ML_MIN, MMHG

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.linalg import spsolve


def test_two_ways_in_parallel():
    """A tube of three parts, the middle one bridged: Q = P/(R₁ + R₂R_b/(R₂ + R_b) + R₃ + R_out)."""
    x = np.linspace(0.0, 0.03, 4)
    network = VesselNetwork.build(
        np.stack([x, 0.0 * x, 0.0 * x], 1), np.arange(3), np.arange(1, 4), np.full(3, 1e-3), inlets=[0], outlets=[3],
    )  # fmt: skip
    outlets = LumpedOutlets(jnp.array([2e9]), jnp.zeros(1), jnp.zeros(1))
    sim = network_only(network, outlets, aortic_pressure=12e3, viscosity=ConstantViscosity(4e-3), loss=NoLoss())
    R, beside = 8 * 4e-3 * 0.01 / (np.pi * 1e-12), 3e7
    state = check(simulate(bridge(sim, 1, 2, beside))).hyperemia
    together = R * beside / (R + beside)
    Q = 12e3 / (2 * R + together + 2e9)
    assert float(state.inlet_flow[0]) == pytest.approx(Q, rel=1e-12)
    assert float(state.bridge_flow[0]) == pytest.approx(Q * R / (R + beside), rel=1e-9)
    np.testing.assert_allclose(state.flow, [Q, Q * beside / (R + beside), Q], rtol=1e-9)
    np.testing.assert_allclose(state.total_pressure[1:3], [12e3 - Q * R, 12e3 - Q * (R + together)], rtol=1e-12)


@pytest.fixture(scope="module")
def joined(small_heart):
    """An occluded LAD with a graft, and two collaterals between territories."""
    sim = graft(occlude(small_heart.sim, "LAD", 0.02), "LAD", 0.04, diameter=3e-3, length=0.12)
    sim = collateral(sim, ("RCA", 0.05), ("LCx", 0.03), 2e10)
    return collateral(sim, ("LCx", 0.02), ("LAD", 0.03), 5e9)


def test_a_graft_brings_flow_back(small_heart, joined):
    """Hyperemic flow behind an occlusion: little without, most of it with the graft; every node balances."""
    sim = small_heart.sim
    lad = np.asarray(sim.tissue.territory) == sim.tissue.territory_names.index("LAD")
    healthy = check(simulate(eqx.tree_at(lambda s: s.lesions.throat, sim, jnp.ones(1)))).hyperemia
    closed, solution = check(simulate(occlude(sim, "LAD", 0.02))).hyperemia, check(simulate(joined))
    full, shut, bypassed = (float(s.terminal_flow[lad].sum()) / ML_MIN for s in (healthy, closed, solution.hyperemia))
    assert shut < 0.15 * full and bypassed > 0.6 * full
    for s in solution.states.values():
        assert float(s.mass_defect) <= 1e-12
        net = np.zeros(len(sim.network.position))
        np.add.at(net, np.asarray(sim.network.tail), np.asarray(s.flow))
        np.subtract.at(net, np.asarray(sim.network.head), np.asarray(s.flow))
        np.add.at(net, np.asarray(joined.bridges.nodes)[:, 0], np.asarray(s.bridge_flow))
        np.subtract.at(net, np.asarray(joined.bridges.nodes)[:, 1], np.asarray(s.bridge_flow))
        net[np.asarray(sim.network.inlets)] -= np.asarray(s.inlet_flow)
        net[np.asarray(sim.network.terminals)] += np.asarray(s.terminal_flow)
        net[np.asarray(sim.network.outlets)] += np.asarray(s.outlet_flow)
        assert np.abs(net).max() <= 1e-12 * float(s.inlet_flow.sum())


def test_against_a_direct_solver(joined):
    """Without losses hyperemia is linear: the same system, loops and all, by scipy."""
    throat = jnp.ones_like(joined.lesions.throat)
    sim = eqx.tree_at(lambda s: (s.lesions.throat, s.loss.k_t), joined, (throat, jnp.asarray(0.0)))
    state = check(simulate(sim)).hyperemia
    matrix, rhs, nodes = to_scipy(sim)
    x = spsolve(matrix, rhs)
    np.testing.assert_allclose(state.tissue_pressure / MMHG, x[nodes:], rtol=1e-9)
    at = np.asarray(sim.forest.contracted[sim.bridges.nodes])
    drop = (x[at[:, 0]] - x[at[:, 1]]) * MMHG
    np.testing.assert_allclose(state.bridge_flow, drop / np.asarray(sim.bridges.resistance), rtol=1e-7)


def test_loops_cost_no_iterations(small_heart, joined):
    plain, looped = (check(simulate(s)).hyperemia.counters for s in (small_heart.sim, joined))
    assert int(looped.newton) <= 8 and int(looped.krylov) <= int(plain.krylov) + 4 * int(looped.newton)


def test_gradient_to_bridges(joined):
    """d(mean MBF²)/d(log resistances) against central differences; what is said of the solve is an estimate."""

    def f(logs):
        sim = eqx.tree_at(lambda s: s.bridges.resistance, joined, joined.bridges.resistance * jnp.exp(logs))
        return jnp.mean(simulate(sim).hyperemia.mbf ** 2)

    gradient, h = jax.jit(jax.grad(f))(jnp.zeros(3)), 1e-3
    for k in range(3):
        e = h * jnp.eye(3)[k]
        difference = (8 * (f(e) - f(-e)) - (f(2 * e) - f(-2 * e))) / (12 * h)
        assert float(gradient[k]) == pytest.approx(float(difference), rel=1e-6)
    for found in certify(joined, simulate(joined)).values():
        assert not found.proved and float(found.relative) < 1e-8


def test_impossible_bridges_are_refused(small_heart):
    sim = small_heart.sim
    for wrong, words in (
        (lambda: bridge(sim, 3, 3, 1e9), "cannot be joined"), (lambda: bridge(sim, 0, 10**6, 1e9), "cannot be joined"),
        (lambda: bridge(sim, 0, 5, 0.0), "no positive, finite resistance"),
        (lambda: perfsim.graft(sim, "LAD", 0.9, diameter=3e-3, length=0.1), "does not lie on it"),
        (lambda: perfsim.collateral(sim, ("RIMA", 0.0), ("LAD", 0.01), 1e9), "no branch 'RIMA'"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            wrong()


def test_a_graft_carries_more_the_tighter_the_native_artery(small_heart):
    """From 0 to 97 %, and the same from 45 as from 70 mm where the native artery is as good as closed: the loss of
    the lesion's jet is paid by the flow through the lesion, not by what the graft brings behind it.
    """
    sim = eqx.tree_at(
        lambda s: (s.lesions.center, s.lesions.length), small_heart.sim, (jnp.array([0.028]), jnp.array([4e-3]))
    )
    flow = []
    for at in (0.045, 0.07):
        bypassed = graft(sim, "LAD", at, diameter=3e-3, length=0.12)
        for end in (0.02, 0.03):  # as many bridges as `joined` has, these two of no consequence
            bypassed = collateral(bypassed, ("RCA", end), ("LCx", end), 1e20)
        narrowed = [
            eqx.tree_at(lambda s: s.lesions.throat, bypassed, jnp.array([d])) for d in (1, 0.5, 0.3, 0.2, 0.05, 0.03)
        ]
        flow.append([float(simulate(s, states="hyperemia").hyperemia.bridge_flow[0]) for s in narrowed])
    for one in np.array(flow):
        assert (one >= 0.98 * np.maximum.accumulate(one)).all() and one[-1] > 2.0 * one[0]
    np.testing.assert_allclose(*np.array(flow)[:, -2:], rtol=0.03)


def test_wedge_pressure_rises_with_collaterals(small_heart):
    """Strictly, behind an occlusion, and as two resistors in series say once what drains the territory is known."""
    closed = occlude(small_heart.sim, "LAD", 0.02)
    vessel, wedge, flow = vessel_at(closed.network, "LAD", 0.05), [], []
    resistances = [3e10, 1e10, 3e9, 1e9]
    for resistance in resistances:
        sim = collateral(closed, ("RCA", 0.03), ("LAD", 0.04), resistance)
        for end in (0.02, 0.03):
            sim = collateral(sim, ("RCA", end), ("LCx", end), 1e20)
        state = simulate(sim, states="hyperemia").hyperemia
        wedge.append(float(state.static_pressure[vessel]))
        flow.append(float(state.bridge_flow[0]))
        fall = state.total_pressure[sim.bridges.nodes[0]]
        assert float(fall[0] - fall[1]) == pytest.approx(resistance * flow[-1], rel=1e-9)
    assert (np.diff(wedge) > 0).all() and (np.diff(flow) > 0).all() and min(wedge) > 10 * MMHG


def test_collateral_flow_index_is_that_of_two_resistors():
    """(P_w - P_b)/(P_donor - P_b) = R_d/(R_d + R_c) behind an occlusion, R_d the outlet's and R_c the collateral's."""
    x, tail, outlet = 1e-3 * np.arange(61), np.concatenate([np.arange(60), 61 + np.arange(60)]), 1e10
    position = np.concatenate([np.stack([x, 0 * x + y, 0 * x], 1) for y in (0.0, 0.02)])
    network = VesselNetwork.build(
        position, tail, tail + 1, np.full(120, 1.5e-3), inlets=[0, 61], outlets=[60, 121],
        branch=np.repeat([0, 1], 60), branch_names=("open", "closed"),
    )  # fmt: skip
    outlets = LumpedOutlets(np.full(2, outlet), np.full(2, 10 * MMHG), np.zeros(2))
    sim = network_only(network, outlets, aortic_pressure=93 * MMHG, viscosity=ConstantViscosity(3.5e-3))
    joined = collateral(occlude(sim, "closed", 0.02), ("open", 0.015), ("closed", 0.04), outlet)
    for share in (0.1, 0.3, 1.0, 3.0):  # less, and what the occlusion still lets through is no longer small
        state = simulate(eqx.tree_at(lambda s: s.bridges.resistance, joined, jnp.array([outlet / share]))).hyperemia
        donor, wedge = (float(state.total_pressure[n]) - 10 * MMHG for n in joined.bridges.nodes[0])
        assert wedge / donor == pytest.approx(share / (1 + share), rel=0.02)


def test_a_demand_that_a_closed_artery_cannot_carry(small_heart):
    """At rest all terminals ask for their demand; Newton's first step would draw it through the occlusion, at pressures
    of -100,000 mmHg. A Picard step leads on, and a solve takes at most ten steps.
    """
    steps = []
    for throat in (1.0, 0.2, 0.1, 0.03):
        sim = eqx.tree_at(lambda s: s.lesions.throat, small_heart.sim, jnp.array([throat]))
        steps.append([int(s.counters.newton) for s in simulate(sim).states.values()])
    assert max(map(max, steps)) <= 10 and steps[0][0] <= 4


def test_veins_do_not_feed_a_sealed_territory(small_heart):
    """Behind an occlusion no volume takes more from its veins than what a collapsed one leaks, at rest or not."""
    found = check(simulate(occlude(small_heart.sim, "LAD", 0.02), Steady(tolerance=1e-13)))
    for state in found.states.values():
        drained = np.asarray(state.drainage)
        assert -0.01 < drained.min() < 0.01 and drained.max() > 0.5
        assert float(state.mass_defect) <= 1e-12
