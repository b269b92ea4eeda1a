"""Numbers that are made of a flow field, each against one computed by hand or by an independent integration.

Truth and fit go through the same code, so that a wrong sign, constant or prior cancels in a round trip. Here the flow
field is written down, and the expected number is arithmetic.
"""

from perfsim.blood import DENSITY, PLASMA_VISCOSITY, ConstantViscosity, PriesInVivo
from perfsim.coupling import network_only
from perfsim.flow import LumpedOutlets
from perfsim.inverse import PARAMETERS, Free, Model, clinical_quantities, problem
from perfsim.inverse.coordinates import Above, Interval, Narrowing
from perfsim.network import VesselNetwork, stenosis
from perfsim.observe import (
    Cuff,
    EachVolume,
    LongAxis,
    Noise,
    Scan,
    Wire,
    behind,
    endo_epi,
    ffr,
    lesion_sites,
    mean_mbf,
    share_of,
    territories,
    territory_mbf,
    territory_resistance,
    territory_shares,
    vessel_at,
)
from perfsim.observe.pressure import mean_terminal_pressure
from perfsim.units import MMHG

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import MM, perfusion, solution, tiny_heart


@pytest.fixture(scope="module")
def sim():
    return tiny_heart()


FLOW = np.array([2e-8, 3e-8, 5e-8])
"""[m³/s] of the three terminals: two of the LAD, one of the LCx"""
PRESSURE = MMHG * np.array([70.0, 65.0, 50.0])
REST, STRESS = {"aortic_pressure": 93.0 * MMHG}, {
    "aortic_pressure": 88.0 * MMHG, "terminal_flow": FLOW, "terminal_pressure": PRESSURE,
}  # fmt: skip


def tissue(sim) -> np.ndarray:
    """Tissue [g] that the LAD and the LCx feed: the centers of all subcubes, each to its nearest terminal."""
    side = (np.arange(6) + 0.5) / 6 * 0.02
    points = np.stack(np.meshgrid(side, side, side), -1).reshape(-1, 3)
    ends = np.asarray(sim.network.position)[np.asarray(sim.network.terminals)]
    nearest = np.argmin(np.linalg.norm(points[:, None] - ends, axis=2), axis=1)
    grams = np.bincount(nearest, minlength=3) / 216 * 8.0 * 1.05  # 8 mL of 1.05 g/mL
    return np.array([grams[0] + grams[1], grams[2]])


def test_flow_of_a_territory_is_per_gram_of_what_it_feeds(sim):
    expected = np.array([5e-8, 5e-8]) * 1e6 * 60.0 / tissue(sim)
    np.testing.assert_allclose(territory_mbf(sim, perfusion(sim, **STRESS)), expected, rtol=1e-9)


def test_microvascular_resistance_by_hand(sim):
    """(P - P_b)/MBF: the LAD's flow-weighted (2·70 + 3·65)/5 = 67 mmHg, the LCx's 50, both against 17.5 mmHg."""
    mbf = np.array([5e-8, 5e-8]) * 1e6 * 60.0 / tissue(sim)
    expected = (np.array([67.0, 50.0]) - 17.5) / mbf
    found = territory_resistance(sim, perfusion(sim, **STRESS), 17.5 * MMHG)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_clinical_quantities_by_hand(sim):
    """FFR past each lesion, MBF, MFR and the microvascular resistance to the mid-wall back pressure, (10 + 25)/2 mmHg."""
    grams = tissue(sim)
    pressure = MMHG * np.linspace(80.0, 20.0, len(sim.network.tail))
    rest = {"aortic_pressure": 93.0 * MMHG, "terminal_flow": 0.25 * FLOW}
    found = clinical_quantities(sim)(solution(sim, rest=rest, hyperemia=STRESS | {"static_pressure": pressure}))
    mbf = np.array([5e-8, 5e-8]) * 1e6 * 60.0 / grams
    np.testing.assert_allclose(found["MBF, hyperemia"], mbf, rtol=1e-9)
    np.testing.assert_allclose(found["MBF, rest"], 0.25 * mbf, rtol=1e-9)
    np.testing.assert_allclose(found["MFR"], 4.0, rtol=1e-12)
    np.testing.assert_allclose(found["microvascular resistance"], (np.array([67.0, 50.0]) - 17.5) / mbf, rtol=1e-9)
    ends = [vessel_at(sim.network, name, np.inf) for name in ("LAD", "LCx")]  # both branches end within 20 mm
    np.testing.assert_allclose(found["FFR"], pressure[ends] / (88.0 * MMHG), rtol=1e-12)


def test_indices_of_pressure_by_hand(sim):
    state = perfusion(sim, **STRESS, static_pressure=np.full(7, 66.0 * MMHG))
    np.testing.assert_allclose(ffr(state), 0.75, rtol=1e-12)
    assert float(mean_terminal_pressure(state)) == pytest.approx(MMHG * (140 + 195 + 250) / 10, rel=1e-12)
    both = solution(sim, rest=REST, hyperemia=STRESS | {"static_pressure": np.full(7, 66.0 * MMHG)})
    assert float(Wire(0.7, 2).predict(sim, both)) == pytest.approx(0.75)
    assert float(Wire(0.7, 2).residual(sim, both)[0]) == pytest.approx(2.5)  # 0.05 over 0.02
    assert float(Cuff(80.0 * MMHG).residual(sim, both)[0]) == pytest.approx(8 * MMHG / 667.0)
    assert float(Cuff(80.0 * MMHG, state="rest").predict(sim, both)) == pytest.approx(93 * MMHG)


def test_shares_of_supply_by_hand(sim):
    """Supplies 1, 2, 3 … in the order of the couplings: every share is a ratio of integers."""
    links = sim.couplings
    terminal = np.asarray(links.terminal)
    supplies = np.where(terminal < 3, np.arange(terminal.size).reshape(terminal.shape) + 1.0, 0.0)
    state = perfusion(sim, supplies=supplies, mbf=np.arange(1.0, 9.0))
    total = supplies.sum(0)
    lad = np.where(terminal < 2, supplies, 0.0).sum(0) / total
    np.testing.assert_allclose(territory_shares(sim, state), np.stack([lad, 1 - lad], 1), rtol=1e-12)
    first = np.where(terminal == 0, supplies, 0.0).sum(0) / total
    np.testing.assert_allclose(share_of(sim, state, jnp.array([True, False, False])), first, rtol=1e-12)
    belongs = np.asarray(territories(sim, state).group)
    np.testing.assert_array_equal(belongs, (lad < 0.5).astype(int))
    assert float(mean_mbf(sim, state)) == pytest.approx(4.5)
    weight = first[np.asarray(sim.volumes.depth) > 0.5], first[np.asarray(sim.volumes.depth) < 0.5]
    mbf = (
        np.arange(1.0, 9.0)[np.asarray(sim.volumes.depth) > 0.5],
        np.arange(1.0, 9.0)[np.asarray(sim.volumes.depth) < 0.5],
    )
    expected = np.average(mbf[0], weights=weight[0]) / np.average(mbf[1], weights=weight[1])
    assert float(endo_epi(sim, state, jnp.array([True, False, False]))) == pytest.approx(expected)
    assert float(endo_epi(sim, state)) == pytest.approx(mbf[0].mean() / mbf[1].mean())


def test_a_volume_that_nothing_feeds_belongs_to_no_territory(sim):
    supplies = np.where(np.asarray(sim.couplings.terminal) < 3, 1.0, 0.0)
    supplies[:, 0] = 0.0
    group = np.asarray(territories(sim, perfusion(sim, supplies=supplies)).group)
    assert group[0] == 2 and (group[1:] < 2).all()


def test_what_lies_behind_a_vessel(sim):
    """The LAD's two terminals behind its first vessel, all behind the LM, one behind its own."""
    lad = vessel_at(sim.network, "LAD", 1e-3)
    assert np.asarray(behind(sim, lad)).tolist() == [True, True, False]
    assert np.asarray(behind(sim, 0)).tolist() == [True] * 3
    assert np.asarray(behind(sim, int(sim.terminal_vessel[1]))).tolist() == [False, True, False]


def line(count: int) -> VesselNetwork:
    """A straight branch of 60 mm in so many vessels."""
    x = np.linspace(0, 60 * MM, count + 1)
    return VesselNetwork.build(
        np.stack([x, 0 * x, 0 * x], 1), np.arange(count), np.arange(count) + 1, np.full(count, 1.5 * MM), inlets=[0],
        outlets=[count], branch=np.zeros(count, int), branch_names=("LAD",),
    )  # fmt: skip


def test_lesions_are_read_twenty_millimetres_past_their_end():
    """Throat at 20 mm, 10 mm long: its end is at 25 mm and the wire at 45 mm, on vessels of 0.1 mm."""
    network = line(600)
    resistance = LumpedOutlets(jnp.array([1e9]), jnp.array([0.0]), jnp.array([0.0]))
    lesion = stenosis(network, "LAD", 20 * MM, 0.5, 10 * MM)
    sim = network_only(network, resistance, aortic_pressure=1e4, lesions=lesion)
    (site,) = lesion_sites(sim)
    assert site == vessel_at(network, "LAD", 45 * MM) == 449
    assert float(network.coordinate[site, 1]) == pytest.approx(45 * MM)
    assert lesion_sites(sim, 5 * MM) == [299] and lesion_sites(sim, 100 * MM) == [599]
    assert vessel_at(network, "LAD", 45.01 * MM) == 450


def test_the_prior_of_a_throat_is_what_ct_misjudges_there(sim):
    """0.2 mm of a diameter over the healthy one at the lesion on its own branch: LAD 3 mm, LCx 2 mm."""
    spread = PARAMETERS["throat"].spread(Model(sim, ()))
    np.testing.assert_allclose(spread, [0.2 / (1.5 + 1.5), 0.2 / 2.0], rtol=1e-9)


def test_defaults_of_blood():
    """3.5 mPa·s unless said otherwise; whole blood 1060 kg/m³; 3.8 mPa·s in a large vessel at a hematocrit of 0.45."""
    assert float(ConstantViscosity()(jnp.array(1e-3))) == 3.5e-3
    np.testing.assert_array_equal(ConstantViscosity(4e-3)(jnp.ones((2, 3))), np.full((2, 3), 4e-3))
    assert DENSITY == 1060.0 and PLASMA_VISCOSITY == 1.2e-3
    assert float(PriesInVivo()(jnp.array(3e-3))) == pytest.approx(3.84e-3, rel=0.005)


@pytest.mark.parametrize("hematocrit", [0.2, 0.45, 0.6])
@pytest.mark.parametrize("micrometres", [4.0, 30.0, 300.0])
def test_pries_in_plain_arithmetic(hematocrit, micrometres):
    """The published formula, written down once more with powers instead of logarithms."""
    D, H = micrometres, hematocrit
    eta = 6 * np.exp(-0.085 * D) + 3.2 - 2.44 * np.exp(-0.06 * D**0.645)
    f = 1 / (1 + 1e-11 * D**12)
    C = (0.8 + np.exp(-0.075 * D)) * (f - 1) + f
    w = (D / (D - 1.1)) ** 2
    expected = 1.2e-3 * (1 + (eta - 1) * ((1 - H) ** C - 1) / ((1 - 0.45) ** C - 1) * w) * w
    assert float(PriesInVivo(hematocrit=H)(jnp.array(D * 1e-6))) == pytest.approx(expected, rel=1e-9)
    smallest = PriesInVivo(hematocrit=H)(jnp.array([3e-6, 1e-6, 0.0]))
    assert len(set(smallest.tolist())) == 1


# Parameters of a fit ---------------------------------------------------------------------------------------------


def test_coordinates_in_plain_arithmetic():
    """Interval is low + (high - low)/(1 + e^-z); Above z + w log(1 + e^-(z-low)/w); Narrowing 1/(x - least) is a softplus."""
    for z in (-1.3, 0.0, 0.7):
        assert float(Interval(0.1, 0.7).to_physical(z)) == pytest.approx(0.1 + 0.6 / (1 + np.exp(-z)), rel=1e-12)
        above = 0.05 + 0.02 * np.log(1 + np.exp((z - 0.05) / 0.02))
        assert float(Above(0.05, 0.02).to_physical(z)) == pytest.approx(above, rel=1e-12)
        narrow = 0.02 + 1 / (1 / 1.18 + np.log(1 + np.exp(4 * z)) / 4)
        assert float(Narrowing(0.02, 1.2).to_physical(z)) == pytest.approx(narrow, rel=1e-12)
    for coordinate, x in ((Interval(0.1, 0.7), 0.2), (Above(0.05, 0.05), 0.11), (Narrowing(0.02, 1.2), 0.4)):
        assert float(coordinate.to_physical(coordinate.to_free(x))) == pytest.approx(x, rel=1e-12)


POPULATION = {
    # name: (values where ξ = 0, those where ξ = 1), in the display unit
    "pressure": ([93.0, 88.0], [101.0, 96.0]),
    "demand": ([0.9], [0.9 * np.exp(0.2)]),
    "root_lumen": ([2.0], [2.0 * np.exp(0.15)]),
    "tone": ([1.0, 1.0], [np.exp(0.5)] * 2),
    "hematocrit": ([0.45], [0.75 / (1 + np.exp(-(np.log(0.45 / 0.30) + 0.25)))]),
    "exponent": ([7 / 3], [1.5 + 2.5 / (1 + np.exp(-(np.log((7 / 3 - 1.5) / (4 - 7 / 3)) + 0.25)))]),
    "rotation": ([0.0], [5.0]),
    "tilt": ([0.0, 0.0], [5.0, 5.0]),
    "shift": ([0.0] * 3, [3.0] * 3),
    "scale": ([0.0], [0.10]),
    "state_scale": ([0.0], [0.05]),
    "mobility": ([3e-11], [3e-11 * np.e]),
    "lumen": ([2e-3], [2e-3 * np.exp(0.1)]),
}


@pytest.mark.parametrize("name", POPULATION)
def test_populations(sim, name):
    """One standard deviation of each population by hand, in the unit that is shown."""
    scan = Scan(("hyperemia",), jnp.zeros((1, 8)), Noise(), EachVolume())
    posed, _ = problem(sim, [scan], [name])
    before, after = (posed.values(jnp.full(posed.size, x)) for x in (0.0, 1.0))
    expected = POPULATION[name]
    np.testing.assert_allclose(before, expected[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(after, expected[1], rtol=1e-9, atol=1e-12)


def test_names_and_groups_of_parameters(sim):
    """Every entry is moved by the number that its name says."""
    scans = [
        Scan((s,), jnp.zeros((1, 8)), Noise(), instrument=camera) for s, camera in (("rest", "A"), ("hyperemia", "B"))
    ]
    free = ["tone", "throat", Free("terminal_tone", by="branch"), Free("lumen", by="branch"), "rotation", "shift"]
    posed, names = problem(sim, scans, free)
    lumen = [f"lumen[{b}]" for b in ("LM", "LAD", "LCx")]
    assert names == [
        "tone[LAD]", "tone[LCx]", "throat[LAD@10mm]", "throat[LCx@4mm]", "terminal_tone[LAD]", "terminal_tone[LCx]",
        *lumen, "rotation[A]", "rotation[B]", *(f"shift[{c} {d}]" for c in "AB" for d in ("lateral", "anterior", "apex")),
    ]  # fmt: skip
    model = posed.at(jnp.zeros(len(names)).at[names.index("terminal_tone[LCx]")].set(1.0))
    np.testing.assert_allclose(model.sim.tissue.terminal_tone, [1.0, 1.0, np.exp(0.5)])
    model = posed.at(jnp.zeros(len(names)).at[names.index("lumen[LAD]")].set(1.0))
    lad = np.asarray(model.sim.network.lumen) / np.asarray(sim.network.lumen)
    branch = np.asarray(sim.network.branch)
    on = (branch == 1) | ((branch == 3) & (np.asarray(sim.network.position)[np.asarray(sim.network.head), 1] < 10 * MM))
    np.testing.assert_allclose(lad, np.where(on, np.exp(0.1), 1.0)[:, None] * np.ones(2))
    model = posed.at(jnp.zeros(len(names)).at[names.index("rotation[B]")].set(1.0))
    assert [float(s.pose.rotation) for s in model.scans] == [0.0, pytest.approx(np.radians(5.0))]


# Maps ------------------------------------------------------------------------------------------------------------


def test_scan_is_scaled_in_all_states_and_in_each(sim):
    """e^(s + s_state) times MBF, and its residual in standard deviations of (ρm)² + σ₀²."""
    mbf = np.arange(1.0, 9.0)
    both = solution(sim, rest={"mbf": 0.25 * mbf}, hyperemia={"mbf": mbf})
    scan = Scan(("rest", "hyperemia"), np.zeros((2, 8)), Noise(0.0, 0.5))
    model = problem(sim, [scan], ["scale", "state_scale"])[0].at(jnp.array([1.0, 1.0, -2.0]))
    found = model.data[0].predict(model.sim, both)
    np.testing.assert_allclose(found[0], 0.25 * mbf * np.exp(0.10 + 0.05))
    np.testing.assert_allclose(found[1], mbf * np.exp(0.10 - 0.10))
    np.testing.assert_allclose(scan.residual(sim, both), np.concatenate([0.25 * mbf, mbf]) / 0.5)


def test_long_axis_is_the_frame():
    """Angles from lateral to anterior, distances below the base, of a point given by all three."""
    from perfsim.anatomy import EllipsoidWall

    frame = EllipsoidWall().frame
    axis = LongAxis.of(frame)
    x = frame.base + 0.03 * frame.axis + 0.02 * frame.radial(np.array([70.0]))
    z, radius, angle = axis.cylindrical(jnp.asarray(x))
    np.testing.assert_allclose([z[0], radius[0], np.degrees(angle[0])], [0.03, 0.02, 70.0], rtol=1e-9)
    np.testing.assert_allclose(np.degrees(axis.inserts), [frame.anterior_insert, frame.inferior_insert])
    np.testing.assert_allclose(axis.middle, frame.base + 0.5 * frame.cavity_length * frame.axis)
