"""Lumped elements in plain arithmetic: each equation, how they are put together, a step against its stability function."""

from perfsim.flow import lumped
from perfsim.flow.lumped.assembly import Matrices, drop_at, given_at, layout, residual, wanted_unknowns
from perfsim.flow.lumped.collocation import STAGE, Stepper, W
from perfsim.flow.lumped.network import LumpedNetwork
from perfsim.flow.lumped.periodic import Return, _first_slope
from perfsim.flow.pulsatile import Steadily
from perfsim.flow.pulsatile.waveform import Sampled

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

STEADY = Steadily([0.0])


def test_stages_are_those_of_radau():
    """Fifth order, three stages (Hairer and Wanner 1996, table IV.5.6)."""
    s = np.sqrt(6.0)
    np.testing.assert_allclose(STAGE, [(4 - s) / 10, (4 + s) / 10, 1.0], rtol=1e-14)
    A = np.array([
        [(88 - 7 * s) / 360, (296 - 169 * s) / 1800, (-2 + 3 * s) / 225],
        [(296 + 169 * s) / 1800, (88 + 7 * s) / 360, (-2 - 3 * s) / 225], [(16 - s) / 36, (16 + s) / 36, 1 / 9],
    ])  # fmt: skip
    np.testing.assert_allclose(np.linalg.inv(W), A, rtol=1e-12)


def test_elements_balance_where_their_equations_hold():
    """Pressures and flows worked out by hand leave nothing; with a drop the loss counts where the flow passes it."""
    vessel = lumped.Vessel([[0, 1]], [2.0], [0.5], [0.25], jnp.array([3.0]))
    # q_in = 4: p_in - p_c = 8 + 48; dp_c = 2: q_out = 4 - 0.5; dq_out = 6: p_c - p_out = 3
    p_c = 100.0 - 8.0 - 48.0
    assert vessel.lossy == 1 and float(vessel.drop(jnp.array([-4.0]), 0.0)[0]) == -48.0
    assert vessel.equations([100.0, p_c - 3.0], [p_c, 4.0, 3.5], [2.0, 99.0, 6.0], 48.0, []) == [0.0, 0.0, 0.0]
    assert vessel.flows([p_c, 4.0, 3.5]) == [4.0, -3.5]
    proximal = lumped.ProximalVessel([[0, 1]], [2.0], [0.5], [0.25], jnp.array([3.0]))
    # p_c = p_in; q_out = 3.5: p_c - p_out = 7 + 36.75 + 0.5 · 6
    assert proximal.lossy == 2
    assert proximal.equations([100.0, 100 - 7 - 36.75 - 3], [100.0, 4.0, 3.5], [2.0, 0.0, 6.0], 36.75, []) == [0.0] * 3
    assert lumped.Vessel([[0, 1]], [2.0], [0.5], [0.25]).lossy is None
    assert lumped.Inflow([0], STEADY).equations([1.0], [-5.0], [0.0], 0.0, [5.0]) == [0.0]
    assert lumped.Held([0], STEADY).equations([7.0], [1.0], [0.0], 0.0, [7.0]) == [0.0]
    assert lumped.Drain([0], [2.0], STEADY).equations([17.0], [3.0], [0.0], 0.0, [11.0]) == [0.0]
    kessel = lumped.Windkessel([0], [2.0], [0.5], [4.0], STEADY)
    # q = 3: p_c = p - 6; dp_c = 4: q_d = 3 - 2; P_d = p_c - 4
    assert kessel.equations([50.0], [3.0, 44.0, 1.0], [0.0, 4.0, 0.0], 0.0, [40.0]) == [0.0, 0.0, 0.0]
    bed = lumped.Coronary([0], [2.0], [3.0], [5.0], [0.5], [0.25], STEADY, STEADY)
    # q = 6: p_1 = 88; dp_1 = 4: q_am = 4; P_im = 20: v = 88 - 20 - 12 = 56; dv = 8: q_v = 2; P_v = 76 - 10
    y, dy = [6.0, 88.0, 4.0, 56.0, 2.0], [0.0, 4.0, 0.0, 8.0, 0.0]
    assert bed.equations([100.0], y, dy, 0.0, [66.0, 20.0]) == [0.0] * 5
    assert bed.equations([100.0], y, dy, 1.5, [66.0, 20.0]) == [0.0, 0.0, -1.5, 0.0, 0.0]
    assert (bed.stores, bed.pressures, bed.gives, kessel.stores) == ((1, 3), (1, 3), 2, (1,))


def test_a_squeezed_bed_resists_as_its_muscle_contracts():
    """√R from √4 to √25 as (1 - cos(πt/T))/2 until 0.3 s, back within 0.2 s, then at rest; the drop is what exceeds 4 q."""
    bed = lumped.SqueezedCoronary([0], [1.0], [4.0], [1.0], [1.0], [1.0], STEADY, STEADY, [25.0], [0.3], [0.2])
    for t, share in (
        (0.0, 0.0),
        (0.1, 0.25),
        (0.15, 0.5),
        (0.3, 1.0),
        (0.4, 0.5),
        (0.35, 0.5 + 0.5**1.5),
        (0.5, 0.0),
        (0.9, 0.0),
    ):
        exceeds = (2.0 + 3.0 * share) ** 2 - 4.0
        assert float(bed.drop(jnp.array([-2.0]), jnp.asarray(t))[0]) == pytest.approx(-2.0 * exceeds, abs=1e-9)
    assert bed.lossy == 2


def two_vessels(S=None) -> LumpedNetwork:
    """A flow of 1 to 3 into a vessel of resistance 2, on to one of 3 with a store, which drains through 5 to 10."""
    ports = [[0, 1], [1, 2]]
    vessels = lumped.Vessel(ports, [2.0, 3.0], [0.0, 0.0], [0.0, 0.1], None if S is None else jnp.asarray(S))
    flow = Sampled([0.0, 0.5, 1.0], [[1.0, 3.0, 1.0]])
    return LumpedNetwork(
        (vessels,), (lumped.Inflow([0], flow), lumped.Drain([2], [5.0], Steadily([10.0]))), 1.0, 3, ("b",), [1]
    )


def test_unknowns_are_numbered():
    """Three nodes; p_c, q_in and q_out of both vessels; the inflow; the drain. Stores, losses, and what is a pressure."""
    where = layout(two_vessels([0.0, 1.0]))
    assert where.first == (3, 9, 10) and where.unknowns == 11 and where.stored.tolist() == [3, 4, 7, 8]
    assert where.lossy.tolist() == [5, 6] and np.flatnonzero(where.is_pressure).tolist() == [0, 1, 2, 3, 4]
    assert layout(two_vessels()).lossy.tolist() == []
    assert wanted_unknowns(two_vessels()).tolist() == [[[1], [2]], [[6], [8]]]
    assert given_at(two_vessels(), jnp.asarray(0.25)).tolist() == [2.0, 10.0]
    assert drop_at(two_vessels([0.0, 1.5]), jnp.array([2.0, -2.0]), jnp.zeros(())).tolist() == [0.0, -6.0]


def test_what_a_network_must_fulfil():
    """2 in and out: pressures 30, 26, 20 by Ohm; what is off shows at its node or element; matrices are the derivatives."""
    network = two_vessels()
    y = jnp.array([30.0, 26.0, 20.0, 26.0, 20.0, 2.0, 2.0, 2.0, 2.0, -2.0, 2.0])
    zero = jnp.zeros(11)
    np.testing.assert_allclose(residual(network, y, zero, jnp.zeros(0), jnp.array([2.0, 10.0])), 0.0, atol=1e-12)
    off = residual(network, y.at[2].add(1.0), zero.at[4].set(7.0), jnp.zeros(0), jnp.array([2.5, 10.0]))
    # node balances, then first equations of both vessels, second, third, inflow, drain
    np.testing.assert_allclose(off, [0, 0, 0, 0, 0, 0, -0.7, 0, -1.0, 0.5, 1.0], atol=1e-12)
    m = eqx.filter_jit(lambda n: Matrices.of(n, layout(n)))(network)
    given = jnp.array([2.5, 10.0])
    found = m.F @ y.at[2].add(1.0) + m.E @ zero.at[4].set(7.0) + m.G @ given
    np.testing.assert_allclose(found, off, atol=1e-12)


def test_a_step_is_radaus():
    """A store of 0.1 behind 3 + 2 (which a given flow does not see) that drains through 5: over a step of h the state falls
    by R(z) = (1 + 2z/5 + z²/20)/(1 - 3z/5 + 3z²/20 - z³/60), z = -h/RC; and the cycle that returns is the exact one.
    """

    @eqx.filter_jit
    def solved(network):
        stepper = Stepper.of(network, 4, jnp.zeros(0))
        back = Return.of(stepper)
        x = back.missing(jnp.zeros(4))
        end, trace = stepper.march(x)
        return stepper, stepper.linear_step(), x, back.missing(x), end, stepper.cycle(trace)

    stepper, carried, x, missing, end, cycle = solved(two_vessels())
    z = -0.25 / (5.0 * 0.1)
    R = (1 + 2 * z / 5 + z**2 / 20) / (1 - 3 * z / 5 + 3 * z**2 / 20 - z**3 / 60)
    assert carried[1, 1] == pytest.approx(R, rel=1e-9) and np.sort(np.abs(np.linalg.eigvals(carried)))[
        -1
    ] == pytest.approx(R)
    assert stepper.times.shape == (4, 3) and float(stepper.times[2, 2]) == 0.75
    np.testing.assert_allclose(stepper.given[:, 2, 0], [2.0, 3.0, 2.0, 1.0])
    np.testing.assert_allclose(missing, 0.0, atol=1e-9)
    np.testing.assert_allclose(end, x, atol=1e-9)
    # C dp/dt = q - (p - 10)/5 over a cycle of a triangle wave, by a fine march
    n = 20_000
    t = (np.arange(n) + 0.5) / n
    q, p, seen = np.interp(t, [0, 0.5, 1.0], [1.0, 3.0, 1.0]), 20.0, []
    for _ in range(8):
        seen = []
        for k in range(n):
            if k % (n // 4) == 0:
                seen.append(p)
            p += (q[k] - (p - 10.0) / 5.0) / 0.1 / n
    np.testing.assert_allclose(cycle.pressure[:, 1, 0], seen, rtol=2e-4)
    np.testing.assert_allclose(cycle.time, [0.0, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(
        cycle.pressure[:, 0, 0] - cycle.pressure[:, 1, 0], 3.0 * np.array([1.0, 2, 3, 2]), rtol=1e-9
    )


def test_where_losses_are_linearized_first():
    """At the greatest prescribed flow, 3: the slope of S q² is 2 S q; a pressure alone: at √(P/S)."""
    first_slope = eqx.filter_jit(lambda network: _first_slope(network, 4))
    np.testing.assert_allclose(first_slope(two_vessels([0.0, 1.5])), [0.0, 9.0])
    vessel = lumped.Vessel([[0, 1]], [0.0], [0.0], [0.0], jnp.array([2.0]))
    ends = lumped.Held([0], Steadily([50.0])), lumped.Drain([1], [1.0], Steadily([8.0]))
    held = LumpedNetwork((vessel,), ends, 1.0, 2, ("a",), [0])
    np.testing.assert_allclose(first_slope(held), [2 * 2.0 * 5.0])
