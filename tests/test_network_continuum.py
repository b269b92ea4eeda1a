"""A network whose ends feed both sides of a slab of tissue: the closed-form case of the INSIST consortium's coupled
model of the brain (https://github.com/charlottedvl/perfusion_and_tissue_damage, perfusion/verification).

One vessel splits in two; they end at x = 0 and x = 13 mm of a slab with -K p'' = -β(x) p, β in three pieces. In the
tabulated stroke one of them is blocked.
"""

from perfsim.blood import ConstantViscosity
from perfsim.coupling import couplings
from perfsim.coupling.newton_krylov import solve_coupled
from perfsim.coupling.potential import graph
from perfsim.coupling.system import CoupledSystem
from perfsim.darcy import FiniteVolumes, box, transmissibility
from perfsim.flow import Steady, friction, no_outlets, vessel_system
from perfsim.network import VesselNetwork, contract
from perfsim.units import ML_MIN, MMHG

import jax.numpy as jnp
import numpy as np
import pytest

K, AREA, PIECES, BETA = 1.234e-12, 0.1005, (1.5e-3, 10e-3, 1.5e-3), (1e-6, 4e-7, 1e-6)
LENGTH, TOP = sum(PIECES), 10_000.0
SCALE = 1e4
"""The case is linear, perfsim's drains are so from 1 mmHg on: at so many times the pressure all are open."""
DIAMETER = np.array([4.5e-3, 3.5e-3, 3.5e-3])  # of the 10 cm of each vessel
PROFILE = 7.0  # ζ of the tabulated pressure drops: 18πμ/A²


def resistances():
    radius = jnp.asarray(np.stack([DIAMETER, DIAMETER], 1) / 2)
    return friction(radius, jnp.full(3, 0.1), ConstantViscosity(3.5e-3), PROFILE)


def solve(n: int, blocked: bool):
    """(pressure of the junction, at the ends, of n volumes along the slab, flow into each side), SI."""
    ends = [2] if blocked else [2, 3]
    position = np.array([[-0.2, 0, 0], [-0.1, 0, 0], [0, 0, 0], [LENGTH, 0, 0]])[: 2 + len(ends)]
    network = VesselNetwork.build(
        position, np.array([0, 1, 1][: 1 + len(ends)]), np.array([1, 2, 3][: 1 + len(ends)]),
        DIAMETER[: 1 + len(ends)] / 2, inlets=[0], terminals=ends,
    )  # fmt: skip
    h = LENGTH / n
    share = h**2 / AREA  # the mesh is one row of cubes: so much of the slab, and of the flow
    forest, (volumes, _) = contract(network), box([LENGTH, h, h], [n, 1, 1])
    x = volumes.center[:, 0]
    sides = [int(jnp.argmin(x)), int(jnp.argmax(x))][: len(ends)]
    order = np.argsort(sides)
    links = couplings(np.array(sides)[order], order, np.ones(len(ends)), n, len(ends))
    unit = MMHG / ML_MIN
    beta = jnp.where((x < PIECES[0]) | (x > LENGTH - PIECES[2]), BETA[0], BETA[1])
    system = CoupledSystem(
        vessels=vessel_system(
            forest, network, resistances()[: 1 + len(ends)] / share, jnp.zeros(1 + len(ends)), inlet_pressure=SCALE * TOP,
            outlets=no_outlets(),
        ),
        conductance=jnp.full((1, n), 2.0 * K * h * unit),  # from the face to the first center
        weight=links.weight,
        inverse_demand=jnp.zeros(()),
        transmissibility=transmissibility(volumes, jnp.full(n, K)) * unit,
        drainage=beta * volumes.volume * unit,
        back_pressure=jnp.zeros(n),
    )  # fmt: skip
    mesh = graph(forest, volumes, links, network.terminals)
    p0, p, counters = solve_coupled(system, mesh, Steady(), FiniteVolumes())
    assert int(counters.result) == 0
    q = system.supplies(links, p0[mesh.terminal_node], p)
    flow = np.asarray(mesh.to_terminals(q)) * ML_MIN / share / SCALE
    ends = np.asarray(p0[mesh.terminal_node]) * MMHG / SCALE
    by_x = np.argsort(np.asarray(x))
    return TOP - float(resistances()[0]) * flow.sum(), ends, np.asarray(p)[by_x] * MMHG / SCALE, flow


def closed_form(x, blocked: bool):
    """The same: A cosh + B sinh in each piece, pressure and flux continuous, Poiseuille's law in each vessel."""
    R, root = np.asarray(resistances()), np.sqrt(np.array(BETA) / K)
    edges = np.cumsum([0.0, *PIECES])

    def wave(k, at):
        """(value, K · slope) of both waves of piece k, as rows over (A, B)."""
        s = root[k] * (at - edges[k])
        return np.array([np.cosh(s), np.sinh(s)]), K * root[k] * np.array([np.sinh(s), np.cosh(s)])

    M, rhs = np.zeros((7, 7)), np.zeros(7)  # A, B of three pieces, pressure of the junction
    for row, k in ((0, 0), (2, 1)):
        for what in (0, 1):
            M[row + what, 2 * k : 2 * k + 2] = wave(k, edges[k + 1])[what]
            M[row + what, 2 * k + 2 : 2 * k + 4] = -wave(k + 1, edges[k + 1])[what]
    value, slope = wave(0, 0.0)
    M[4, :2], M[4, 6] = value - R[1] * AREA * slope, -1.0  # p(0) + R Q = p at the junction, Q = -K A p'
    value, slope = wave(2, LENGTH)
    M[5, 4:6] = AREA * slope if blocked else value + R[2] * AREA * slope
    M[5, 6] = 0.0 if blocked else -1.0
    M[6, :2], M[6, 4:6] = -R[0] * AREA * wave(0, 0.0)[1], (not blocked) * R[0] * AREA * slope
    M[6, 6], rhs[6] = 1.0, TOP
    c = np.linalg.solve(M, rhs)
    piece = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, 2)
    p = np.array([wave(k, at)[0] @ c[2 * k : 2 * k + 2] for k, at in zip(piece, x, strict=True)])
    flows = [-AREA * wave(0, 0.0)[1] @ c[:2], AREA * wave(2, LENGTH)[1] @ c[4:6]]
    return c[6], p, np.array(flows[: 1 if blocked else 2])


@pytest.mark.parametrize("blocked", [True, False])
def test_two_vessels_feed_a_slab(blocked):
    """Second order; at 1,040 volumes every pressure and flow within 0.1 % of the closed form."""
    errors = []
    for n in (260, 520, 1040):
        found, _, p, flow = solve(n, blocked)
        junction, exact, exact_flow = closed_form((np.arange(n) + 0.5) * LENGTH / n, blocked)
        errors.append(np.abs(p / exact - 1).max())
        np.testing.assert_allclose(flow.sum(), exact_flow.sum(), rtol=3e-3)
    assert errors[-1] <= 1e-3
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 2.0, atol=0.05)
    np.testing.assert_allclose(found, junction, rtol=1e-4)
    np.testing.assert_allclose(flow, exact_flow, rtol=1e-3)


def test_the_tabulated_stroke(data):
    """Both agree with the published tables: node pressures, flow, pressure along the slab."""
    folder = data / "darcy" / "network_continuum"
    P, Q, along = (np.loadtxt(folder / f"{name}.csv", delimiter=",") for name in ("P_ntw", "Q_ntw", "con_data"))
    junction, exact, flow = closed_form(along[:, 0], True)
    np.testing.assert_allclose([junction, flow[0]], [P[1], Q[0, 1]], rtol=1e-10)
    np.testing.assert_allclose(exact, along[:, 1], rtol=1e-9)
    n = 2600
    found, ends, p, flow = solve(n, True)
    np.testing.assert_allclose([found, *ends], P[1:3], rtol=1e-3)
    np.testing.assert_allclose(flow[0], Q[0, 1], rtol=1e-3)
    np.testing.assert_allclose(
        np.interp(along[1:-1, 0], (np.arange(n) + 0.5) * LENGTH / n, p), along[1:-1, 1], rtol=1e-3
    )
