"""Numbers that are made of a flow field, each against one computed by hand or by an independent integration.

Truth and fit go through the same code, so that a wrong sign, constant or prior cancels in a round trip. Here the flow
field is written down, and the expected number is arithmetic.
"""

import dataclasses
from types import SimpleNamespace

import perfsim
from perfsim.anatomy import Frame
from perfsim.blood import DENSITY, PLASMA_VISCOSITY, ConstantViscosity, PriesInVivo
from perfsim.coupling import network_only
from perfsim.flow import LumpedOutlets
from perfsim.inverse import PARAMETERS, Ensemble, Free, Model, clinical_quantities, problem, quantities
from perfsim.inverse.coordinates import Above, Interval, Narrowing
from perfsim.network import VesselNetwork, from_networkx, stenosis, to_networkx
from perfsim.observe import (
    Activity,
    Cuff,
    EachVolume,
    LongAxis,
    Noise,
    PolarMap,
    Pose,
    Scan,
    Segments,
    Voxels,
    Wire,
    aha17,
    behind,
    correlation_factor,
    endo_epi,
    ffr,
    group_means,
    lesion_sites,
    mean_mbf,
    share_of,
    territories,
    territory_mbf,
    territory_resistance,
    territory_shares,
    vessel_at,
)
from perfsim.observe.polar import _spline, wall_points
from perfsim.observe.pressure import branch_ends, mean_terminal_pressure
from perfsim.observe.tracers import Curve, Frames, Water, frame_means
from perfsim.units import MMHG

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import BSpline
from scipy.spatial.transform import Rotation
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


def frame_of(base=(0.01, 0.01, 0.0), length=0.03, cavity=0.024) -> Frame:
    """An axis up through the tiny heart's cubes, lateral along x, so that anterior is y."""
    return Frame(np.array(base), np.array([0.0, 0, 1]), np.array([1.0, 0, 0]), length, cavity, 110.0, 250.0)


def test_poses_turn_then_tilt_then_shift():
    """R(anterior tilt) R(lateral tilt) R(rotation) q + shift about the middle of the cavity, in the heart's directions."""
    frame = Frame(np.array([0.1, 0.2, 0.3]), np.array([0.0, 0, -1]), np.array([0.6, 0.8, 0.0]), 0.09, 0.08)
    axis = LongAxis.of(frame)
    pose = Pose(0.3, (0.1, -0.2), (1e-3, 2e-3, 3e-3))
    x = np.random.default_rng(0).normal(0.2, 0.05, (5, 3))
    directions = np.stack([frame.lateral, frame.anterior, frame.axis])
    middle = frame.base + 0.04 * frame.axis
    turn = Rotation.from_rotvec([0, -0.2, 0]) * Rotation.from_rotvec([0.1, 0, 0]) * Rotation.from_rotvec([0, 0, 0.3])
    expected = middle + (turn.apply((x - middle) @ directions.T) + 1e-3 * np.arange(1, 4)) @ directions
    there, back, (z, radius, angle) = eqx.filter_jit(
        lambda pose, x, y, on: (pose.to_image(axis, x), pose.to_heart(axis, y), axis.cylindrical(on))
    )(pose, x, expected, (frame.base + 0.02 * frame.axis)[None])
    np.testing.assert_allclose(there, expected, atol=1e-12)
    np.testing.assert_allclose(back, x, atol=1e-12)
    assert (float(z[0]), float(angle[0])) == (pytest.approx(0.02), 0.0) and float(radius[0]) == pytest.approx(
        1e-9, rel=1e-3
    )


def test_what_a_voxel_sees_by_hand(sim):
    """G = V N(x - y; σ²), σ² = (fwhm/2.3548)² + (V^(2/3) + voxel²)/12: per gram a mean, per region a sum; none, 0."""
    volumes, axis = sim.volumes, LongAxis.of(frame_of())
    point = np.array([[0.004, 0.006, 0.013], [0.012, 0.009, 0.02], [0.05, 0.05, 0.05]])
    view = Voxels.at(volumes, axis, point[:2], 8e-3, 3e-3)
    variance = (8e-3 / 2.354820045) ** 2 + (0.01**2 + 3e-3**2) / 12
    square = np.sum((point[:, None] - np.asarray(volumes.center)) ** 2, axis=2)
    G = 1e-6 * np.exp(-0.5 * square / variance) / (2 * np.pi * variance) ** 1.5
    field = jnp.arange(1.0, 9.0)
    look = eqx.filter_jit(lambda view, pose: (view.fraction(volumes, pose), view(volumes, field, pose)))
    fraction, per_gram = look(view, Pose())
    np.testing.assert_allclose(fraction, G[:2].sum(1), rtol=1e-9)
    np.testing.assert_allclose(per_gram, (G @ field / G.sum(1))[:2], rtol=1e-9)
    moved = Pose(shift=(1e-3, 0.0, 0.0))
    square = np.sum((point[:2, None] - [1e-3, 0, 0] - np.asarray(volumes.center)) ** 2, axis=2)
    G1 = 1e-6 * np.exp(-0.5 * square / variance) / (2 * np.pi * variance) ** 1.5
    fraction, per_region = look(dataclasses.replace(view, per="region"), moved)
    np.testing.assert_allclose(fraction, G1.sum(1), rtol=1e-9)
    np.testing.assert_allclose(per_region, G1 @ field, rtol=1e-9)


def test_views_of_what_voxels_see(sim):
    """With blur a view takes the voxels' points, what tissue they see, and the field that they see."""
    volumes, axis, field = sim.volumes, LongAxis.of(frame_of()), jnp.arange(1.0, 9.0)
    view = Voxels.at(volumes, axis, np.array([[0.004, 0.006, 0.013], [0.012, 0.009, 0.02]]), 8e-3, 3e-3)
    x, weight, values, fraction, seen = eqx.filter_jit(
        lambda view: (*wall_points(view, volumes, field), view.fraction(volumes, Pose()), view(volumes, field, Pose()))
    )(view)
    np.testing.assert_array_equal(x, view.point)
    np.testing.assert_allclose(weight, fraction, rtol=1e-12)
    np.testing.assert_allclose(values, seen, rtol=1e-12)
    for got, given in zip(wall_points(None, volumes, field), (volumes.center, volumes.volume, field), strict=True):
        np.testing.assert_array_equal(got, given)


def test_a_grid_of_voxels_holds_what_sees_half_tissue(sim):
    """Steps of a voxel from one voxel below the centers; those that see more than half tissue by themselves."""
    volumes, axis = sim.volumes, LongAxis.of(frame_of())
    view = Voxels.grid(volumes, axis, 6e-3, 4e-3)
    steps = np.arange(0.001, 0.019, 4e-3)
    point = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    whole = Voxels.at(volumes, axis, point, 6e-3, 4e-3)
    kept = point[np.asarray(whole.fraction(volumes, Pose())) >= 0.5]
    np.testing.assert_allclose(view.point, kept, atol=1e-12)
    assert 8 < len(kept) < len(point)
    assert len(Voxels.grid(volumes, axis, 6e-3, 4e-3, fraction=0.9).point) < len(kept)


def test_polar_maps_spread_points_by_splines(sim):
    """Cubic B-splines over 4 × 4 bins: ¼, ⅔, ... of a volume's weight; a constant field stays; empty bins are 0."""
    axis = LongAxis.of(frame_of())
    knot, weight = _spline(jnp.array([3.0, 7.25]))
    np.testing.assert_allclose(weight[0], [1 / 6, 4 / 6, 1 / 6, 0.0], atol=1e-12)
    basis = BSpline.basis_element(np.arange(-2.0, 3.0))
    np.testing.assert_allclose(weight[1], [basis(7.25 - k) for k in (6, 7, 8, 9)], rtol=1e-12)
    assert knot.tolist() == [[2, 3, 4, 5], [6, 7, 8, 9]]
    view = eqx.filter_jit(PolarMap(axis, rings=6, sectors=8))
    found = np.asarray(view(sim.volumes, jnp.full(8, 3.0), Pose())).reshape(6, 8)
    assert set(np.round(found[found > 1e-6], 9)) == {3.0} and (found < 1e-6).any()
    # cubes at 5 and 15 mm of a cavity of 24 mm, at 45°, 135° ...: radii 0.833 and 0.5 of the bull's eye, sectors 1, 3 ...
    field = jnp.where(sim.volumes.center[:, 2] < 0.01, 1.0, 2.0)
    rings = np.asarray(view(sim.volumes, field, Pose())).reshape(6, 8)
    place = 6 * np.array([0.2 + 0.8 * (1 - 5 / 24), 0.2 + 0.8 * (1 - 15 / 24)]) - 0.5
    by_ring = np.array([[max(basis(p - k), 0.0) if abs(p - k) < 2 else 0.0 for p in place] for k in range(6)])
    by_ring[-1] += [basis(p - 6) if abs(p - 6) < 2 else 0.0 for p in place]  # beyond the rim counts for the last ring
    seen = by_ring.sum(1) > 1e-3
    np.testing.assert_allclose(rings[seen, 1], by_ring[seen] @ [1.0, 2.0] / by_ring[seen].sum(1), rtol=1e-9)


@pytest.mark.parametrize("anchored", [False, True])
def test_segments_of_points_by_hand(anchored):
    """Sharp far from borders, a half on them, Φ(1) one deviation, h/√12, from one; sectors from the inserts if asked."""
    frame = frame_of(length=0.1, cavity=0.09)
    view = Segments(LongAxis.of(frame), anchored=anchored)
    # 110° and 250°: the septum of 140° is halved, four sectors of 55° share the rest, the apical ring turns with it
    first = [82.5, 145.0, 215.0, 277.5, 332.5, 27.5] if anchored else [90.0, 150, 210, 270, 330, 30]
    last = [90.0, 180, 270, 0]
    spots = [(0.015, a) for a in first] + [(0.045, a) for a in first] + [(0.075, a) for a in last] + [(0.095, 10.0)]

    def at(z, angle):
        return frame.base + z * frame.axis + 0.03 * frame.radial(angle)

    edge = 2e-3
    border, off = 110.0 if anchored else 120.0, np.degrees(edge / np.sqrt(12) / 0.03)
    spots += [(0.015, border), (0.015, border + off), (0.03, first[0]), (0.09, 90.0)]
    x = jnp.asarray(np.stack([at(*s) for s in spots]))
    found = np.asarray(eqx.filter_jit(lambda v: v.membership(x, jnp.full(21, edge)))(view))
    np.testing.assert_allclose(found[:, :17], np.eye(17), atol=1e-6)
    share = found[:, 17:]
    np.testing.assert_allclose(share[[0, 1], [0]], [0.5, 0.5], atol=1e-9)
    np.testing.assert_allclose(share[[0, 1], 1], [1 - 0.841345, 0.841345], atol=1e-4)
    np.testing.assert_allclose([share[0, 2], share[6, 2], share[12, 3], share[16, 3]], 0.5, atol=1e-6)


def test_noise_by_hand():
    """asinh(ρm/σ₀)/ρ, less what its mean is shifted by; of Student's t; correlated; drawn with its own deviation."""
    rho, sigma, m, y = 0.2, 0.1, np.array([1.5, 0.3, 2.0]), np.array([1.2, 0.5, np.nan])
    g = lambda x: np.arcsinh(rho * x / sigma) / rho  # noqa: E731
    deviation = np.sqrt((rho * m) ** 2 + sigma**2)
    expected = np.where(np.isnan(y), 0.0, g(m) - g(np.nan_to_num(y)) - 0.5 * rho**2 * m / deviation)
    residual = eqx.filter_jit(lambda noise, m, y: noise.residual(m, y))
    np.testing.assert_allclose(residual(Noise(rho, sigma), m, y), expected, rtol=1e-12)
    np.testing.assert_allclose(Noise(rho, sigma).deviation(jnp.asarray(m)), deviation, rtol=1e-12)
    np.testing.assert_allclose(
        residual(Noise(0.0, 0.5), np.array([1.0, 2.0, 3.0]), np.array([0.5, 3.0, 3.0])), [1.0, -2.0, 0.0]
    )
    heavy = residual(Noise(0.0, 1.0, freedom=jnp.asarray(4.0)), np.array([3.0, -1.0, 1e-5, 0.0]), np.zeros(4))
    r = np.array([3.0, -1.0])
    np.testing.assert_allclose(0.5 * np.asarray(heavy[:2]) ** 2, 2.5 * np.log(1 + r**2 / 4), rtol=1e-12)
    assert heavy[1] < 0 and float(heavy[2]) == pytest.approx(1e-5 * np.sqrt(5 / 4), rel=1e-9) and float(heavy[3]) == 0.0
    point = np.array([[0.0, 0, 0], [3e-3, 0, 0], [0, 4e-3, 0]])
    L = np.asarray(correlation_factor(point, 7e-3))
    s = 7e-3 / 2.354820045
    far = np.array([[0, 3, 4], [3, 0, 5], [4, 5, 0]]) * 1e-3
    np.testing.assert_allclose(L @ L.T, 0.9 * np.exp(-(far**2) / (4 * s**2)) + 0.1 * np.eye(3), rtol=1e-7)
    gap = np.array([1.0, -2.0, 0.5])
    whitened = residual(Noise(0.0, 1.0, factor=jnp.asarray(L)), gap, np.zeros(3))
    np.testing.assert_allclose(whitened, np.linalg.solve(L, gap), rtol=1e-9)
    with pytest.raises(perfsim.InputError, match="12001 voxels are too many"):
        correlation_factor(np.zeros((12_001, 3)), 7e-3)
    many = lambda noise, m: noise.draw(np.random.default_rng(0), np.tile(m[:, None], 4000))  # noqa: E731
    drawn = many(Noise(rho, sigma), m)
    np.testing.assert_allclose(drawn.mean(1), m, atol=0.03)
    np.testing.assert_allclose(drawn.std(1), deviation, rtol=0.05)
    np.testing.assert_allclose(np.cov(many(Noise(0.0, 2.0, factor=L), 0 * m)), 4 * L @ L.T, atol=0.3)
    np.testing.assert_allclose(many(Noise(0.0, 2.0, freedom=5.0), 0 * m).std(1), 2 * np.sqrt(5 / 3), rtol=0.1)


def test_measurements_that_cannot_be(sim):
    """Rows for states, columns for frames, as many values as a view shows, branches that are there."""
    for value in (jnp.zeros(8), jnp.zeros((1, 8)), jnp.zeros((3, 8))):
        with pytest.raises(perfsim.InputError, match="one row of data for each state"):
            Scan(("rest", "hyperemia"), value, Noise())
    with pytest.raises(perfsim.InputError, match="a map holds 7 values where its view, EachVolume, shows 8"):
        problem(sim, [Scan(("rest",), jnp.zeros((1, 7)), Noise())], ["tone"])
    with pytest.raises(perfsim.InputError, match="the state 'exercise'; the simulation has rest, hyperemia"):
        problem(sim, [Cuff(1e4, state="exercise")], ["tone"])
    with pytest.raises(perfsim.InputError, match="there is nothing to fit"):
        problem(sim, [], ["tone"])
    with pytest.raises(perfsim.InputError, match="nothing free to fit"):
        problem(sim, [Cuff(1e4)], [])
    for twice in (["tone", "tone"], ["throat", "severity"], [Free("tone", by="all"), "tone"]):
        with pytest.raises(perfsim.InputError, match="free the same thing"):
            problem(sim, [Cuff(1e4)], twice)
    with pytest.raises(perfsim.InputError, match="there is no branch 'no': the network has LM, LAD, LCx, grown"):
        vessel_at(sim.network, "no", 0.0)
    assert set(branch_ends(sim.network)) == {"LM", "LAD", "LCx"}
    with pytest.raises(perfsim.InputError, match="'tone' cannot be grouped by 'vessel'"):
        problem(sim, [Cuff(1e4)], [Free("tone", by="vessel")])


def test_activity_by_hand(sim):
    """Tissue of each volume by its MBF from the delayed blood curve, and a share of the blood in every frame."""
    frames, blood = Frames.of([0.0, 10.0], [10.0, 20.0]), Curve.of([0.0, 5.0, 12.0, 40.0], [0.0, 8.0, 3.0, 3.0])
    mbf = jnp.arange(1.0, 9.0)
    share = jnp.linspace(0.1, 0.3, 8)
    scan = Activity("rest", jnp.zeros((8, 2)), Noise(0.0, 2.0), Water(), blood, frames, arterial=share, delay=2.5)
    late = Curve.of([2.5, 7.5, 14.5, 42.5], [0.0, 8.0, 3.0, 3.0])
    expected = eqx.filter_jit(
        lambda blood: Water().tissue(mbf, blood, frames) + share[:, None] * frame_means(blood, frames)
    )(late)
    both = solution(sim, rest={"mbf": mbf})
    residual = eqx.filter_jit(lambda scan, both: scan.residual(sim, both))(scan, both)
    np.testing.assert_allclose(residual, np.ravel(expected) / 2.0, rtol=1e-9)
    assert scan.needs == ("rest",) and scan.size == 8 and scan.instrument == "PET"
    for value in (jnp.zeros(8), jnp.zeros((8, 3))):
        with pytest.raises(perfsim.InputError, match="a column for each of the 2 frames"):
            Activity("rest", value, Noise(), Water(), blood, frames)


def test_segments_of_the_bulls_eye():
    """Thirds of the cavity, sixths from 60°, quarters from 45°; beyond the cavity the apex. Means over groups by weight."""
    frame = frame_of(length=0.1, cavity=0.09)
    spots = [(0.0, 61, 0), (0.0295, 119, 0), (0.0, 121, 1), (0.0, 239, 2), (0.0, 359, 4), (0.0, 1, 5), (0.0305, 61, 6),
             (0.0595, 59, 11), (0.0605, 46, 12), (0.0605, 44, 15), (0.0895, 136, 13), (0.0895, 226, 14), (0.0905, 90, 16),
             (-0.01, 90, 0)]  # fmt: skip
    x = np.stack([frame.base + z * frame.axis + 0.02 * frame.radial(a) for z, a, _ in spots])
    assert np.asarray(aha17(frame, x)).tolist() == [s for *_, s in spots]
    found = group_means(jnp.array([1.0, 3.0, 5.0, 7.0]), jnp.array([0, 0, 2, 3]), jnp.array([3.0, 1.0, 2.0, 0.0]), 3)
    np.testing.assert_allclose(found, [1.5, np.nan, 5.0])


def test_clinical_numbers_of_draws(sim, monkeypatch):
    """Medians and 90 % intervals by place, before and after the data, with the probabilities that are asked of them."""
    rng = np.random.default_rng(0)
    after, before = ({"FFR": rng.uniform(0.7, 0.9, (99, 2)), "MFR": rng.uniform(1.5, 2.5, (99, 2))} for _ in range(2))
    asked = []

    def known(values, count):
        asked.append(count)
        return Ensemble(values, np.full(99, 1 / 99))

    monkeypatch.setattr(quantities, "ridge", lambda known: None)
    fake = SimpleNamespace(
        fit=SimpleNamespace(sim=sim), sample=lambda wanted, draws, seed, along, most: known(after, (draws, most)),
        before=lambda wanted, draws, seed: known(before, draws),
    )  # fmt: skip
    rows, draws = quantities.clinical_table(fake, 60)
    assert asked == [(60, 240), 10] and draws.values is after
    assert [r.name for r in rows] == ["FFR LAD 10 mm", "FFR LCx 4 mm", "MFR LAD", "MFR LCx"]
    for row, x, y in zip(rows, [*after["FFR"].T, *after["MFR"].T], [*before["FFR"].T, *before["MFR"].T], strict=True):
        q = lambda v, p: np.quantile(v, p, method="weibull")  # noqa: E731
        assert (row.low, row.middle, row.high) == pytest.approx((q(x, 0.05), q(x, 0.5), q(x, 0.95)))
        assert row.before == pytest.approx((q(y, 0.05), q(y, 0.95)))
    assert rows[0].event == "P(FFR ≤ 0.80)" and rows[0].probability == pytest.approx((after["FFR"][:, 0] <= 0.8).mean())
    assert rows[3].event == "P(MFR < 2)" and rows[3].probability == pytest.approx((after["MFR"][:, 1] < 2.0).mean())
    quantities.clinical_table(fake, 24)
    assert asked[2:] == [(24, 24), 8]


def test_networks_as_graphs(sim):
    """To networkx and back to the last bit; any other directed tree by positions and radii, its leaves as outlets."""
    graph = to_networkx(sim.network)
    assert eqx.tree_equal(from_networkx(graph), sim.network) and graph.number_of_edges() == 7
    import networkx as nx

    tree = nx.DiGraph()
    tree.add_node("in", position=[0.0, 0, 0], radius=2 * MM)
    tree.add_node("x", position=[0.01, 0, 0], radius=1.5 * MM)
    tree.add_node("a", position=[0.02, 0, 0])
    tree.add_edge("in", "x")
    tree.add_edge("x", "a", radius=1 * MM)
    found = from_networkx(tree)
    np.testing.assert_allclose(found.lumen, MM * np.array([[2.0, 1.5], [1.0, 1.0]]))
    assert found.inlets.tolist() == [0] and found.outlets.tolist() == [2]
    tree.add_edge("x", "b")
    tree.add_node("b", position=[0.01, 0.01, 0])
    with pytest.raises(perfsim.InputError, match="edge 'x' → 'b' has no 'radius'"):
        from_networkx(tree)
    tree.add_node("c")
    with pytest.raises(perfsim.InputError, match="node 'c' has no attribute 'position'"):
        from_networkx(tree)
