"""The coupled system as a graph, and networks that act on its coefficients: conservation, certificate, gradients."""

import perfsim
from perfsim import GraphNetwork, InputError
from perfsim.cohorts import reference_heart
from perfsim.coupling import FVGraph, simulate, three_compartments
from perfsim.coupling.graph_network import described
from perfsim.coupling.methods import posed
from perfsim.coupling.potential import gradient
from perfsim.coupling.system import vessel_laws
from perfsim.darcy import FiniteVolumes
from perfsim.flow import Steady
from perfsim.inverse import fit
from perfsim.learn import Closures
from perfsim.observe import LongAxis, Noise, Scan, Segments

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

STATES = ("rest", "hyperemia")


@pytest.fixture(scope="module")
def sim(small_heart):
    return small_heart.sim


@pytest.fixture(scope="module")
def plain(small_solution):
    return small_solution


def moved(model: Closures, size: float, seed: int = 0) -> Closures:
    """The network with a last layer that is not zero, as training leaves it."""
    leaves, rng = lambda m: (m.volume_decoder, m.face_decoder), np.random.default_rng(seed)
    noise = jax.tree.map(lambda x: jnp.asarray(size * rng.normal(size=x.shape)), leaves(model))
    return eqx.tree_at(leaves, model, noise)


@pytest.fixture(scope="module")
def network(sim):
    """A network that moves every coefficient by tens of percent, with a feature of every volume."""
    feature = np.random.default_rng(1).normal(size=(len(sim.volumes.volume), 1))
    return GraphNetwork(moved(Closures.of(jax.random.key(0), features=1, rounds=2), 0.5), jnp.asarray(feature))


@pytest.fixture(scope="module")
def learned(sim, network):
    return simulate(sim, tissue=network)


def test_every_face_is_one_edge(sim):
    _, links, _ = posed(sim, vessel_laws(sim), sim.states[0], FiniteVolumes())
    whole = FVGraph.of(links)
    neighbor = np.asarray(sim.volumes.neighbor)
    own = np.broadcast_to(np.arange(neighbor.shape[1]), neighbor.shape)
    pairs = {(min(i, j), max(i, j)) for i, j in zip(own.ravel(), neighbor.ravel(), strict=True) if i != j}
    there = np.asarray(whole.present)[-whole.faces :]
    ends = np.stack([whole.graph.senders, whole.graph.receivers])[:, -whole.faces :][:, there] - whole.tree_nodes
    assert {tuple(e) for e in ends.T} == pairs and ends.shape[1] == len(pairs)
    # a number per face is the same on both sides: by going there and back
    number = jnp.arange(whole.faces, dtype=float)
    sides = np.asarray(whole.on_sides(number, -1.0))
    np.testing.assert_array_equal(np.asarray(whole.on_faces(jnp.asarray(sides)))[there], np.asarray(number)[there])
    for s, i in np.argwhere(neighbor != own)[::97]:
        j = neighbor[s, i]
        assert sides[s, i] in sides[neighbor[:, j] == i, j]


def test_fluxes_on_edges_are_the_finite_volume_scheme(sim):
    """What leaves every node, flux by flux, and its drains: the gradient of the coupled potential."""
    system, links, _ = posed(sim, vessel_laws(sim), sim.states[1], FiniteVolumes())
    rng, whole = np.random.default_rng(0), FVGraph.of(links)
    x = jnp.asarray(rng.uniform(20.0, 90.0, links.nodes + len(sim.volumes.volume)))
    p0, p = system.vessels.pressures(x[: links.nodes]), x[links.nodes :]
    flux = whole.fluxes(system, links, p0, p)
    out = whole.outflow(flux)
    drained = system.drained(p)
    lumped = jnp.zeros(links.nodes).at[system.vessels.outlet].add(system.vessels.outlet_flow(p0))
    free = ~np.asarray(jnp.append(system.vessels.fixed, jnp.zeros(len(p), bool)))
    expected = gradient(system, links, x)
    scale = float(jnp.max(jnp.abs(flux)))
    np.testing.assert_allclose((out + jnp.append(lumped, drained))[free], expected[free], atol=1e-12 * scale)
    assert abs(float(jnp.sum(out))) <= 1e-13 * float(jnp.sum(jnp.abs(flux)))


def test_untrained_is_the_finite_volume_scheme(sim, plain):
    features = jnp.ones((len(sim.volumes.volume), 1))
    found = simulate(sim, tissue=GraphNetwork(Closures.of(jax.random.key(3), features=1, rounds=2), features))
    for state in STATES:
        for name in ("mbf", "tissue_pressure", "total_pressure", "inlet_flow"):
            a, b = np.asarray(getattr(found[state], name)), np.asarray(getattr(plain[state], name))
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13 * np.abs(b).max(), err_msg=f"{state} {name}")


def test_any_network_conserves_blood_and_is_certified(sim, plain, network, learned):
    change = np.abs(np.asarray(learned.hyperemia.mbf / plain.hyperemia.mbf) - 1.0)
    assert np.median(change) > 0.05  # it does something
    assert float(learned.hyperemia.mass_defect) <= 1e-10 and float(learned.rest.mass_defect) <= 1e-10
    rough = simulate(sim, Steady(tolerance=1e-3), network)
    for state, bound in perfsim.certify(sim, rough, network).items():
        assert bound.proved and np.isfinite(bound.relative)
        assert np.all(np.abs(rough[state].mbf - learned[state].mbf) <= bound.mbf + 1e-12)
    # of the scheme without the network it is far from a solution, and the certificate says so
    assert perfsim.certify(sim, learned)["hyperemia"].relative > 0.01


def test_gradients_go_through_network_and_wall(sim, network):
    """AD against central differences along random directions, in all weights, the features and the simulation; with a
    scar that is neither supplied nor drained."""
    alive = jnp.where(sim.volumes.center[:, 2] < jnp.quantile(sim.volumes.center[:, 2], 0.05), 0.0, 1.0)
    conductances = (sim.tissue.supply * alive, sim.tissue.drainage * alive)
    sim = eqx.tree_at(lambda s: (s.tissue.supply, s.tissue.drainage), sim, conductances)
    params, static = eqx.partition((network, sim.tissue.tone, sim.lesions.throat), eqx.is_inexact_array)

    def mean(params):
        net, tone, throat = eqx.combine(params, static)
        moved_sim = eqx.tree_at(lambda s: (s.tissue.tone, s.lesions.throat), sim, (tone, throat))
        solution = simulate(moved_sim, tissue=net, states=("hyperemia",))
        return jnp.sum(solution.hyperemia.mbf**2 * sim.volumes.volume) / jnp.sum(sim.volumes.volume)

    slope = eqx.filter_jit(jax.grad(mean))(params)
    rng = np.random.default_rng(2)
    along = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), params)
    expected = sum(float(jnp.sum(g * d)) for g, d in zip(jax.tree.leaves(slope), jax.tree.leaves(along), strict=True))

    def at(h):
        return float(mean(jax.tree.map(lambda x, d: x + h * d, params, along)))

    def central(h):
        return (at(h) - at(-h)) / (2.0 * h)

    h = 1e-4
    found = (4.0 * central(h) - central(2.0 * h)) / 3.0
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_a_fit_through_an_untrained_network_is_the_finite_volume_fit(small_heart, sim, plain):
    view = Segments(LongAxis.of(small_heart.wall.frame))
    value = jnp.stack(
        [view(sim.volumes, plain[s].mbf, Scan(STATES, jnp.zeros((2, 17)), Noise(), view).pose) for s in STATES]
    )
    off = eqx.tree_at(lambda s: s.tissue.tone, sim, sim.tissue.tone * 1.4)
    scan = [Scan(STATES, value, Noise(0.05, 0.02), view)]
    network = GraphNetwork(Closures.of(jax.random.key(0), rounds=1))
    a, b = fit(off, scan), fit(off, scan, tissue=network)
    assert a.converged and b.converged
    np.testing.assert_allclose(b.after, a.after, rtol=1e-8)


@pytest.mark.slow
def test_a_network_serves_any_mesh():
    """The same weights on a finer mesh."""
    fine = reference_heart(terminals=300, spacing=3.4e-3).sim
    found = simulate(fine, tissue=GraphNetwork(moved(Closures.of(jax.random.key(0)), 0.3)), states=("hyperemia",))
    assert float(found.hyperemia.mass_defect) <= 1e-10 and bool(jnp.all(found.hyperemia.mbf > 0))


def test_messages_do_not_depend_on_which_end_of_an_edge_is_its_sender(sim):
    model = moved(Closures.of(jax.random.key(0), rounds=2), 0.3)
    system, links, _ = posed(sim, vessel_laws(sim), sim.states[1], FiniteVolumes())
    whole = described(FVGraph.of(links), system, links)
    turned = eqx.tree_at(
        lambda g: (g.graph.senders, g.graph.receivers), whole, (whole.graph.receivers, whole.graph.senders)
    )
    for a, b in zip(jax.tree.leaves(model(whole)), jax.tree.leaves(model(turned)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_what_a_network_cannot_do_is_said(sim, network):
    with pytest.raises(InputError, match="features of 3 volumes were given, the mesh has"):
        simulate(sim, tissue=eqx.tree_at(lambda n: n.features, network, jnp.zeros((3, 1))))
    with pytest.raises(InputError, match="made for 1 features of every volume, not 0"):
        simulate(sim, tissue=eqx.tree_at(lambda n: n.features, network, None))
    with pytest.raises(InputError, match="one compartment"):
        simulate(three_compartments(sim), tissue=GraphNetwork(Closures.of(jax.random.key(0))))
