"""Pulsatile trunks on top of the steady solve: means, conservation, what quadratic losses change, gradients."""

from perfsim._results import InputError
from perfsim.coupling import (
    aortic_shape,
    bridge,
    check,
    network_only,
    pulsatile,
    simulate,
    ventricular_shape,
)
from perfsim.coupling.heartbeat import Swinging
from perfsim.coupling.pulsatile import COMPLIANCE
from perfsim.flow import LumpedOutlets, NoLoss
from perfsim.network import VesselNetwork, stenosis
from perfsim.units import MMHG

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_heart


@pytest.fixture(scope="module", params=["tiny", pytest.param("small", marks=pytest.mark.slow)])
def beating(request):
    """A heart with friction alone: steady, and pulsatile. The small one has branches of 0.7 mm and takes 49,000 steps."""
    small = request.getfixturevalue("small_heart").sim
    sim = eqx.tree_at(lambda s: s.loss, tiny_heart() if request.param == "tiny" else small, NoLoss())
    share = float(sim.volumes.volume.sum() / small.volumes.volume.sum())
    flow = pulsatile(sim, samples=20, dx=4e-3, compliance=COMPLIANCE * share)
    return simulate(sim), check(simulate(sim, flow=flow)), flow


def test_means_are_the_steady_solution_where_friction_is_linear(beating):
    """Flows into every subtree, MBF, and pressures: to 0.1 %, at rest and in hyperemia."""
    steady, beat, _ = beating
    for name in ("rest", "hyperemia"):
        mean, found = steady[name], beat[name]
        assert np.abs(found.beat.change).max() <= 1e-3
        np.testing.assert_allclose(found.mbf, mean.mbf, rtol=1e-3)
        np.testing.assert_allclose(found.total_pressure, mean.total_pressure, rtol=1e-3)
        assert float(found.mass_defect) <= 1e-6
        assert float(found.beat.residual) <= 1e-10
        supplied = float(jnp.sum(found.supplies))
        assert supplied == pytest.approx(float(jnp.sum(found.terminal_flow)), rel=1e-12)


def test_left_coronary_fills_in_diastole(beating):
    """The ventricle squeezes what it is about to need: most of the left coronary's blood comes in diastole, against the
    aorta's pressure; least flow as it contracts, most early in diastole.
    """
    _, beat, flow = beating
    assert flow.template.names[0].startswith("LM")
    found = beat.hyperemia.beat
    Q, t = np.asarray(found.flow[:, 0, 0]), np.asarray(found.time) / 0.8
    systole = t < 0.35  # the valve is open, see `ventricular_shape`
    assert 0.60 < Q[~systole].sum() / Q.sum() < 0.85  # what flow probes see in people and dogs
    assert Q[~systole].mean() > 1.05 * Q[systole].mean() and 0.2 < Q.min() / Q.mean() < 0.7
    assert min(t[Q.argmin()], 1.0 - t[Q.argmin()]) <= 0.05 and 0.35 <= t[Q.argmax()] < 0.6


def test_intramyocardial_pressure_has_the_back_pressure_as_its_mean():
    """At each depth, whatever its swing."""
    mean, swing = jnp.array([1.3e3, 2.0e3, 3.3e3]), jnp.array([0.0, 6e3, 12e3])
    muscle = Swinging.of(ventricular_shape(0.8), 0.8, mean, swing)
    t = (jnp.arange(4096) + 0.5) * (0.8 / 4096)
    np.testing.assert_allclose(jnp.mean(jax.vmap(muscle)(t), axis=0), mean, rtol=1e-3)


def test_pressure_shapes():
    """Mean 1 for the aorta; the ventricle's pressure is the aorta's while the valve is open, and low in diastole."""
    aorta, ventricle = aortic_shape(0.8), ventricular_shape(0.8)
    assert float(jnp.mean(aorta.values[0, :-1])) == pytest.approx(1.0, abs=1e-3)
    times = np.asarray(aorta.times)
    open_ = times <= 0.35 * 0.8
    np.testing.assert_array_equal(ventricle.values[0, open_], aorta.values[0, open_])
    assert float(ventricle.values[0, np.searchsorted(times, 0.6)]) == pytest.approx(0.08)
    assert float(ventricle(jnp.asarray(0.8))[0]) == pytest.approx(float(aorta(jnp.asarray(0.0))[0]))


def stenosed(reduction: float):
    """A stem that splits, nodes every millimeter, and a lesion in one branch."""
    stem = np.stack([np.arange(21), np.zeros(21), np.zeros(21)], axis=1)
    arm = np.arange(1, 41)
    arms = [np.stack([20 + arm, side * 0.3 * arm, 0 * arm], axis=1) for side in (1, -1)]
    nodes = np.concatenate([stem, *arms]) * 1e-3
    head = np.arange(1, 101)
    tail = np.where(head == 61, 20, head - 1)
    branch = np.repeat([0, 1, 2], [20, 40, 40])
    radius = np.repeat([2e-3, 1.4e-3, 1.4e-3], [20, 40, 40])
    network = VesselNetwork.build(
        nodes, tail, head, np.stack([radius, radius], axis=1), inlets=[0], outlets=[60, 100], branch=branch,
        branch_names=["LM", "LAD", "LCx"],
    )  # fmt: skip
    lesions = stenosis(network, "LAD", 0.02, reduction, 0.01)
    outlets = LumpedOutlets(np.full(2, 5e9), np.full(2, 10 * MMHG), np.zeros(2))
    return network_only(network, outlets, aortic_pressure=90 * MMHG, lesions=lesions)


def test_quadratic_losses_cost_more_in_a_pulsating_flow():
    """The mean of Q|Q| exceeds the square of the mean: behind a lesion the beat lowers flow, elsewhere it does not."""
    sim = stenosed(0.7)
    found = check(simulate(sim, flow=pulsatile(sim, dx=4e-3, samples=10))).hyperemia
    behind, beside = np.asarray(found.beat.change)  # nodes in ascending order
    assert behind < -1e-3
    assert abs(beside) < 1e-3
    assert np.abs(found.outlet_flow.sum() - found.inlet_flow[0]) <= 1e-6 * found.inlet_flow[0]


def test_closed_outlets_and_plugged_branches_beat_on():
    """An outlet of infinite resistance, and a throat of 5 %: finite, and the other branch carries what it did."""
    for sim in (eqx.tree_at(lambda s: s.outlets.resistance, stenosed(0.5), jnp.array([jnp.inf, 5e9])), stenosed(0.95)):
        flow = pulsatile(sim, dx=1e-2, samples=5)
        steady, found = simulate(sim).hyperemia, check(simulate(sim, flow=flow)).hyperemia
        assert float(found.outlet_flow[0]) <= 0.01 * float(found.outlet_flow[1])
        assert float(found.outlet_flow[1]) == pytest.approx(float(steady.outlet_flow[1]), rel=1e-3)


def test_gradient_through_beat_and_steady_solve():
    """d(mean flow behind the lesion)/d(throat, aortic pressure, outlet): AD against differences."""
    sim = stenosed(0.6)
    flow = pulsatile(sim, dx=1e-2, samples=5, tolerance=1e-12)
    where = [lambda s: s.lesions.throat, lambda s: s.states[0].aortic_pressure, lambda s: s.outlets.resistance]

    def value(factors):
        changed = sim
        for get, factor in zip(where, factors, strict=True):
            changed = eqx.tree_at(get, changed, get(sim) * factor)
        return simulate(changed, flow=flow).hyperemia.outlet_flow[0] * 1e6

    ones, h = jnp.ones(3), 1e-4
    gradient = np.asarray(jax.jit(jax.grad(value))(ones))
    for i in range(3):
        step = h * jnp.eye(3)[i]
        difference = (
            8 * (value(ones + step) - value(ones - step)) - (value(ones + 2 * step) - value(ones - 2 * step))
        ) / (12 * h)
        assert gradient[i] == pytest.approx(float(difference), rel=1e-6), i


def test_what_pulsatile_flow_does_not_know_is_refused():
    """Grafts."""
    with pytest.raises(InputError, match="grafts"):
        pulsatile(bridge(stenosed(0.5), 0, 2, 1e10))
