"""Friction, losses and the edges' laws in plain arithmetic, and a network of four edges solved by scipy."""

import itertools

from perfsim.blood import ConstantViscosity
from perfsim.flow import LumpedOutlets, NoLoss, Steady, friction, solve_network, vessel_system
from perfsim.flow.bridges import Bridges
from perfsim.flow.edges import (
    LEAK,
    STEEPEST,
    drain,
    drain_slope,
    supply,
    supply_conductance,
    vessel_chord,
    vessel_conductance,
    vessel_flow,
)
from perfsim.flow.stenosis import JetExpansion, StaticJunctions, YoungTsai, _squared_excess, full_lumen
from perfsim.network import VesselNetwork, branch_table, contract
from perfsim.units import ML_MIN, MMHG

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import fsolve

MM, MU, RHO = 1e-3, 3.5e-3, 1060.0


def tube(radius, length=2e-3) -> VesselNetwork:
    """A straight branch of vessels with these radii at their ends."""
    n = len(radius) - 1
    x = length * np.arange(n + 1)
    return VesselNetwork.build(
        np.stack([x, 0 * x, 0 * x], 1), np.arange(n), np.arange(n) + 1, np.stack([radius[:-1], radius[1:]], 1),
        inlets=[0], outlets=[n],
    )  # fmt: skip


def law(kind, network):
    viscous = friction(network.lumen, network.length, ConstantViscosity(MU))
    return viscous, kind(network, branch_table(network), network.lumen, network.length, viscous)


def test_friction_of_a_taper_by_quadrature():
    """∫ 2(ζ + 2)πμ/A² dx for ζ = 2 and 9."""
    network = tube(MM * np.array([2.0, 1.2]), 0.03)
    r = np.linspace(2.0, 1.2, 400_001) * MM
    for zeta in (2.0, 9.0):
        exact = np.trapezoid(2 * (zeta + 2) * np.pi * MU / (np.pi * r**2) ** 2, dx=0.03 / 400_000)
        found = friction(network.lumen, network.length, ConstantViscosity(MU), zeta)
        assert float(found[0]) == pytest.approx(exact, rel=1e-8)


def test_young_and_tsai_by_hand():
    """K_v μ/(A₀ D₀) with K_v = 32 (0.83 L + 1.64 D_s)/D₀ (A₀/A_s)² replaces friction; ½ρK_t (1/A_s - 1/A₀)²."""
    network = tube(MM * np.array([1.5, 1.5, 0.6, 1.5]), 8e-3)
    viscous, found = law(YoungTsai(np.array([1]), [1.5 * MM]), network)
    A0, As = np.pi * 1.5e-3**2, np.pi * 0.6e-3**2
    K = 32 * (0.83 * 8e-3 + 1.64 * 1.2e-3) / 3e-3 * (A0 / As) ** 2
    taper = float(viscous[1]) / (8 * MU * 8e-3 / (np.pi * 0.6e-3**4))  # viscosity is read off the vessel's own friction
    assert float(found.R[1]) == pytest.approx(K * MU * taper / (A0 * 3e-3), rel=1e-9)
    assert float(found.S[1]) == pytest.approx(0.5 * RHO * 1.52 * (1 / As - 1 / A0) ** 2, rel=1e-9)
    np.testing.assert_array_equal(np.asarray(found.R)[[0, 2]], np.asarray(viscous)[[0, 2]])
    assert np.asarray(found.S)[[0, 2]].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(found.velocity, 1 / (np.pi * np.array([1.5e-3, 0.6e-3, 1.5e-3]) ** 2))


def test_a_jet_mixes_out_as_its_equations_say():
    """de/dx = -e/λ - du/dx and the loss ∫ K_t ρ e²/λ_e dx behind a sudden expansion, by a fine Euler march."""
    radius = MM * np.concatenate(
        [
            np.full(11, 1.5),
            np.linspace(1.5, 0.8, 6)[1:],
            np.full(5, 0.8),
            np.linspace(0.8, 1.5, 6)[1:],
            np.full(60, 1.5),
        ]
    )
    network = tube(radius, 1e-3)
    _, found = law(JetExpansion(), network)
    steps = 400
    e, total, exit_velocity = 0.0, 0.0, []
    for a, b in itertools.pairwise(radius):
        u0, u1, D = 1 / (np.pi * a**2), 1 / (np.pi * b**2), a + b
        slope, w = (u1 - u0) / 1e-3, 0.02 * 0.5 * (u0 + u1)
        lam = D * (0.25 + 7.75 / (1 + np.exp(-(e - 0.5 * (u1 - u0)) / w)))
        for _ in range(steps):
            positive = max(e, 0.0)
            total += 1e-3 / steps * positive**3 / (positive + w) / (8.0 * D)
            e += 1e-3 / steps * (-e / lam - slope)
        exit_velocity.append(u1 + np.sqrt(max(e, 0) ** 3 / (max(e, 0) + w) + w**2) - w)
    assert float(found.S.sum()) == pytest.approx(1.52 * RHO * total, rel=0.01)
    assert 0.6 * borda(0.8, 1.5) < float(found.S.sum()) < 1.05 * borda(0.8, 1.5)
    assert float(law(JetExpansion(), tube(np.full(9, 1.5e-3)))[1].S.sum()) == 0.0
    core = (
        found.velocity + found.jet.along(branch_table(network), found.velocity, found.S, jnp.ones(len(radius) - 1))[0]
    )
    np.testing.assert_allclose(core, exit_velocity, rtol=0.01)


def borda(throat: float, lumen: float) -> float:
    """½ρK_t (1/A_s - 1/A₀)² of radii in mm."""
    return 0.5 * 1.52 * RHO * (1 / (np.pi * (throat * MM) ** 2) - 1 / (np.pi * (lumen * MM) ** 2)) ** 2


def lesion(behind: int, widening=1) -> np.ndarray:
    """Radii [m] every 2 mm: 20 mm, a lesion of 10 mm, then so many vessels."""
    down, up = np.linspace(1.5, 0.75, 6)[1:], np.linspace(0.75, 1.5, widening + 1)[1:]
    return MM * np.concatenate([np.full(11, 1.5), down, np.full(5, 0.75), up, np.full(behind, 1.5)])


def test_a_loss_is_charged_where_the_lumen_widens():
    """Nothing is lost or gained by it: the sum stays; what mixes behind a branch's end is charged before it."""
    totals = []
    for behind in (1, 3, 10, 100):
        network = tube(lesion(behind))
        found = law(JetExpansion(), network)[1]
        totals.append(float(found.S.sum()))
        assert float(found.S[20]) == pytest.approx(totals[-1], rel=1e-6)  # the one vessel that widens
        assert float(found.jet.waiting[-1]) > 0.9 * np.exp(-2 * 2 * behind / (8 * 3.0))
    np.testing.assert_allclose(totals, totals[-1], rtol=0.02)
    assert totals[-1] == pytest.approx(borda(0.75, 1.5), rel=0.1)


def test_pressure_recovers_as_the_jet_mixes():
    """Static pressure is p0 - ½ρα(Qu + J)² + M: far behind it is that of a full lumen, in the jet by the march."""
    network, Q = tube(lesion(100, 5)), 150 * ML_MIN
    found = law(JetExpansion(), network)[1]
    J, M = found.jet.along(branch_table(network), found.velocity, found.S, jnp.full(len(network.tail), Q))
    charged = np.cumsum(np.asarray(found.S)) * Q**2
    assert (np.asarray(M) >= 0).all() and (np.asarray(M) <= charged + 1e-9).all()
    lost = charged - np.asarray(M)
    assert (np.diff(lost) >= -1e-9 * charged[-1]).all()  # it is lost on the way, never regained
    assert float(M[-1]) < 1e-6 * charged[-1] and float(J[-1]) < 1e-3 * Q * float(found.velocity[-1])
    assert float(M[25]) == pytest.approx(
        0.5 * 1.52 * RHO * float(J[25]) ** 2, rel=0.03
    )  # what a decaying jet still has
    half = found.jet.along(branch_table(network), found.velocity, found.S, jnp.full(len(network.tail), 0.5 * Q))
    np.testing.assert_allclose(half[1], 0.25 * np.asarray(M), rtol=1e-9)
    back = found.jet.along(branch_table(network), found.velocity, found.S, jnp.full(len(network.tail), -Q))
    assert float(back[0].max()) < 1e-6 and float(jnp.abs(back[1]).max()) == 0.0


def test_a_jet_is_that_of_the_flow_through_its_throat():
    """A side branch takes half of the flow behind the lesion, or a graft adds as much: the jet's excess stays."""
    network, Q = tube(lesion(100, 5)), 150 * ML_MIN
    found, n = law(JetExpansion(), network)[1], len(network.tail)
    same = found.jet.along(branch_table(network), found.velocity, found.S, jnp.full(n, Q))
    for factor in (0.5, 2.0, 1e-3):
        flow = jnp.where(jnp.arange(n) < 30, Q, factor * Q)
        J, M = found.jet.along(branch_table(network), found.velocity, found.S, flow)
        np.testing.assert_allclose(M, same[1], rtol=1e-6, atol=1e-9)
        rounding = 0.02 * float(found.velocity[30]) * max(factor, 1.0) * Q
        assert float(J[30]) == pytest.approx(float(same[0][30]), abs=1.5 * rounding)


def test_rounded_square():
    """e³/(e + w): 0 below, e²/2 at w, e² far above."""
    np.testing.assert_allclose(_squared_excess(jnp.array([-1.0, 0.5, 100.0]), 0.5), [0.0, 0.125, 1e6 / 100.5])


def test_no_loss_and_static_junctions():
    network = tube(MM * np.array([2.0, 1.0]))
    viscous, none = law(NoLoss(), network)
    assert none.S.tolist() == [0.0] and none.R.tolist() == viscous.tolist()
    _, static = law(StaticJunctions(), network)
    A = np.pi * np.array([2e-3, 1e-3]) ** 2
    assert float(static.S[0]) == pytest.approx(0.5 * RHO * 4 / 3 * (1 / A[1] ** 2 - 1 / A[0] ** 2), rel=1e-9)
    flipped = VesselNetwork.build(
        MM * np.array([[0.0, 0, 0], [9, 0, 0]]), [1], [0], [[1e-3, 2e-3]], inlets=[0], outlets=[1]
    )
    np.testing.assert_allclose(full_lumen(flipped, flipped.lumen), 1 / A[1])


def test_veins_are_starling_resistors():
    """Open from 1 mmHg on; closed but for a leak below 0, where no drop drives no flow; twice differentiable, rising."""
    drop = jnp.array([1.0, 1.5, 10.0])
    np.testing.assert_allclose(drain(drop), drop, rtol=1e-15)
    assert drain_slope(drop).tolist() == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(drain(jnp.array([0.0, -1.0, -15.0])), [0.0, -LEAK, -15 * LEAK], rtol=1e-12)
    assert float(drain(jnp.array(0.5))) == pytest.approx(0.5 * LEAK + (1 - LEAK) * 0.34375)  # 6/8 - 8/16 + 3/32
    x = jnp.linspace(-0.5, 1.5, 4001)
    slope = np.asarray(drain_slope(x))
    assert slope.min() == LEAK and 1.51 < slope.max() < STEEPEST
    assert (np.diff(slope)[: slope.argmax()] >= 0).all() and (np.diff(slope)[slope.argmax() :] <= 0).all()
    np.testing.assert_allclose(jax.vmap(jax.grad(drain))(x), slope, atol=1e-12)
    for end in (0.0, 1.0):  # the slope's own slope vanishes
        assert abs(float(drain_slope(jnp.array(end + 1e-4)) - drain_slope(jnp.array(end - 1e-4)))) < 1e-6


def test_laws_of_edges():
    """Flows solve their own equations; conductances are their slopes by differences."""
    drop, R, S = jnp.array([-3.0, 0.0, 5.0]), jnp.full(3, 2.0), jnp.array([0.5, 0.5, 0.0])
    Q = vessel_flow(drop, R, S)
    np.testing.assert_allclose(R * Q + S * Q * jnp.abs(Q), drop, rtol=1e-12)
    h = 1e-6
    slope = (vessel_flow(drop + h, R, S) - vessel_flow(drop - h, R, S)) / (2 * h)
    np.testing.assert_allclose(vessel_conductance(drop, R, S), slope, rtol=1e-6)
    np.testing.assert_allclose(drop * vessel_chord(drop, R, S), Q, rtol=1e-12)
    assert float(vessel_chord(drop, R, S)[1]) == 0.5
    drop, g, demand = jnp.array([-1.0, 0.0, 0.5, 1.0, 2.0]), jnp.full(5, 3.0), jnp.full(5, 2.0)
    q = supply(drop, g, 1.0 / demand)
    a, b, eps = 2.0, 3.0 * np.asarray(drop), 0.1
    m = lambda b: 0.5 * (a + b - np.sqrt((a - b) ** 2 + eps**2))  # noqa: E731
    np.testing.assert_allclose(q, m(b) - m(0.0), atol=1e-12)
    slope = (supply(drop + h, g, 1.0 / demand) - supply(drop - h, g, 1.0 / demand)) / (2 * h)
    np.testing.assert_allclose(supply_conductance(drop, g, 1.0 / demand), slope, rtol=1e-6)
    assert float(supply(jnp.array(2.0), jnp.array(3.0), jnp.array(0.0))) == 6.0


@pytest.mark.parametrize("autoregulated", [False, True])
def test_a_network_with_a_bridge_by_scipy(autoregulated):
    """A fork whose arms are joined: Kirchhoff's laws at three nodes with R, S, soft demands, by a root finder."""
    position = MM * np.array([[0.0, 0, 0], [10, 0, 0], [20, 5, 0], [20, -5, 0]])
    network = VesselNetwork.build(
        position, [0, 1, 1], [1, 2, 3], MM * np.array([1.5, 1.0, 0.8]), inlets=[0], outlets=[2, 3]
    )
    unit = MMHG / ML_MIN
    R, S = np.array([0.05, 0.4, 0.6]), np.array([1e-4, 2e-3, 0.0])
    g, pb, demand, bridge = np.array([0.5, 0.3]), np.array([10.0, 15.0]), np.array([12.0, 30.0]), 0.8
    order = [int(np.flatnonzero(np.asarray(network.head) == n)[0]) for n in (1, 2, 3)]
    r, s = np.zeros(3), np.zeros(3)
    r[order], s[order] = R, S
    forest = contract(network, keep=[2, 3])
    system = vessel_system(
        forest, network, jnp.asarray(r * unit), jnp.asarray(s * unit / ML_MIN), inlet_pressure=90 * MMHG,
        outlets=LumpedOutlets(unit / g, pb * MMHG, demand * ML_MIN), autoregulated=autoregulated,
        bridges=Bridges(jnp.array([[2, 3]]), jnp.array([bridge * unit])),
    )  # fmt: skip
    p, counters = jax.jit(lambda s: solve_network(s, forest, Steady()))(system)
    found = np.asarray(p[forest.contracted[jnp.arange(4)]])

    def taken(p):
        b = g * (p[1:] - pb)
        if not autoregulated:
            return b
        m = lambda b: 0.5 * (demand + b - np.sqrt((demand - b) ** 2 + (0.05 * demand) ** 2))  # noqa: E731
        return m(b) - m(0.0)

    def kirchhoff(p):
        drop = np.array([90 - p[0], p[0] - p[1], p[0] - p[2]])
        Q = 2 * drop / (R + np.sqrt(R**2 + 4 * S * np.abs(drop)))
        over, out = (p[1] - p[2]) / bridge, taken(p)
        return [Q[0] - Q[1] - Q[2], Q[1] - over - out[0], Q[2] + over - out[1]]

    np.testing.assert_allclose(found, [90.0, *fsolve(kirchhoff, [80.0, 60.0, 60.0], xtol=1e-13)], rtol=1e-8)
    assert int(counters.result) == 0
    assert float(system.bridge_flow(p)[0]) == pytest.approx((found[2] - found[3]) / bridge)
