"""Lumped elements in plain arithmetic: each equation, how they are put together, a step against its stability function."""

from perfsim._results import InputError
from perfsim.flow import lumped
from perfsim.flow.lumped.assembly import Matrices, drop_at, given_at, layout, residual, wanted_unknowns
from perfsim.flow.lumped.collocation import STAGE, Stepper, W
from perfsim.flow.lumped.network import LumpedNetwork
from perfsim.flow.lumped.periodic import Return, _first_slope
from perfsim.flow.pulsatile import (
    Absorbing,
    Arteries,
    Coronary,
    Cycle,
    Inlets,
    Olufsen,
    Resistance,
    Steadily,
    Throats,
    Windkessel,
)
from perfsim.flow.pulsatile.periodic import anderson, attach_derivative
from perfsim.flow.pulsatile.waveform import Sampled
from perfsim.io.flow_case import FlowCase
from perfsim.io.lumped import elements_of, led, node_of
from perfsim.io.lumped_state import initial_condition
from perfsim.io.tree_case import bed_resistance, in_tubes, tree_case
from perfsim.io.write_openbf import write_openbf
from perfsim.io.write_svzerod import svzerod_case
from perfsim.network import Centerlines

import equinox as eqx
import jax
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
    zero, left = jnp.zeros(11), eqx.filter_jit(residual)
    np.testing.assert_allclose(left(network, y, zero, jnp.zeros(0), jnp.array([2.0, 10.0])), 0.0, atol=1e-12)
    off = left(network, y.at[2].add(1.0), zero.at[4].set(7.0), jnp.zeros(0), jnp.array([2.5, 10.0]))
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


# What an export writes ------------------------------------------------------------------------------------------------


def arteries(**options) -> Arteries:
    """A cone from 3 to 2 mm into a fork: an arm behind a stenosis with a windkessel, two cylinders with a coronary bed."""
    throats = Throats([[1, 4], [3, 5]], [2e8, 0.0], [3e13, 0.0], [1e6, 0.0])
    given = {
        "flow_inlets": Inlets(0, Steadily(5e-6)), "throats": throats,
        "outlets": (Windkessel(2, 3e8, 6e9, 1e-10, 500.0), Coronary(6, 1e9, 2e9, 3e9, 1e-11, 2e-10, 700.0, Steadily(4e3))),
    }  # fmt: skip
    radius = [[3e-3, 2e-3], [1.5e-3, 1.5e-3], [1e-3, 1e-3], [1e-3, 1e-3]]
    return Arteries.build(
        [0, 4, 1, 5], [1, 2, 3, 6], [0.1, 0.05, 0.04, 0.03], radius, [300.0, 200.0, 100.0, 100.0], period=0.8,
        density=1050.0, viscosity=4e-3, profile=[2.0, 9.0, 2.0, 2.0], names=("a", "b", "c", "d"), **(given | options),
    )  # fmt: skip


def test_vessels_as_lumped_elements_in_closed_form():
    """R = 2(ζ+2)πμ∫dx/A², L = ρ∫dx/A and C = ∫dA/dP dx = 3/2 π∫r³dx/Eh; a stenosis that does nothing joins its nodes."""
    found = {e.name: e for e in elements_of(arteries())}
    assert list(found) == ["a", "b", "c", "d", "stenosis 0"]
    a, b = found["a"], found["b"]
    r0, r1 = 3e-3, 2e-3
    over = (r1**-3 - r0**-3) / (3 * (r0 - r1))
    assert pytest.approx(2 * 4 * 4e-3 / np.pi * 0.1 * over, rel=1e-4) == a.R
    assert pytest.approx(1050 * 0.1 / (np.pi * r0 * r1), rel=1e-4) == a.L
    assert pytest.approx(1.5 * np.pi / 300 * 0.1 * (r0**4 - r1**4) / (4 * (r0 - r1)), rel=1e-4) == a.C
    assert pytest.approx(2 * 11 * np.pi * 4e-3 * 0.05 / (np.pi * 1.5e-3**2) ** 2, rel=1e-9) == b.R
    assert (a.tail, a.head, b.tail, b.head, found["c"].tail, found["d"].tail) == (0, 1, 4, 2, 1, 3) and a.S == 0.0
    narrow = found["stenosis 0"]
    assert (narrow.tail, narrow.head, narrow.R, narrow.S, narrow.L, narrow.C) == (1, 4, 2e8, 3e13, 1e6, 0.0)
    assert [node_of(arteries(), n) for n in range(7)] == [0, 1, 2, 3, 4, 3, 6]
    elements = list(found.values())
    assert led(elements, 2, 5.0, "x", 9) == (2, 5.0) and len(elements) == 5
    assert led(elements, 1, 5.0, "x", 9) == (9, 4.5) and (elements[5].R, elements[5].tail, elements[5].head) == (
        0.5,
        1,
        9,
    )
    with pytest.raises(InputError, match="the outlet at node 7 touches no vessel"):
        led(elements, 7, 1.0, "x", 9)


def test_a_network_for_svzerod_in_cgs():
    """dyn·s/cm⁵ are 1e5 Pa·s/m³, dyn/cm² 0.1 Pa: every number of vessels, ends and junctions."""
    case = FlowCase("n", arteries(), tuple("0123456"))
    found = svzerod_case(case)
    a = {e.name: e for e in elements_of(arteries())}
    vessels = {v["vessel_name"]: v for v in found["vessels"]}
    for name, v in vessels.items():
        e, said = a[name], v["zero_d_element_values"]
        numbers = [said[k] for k in ("R_poiseuille", "L", "C", "stenosis_coefficient")]
        assert numbers == pytest.approx([e.R * 1e-5, e.L * 1e-5, e.C * 1e5, e.S * 1e-11], rel=1e-12), name
    assert (
        vessels["a"]["boundary_conditions"] == {"inlet": "inlet 0 flow"}
        and "boundary_conditions" not in vessels["stenosis 0"]
    )
    ends = {name: v.get("boundary_conditions", {}).get("outlet") for name, v in vessels.items()}
    assert ends == {"a": None, "b": "outlet 0", "c": None, "d": "outlet 1", "stenosis 0": None}
    inlet, rcr, bed = found["boundary_conditions"]
    assert (
        inlet["bc_type"] == "FLOW"
        and len(inlet["bc_values"]["t"]) == 201
        and inlet["bc_values"]["t"][-1] == pytest.approx(0.8)
    )
    assert inlet["bc_values"]["Q"] == pytest.approx([5.0] * 201)
    assert rcr["bc_values"] == pytest.approx({"Rp": 3e3, "Rd": 6e4, "C": 1e-5, "Pd": 5e3})
    values = {k: v for k, v in bed["bc_values"].items() if k not in ("Pim", "t")}
    assert values == pytest.approx({"Ra1": 1e4, "Ra2": 2e4, "Rv1": 3e4, "Ca": 1e-6, "Cc": 2e-5, "P_v": 7e3})
    assert bed["bc_values"]["Pim"] == pytest.approx([4e4] * 201) and bed["bc_type"] == "CORONARY"
    assert [(j["junction_name"], j["inlet_vessels"], j["outlet_vessels"]) for j in found["junctions"]] == [
        ("J1", [0], [2, 4]), ("J3", [2], [3]), ("J4", [4], [1]),
    ]  # fmt: skip
    for other, words in (
        ({"outlets": (Resistance(2, 1e9, 0.0), Absorbing(6, 0.0))}, "absorbs waves has no lumped counterpart"),
        ({"flow_inlets": Inlets([0, 1], Steadily([1e-6, 1e-6]))}, "node 1 needs one vessel that leaves it"),
    ):
        with pytest.raises(InputError, match=words):
            svzerod_case(FlowCase("n", arteries(**other), tuple("0123456")))
    (drain,) = svzerod_case(FlowCase("n", arteries(outlets=(Resistance([2, 6], [1e9, 2e9], 50.0),)), tuple("0123456")))[
        "boundary_conditions"
    ][1:2]
    assert drain["bc_values"] == pytest.approx({"R": 1e4, "Pd": 500.0})


def test_the_first_instant_for_svzerod():
    """Flows at both ends of vessels, what passes a stenosis, pressures of nodes, the windkessel's store, and their rates."""
    a = arteries()
    elements, at = elements_of(a), {(0, "inlet"): "IN", (2, "outlet"): "W", (6, "outlet"): "B"}
    junctions = [
        {"junction_name": "J1", "inlet_vessels": [0], "outlet_vessels": [2, 4]},
        {"junction_name": "J3", "inlet_vessels": [2], "outlet_vessels": [3]},
        {"junction_name": "J4", "inlet_vessels": [4], "outlet_vessels": [1]},
    ]  # fmt: skip
    time = 0.8 * np.arange(4) / 4
    flow = 1e-6 * np.arange(48.0).reshape(4, 3, 4)  # times, places, vessels
    node = 1e3 * np.arange(28.0).reshape(4, 7)
    zero = np.zeros(())
    cycle = Cycle(time, np.asarray(0.8), flow, flow, node, np.zeros(8), np.zeros(7), zero)
    now, rate = initial_condition(a, elements, junctions, at, cycle)
    assert now["flow:IN:a"] == pytest.approx(0.0) and now["flow:a:J1"] == pytest.approx(8.0)
    assert now["flow:J4:b"] == pytest.approx(1.0) and now["flow:b:W"] == pytest.approx(9.0)
    assert now["pressure:IN:a"] == 0.0 and now["pressure:a:J1"] == pytest.approx(1e4)
    assert now["pressure:c:J3"] == pytest.approx(5e4)  # of node 5, which is node 3
    assert now["flow:J1:stenosis 0"] == pytest.approx(8.0 - 2.0)  # what the cone brings and the cylinder leaves
    assert now["pressure_c:outlet 0"] == pytest.approx((2e3 - 3e8 * 9e-6) * 10) and now["volume_im:outlet 1"] == 0.0
    # the flows a quarter of a period later and before, 0.4 s apart
    assert rate["flow:a:J1"] == pytest.approx((20.0 - 44.0) / 0.4) and rate["volume_im:outlet 1"] == 0.0


def test_steps_towards_a_fixed_point_are_accelerated():
    """Of an affine map in four unknowns the zero is found in five steps; its derivative is the implicit one."""
    rng = np.random.default_rng(0)
    A, b = jnp.asarray(rng.normal(size=(4, 4)) * 0.3 + np.eye(4)), jnp.asarray(rng.normal(size=4))
    found = anderson(lambda x: (b - A @ x, jnp.max(jnp.abs(b - A @ x), keepdims=True)), jnp.zeros(4), 1, 1e-10, 30)
    assert int(found.steps) <= 6 and float(found.error[0]) <= 1e-10
    np.testing.assert_allclose(found.found, np.linalg.solve(A, b), rtol=1e-9)
    stopped = anderson(lambda x: (b - A @ x, jnp.max(jnp.abs(b - A @ x), keepdims=True)), jnp.zeros(4), 1, 1e-10, 2)
    assert int(stopped.steps) == 2 and float(stopped.error[0]) > 1e-10

    class Equation(eqx.Module):
        b: jnp.ndarray

        def residual(self, x):
            return self.b - A @ x, None

    slope = jax.jit(
        jax.jacfwd(lambda b: attach_derivative(30, True, Equation(b), jnp.linalg.solve(A, jax.lax.stop_gradient(b))))
    )(b)
    np.testing.assert_allclose(slope, np.linalg.inv(A), rtol=1e-6, atol=1e-9)


def plain(**options) -> Arteries:
    """Two vessels in series, a windkessel at their end, as openBF has networks."""
    given = {
        "period": 0.8, "flow_inlets": Inlets(0, Sampled([0.0, 0.4, 0.8], [[1e-6, 5e-6, 1e-6]])), "momentum_factor": 1.0,
        "outlets": (Windkessel(2, 3e8, 6e9, 1e-10, 500.0),), "external_pressure": [100.0, 200.0], "profile": [2.0, 9.0],
    } | options  # fmt: skip
    radius, Eh = given.pop("radius", [[3e-3, 2e-3], [2e-3, 2e-3]]), given.pop("Eh", [300.0, 200.0])
    return Arteries.build([0, 1], [1, 2], [0.1, 0.05], radius, Eh, names=("a", "b"), **given)


def test_a_network_for_openbf_as_it_is_written(tmp_path):
    """E h is E·h with h a tenth of the radius; the inflow stands beside; what the format lacks is refused."""
    import yaml

    write_openbf(tmp_path / "n.yaml", FlowCase("net", plain(), tuple("012"), cfl=0.8, samples=50, max_cycles=7))
    said = yaml.safe_load((tmp_path / "n.yaml").read_text())
    a, b = said["network"]
    assert (a["sn"], a["tn"], b["sn"], b["tn"]) == (1, 2, 2, 3) and said["inlet_file"] == "n_inlet.dat"
    assert [a[k] for k in ("L", "h0", "Rp", "Rd", "Pext", "gamma_profile")] == pytest.approx(
        [0.1, 3e-4, 3e-3, 2e-3, 100.0, 2.0]
    )
    assert a["E"] * a["h0"] == pytest.approx(300.0) and b["E"] * b["h0"] == pytest.approx(200.0)
    assert {k: b[k] for k in ("outlet", "R1", "R2", "Cc", "Pout")} == {
        "outlet": "wk3",
        "R1": 3e8,
        "R2": 6e9,
        "Cc": 1e-10,
        "Pout": 500.0,
    }
    assert said["solver"] == {
        "Ccfl": 0.8,
        "cycles": 7,
        "jump": 50,
        "convergence_tolerance": 0.01,
        "use_total_pressure": True,
    }
    rows = [[float(w) for w in line.split()] for line in (tmp_path / "n_inlet.dat").read_text().splitlines()]
    np.testing.assert_allclose(rows, [[0, 1e-6], [0.4, 5e-6], [0.8, 1e-6]])
    for options, words in (
        ({"flow_inlets": None, "pressure_inlets": Inlets(0, Steadily(1e4))}, "one inlet with a prescribed flow"),
        ({"outlets": (Coronary(2, 1e9, 2e9, 3e9, 1e-11, 2e-10, 700.0, Steadily(4e3)),)}, "no coronary outlets"),
        ({"outlets": (Resistance(2, 1e9, 0.0),)}, "outlets are windkessels"), ({"viscous": 0.1}, "elastic walls"), ({"wall": Olufsen}, "square-root law"),
        ({"viscosity": [4e-3, 5e-3]}, "one viscosity for all"), ({"momentum_factor": None}, "one momentum_factor"), ({"momentum_factor": 4 / 3}, "this network's is 1.333"),
        ({"radius": [[3e-3, 2.4e-3, 2e-3], [2e-3] * 3]}, "a: its radius is no linear taper"), ({"Eh": [[300.0, 300.0], [200.0, 201.0]]}, "b: its wall varies along it"),
        ({"reference_pressure": 1e4}, "radii at the external pressure"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            write_openbf(tmp_path / "x.yaml", FlowCase("net", plain(**options), tuple("012")))
    throat = arteries(outlets=(Windkessel([2, 6], [3e8] * 2, [6e9] * 2, [1e-10] * 2, [0.0] * 2),), momentum_factor=1.0)
    with pytest.raises(InputError, match="openBF has no stenoses"):
        write_openbf(tmp_path / "x.yaml", FlowCase("net", throat, tuple("0123456")))


def test_beds_of_a_tree_by_hand():
    """Flow is shared by the cube of the ends' radii, 1 and 2 mm: 1/9 and 8/9; a pressure behind the beds, two inlets: refused."""
    x = 1e-2 * np.array([[0.0, 0, 0], [1, 0, 0], [2, 1, 0], [2, -1, 0]])
    radius = [[3e-3, 3e-3], [1.5e-3, 1e-3], [2e-3, 2e-3]]
    tree = Centerlines.build(x, [0, 1, 1], [1, 2, 3], radius, inlets=[0], outlets=[2, 3])
    np.testing.assert_allclose(bed_resistance(tree, 2e-6, 1e4), [1e4 / 2e-6 * 9, 1e4 / 2e-6 * 9 / 8], rtol=1e-12)
    with pytest.raises(InputError, match="t: the pressure 1333 Pa does not exceed the back pressure 1333 Pa"):
        tree_case(tree, "t", flow=2e-6, pressure=10 * 133.322387415)
    two = Centerlines.build(x, [0, 1, 1], [1, 2, 3], radius, inlets=[0, 2], outlets=[3])
    with pytest.raises(InputError, match="t: has 2 inlets; a model is made of one tree"):
        in_tubes(two, "t", flow=2e-6, pressure=1e4)
