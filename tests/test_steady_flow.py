"""Steady flow: analytic tubes and bifurcations, published verification cases, stenosis laws."""

from perfsim.blood import ConstantViscosity
from perfsim.coupling import network_only, simulate
from perfsim.flow import JetExpansion, LumpedOutlets, NoLoss, Steady, YoungTsai, friction, solve_network, vessel_system
from perfsim.io import read_one_dimensional, read_svzerod
from perfsim.network import VesselNetwork, branch_table, contract, no_lesions, radii, stenosis
from perfsim.units import ML_MIN, MMHG

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

MU = 4e-3


def tube(radius_in, radius_out, length, pieces=1, resistance=1e9, **options):
    x = np.linspace(0, length, pieces + 1)
    r = np.linspace(radius_in, radius_out, pieces + 1)
    network = VesselNetwork.build(
        np.stack([x, 0 * x, 0 * x], 1), np.arange(pieces), np.arange(1, pieces + 1), np.stack([r[:-1], r[1:]], 1),
        inlets=[0], outlets=[pieces],
    )  # fmt: skip
    return network_only(
        network,
        LumpedOutlets([resistance], [0.0], [0.0]),
        aortic_pressure=1.2e4,
        viscosity=ConstantViscosity(MU),
        **options,
    )


@pytest.mark.parametrize("pieces", [1, 7])
def test_poiseuille(pieces):
    sim = tube(1.5e-3, 1.5e-3, 0.1, pieces, loss=NoLoss())
    R = 8 * MU * 0.1 / (np.pi * 1.5e-3**4)
    state = simulate(sim).hyperemia
    assert float(state.inlet_flow[0]) == pytest.approx(1.2e4 / (R + 1e9), rel=1e-12)
    assert float(state.total_pressure[-1]) == pytest.approx(1.2e4 * 1e9 / (R + 1e9), rel=1e-12)


@pytest.mark.parametrize("pieces", [1, 9])
def test_tapered_tube(pieces):
    """∫ dx/r⁴ over a cone, however finely it is cut."""
    a, b, L = 2e-3, 1e-3, 0.08
    exact = 8 * MU / np.pi * L * (a**-3 - b**-3) / (3 * (b - a))
    network = tube(a, b, L, pieces).network
    total = float(friction(network.lumen, network.length, ConstantViscosity(MU)).sum())
    assert total == pytest.approx(exact, rel=1e-10)


def test_bifurcation_tree():
    """Two unequal daughters with outlets to different pressures, by hand."""
    position = np.array([[0, 0, 0], [2, 0, 0], [3, 1, 0], [3, -2, 0]]) * 1e-2
    network = VesselNetwork.build(position, [0, 1, 1], [1, 2, 3], [2e-3, 1.2e-3, 0.9e-3], inlets=[0], outlets=[2, 3])
    R, P = np.array([3e9, 5e9]), np.array([500.0, 900.0])
    sim = network_only(
        network, LumpedOutlets(R, P, [0, 0]), aortic_pressure=1.2e4, viscosity=ConstantViscosity(MU), loss=NoLoss()
    )
    r = 8 * MU * np.asarray(network.length) / (np.pi * np.asarray(network.lumen)[:, 0] ** 4)
    order = [int(np.flatnonzero(np.asarray(network.head) == h)[0]) for h in (1, 2, 3)]
    R0, Ra, Rb = r[order[0]], r[order[1]] + R[0], r[order[2]] + R[1]
    fork = (1.2e4 / R0 + P[0] / Ra + P[1] / Rb) / (1 / R0 + 1 / Ra + 1 / Rb)
    solution = simulate(sim)
    state = solution.hyperemia
    assert float(state.total_pressure[1]) == pytest.approx(fork, rel=1e-10)
    assert int(simulate(sim, near=solution).hyperemia.counters.newton) == 0
    np.testing.assert_allclose(state.outlet_flow, [(fork - P[0]) / Ra, (fork - P[1]) / Rb], rtol=1e-10)
    assert float(state.mass_defect) < 1e-14


@pytest.mark.parametrize(("name", "inlet_pressure"), [("tube_r", 11005.30965), ("tube_stenosis_r", 10150.68211)])
def test_simvascular_tubes(data, name, inlet_pressure):
    """Inlet pressure [dyn/cm²] in the file's own analytic solution, inflow 100 cm³/s."""
    model = read_one_dimensional(data / "flow1d" / f"{name}.in")
    network, forest = model.network, contract(model.network)
    mu = model.material[1] * 0.1
    R = friction(network.lumen, network.length, ConstantViscosity(mu))
    law = YoungTsai(model.stenoses, network.lumen[model.stenoses - 1, 1]) if len(model.stenoses) else NoLoss()
    R, S, *_ = law(network, branch_table(network), network.lumen, network.length, R)
    resistance = next(iter(model.outlet_tables.values()))[0, 1] * 1e5
    system = vessel_system(
        forest,
        network,
        R,
        S,
        inlet_flow=model.inlet_table[0, 1] * 1e-6,
        outlets=LumpedOutlets([resistance], [0.0], [0.0]),
    )
    p, counters = solve_network(system, forest, Steady())
    assert int(counters.result) == 0
    assert float(p[0]) * MMHG * 10 == pytest.approx(inlet_pressure, rel=1e-6)


SVZEROD = {  # inlet pressures of the analytic solutions in the files' descriptions
    "steadyFlow_R_R": [1100], "steadyFlow_RC_R": [1100], "steadyFlow_RL_R": [1100], "steadyFlow_RLC_R": [1100],
    "steadyFlow_R_RCR": [10500], "steadyFlow_R_coronary": [2000], "steadyFlow_R_steadyPressure": [1500],
    "steadyFlow_bifurcationR_R1": [1100], "steadyFlow_bifurcationR_R2": [3462.5], "steadyFlow_stenosis_R": [3600],
    "steadyFlow_confluenceR_R": [6600, 8100], "steadyFlow_bifurcationR_R1_blockNames": [1100],
    "steadyFlow_blood_vessel_junction": [3462.5],
}  # fmt: skip


@pytest.mark.parametrize("name", SVZEROD)
def test_svzerod_steady_cases(data, name):
    pressure, flow = read_svzerod(data / "flow1d" / "svzerod_cases" / f"{name}.json").solve()
    np.testing.assert_allclose(list(pressure.values()), SVZEROD[name], rtol=1e-6)
    assert sum(flow.values()) == pytest.approx(15.0 if "confluence" in name else 5.0, rel=1e-9)


def lad(step=0.25e-3, lesions=None, noise=None, length=0.12):
    """A tapering 3.7 → 1.9 mm artery that gives off its flow in twelve branches; FFR is read at its end."""
    n = round(length / step)
    x = np.linspace(0, length, n + 1)
    r = np.interp(x, [0, length], [1.85e-3, 0.95e-3])
    if noise is not None:
        r = r + noise.normal(0.0, 0.1e-3, n + 1)
    forks = np.unique(np.round(np.linspace(0.1, 1.0, 12) * n).astype(int))
    position = np.stack([x, 0 * x, 0 * x], 1)
    tips = position[forks] + [0, 5e-3, 0]
    tail, head = (
        np.concatenate([np.arange(n), forks]),
        np.concatenate([np.arange(1, n + 1), n + 1 + np.arange(len(forks))]),
    )
    lumen = np.concatenate([np.stack([r[:-1], r[1:]], 1), np.full((len(forks), 2), 1e-3)])
    branch = np.concatenate([np.zeros(n, int), 1 + np.arange(len(forks))])
    network = VesselNetwork.build(
        np.concatenate([position, tips]), tail, head, lumen, inlets=[0], outlets=n + 1 + np.arange(len(forks)),
        branch=branch, branch_names=["LAD", *(f"s{i}" for i in range(len(forks)))],
    )  # fmt: skip
    R = 12 * (75 * MMHG) / (210 * ML_MIN)
    outlets = LumpedOutlets(np.full(12, R), np.full(12, 15 * MMHG), np.zeros(12))
    made = stenosis(network, "LAD", *lesions) if lesions else no_lesions()
    sim = network_only(network, outlets, aortic_pressure=93 * MMHG, lesions=made, viscosity=ConstantViscosity(3.5e-3))
    state = simulate(sim).hyperemia
    end = int(np.flatnonzero(np.asarray(network.head) == n)[0])
    return float(state.static_pressure[end] / state.aortic_pressure), sim, state


@pytest.mark.parametrize("reduction", [0.4, 0.5, 0.6, 0.7, 0.8])
def test_distributed_loss_does_not_depend_on_sampling(reduction):
    """The same vessel sampled every 0.25 and every 1 mm: FFR within 0.005."""
    fine = lad(0.25e-3, (0.030, reduction, 0.010))[0]
    assert abs(lad(1e-3, (0.030, reduction, 0.010))[0] - fine) <= 0.005


@pytest.mark.parametrize("step", [0.25e-3, 0.5e-3, 1e-3])
def test_radius_noise_costs_little(step):
    """0.1 mm noise on every radius of a healthy artery lowers FFR by at most 0.01."""
    healthy = lad(step)[0]
    rng = np.random.default_rng(1)
    cost = [healthy - lad(step, noise=rng)[0] for _ in range(5)]
    assert max(cost) <= 0.01


@pytest.mark.parametrize("reduction", [0.4, 0.5, 0.6, 0.7, 0.8])
def test_distributed_loss_agrees_with_young_tsai(reduction):
    """Pressure lost to a 10 mm concentric lesion of a 3.7 mm artery, at the flow that it lets through."""
    r0, L, Q = 1.85e-3, 0.010, {0.4: 200, 0.5: 195, 0.6: 175, 0.7: 130, 0.8: 65}[reduction] * ML_MIN
    x = np.arange(0, 0.1, 0.25e-3)
    position = np.stack([x, 0 * x, 0 * x], 1)
    n = len(x) - 1
    network = VesselNetwork.build(position, np.arange(n), np.arange(1, n + 1), np.full(n, r0), inlets=[0], outlets=[n])

    def drop(lesions):
        radius = radii(network, lesions)
        R = friction(radius, network.length, ConstantViscosity(3.5e-3))
        R, S, *_ = JetExpansion()(network, branch_table(network), radius, network.length, R)
        return float(jnp.sum(R) * Q + jnp.sum(S) * Q**2)

    poiseuille = 8 * 3.5e-3 * L / (np.pi * r0**4) * Q  # what the lesion's length would cost if it were healthy
    lost = drop(stenosis(network, "vessel", 0.03, reduction, L)) - drop(no_lesions()) + poiseuille
    D0, Ds = 2 * r0, 2 * r0 * (1 - reduction)
    A0, As = np.pi * D0**2 / 4, np.pi * Ds**2 / 4
    viscous = 32 * (0.83 * L + 1.64 * Ds) / D0 * (A0 / As) ** 2 * 3.5e-3 * Q / (A0 * D0)
    expected = viscous + 0.5 * 1060 * 1.52 * (A0 / As - 1) ** 2 * (Q / A0) ** 2
    assert lost == pytest.approx(expected, rel=0.10)


def test_sudden_expansion_is_borda_carnot():
    """A step widening, far from both ends, loses K_t ½ρ(u_s - u_0)²Q²."""
    a, b = 1e-3, 2e-3
    n = 400
    x = np.linspace(0, 0.2, n + 1)
    r = np.where(x < 0.05, a, b)
    network = VesselNetwork.build(
        np.stack([x, 0 * x, 0 * x], 1),
        np.arange(n),
        np.arange(1, n + 1),
        np.stack([r[:-1], r[1:]], 1),
        inlets=[0],
        outlets=[n],
    )
    _, S, *_ = JetExpansion()(network, branch_table(network), network.lumen, network.length, jnp.zeros(n))
    u = 1 / (np.pi * np.array([a, b]) ** 2)
    assert float(S.sum()) == pytest.approx(1.52 * 0.5 * 1060 * (u[0] - u[1]) ** 2, rel=0.03)


def test_contraction_loses_nothing():
    n = 200
    x = np.linspace(0, 0.1, n + 1)
    r = np.interp(x, [0, 0.04, 0.06, 0.1], [2e-3, 2e-3, 1e-3, 1e-3])
    network = VesselNetwork.build(
        np.stack([x, 0 * x, 0 * x], 1),
        np.arange(n),
        np.arange(1, n + 1),
        np.stack([r[:-1], r[1:]], 1),
        inlets=[0],
        outlets=[n],
    )
    _, S, *_ = JetExpansion()(network, branch_table(network), network.lumen, network.length, jnp.zeros(n))
    assert float(S.sum()) < 1e-6 * 1060 / (np.pi * 1e-6) ** 2


def test_gradient_at_zero_flow():
    """No pressure difference: flow is zero, and its derivative is the series conductance, finite and exact."""
    _, sim, _ = lad(1e-3, (0.030, 0.6, 0.010))
    sim = eqx.tree_at(lambda s: s.outlets.pressure, sim, jnp.full(12, 93 * MMHG))

    def inflow(pressure):
        return simulate(eqx.tree_at(lambda s: s.states[0].aortic_pressure, sim, pressure)).hyperemia.inlet_flow[0]

    flow, slope = jax.value_and_grad(inflow)(jnp.asarray(93 * MMHG))
    assert float(flow) == pytest.approx(0.0, abs=1e-20)
    h = 1e-3
    assert float(slope) == pytest.approx(float(inflow(93 * MMHG + h) - inflow(93 * MMHG - h)) / (2 * h), rel=1e-6)


def test_several_roots_share_nothing():
    """Two disjoint tubes in one network behave as each alone."""
    position = np.array([[0, 0, 0], [1, 0, 0], [0, 5, 0], [2, 5, 0]]) * 1e-2
    network = VesselNetwork.build(position, [0, 2], [1, 3], [1e-3, 1e-3], inlets=[0, 2], outlets=[1, 3])
    sim = network_only(
        network,
        LumpedOutlets([1e9, 2e9], [0, 0], [0, 0]),
        aortic_pressure=1e4,
        viscosity=ConstantViscosity(MU),
        loss=NoLoss(),
    )
    R = 8 * MU * np.array([0.01, 0.02]) / (np.pi * 1e-12)
    np.testing.assert_allclose(simulate(sim).hyperemia.inlet_flow, 1e4 / (R + np.array([1e9, 2e9])), rtol=1e-12)
