"""Pulsatile flow against linear theory: a whole network as transmission lines, and its parts in plain arithmetic."""

import perfsim
from perfsim.flow.pulsatile import (
    Absorbing,
    Arteries,
    Coronary,
    Fourier,
    Inlets,
    Olufsen,
    Resistance,
    SquareRoot,
    Steadily,
    Throats,
    Windkessel,
    discretize,
    scheme,
    solve_periodic,
)
from perfsim.flow.pulsatile.discretize import time_limit
from perfsim.flow.pulsatile.flux import limited
from perfsim.flow.pulsatile.grid import Places
from perfsim.flow.pulsatile.nodes import Supply, solve_nodes
from perfsim.flow.pulsatile.start import vessel_resistance
from perfsim.flow.pulsatile.tube import olufsen_elasticity
from perfsim.flow.pulsatile.waveform import Sampled, Stacked

import jax
import jax.numpy as jnp
import numpy as np
import pytest

RHO, MU, PERIOD, REST = 1060.0, 4e-3, 0.8, 1e4
LENGTH, RADIUS = np.array([0.16, 0.12, 0.10, 0.08]), 1e-3 * np.array([3.0, 2.0, 1.6, 1.4])
STIFFNESS, GAMMA = np.array([300.0, 250.0, 250.0, 220.0]), 0.05
TAIL, HEAD = [0, 1, 1, 4], [1, 2, 3, 5]
THROAT_R, THROAT_L = 2e9, 1e7
WINDKESSEL, CORONARY = (6e8, 5e9, 1.5e-10), (1.5e9, 2.5e9, 1e9, 2e-11, 1.5e-10)
INFLOW, MUSCLE = [(1e-9, 0.0), (0.5e-9, 1.0)], [(2.0, 0.3), (1.0, -0.7)]
"""amplitude and phase of two harmonics of the inflow [m³/s] and of the muscle's pressure [Pa]: so small that all is linear"""


def fork() -> Arteries:
    """A stem, an arm with a windkessel, and one with a throat and a coronary outlet; viscous walls, at rest at 10 kPa."""
    swing = lambda mean, terms: Fourier(mean, [[a for a, _ in terms]], [[b for _, b in terms]], PERIOD)  # noqa: E731
    return Arteries.build(
        TAIL, HEAD, LENGTH, RADIUS, STIFFNESS, period=PERIOD, flow_inlets=Inlets(0, swing(0.0, INFLOW)), viscosity=MU,
        outlets=(Windkessel(2, *WINDKESSEL, REST), Coronary(5, *CORONARY, REST, swing(0.0, MUSCLE))), density=RHO,
        throats=Throats([[3, 4]], [THROAT_R], [0.0], [THROAT_L]), reference_pressure=REST, viscous=GAMMA,
        junctions="static",
    )  # fmt: skip


def lines(omega: float):
    """Characteristic impedance and propagation constant of each vessel: friction 8πμ/A², a Kelvin-Voigt wall."""
    A = np.pi * RADIUS**2
    slope = 2 / 3 * np.sqrt(np.pi) * STIFFNESS / A**1.5  # dP/dA of P = β/A (√A - √A₀)
    series = 8 * np.pi * MU / A**2 + 1j * omega * RHO / A
    shunt = 1j * omega / (slope + 1j * omega * GAMMA / A**1.5)
    return np.sqrt(series / shunt), np.sqrt(series * shunt)


def harmonic(k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(node pressures, flow at each vessel's start, pressure in each vessel's middle): complex, of sin(2πkt/T)."""
    omega = 2 * np.pi * k / PERIOD
    Z, g = lines(omega)
    (R1, R2, C), (Ra, Ram, Rv, Ca, Cim) = WINDKESSEL, CORONARY
    M, b = np.zeros((8, 8), complex), np.zeros(8, complex)  # nodes 0-5, then the coronary stores P1, P2
    for a, c, z, x in zip(TAIL, HEAD, Z, g * LENGTH, strict=True):
        M[[a, c], [a, c]] += 1 / (z * np.tanh(x))
        M[[a, c], [c, a]] -= 1 / (z * np.sinh(x))

    def joined(i, j, admittance):
        M[[i, j], [i, j]] += admittance
        M[[i, j], [j, i]] -= admittance

    joined(3, 4, 1 / (THROAT_R + 1j * omega * THROAT_L))
    M[2, 2] += 1 / (R1 + R2 / (1 + 1j * omega * R2 * C))
    joined(5, 6, 1 / Ra)
    joined(6, 7, 1 / Ram)
    M[6, 6] += 1j * omega * Ca
    M[7, 7] += 1 / Rv + 1j * omega * Cim
    (q, phase), (m, turn) = INFLOW[k - 1], MUSCLE[k - 1]
    b[0], b[7] = q * np.exp(1j * phase), 1j * omega * Cim * m * np.exp(1j * turn)
    p = np.linalg.solve(M, b)
    start, end, x = p[TAIL], p[HEAD], g * LENGTH
    flow = (start * np.cosh(x) - end) / (Z * np.sinh(x))
    return p[:6], flow, (start + end) / (2 * np.cosh(0.5 * x))


def test_a_network_rings_as_transmission_lines_do():
    """Two harmonics of all pressures to 0.1 % of the greatest, beside the throat to 0.6 %, of all flows to 0.3 %."""
    arteries = fork()
    grid = discretize(arteries, 8e-3, samples=16, cfl=0.45)
    cycle = solve_periodic(arteries, grid, tolerance=1e-9)
    np.testing.assert_allclose(cycle.time, PERIOD * np.arange(16) / 16)
    assert float(cycle.period) == PERIOD
    node, P, Q = (np.fft.rfft(np.asarray(x), axis=0) / 8 for x in (cycle.node_pressure, cycle.pressure, cycle.flow))
    for k in (1, 2):
        p, q, middle = harmonic(k)
        p, q, middle = (-1j * x for x in (p, q, middle))  # sines
        size = np.abs(p).max()
        near = np.where(np.isin(np.arange(6), [3, 4]), 6e-3, 1e-3) * size  # beside the throat: seen a step late
        assert (np.abs(node[k] - p) <= near).all()
        assert (np.abs(P[k, 0] - p[TAIL]) <= near[TAIL]).all() and (np.abs(P[k, 2] - p[HEAD]) <= near[HEAD]).all()
        np.testing.assert_allclose(P[k, 1], middle, atol=4e-3 * size)  # without the viscous part of the wall
        np.testing.assert_allclose(Q[k, 0], q, atol=3e-3 * np.abs(q).max())
    np.testing.assert_allclose(cycle.mean_node_pressure, REST, rtol=1e-6)
    assert np.abs(cycle.volume).max() < 1e-3 * 1e-9 * PERIOD


def test_a_steady_tube_is_poiseuilles():
    """Q of 1 mL/s through a stiff tube: its pressure drop, its outlet's, its volume in a cycle."""
    arteries = Arteries.build(
        [0], [1], 0.1, 2e-3, 5e4, period=0.5, flow_inlets=Inlets(0, Steadily(1e-6)), viscosity=MU, density=RHO,
        outlets=(Resistance(1, 3e9, 200.0),),
    )  # fmt: skip
    grid = discretize(arteries, 1e-2, samples=4)
    cycle = solve_periodic(arteries, grid, tolerance=1e-9)
    resistance = 8 * MU * 0.1 / (np.pi * 2e-3**4)
    end = 200.0 + 3e9 * 1e-6
    np.testing.assert_allclose(cycle.mean_node_pressure, [end + resistance * 1e-6, end], rtol=2e-4)
    np.testing.assert_allclose(cycle.volume, [0.5e-6, 0.5e-6], rtol=1e-6)
    s = scheme(arteries, grid)
    np.testing.assert_allclose(vessel_resistance(arteries, s, grid), resistance, rtol=1e-9)


def test_slow_windkessels_are_periodic_when_they_say_so():
    """Outlets that need up to five cycles to empty: over a cycle that returns to its start each carries the mean flow
    (p̄ - P_out)/(R₁ + R₂), whatever C is. What is left of that is within the tolerance, of the pressure's swing.
    """
    t, R = np.linspace(0, 1, 41), 1e10
    beat = Sampled(t, 5e-6 * np.sin(np.pi * np.minimum(2 * t, 1))[None] ** 2)
    R1, R2, out = np.array([0.1, 0.05]) * R, np.array([2.0, 3.0]) * R, np.array([500.0, 700.0])
    for periods in ([5.0, 0.5], [5.0, 5.0], [0.3, 0.6]):
        arteries = Arteries.build(
            [0, 1, 1], [1, 2, 3], 0.05, 3e-3, 400.0, period=1.0, reference_pressure=1e4, flow_inlets=Inlets([0], beat),
            outlets=(Windkessel([2, 3], R1, R2, np.array(periods) / R2, out),),
        )  # fmt: skip
        for tolerance in (1e-3, 1e-6):
            cycle = solve_periodic(arteries, discretize(arteries, 1e-2, samples=20), tolerance=tolerance)
            mean, passed = np.asarray(cycle.mean_node_pressure)[2:], np.asarray(cycle.volume)[4:]
            missed = (mean - out - (R1 + R2) * passed) / np.ptp(np.asarray(cycle.pressure)[:, 2, 1:], axis=0)
            assert np.abs(missed).max() <= tolerance


@pytest.mark.parametrize("law", [SquareRoot, Olufsen])
def test_tube_laws_by_differences(law):
    """At its own radius a wall has its own pressure; slope and momentum are A dP/dA and ∫ A dP by differences."""
    r, Eh, P = jnp.array([2e-3, 1e-3]), jnp.array([300.0, 150.0]), jnp.array([1e4, 8e3])
    wall, s = law.of(r, Eh, P), jnp.sqrt(jnp.pi) * r
    np.testing.assert_allclose(wall.pressure(s), P, rtol=1e-12)
    A, h = np.pi * np.asarray(r) ** 2, 1e-5
    expected = {
        SquareRoot: lambda a: P + 4 / 3 * np.sqrt(np.pi) * Eh / A * (np.sqrt(a) - np.sqrt(A)),
        Olufsen: lambda a: P + 4 / 3 * Eh / r * (1 - np.sqrt(A / a)),
    }[law]
    for factor in (0.8, 1.3):
        np.testing.assert_allclose(wall.pressure(jnp.sqrt(factor * A)), expected(factor * A), rtol=1e-10)
        np.testing.assert_allclose(wall.root_area(wall.pressure(jnp.sqrt(factor * A))), np.sqrt(factor * A), rtol=1e-12)
        a = factor * A
        slope = a * (expected(a * (1 + h)) - expected(a * (1 - h))) / (2 * h * a)
        np.testing.assert_allclose(wall.slope(jnp.sqrt(a)), slope, rtol=1e-7)
        rise = wall.momentum(jnp.sqrt(a * (1 + h))) - wall.momentum(jnp.sqrt(a * (1 - h)))
        np.testing.assert_allclose(rise, a * (expected(a * (1 + h)) - expected(a * (1 - h))), rtol=1e-6)
    r = 1.5e-3
    stiff = r * (2.0e6 * np.exp(-2253.0 * r) + 8.65e4)
    assert float(olufsen_elasticity(r)) == pytest.approx(stiff, rel=1e-12)
    for radius in (0.0, -1e-3):
        with pytest.raises(perfsim.InputError, match="has no wall"):
            olufsen_elasticity(np.array([1e-3, radius]))


def test_outlets_step_by_implicit_euler():
    """What a step promises it does: p - P_c = R1 Q and C (P_c - before)/h = Q - (P_c - P_out)/R2, and the like."""
    h, p = 1e-3, jnp.array([9e3])
    wk = Windkessel(0, 6e8, 5e9, 1.5e-10, 500.0)
    Y, psi = wk.port(jnp.array([[8e3]]), 0.0, h)
    Q = Y * (p - psi)
    (after,) = wk.after(jnp.array([[8e3]]), Q, 0.0, h)[:, 0]
    assert float((p - after)[0] / Q[0]) == pytest.approx(6e8, rel=1e-9)
    assert 1.5e-10 * (float(after) - 8e3) / h == pytest.approx(float(Q[0]) - (float(after) - 500.0) / 5e9, rel=1e-7)
    assert float(wk.rate(jnp.array([[8e3]]), Q, 0.0)[0, 0]) == pytest.approx((float(Q[0]) - 7.5e3 / 5e9) / 1.5e-10)
    assert float(wk.resting(p)[0, 0]) == pytest.approx(500 + 8.5e3 * 5e9 / 5.6e9)
    assert float(wk.fastest()[0]) == pytest.approx((1 / 6e8 + 1 / 5e9) / 1.5e-10)
    Ra, Ram, Rv, Ca, Cim = CORONARY
    muscle = 4e3
    co = Coronary(0, *CORONARY, 600.0, Steadily(muscle))
    before = jnp.array([[8.5e3, 1.2e3]])
    Y, psi = co.port(before, muscle, h)
    Q = float((Y * (p - psi))[0])
    P1, V2 = (float(x) for x in co.after(before, jnp.array([Q]), muscle, h)[0])
    P2 = V2 + muscle
    assert pytest.approx(Ra, rel=1e-9) == (9e3 - P1) / Q
    assert Ca * (P1 - 8.5e3) / h == pytest.approx(Q - (P1 - P2) / Ram, rel=1e-7)
    assert Cim * (V2 - 1.2e3) / h == pytest.approx((P1 - P2) / Ram - (P2 - 600.0) / Rv, rel=1e-7)
    through = (8.5e3 - 5.2e3) / Ram
    np.testing.assert_allclose(
        co.rate(before, jnp.array([Q]), muscle)[0], [(Q - through) / Ca, (through - 4.6e3 / Rv) / Cim]
    )
    rest = co.resting(p)[0]
    I = 8.4e3 / (Ra + Ram + Rv)
    np.testing.assert_allclose(rest, [600 + I * (Ram + Rv), 600 + I * Rv - muscle], rtol=1e-12)
    np.testing.assert_allclose(co.fastest(), max((1 / Ra + 1 / Ram) / Ca, (1 / Ram + 1 / Rv) / Cim), rtol=1e-12)
    assert float(Absorbing(0, 7.0).total()[0][0]) == np.inf and float(Absorbing(0, 7.0).port(None, 0, h)[1][0]) == 7.0
    np.testing.assert_allclose(Resistance(0, 2e9, 50.0).port(None, 0, h), [[5e-10], [50.0]])


def test_waveforms_by_hand():
    t = jnp.asarray(0.3)
    wave = Fourier([1.0], [[2.0, 0.5]], [[0.1, -0.4]], PERIOD)
    exact = 1 + 2 * np.sin(2 * np.pi * 0.3 / 0.8 + 0.1) + 0.5 * np.sin(4 * np.pi * 0.3 / 0.8 - 0.4)
    assert float(wave(t)[0]) == pytest.approx(exact) and float(wave.average(jnp.asarray(0.8))[0]) == pytest.approx(1.0)
    sampled = Sampled([0.1, 0.3, 0.9], [[1.0, 3.0, 1.0]])
    found = jax.vmap(sampled)(jnp.array([0.1, 0.2, 0.6, 1.0, -0.2]))[:, 0]  # one period of 0.8 s from 0.1 s on
    np.testing.assert_allclose(found, [1.0, 2.0, 2.0, 2.0, 2.0])
    assert float(sampled.average(jnp.asarray(0.8))[0]) == pytest.approx(2.0, rel=1e-4)
    assert Stacked((wave, Steadily([5.0, 6.0])))(t)[1:].tolist() == [5.0, 6.0]


def test_grids_by_hand():
    """Cells no longer than asked and two at least; the places of their centers and faces between knots."""
    arteries = fork()
    grid = discretize(arteries, np.array([0.05, 0.2, 0.03, 0.02]), samples=7, steps=20)
    assert grid.cells.tolist() == [4, 2, 4, 4] and (grid.samples, grid.steps) == (7, 3)
    assert grid.first.tolist() == [0, 4, 6, 10] and grid.last.tolist() == [3, 5, 9, 13]
    assert grid.middle.T.tolist() == [[1, 2], [4, 5], [7, 8], [11, 12]]
    taper = jnp.array([[1.0, 3.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(grid.centers.of(taper)[:4], [1.25, 1.75, 2.25, 2.75])
    np.testing.assert_allclose(grid.faces.of(taper)[:4], [1.5, 2.0, 2.5, 3.0])
    np.testing.assert_allclose(Places.at(np.array([0]), np.array([0.7]), 3).of(jnp.array([[0.0, 1.0, 3.0]])), [1.8])
    c = np.sqrt(2 / 3 * STIFFNESS / (RHO * RADIUS))
    limit = time_limit(fork(), grid)
    dx = LENGTH / np.array([4, 2, 4, 4])
    assert limit.dt == pytest.approx(float(np.min(dx / (1.2 * c))), rel=1e-6) and "the wave speed" in limit.where
    own = discretize(arteries, 0.02, samples=10, cfl=0.5)
    assert own.steps * 10 >= PERIOD / (0.5 * time_limit(arteries, own).dt) > (own.steps - 1) * 10
    for dx in (0.0, -1e-3):
        with pytest.raises(perfsim.InputError, match=r"dx is .* must be positive"):
            discretize(arteries, dx)


def test_slopes_are_limited():
    """van Albada's mean: equal differences stay, opposite ones cancel, small ones are a plain mean."""
    a, b, eps = jnp.array([2.0, 1.0, 1e-9]), jnp.array([2.0, -1.0, 3e-9]), jnp.full(3, 1e-6)
    np.testing.assert_allclose(limited(a, b, eps), [2.0, 0.0, 2e-9], rtol=1e-5, atol=1e-15)
    assert float(limited(jnp.array(1.0), jnp.array(3.0), jnp.array(0.0))) == pytest.approx((9 + 3) / 10)


def test_nodes_join_ends_as_their_equations_say():
    """A fork: the inflow enters, flows add up under one total pressure, one end sends back 0.3 of a wave, one has a
    resistance. Each end's lumen follows its flow along the wave that enters, A = A_i + (Q - Q_i)/λ.
    """
    radius, Eh, P0, alpha = np.array([2e-3, 1.5e-3, 1e-3]), np.array([300.0, 200.0, 150.0]), 1e3, 4 / 3
    arteries = Arteries.build(
        [0, 1, 1], [1, 2, 3], 0.1, radius, Eh, period=1.0, flow_inlets=Inlets(0, Steadily(5e-6)), reference_pressure=P0,
        outlets=(Absorbing(2, 800.0, 0.3), Resistance(3, 5e8, 200.0)), density=RHO,
    )  # fmt: skip
    s = scheme(arteries, discretize(arteries, 0.05, samples=4))
    P_i, Q_i = np.array([1200.0, 1150, 1100, 1180, 1120, 1050]), 1e-6 * np.array([4.0, 2.5, 2, 4.5, 2, 1.8])
    none = jnp.zeros(0)
    given = Supply(jnp.array([0, 0, 0, 1 / 5e8]), jnp.array([5e-6, 0, 0, 200 / 5e8]), jnp.zeros(4), none, none)
    found = jax.jit(solve_nodes)(s.joints, jnp.asarray(P_i), jnp.asarray(Q_i), given)
    Q = np.asarray(found.Q)
    A0, beta = np.tile(np.pi * radius**2, 2), np.tile(4 / 3 * np.sqrt(np.pi) * Eh, 2)
    lumen = lambda p: (np.sqrt(A0) + (p - P0) * A0 / beta) ** 2  # noqa: E731
    speed = lambda A: np.sqrt(beta * np.sqrt(A) / (2 * RHO * A0))  # noqa: E731
    A_i, sign = lumen(P_i), np.repeat([-1.0, 1.0], 3)
    u, c = Q_i / A_i, speed(lumen(P_i))
    A = A_i + (Q - Q_i) / (alpha * u - sign * np.sqrt(c**2 + alpha * (alpha - 1) * u**2))
    P = P0 + beta / A0 * (np.sqrt(A) - np.sqrt(A0))
    np.testing.assert_allclose(found.P, P, rtol=1e-9)
    total = P + 0.5 * RHO * alpha * (Q / A) ** 2
    assert Q[0] == pytest.approx(5e-6, rel=1e-9) and Q[3] == pytest.approx(Q[1] + Q[2], rel=1e-9)
    np.testing.assert_allclose(total[[1, 2, 3]], float(found.node[1]), rtol=1e-7)
    rest = 0.5 * (c[4] + speed(lumen(800.0))[4])
    assert Q[4] == pytest.approx(0.7 / 1.3 * A_i[4] / (RHO * rest) * (P[4] - 800.0), rel=1e-6)
    assert Q[5] == pytest.approx((P[5] - 200.0) / 5e8, rel=1e-6)
    momentum = lambda A: beta / (3 * A0) * A**1.5 / RHO  # noqa: E731
    np.testing.assert_allclose(found.force, alpha * Q**2 / A + momentum(A) - momentum(A_i), rtol=1e-7)
    assert float(found.residual) < 1e-6
