"""Stents, occlusions, sensitivity."""

import perfsim
from perfsim.cli.treatment import treat
from perfsim.coupling import check, simulate
from perfsim.io import parse_case
from perfsim.observe import behind, ffr, lesion_sites, territory_mbf, vessel_at
from perfsim.study import collateral, dilate, graft, lumen_gain, misread, occlude, sensitivity

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest


def test_a_stent_restores_the_healthy_case(small_heart):
    """The lesion is all that was wrong: stented, FFR and MBF are those of the healthy heart."""
    sim = small_heart.sim
    site = lesion_sites(sim)[0]
    healthy = simulate(eqx.tree_at(lambda s: s.lesions.throat, sim, jnp.ones(1))).hyperemia
    before, after = simulate(sim).hyperemia, simulate(dilate(sim, "LAD", 0.02, 0.04)).hyperemia
    assert float(ffr(before)[site]) < float(ffr(healthy)[site]) - 0.05
    assert float(ffr(after)[site]) == pytest.approx(float(ffr(healthy)[site]), abs=5e-3)
    np.testing.assert_allclose(territory_mbf(sim, after), territory_mbf(sim, healthy), rtol=0.01)


def test_a_narrowed_lumen_is_widened_to_its_reference(small_heart):
    """A narrowing in the lumen itself, as an image shows it, is replaced by the line between its healthy ends."""
    sim = eqx.tree_at(lambda s: s.lesions.throat, small_heart.sim, jnp.ones(1))
    lad = np.asarray(sim.network.branch) == sim.network.branch_names.index("LAD")
    s = np.asarray(sim.network.coordinate)
    narrow = lad & (s[:, 0] > 0.075) & (s[:, 1] < 0.085)
    ill = eqx.tree_at(lambda x: x.network.lumen, sim, sim.network.lumen.at[np.flatnonzero(narrow)].multiply(0.5))
    stented = dilate(ill, "LAD", 0.07, 0.09)
    np.testing.assert_allclose(stented.network.lumen, sim.network.lumen, rtol=0.02)


def test_an_occlusion_stops_the_flow_behind_it(small_heart):
    sim = occlude(small_heart.sim, "LAD", 0.05)
    state = check(simulate(sim)).hyperemia
    distal = behind(sim, vessel_at(sim.network, "LAD", 0.07))
    flow = float(jnp.sum(jnp.where(distal, state.terminal_flow, 0.0)))
    assert flow < 0.02 * float(state.inlet_flow.sum()) and float(state.mass_defect) < 1e-10


def test_sensitivity_is_largest_in_the_lesion(small_heart):
    """A millimetre of lumen matters most where the lumen is least; the map agrees with a difference."""
    sim = small_heart.sim
    site = lesion_sites(sim)[0]
    slope = np.asarray(sensitivity(sim, site))
    worst = int(np.argmax(slope))
    s = float(sim.network.coordinate[worst].mean())
    assert sim.network.branch_names[int(sim.network.branch[worst])] == "LAD" and abs(s - 0.03) < 8e-3
    h = 1e-6

    def moved(t):
        # the lesion leaves a part of the healthy lumen, which is what the network holds
        lumen = sim.network.lumen.at[worst].add(t / sim.lesions.factor(sim.network)[worst])
        return float(ffr(simulate(eqx.tree_at(lambda x: x.network.lumen, sim, lumen)).hyperemia)[site])

    assert slope[worst] == pytest.approx((moved(h) - moved(-h)) / (2 * h) * 1e-3, rel=1e-4)


def test_gain_of_lumen_is_a_widened_stretch(small_heart):
    """0.01 mm more radius along 5 mm around the throat raises FFR by what the map says there, to first order."""
    sim = small_heart.sim
    site, network = lesion_sites(sim)[0], sim.network
    gain = lumen_gain(sim, site)
    at = vessel_at(network, "LAD", 0.03)
    s, middle = np.asarray(network.coordinate), float(network.coordinate[at].mean())
    on = np.asarray(network.branch) == network.branch_names.index("LAD")
    share = np.clip(
        (np.minimum(s[:, 1], middle + 2.5e-3) - np.maximum(s[:, 0], middle - 2.5e-3)) / (s[:, 1] - s[:, 0]), 0, 1
    )
    step = 0.01e-3 * jnp.asarray((share * on)[:, None]) / sim.lesions.factor(network)

    def read(sign):
        wider = eqx.tree_at(lambda x: x.network.lumen, sim, network.lumen + sign * step)
        return float(ffr(simulate(wider).hyperemia)[site])

    assert gain[at] == pytest.approx(10 * (read(1) - read(-1)) / 2, rel=1e-2) and gain[at] > 0.005


@pytest.mark.parametrize(
    ("branch", "start", "end", "words"),
    [("LDA", 0.0, 0.01, "LAD"), ("LAD", 0.02, 0.01, "mm long"), ("LAD", 0.0, 1.0, "mm long")],
)
def test_impossible_stents(small_heart, branch, start, end, words):
    with pytest.raises(perfsim.InputError, match=words):
        dilate(small_heart.sim, branch, start, end)


@pytest.mark.parametrize(
    ("treatment", "words"),
    [
        (lambda sim: occlude(sim, "LAD", 30.0), "does not lie on LAD"),
        (lambda sim: occlude(sim, "LAD", 0.03, -5e-3), "length"),
        (lambda sim: dilate(sim, "LAD", 0.02, 0.04, residual=60.0), "residual is 60"),
        (lambda sim: dilate(sim, "LAD", 0.02, 0.04, residual=float("nan")), "residual"),
        (lambda sim: graft(sim, "LAD", 0.05, diameter=-3e-3, length=0.15), "diameter is -0.003 m"),
        (lambda sim: graft(sim, "LAD", 0.05, diameter=3.0, length=0.15), "at most 0.02 m"),
        (lambda sim: graft(sim, "LAD", 0.05, diameter=3e-3, length=float("inf")), "length is inf m"),
        (lambda sim: collateral(sim, ("RCA", 0.02), ("LAD", 0.03), float("inf")), "positive, finite resistance"),
    ],
)
def test_treatments_that_cannot_be(small_heart, treatment, words):
    """A position in metres for one in millimetres, percent for a part: refused, not without effect."""
    with pytest.raises(perfsim.InputError, match=words):
        treatment(small_heart.sim)


def test_a_balloon_leaves_a_part_of_the_stenosis(small_heart):
    """The throat widens to what is left, no wider lumen is narrowed, and nothing narrower than it was stays so."""
    sim = small_heart.sim
    done = dilate(sim, "LAD", 0.02, 0.04, residual=0.2)
    np.testing.assert_allclose(done.lesions.throat, [0.8])
    np.testing.assert_array_equal(done.network.lumen, sim.network.lumen)
    np.testing.assert_allclose(dilate(sim, "LAD", 0.02, 0.04, residual=0.7).lesions.throat, sim.lesions.throat)


def test_treatments_of_a_case_are_those_of_the_study(small_heart):
    """A graft and a balloon, one after the other; a place beyond the branch is refused by its number."""
    text = """
    [[treatment]]
    kind = "graft"
    branch = "LAD"
    position = "60 mm"
    diameter = "3 mm"
    length = "150 mm"
    [[treatment]]
    kind = "dilation"
    branch = "LAD"
    start = "20 mm"
    end = "40 mm"
    residual = 0.3
    """
    sim = small_heart.sim
    done = treat(parse_case(text), sim)
    expected = dilate(graft(sim, "LAD", 0.06, diameter=3e-3, length=0.15), "LAD", 0.02, 0.04, residual=0.3)
    assert eqx.tree_equal(done, expected) and not eqx.tree_equal(done.bridges, sim.bridges)
    with pytest.raises(perfsim.InputError, match=r"treatment\[0\]: LAD is .* mm long"):
        treat(parse_case(text.replace("60 mm", "400 mm")), sim)


def test_a_misread_throat_moves_the_ffr_as_a_solve_says(small_heart, small_solution):
    """0.2 mm of the healthy diameter to either side, 1.645 times; the read one lies between."""
    sim = small_heart.sim
    site, (low, high) = lesion_sites(sim)[0], misread(sim)[0]
    healthy = 2.0 * float(np.interp(0.03, *lumen_along(sim)))
    for end, side in ((low, -1.0), (high, 1.0)):
        throat = float(sim.lesions.throat[0]) + side * 1.645 * 0.2e-3 / healthy
        other = eqx.tree_at(lambda s: s.lesions.throat, sim, jnp.array([throat]))
        assert end == pytest.approx(float(ffr(simulate(other).hyperemia)[site]), abs=2e-3)
    assert low < float(ffr(small_solution.hyperemia)[site]) < high
    (tight,) = misread(sim, [0.5 * 0.2e-3 / healthy])  # as the case states it
    assert low < tight[0] < float(ffr(small_solution.hyperemia)[site]) < tight[1] < high
    assert misread(sim, [None]) == [(low, high)]


def lumen_along(sim) -> tuple[np.ndarray, np.ndarray]:
    """(position [m], healthy radius [m]) along the LAD."""
    on = np.flatnonzero(np.asarray(sim.network.branch) == sim.network.branch_names.index("LAD"))
    return np.asarray(sim.network.coordinate)[on, 1], np.asarray(sim.network.lumen)[on, 1]
