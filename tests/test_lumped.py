"""Networks of lumped elements: by hand, by complex impedances, by another integrator."""

from perfsim._results import RESULTS
from perfsim.flow import lumped as l
from perfsim.flow.pulsatile import Fourier, Sampled, Steadily

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

MEAN, SWING, PHASE = 5.0, 3.0, 0.4
OMEGA = 2 * np.pi / 0.8


def wave(mean: float = MEAN, swing: float = SWING) -> Fourier:
    return Fourier(mean, [[swing]], [[PHASE]], 0.8)


def chain(*vessels: l.Vessel, inlet: type = l.Inflow, given=None, outlet=None) -> l.LumpedNetwork:
    """Vessels one after the other from an inlet to an outlet, 0.8 s a cycle."""
    n = len(vessels)
    drain = l.Drain([n], 40.0, Steadily(20.0)) if outlet is None else outlet
    return l.LumpedNetwork(
        vessels, (inlet([0], wave() if given is None else given), drain), 0.8, n + 1,
        tuple(f"v{k}" for k in range(n)), np.arange(n),
    )  # fmt: skip


def phasor(values, time) -> complex:
    """The first harmonic x of mean + Im(x e^(iωt))."""
    return complex(2j * np.mean(np.asarray(values) * np.exp(-1j * OMEGA * np.asarray(time))))


Q1 = SWING * np.exp(1j * PHASE)
S = 1j * OMEGA
BED = {"Ra": 3.0, "Ram": 5.0, "Rv": 2.0, "Ca": 2e-3, "Cim": 7e-3}


def by_impedance(kind: str) -> complex:
    """Inlet pressure over inlet flow at the frequency of the wave."""
    R, L, C = 10.0, 5.0, 2e-3
    end = 40.0 + S * L
    if kind == "R-C-L":
        return R + 1 / (S * C + 1 / end)
    if kind == "C-R-L":
        return 1 / (S * C + 1 / (R + end))
    if kind == "windkessel":
        return 10.0 + 2.0 + 1 / (S * 0.05 + 1 / 30.0)
    venous = 1 / (S * BED["Cim"] + 1 / BED["Rv"])
    return 10.0 + BED["Ra"] + 1 / (S * BED["Ca"] + 1 / (BED["Ram"] + venous))


def with_bed(kind: str) -> l.LumpedNetwork:
    if kind in ("R-C-L", "C-R-L"):
        return chain((l.Vessel if kind == "R-C-L" else l.ProximalVessel)([[0, 1]], 10.0, 5.0, 2e-3))
    end = [1]
    beds = {
        "windkessel": l.Windkessel(end, 2.0, 0.05, 30.0, Steadily(7.0)),
        "coronary": l.Coronary(end, *BED.values(), Steadily(7.0), Steadily(100.0)),
    }
    return chain(l.Vessel([[0, 1]], 10.0, 0.0, 0.0), outlet=beds[kind])


@pytest.mark.parametrize("kind", ["R-C-L", "C-R-L", "windkessel", "coronary"])
def test_elements_by_complex_impedance(kind):
    """One harmonic into each element: pressure = impedance times flow, in amplitude and phase; the mean by resistances."""
    cycle, reached = l.periodic_lumped(with_bed(kind), 200)
    assert reached.result == RESULTS.successful
    p = cycle.pressure[:, 0, 0]
    assert abs(phasor(p, cycle.time) - by_impedance(kind) * Q1) <= 1e-6 * abs(by_impedance(kind) * Q1)
    mean = {"windkessel": 7.0 + 42 * MEAN, "coronary": 7.0 + 20 * MEAN}.get(kind, 20.0 + 50 * MEAN)
    assert float(jnp.mean(p)) == pytest.approx(mean, rel=1e-9)


def test_pressure_of_the_muscle_by_complex_impedance():
    """P_im alone swings, no flow comes in: what it drives through the veins and into the arterial compliance."""
    bed = l.Coronary([1], *BED.values(), Steadily(7.0), wave(100.0, 60.0))
    network = chain(l.Vessel([[0, 1]], 10.0, 0.0, 0.0), outlet=bed, given=Steadily(0.0))
    cycle, _ = l.periodic_lumped(network, 200)
    y_a = 1 / (BED["Ram"] + 1 / (S * BED["Ca"]))
    y_im, y_v = S * BED["Cim"], 1 / BED["Rv"]
    p_2 = y_im * 60.0 * np.exp(1j * PHASE) / (y_im + y_v + y_a)
    expected = p_2 * y_a / (S * BED["Ca"])
    assert abs(phasor(cycle.pressure[:, 1, 0], cycle.time) - expected) <= 1e-6 * abs(expected)


def test_what_only_a_derivative_determines():
    """A compliance at a prescribed pressure takes C dP/dt, an inertance in a prescribed flow L dQ/dt."""
    held = chain(l.ProximalVessel([[0, 1]], 10.0, 0.0, 2.0), inlet=l.Held, given=wave(100.0, 60.0))
    cycle, _ = l.periodic_lumped(held, 400)
    into, out = (phasor(cycle.flow[:, k, 0], cycle.time) for k in (0, 1))
    assert abs(into - out - S * 2.0 * 60.0 * np.exp(1j * PHASE)) <= 1e-6 * abs(into)
    cycle, _ = l.periodic_lumped(chain(l.Vessel([[0, 1]], 10.0, 5.0, 0.0)), 400)
    assert abs(phasor(cycle.pressure[:, 0, 0], cycle.time) - (50 + 5 * S) * Q1) <= 1e-6 * abs((50 + 5 * S) * Q1)


@pytest.mark.parametrize("cycles", [0.1, 5.0, 500.0])
def test_windkessel_by_hand(cycles):
    """Its time constant is τ = R_d C, up to hundreds of cycles. In an interval where the flow is Q + s t,
    p_c = R_d (Q + s (t - τ)) + D e^(-t/τ), with the D that joins intervals, and the last with the first.
    """
    t = np.linspace(0.0, 0.8, 41)
    Q = MEAN + SWING * np.sin(OMEGA * t) + np.cos(2 * OMEGA * t)
    Rd, tau, h = 30.0, 0.8 * cycles, t[1]
    slope = np.diff(Q) / h
    gained = Rd * (Q[1:] - slope * tau) - np.exp(-h / tau) * Rd * (Q[:-1] - slope * tau)
    total = sum(np.exp(-h / tau) ** (len(gained) - 1 - k) * g for k, g in enumerate(gained))
    p_c = [total / -np.expm1(-len(gained) * h / tau)]
    for g in gained[:-1]:
        p_c.append(np.exp(-h / tau) * p_c[-1] + g)
    windkessel = l.Windkessel([1], 2.0, tau / Rd, Rd, Steadily(0.0))
    network = chain(l.Vessel([[0, 1]], 10.0, 0.0, 0.0), outlet=windkessel, given=Sampled(t, Q[None]))
    cycle, reached = l.periodic_lumped(network, 400)
    assert reached.cycles <= 2
    np.testing.assert_allclose(cycle.pressure[::10, 1, 0] - 2.0 * Q[:-1], p_c, rtol=1e-8)


def test_stenosis_under_a_pressure_by_another_integrator():
    """(R + S|q|) q + L dq/dt = p_in - p_out, forwards and backwards, by scipy; q settles within a few cycles."""
    R, L, narrow = 0.3, 0.5, 2.0

    def p(t):
        return 6.0 + 20.0 * np.sin(OMEGA * t + PHASE)

    network = chain(
        l.Vessel([[0, 1]], R, L, 0.0, jnp.array([narrow])), inlet=l.Held, given=wave(6.0, 20.0),
        outlet=l.Held([1], Steadily(0.0)),
    )  # fmt: skip
    cycle, reached = l.periodic_lumped(network, 400)
    assert reached.result == RESULTS.successful
    t = 8 * 0.8 + np.asarray(cycle.time)
    found = solve_ivp(
        lambda t, q: (p(t) - (R + narrow * abs(q)) * q) / L, (0, 9 * 0.8), [0.0], "LSODA", t, rtol=1e-10, atol=1e-10
    )
    assert found.y[0].min() < -0.5 < 0.5 < found.y[0].max()
    # the second derivative of |q|q jumps where the flow turns, which leaves (step/cycle)³
    np.testing.assert_allclose(cycle.flow[:, 0, 0], found.y[0], atol=1e-6 * found.y[0].max())


def test_stenosis_alone():
    """Without any other resistance q = √(Δp/S); the first guess of its slope is nowhere near."""
    network = chain(
        l.Vessel([[0, 1]], 0.0, 0.0, 0.0, jnp.array([2.0])), inlet=l.Held, given=wave(60.0, 20.0),
        outlet=l.Held([1], Steadily(10.0)),
    )  # fmt: skip
    cycle, _ = l.periodic_lumped(network, 50)
    expected = jnp.sqrt((cycle.pressure[:, 0, 0] - 10.0) / 2.0)
    np.testing.assert_allclose(cycle.flow[:, 1, 0], expected, rtol=1e-9)


def squeezed() -> l.LumpedNetwork:
    bed = l.SqueezedCoronary([1], *BED.values(), Steadily(7.0), wave(100.0, 60.0), Ram_max=40.0, T_vc=0.3, T_vr=0.2)
    return chain(l.Vessel([[0, 1]], 10.0, 0.0, 0.0), inlet=l.Held, given=wave(120.0, 20.0), outlet=bed)


def test_squeezed_bed_by_another_integrator():
    """Two stores, and a resistance between them that rises as (√R)² with the contraction, by scipy."""
    cycle, reached = l.periodic_lumped(squeezed(), 400)
    assert reached.result == RESULTS.successful
    b = BED

    def rates(t, y):
        tau = t % 0.8
        e = (
            0.5 * (1 - np.cos(np.pi * tau / 0.3))
            if tau < 0.3
            else 0.5 * (1 + np.cos(np.pi * (min(tau, 0.5) - 0.3) / 0.2))
        )
        Ram = (np.sqrt(b["Ram"]) + (np.sqrt(40.0) - np.sqrt(b["Ram"])) * e) ** 2
        p2 = y[1] + 100 + 60 * np.sin(OMEGA * t + PHASE)
        through = (y[0] - p2) / Ram
        q = (120 + 20 * np.sin(OMEGA * t + PHASE) - y[0]) / (10 + b["Ra"])
        return [(q - through) / b["Ca"], (through - (p2 - 7.0) / b["Rv"]) / b["Cim"]]

    t = 3 * 0.8 + np.asarray(cycle.time)
    y = solve_ivp(rates, (0, 4 * 0.8), [90.0, -90.0], "Radau", t, rtol=1e-10, atol=1e-9, max_step=5e-3).y
    q = (120 + 20 * np.sin(OMEGA * t + PHASE) - y[0]) / (10 + b["Ra"])
    np.testing.assert_allclose(cycle.flow[:, 1, 0], q, atol=1e-6 * np.abs(q).max())


def test_order_in_time():
    """Half the step, an error smaller by at least 2⁴ (the last stages are of fifth order)."""
    right, errors = by_impedance("R-C-L") * Q1, []
    for steps in (8, 16):
        cycle, _ = l.periodic_lumped(with_bed("R-C-L"), steps)
        errors.append(abs(phasor(cycle.pressure[:, 0, 0], cycle.time) - right))
    assert 1e-9 * abs(right) < errors[1] <= errors[0] / 16


def fork() -> l.LumpedNetwork:
    """A stenosed vessel that forks into a windkessel and a squeezed bed."""
    vessels = (
        l.Vessel([[0, 1]], 1.0, 0.2, 2e-3, jnp.array([0.3])),
        l.ProximalVessel([[1, 2], [1, 3]], [2.0, 3.0], 0.1, 1e-3),
    )
    bed = l.SqueezedCoronary([3], *BED.values(), Steadily(7.0), wave(50.0, 30.0), Ram_max=40.0, T_vc=0.3, T_vr=0.2)
    ends = (l.Inflow([0], wave()), l.Windkessel([2], 2.0, 0.05, 30.0, Steadily(7.0)), bed)
    return l.LumpedNetwork(vessels, ends, 0.8, 4, ("a", "b", "c"), np.arange(3))


def test_nothing_is_lost():
    """Over a cycle, what enters leaves; at every instant the fork's flows sum to zero."""
    cycle, reached = l.periodic_lumped(fork(), 60)
    assert 1 < reached.cycles < 10
    flow = np.asarray(cycle.flow)
    np.testing.assert_allclose(flow[:, 1, 0], flow[:, 0, 1] + flow[:, 0, 2], atol=1e-10)
    np.testing.assert_allclose(flow.mean(axis=0)[0, 0], flow.mean(axis=0)[1, 1:].sum(), rtol=60.0**-2)
    assert flow[:, 0, 0].mean() == pytest.approx(MEAN, rel=1e-12)


PARAMETERS = [
    lambda n: n.vessels[0].S, lambda n: n.vessels[0].L, lambda n: n.vessels[1].C, lambda n: n.ends[1].C,
    lambda n: n.ends[2].Ram_max, lambda n: n.ends[0].Q.mean, lambda n: n.period,
]  # fmt: skip


def test_gradients_by_finite_differences():
    """Of a mean and a peak, forwards and in reverse, by every kind of parameter."""
    network, steps = fork(), 60

    @eqx.filter_jit
    def outcome(values):
        cycle, _ = l.periodic_lumped(eqx.tree_at(lambda n: [p(n) for p in PARAMETERS], network, values), steps, 1e-12)
        return jnp.mean(cycle.pressure[:, 0, 0]) + cycle.flow[steps // 3, 1, 2]

    values = [p(network) for p in PARAMETERS]
    reverse = jax.grad(outcome)(values)
    for k, value in enumerate(values):
        h = 1e-5
        there, back = (outcome([v * (1 + s * h) if j == k else v for j, v in enumerate(values)]) for s in (1, -1))
        numeric = (there - back) / (2 * h)
        assert float(jnp.sum(reverse[k] * value)) == pytest.approx(float(numeric), rel=1e-5, abs=1e-7), k
        along = [v if j == k else jnp.zeros_like(v) for j, v in enumerate(values)]
        assert float(jax.jvp(outcome, (values,), (along,))[1]) == pytest.approx(float(numeric), rel=1e-5, abs=1e-7), k


def test_what_was_not_found_is_nan():
    """One cycle is not enough for a stenosis; the sentence says so."""
    cycle, reached = l.periodic_lumped(fork(), 60, 1e-12, 1)
    assert reached.result == RESULTS.not_periodic and np.isnan(cycle.pressure).all()
    cycle, reached = l.periodic_lumped(fork(), 60, 1e-12, 1, throw=False)
    assert reached.result == RESULTS.not_periodic and np.isfinite(cycle.pressure).all()


def test_a_flow_that_jumps_by_hand():
    """q_in = q_out + C dP/dt at a pressure with corners: its extremes are those of both sides of the corners, which
    svzerod overshoots by 0.2 to 1 %, depending on its step.
    """
    t = np.linspace(0.0, 0.8, 41)
    P, Q, C = 100.0 + 60.0 * np.sin(OMEGA * t), 3.0 + np.cos(2 * OMEGA * t), 0.05
    network = l.LumpedNetwork(
        (l.ProximalVessel([[0, 1]], 1.0, 0.0, C),),
        (l.Held([0], Sampled(t, P[None])), l.Inflow([1], Sampled(t, -Q[None]))), 0.8, 2, ("v",), [0],
    )  # fmt: skip
    cycle, _ = l.periodic_lumped(network, 400)
    slope = np.diff(P) / np.diff(t)
    both = np.concatenate([Q[:-1] + C * slope, Q[1:] + C * slope])
    flow = np.asarray(cycle.flow[:, 0, 0])
    step = np.abs(np.diff(Q)).max() / 10  # values are those at the end of steps
    assert abs(flow.max() - both.max()) <= step and abs(flow.min() - both.min()) <= step
    np.testing.assert_allclose(flow[10::10], (Q + C * np.append(np.nan, slope))[1:-1], rtol=1e-8)
