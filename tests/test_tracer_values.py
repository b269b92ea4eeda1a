"""Every tracer's curve against an integration of its equations by scipy, and curves against plain arithmetic."""

import itertools

import perfsim
from perfsim._notes import InputNote
from perfsim.observe.tracers import (
    AMMONIA,
    DENSITY,
    HALF_LIFE,
    RUBIDIUM,
    Ammonia,
    Curve,
    Exchange,
    ExtendedTofts,
    Frames,
    Region,
    RenkinCrone,
    Rubidium,
    Water,
    ammonia_alone,
    by_integration,
    convolved,
    decay_correction,
    frame_means,
)
from perfsim.observe.tracers.curves import check_covers, check_scale

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

FRAMES = Frames.sequence((4, 5), (2, 20))
TIME = np.array([0.0, 8.0, 14.0, 22.0, 40.0, 70.0])
BLOOD = Curve.of(TIME, [0.0, 0.0, 40.0, 22.0, 9.0, 6.0])
F = 2.3 * 1.05 / 60.0
"""[1/s] of 2.3 mL/min/g in tissue of 1.05 g/mL"""


def integrated(rates, compartments: int = 1) -> np.ndarray:
    """Means over the frames of the sum of compartments with dC/dt = rates(C, A), by scipy on each piece of the curve."""
    edges = np.unique(np.concatenate([TIME, np.asarray(FRAMES.edges)]))
    y, total = np.zeros(compartments + 1), {0.0: 0.0}

    def slope(t, y):
        C = y[:-1]
        return [*rates(C, np.interp(t, TIME, np.asarray(BLOOD.activity))), C.sum()]

    for a, b in itertools.pairwise(edges):
        y = solve_ivp(slope, (a, b), y, rtol=1e-10, atol=1e-12).y[:, -1]
        total[b] = y[-1]
    start, duration = np.asarray(FRAMES.start), np.asarray(FRAMES.duration)
    return np.array([(total[s + d] - total[s]) / d for s, d in zip(start, duration, strict=True)])


def rubidium(flow):  # Lortie et al. 2007
    return flow * (1.0 - 0.77 * np.exp(-0.63 / flow)) * 1.05 / 60.0


def ammonia(flow):
    return flow * (1.0 - 0.607 * np.exp(-1.25 / flow)) * 1.05 / 60.0


DECAY = np.log(2.0) / 122.24
CASES = {
    "water": (Water(), lambda C, A: [F * A - F / 0.9464 * C[0]], 1),
    "water, another partition": (Water(partition=0.7), lambda C, A: [F * A - F / 0.7 * C[0]], 1),
    "water that decays": (Water(decay=DECAY), lambda C, A: [F * A - (F / 0.9464 + DECAY) * C[0]], 1),
    "rubidium": (
        Rubidium(volume=5.0, decay=0.001),
        lambda C, A: [rubidium(2.3) * A - (rubidium(2.3) / 5.0 + 0.001) * C[0]], 1,
    ),
    "ammonia": (
        Ammonia(k2=0.2, k3=0.3, decay=0.002),
        lambda C, A: [
            ammonia(2.3) * A - (0.5 / 60 + 0.002) * C[0], 0.3 / 60 * C[0] - 0.002 * C[1],
        ], 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_tissue_by_integration(name):
    tracer, rates, compartments = CASES[name]
    found = tracer.tissue(jnp.asarray(2.3), BLOOD, FRAMES)
    expected = integrated(rates, compartments)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7 * expected.max())


def test_water_by_the_packages_own_integration():
    """dC/dt = FA - (F/p)C by `by_integration`, as exchange and ammonia have it."""
    found = by_integration(lambda t, C, A: F * A - F / 0.9464 * C, jnp.zeros(1), BLOOD, FRAMES)[0]
    own = Water().tissue(jnp.asarray(2.3), BLOOD, FRAMES)
    np.testing.assert_allclose(own, found, atol=1e-6 * float(own.max()))


def test_extended_tofts_by_integration():
    """v_p A + C_e with dC_e/dt = K A - (K/v_e) C_e, as means over frames and at points of time."""
    K, ve, vp = 0.004, 0.25, 0.06
    model = ExtendedTofts(K, ve, vp)
    own = integrated(lambda C, A: [K * A - K / ve * C[0]])
    blood = integrated(lambda C, A: [0.0 * A]) + frame_means_by_hand()
    np.testing.assert_allclose(model.means(BLOOD, FRAMES), own + vp * blood, rtol=1e-7)
    dense = np.linspace(0, 30, 30_001)
    A = np.interp(dense, TIME, np.asarray(BLOOD.activity))
    kernel = np.exp(-K / ve * (30.0 - dense))
    expected = vp * A[-1] + K * np.trapezoid(kernel * A, dense)
    assert float(model.at(BLOOD, jnp.array([30.0]))[0]) == pytest.approx(expected, rel=1e-6)


def frame_means_by_hand() -> np.ndarray:
    """Trapezoids on a grid that holds all bends."""
    t = np.linspace(0, 60, 6001)
    A = np.interp(t, TIME, np.asarray(BLOOD.activity))
    start, end = np.asarray(FRAMES.start), np.asarray(FRAMES.end)
    return np.array(
        [np.trapezoid(A[(t >= a - 1e-9) & (t <= b + 1e-9)], dx=0.01) / (b - a) for a, b in zip(start, end, strict=True)]
    )


def test_means_of_a_curve_over_frames():
    np.testing.assert_allclose(frame_means(BLOOD, FRAMES), frame_means_by_hand(), rtol=1e-9, atol=1e-12)


def test_a_curve_is_zero_before_its_first_sample():
    """Also delayed, and in what is made of it; after its last sample it stays."""
    late = Curve.of([10.0, 20.0], [4.0, 6.0])
    assert late(jnp.array([0.0, 9.999, 10.0, 15.0, 20.0, 50.0])).tolist() == [0.0, 0.0, 4.0, 5.0, 6.0, 6.0]
    assert late.delayed(5.0)(jnp.array([14.999, 15.0, 20.0])).tolist() == [0.0, 4.0, 5.0]
    frames = Frames.of([0.0, 10.0], [10.0, 10.0])
    np.testing.assert_allclose(frame_means(late, frames), [0.0, 5.0], atol=1e-15)
    np.testing.assert_allclose(convolved(late, 0.0, frames), [0.0, (4 * 50 + 0.1 * 10**3 / 3) / 10], atol=1e-13)
    assert float(Water().tissue(jnp.asarray(2.0), late.delayed(3.0), frames)[0]) == 0.0


def test_regions_with_and_without_background():
    """PTF·C + V_a A + V_b B; either of V_b and B alone adds nothing."""
    C = np.asarray(Water().tissue(jnp.array([2.3]), BLOOD, FRAMES))
    A, around = np.asarray(frame_means(BLOOD, FRAMES)), np.linspace(1.0, 2.0, 6)
    plain = Region(jnp.array([2.3]), jnp.array([0.7]), jnp.array([0.2]))
    expected = 0.7 * C + 0.2 * A
    np.testing.assert_allclose(plain.activity(Water(), BLOOD, FRAMES), expected)
    np.testing.assert_allclose(plain.activity(Water(), BLOOD, FRAMES, jnp.asarray(around)), expected)
    wide = Region(plain.mbf, plain.fraction, plain.arterial, jnp.array([0.1]))
    np.testing.assert_allclose(wide.activity(Water(), BLOOD, FRAMES), expected)
    np.testing.assert_allclose(wide.activity(Water(), BLOOD, FRAMES, jnp.asarray(around)), expected + 0.1 * around)


def test_extraction_by_hand():
    """K1 = F(1 - a e^(-b/F)) of the published constants; no flow, no uptake."""
    for flow in (0.3, 1.0, 4.0):
        assert float(RUBIDIUM(jnp.asarray(flow))) == pytest.approx(rubidium(flow) * 60 / 1.05, rel=1e-12)
        assert float(AMMONIA(jnp.asarray(flow))) == pytest.approx(ammonia(flow) * 60 / 1.05, rel=1e-12)
    assert RUBIDIUM(jnp.array([0.0, -1.0])).tolist() == [0.0, -1.0]
    assert DENSITY == 1.05 and HALF_LIFE == {"O15": 122.24, "Rb82": 76.4, "N13": 597.9, "F18": 6586.2}


def test_decay_is_undone_by_hand():
    """A tracer at rest that decays from 1: its mean over a frame times the factor is 1."""
    rate = np.log(2.0) / 76.4
    start, end = np.asarray(FRAMES.start), np.asarray(FRAMES.end)
    mean = (np.exp(-rate * start) - np.exp(-rate * end)) / (rate * (end - start))
    np.testing.assert_allclose(mean * np.asarray(decay_correction(FRAMES, 76.4)), 1.0, rtol=1e-12)


def test_metabolites_are_taken_out_by_halves():
    """All ammonia for the first 0.48 min, half of it 6.69 min later, a quarter after twice that."""
    t = 60.0 * np.array([0.0, 0.48, 0.48 + 6.69, 0.48 + 2 * 6.69])
    left = ammonia_alone(Curve.of(t, np.full(4, 8.0)))
    np.testing.assert_allclose(left.activity, [8.0, 8.0, 4.0, 2.0], rtol=1e-12)
    np.testing.assert_array_equal(left.time, t)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Curve.of([0.0], [1.0]), "at least two times"),
        (lambda: Curve.of([0.0, 1.0], [1.0, 2.0, 3.0]), "one activity for each"),
        (lambda: Curve.of([0.0, 1.0, 1.0], [1.0, 2.0, 3.0]), "sample 2 is at 1 s after 1 s"),
        (lambda: Curve.of([0.0, np.inf], [1.0, 2.0]), "sample 1 .* not finite"),
        (lambda: Frames.of([0.0, 5.0], [5.0, 0.0]), "positive durations"),
        (lambda: Frames.of([0.0, 5.0], [5.0]), "2 frames need as many"),
        (lambda: Frames.of([0.0, 5.0, 9.0], [5.0, 5.0, 5.0]), "frame 2 starts at 9 s, before frame 1 ends"),
    ],
)
def test_impossible_curves_and_frames_are_refused(make, words):
    with pytest.raises(perfsim.InputError, match=words):
        make()


def test_frames_may_have_gaps_and_touch():
    frames = Frames.of([0.0, 5.0, 20.0], [5.0, 5.0, 10.0])
    assert frames.end.tolist() == [5.0, 10.0, 30.0] and frames.edges.tolist() == [0.0, 5.0, 20.0, 5.0, 10.0, 30.0]
    assert Frames.sequence((2, 5), (1, 30)).start.tolist() == [0.0, 5.0, 10.0]


def test_curves_of_means_by_hand():
    """Of two frames of 2 and 4 s with the means 1 and 6: 0 at the start, then v at 1 s, w at 4 s and on. Piecewise areas say
    (v/2 + (v + (2v + w)/3)/2)/2 = 1 and ((2v + w)/3 + w)/2 · 2/4 + w/2 = 6.
    """
    M = np.array([[0.5 + 0.5 * (1 + 2 / 3), 0.5 / 3], [2 / 3, 1 / 3 + 1 + 2]])
    v, w = np.linalg.solve(M, np.array([2 * 1.0, 4 * 6.0]))
    curve = Curve.of_frames(Frames.of([10.0, 12.0], [2.0, 4.0]), [1.0, 6.0])
    np.testing.assert_allclose(curve.time, [10.0, 11.0, 14.0, 16.0])
    np.testing.assert_allclose(curve.activity, [0.0, v, w, w], rtol=1e-9)
    Curve.of_frames(Frames.of([0.0, 2.0], [2.0, 4.0]), [0.498, 1.0])
    with pytest.raises(perfsim.InputError, match="the first frame holds 50 % of the greatest"):
        Curve.of_frames(Frames.of([0.0, 2.0], [2.0, 4.0]), [0.503, 1.0])
    for wrong in ([1.0], [1.0, np.nan]):
        with pytest.raises(perfsim.InputError, match="2 frames need as many finite activities"):
            Curve.of_frames(Frames.of([0.0, 2.0], [2.0, 4.0]), wrong)


@pytest.mark.parametrize(("greatest", "fine"), [(0.01005, True), (0.00995, False), (49.8, True), (50.3, False)])
def test_images_and_blood_have_one_unit(greatest, fine):
    """The greatest activity of tissue is a hundredth to fifty times that of blood."""
    curve = Curve.of([0.0, 1.0], [0.0, 1.0])
    if fine:
        check_scale(curve, np.array([greatest, np.nan]))
    else:
        with pytest.raises(perfsim.InputError, match="both in one unit"):
            check_scale(curve, np.array([greatest, np.nan]))
    check_scale(curve, np.zeros(2))


def test_curves_must_cover_the_frames():
    """They may begin late with 5 % of their maximum, and end with the last frame; samples at starts or ends are noted."""
    frames = Frames.of([0.0, 5.0, 10.0], [5.0, 5.0, 5.0])
    check_covers(Curve.of([2.0, 7.0, 15.0], [0.0497, 1.0, 0.5]), frames)
    with pytest.raises(perfsim.InputError, match="begins at 2 s with 5 % of its maximum, the frames at 0 s"):
        check_covers(Curve.of([2.0, 7.0, 15.0], [0.0503, 1.0, 0.5]), frames)
    with pytest.raises(perfsim.InputError, match="ends at 14 s, the last frame at 15 s: give a longer curve"):
        check_covers(Curve.of([0.0, 7.0, 14.0], [0.0, 1.0, 0.5]), frames)
    for time, where in (([0.0, 5.0, 10.0], "start"), ([5.0, 10.0, 15.0], "end")):
        curve = Curve.of(time, [0.0, 1.0, 0.5])
        if where == "start":
            with pytest.raises(perfsim.InputError, match=r"at the start of each frame.*use Curve\.of_frames"):
                check_covers(curve, frames)
        else:
            with pytest.warns(InputNote, match="at the end of each frame"):
                check_covers(curve, frames)


def test_flows_are_found_from_what_is_taken_up():
    """F of K1 = F(1 - a e^(-b/F)) by a bracketing root finder; its derivatives by K1 and by a, those of the inverse."""
    K1 = np.array([0.2, 0.9, 1.7])
    law = lambda F, a=0.77: F * (1 - a * np.exp(-0.63 / F))  # noqa: E731
    exact = np.array([brentq(lambda F, k=k: law(F) - k, k, 40.0, xtol=1e-13) for k in K1])
    flow, (by_a, by_K1) = jax.jit(jax.value_and_grad(lambda a, k: jnp.sum(RenkinCrone(a, 0.63).flow(k)), (0, 1)))(
        0.77, jnp.asarray(K1)
    )
    assert float(flow) == pytest.approx(exact.sum(), rel=1e-9)
    h = 1e-6
    slope = (law(exact + h) - law(exact - h)) / (2 * h)
    np.testing.assert_allclose(by_K1, 1 / slope, rtol=1e-6)
    assert float(by_a) == pytest.approx(np.sum(exact * np.exp(-0.63 / exact) / slope), rel=1e-6)


def test_two_compartments_exchange_by_integration():
    """v_p dC_p/dt = F(A - C_p) - PS(C_p - C_e), v_e dC_e/dt = PS(C_p - C_e), by scipy; the rates are these."""
    F0, PS, vp, ve = 0.02, 0.008, 0.06, 0.2
    model = Exchange(F0, PS, vp, ve)
    expected = integrated(
        lambda C, A: [F0 * (A - C[0] / vp) - PS * (C[0] / vp - C[1] / ve), PS * (C[0] / vp - C[1] / ve)], 2
    )
    np.testing.assert_allclose(model.means(BLOOD, FRAMES), expected, rtol=1e-6, atol=1e-6 * expected.max())
    rates = model.rates(0.0, jnp.array([0.3, 0.5]), 7.0)
    across = PS * (0.3 / vp - 0.5 / ve)
    np.testing.assert_allclose(rates, [F0 * (7.0 - 0.3 / vp) - across, across], rtol=1e-12)
