"""Tracers: convolutions, kinetics, extraction, regions, files."""

import json

import perfsim
from perfsim import RESULTS
from perfsim.io import read_curve, read_dynamic, read_dynamic_map, read_frames, read_mbf_map
from perfsim.observe import LongAxis, Pose
from perfsim.observe.tracers import (
    AMMONIA,
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
    by_integration,
    convolved,
    decay_correction,
    fit_regions,
)
from perfsim.observe.tracers.kinetics import phis

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest

FRAMES = Frames.sequence((14, 5), (3, 10), (3, 20), (4, 30))


@pytest.fixture(scope="module")
def blood():
    """A bolus: it arrives at 10 s, peaks 16 s later and leaves a tail."""
    t = np.arange(0.0, 361.0)
    first = np.where(t > 10, ((t - 10) / 8) ** 2 * np.exp(-(t - 10) / 8) * 50, 0.0)
    tail = np.where(t > 10, 8 * (1 - np.exp(-(t - 10) / 30)) * np.exp(-t / 500), 0.0)
    return Curve.of(t, first + tail)


def test_phis_are_exact_and_smooth():
    """Against 60-digit values at both sides of where series and closed form meet; slopes are continuous."""
    import decimal as d

    d.getcontext().prec = 60
    for x in (1e-9, 0.3, 0.69999, 0.70001, 3.0, 50.0):
        X = d.Decimal(x)
        one = (1 - (-X).exp()) / X
        two = (1 - one) / X
        exact = [one, two, (d.Decimal(1) / 2 - two) / X]
        np.testing.assert_allclose([float(p) for p in phis(jnp.asarray(x))], [float(e) for e in exact], rtol=1e-13)
    slope = jax.vmap(jax.jacfwd(lambda x: jnp.stack(phis(x))))(jnp.array([0.7 - 1e-9, 0.7 + 1e-9]))
    np.testing.assert_allclose(slope[0], slope[1], rtol=1e-7)


def test_frame_means_of_a_constant_input():
    """A = 1 from time 0: the mean of (1 - e^(-kt))/k over a frame, also for k = 0 (t)."""
    one = Curve.of([0.0, 1.0, 400.0], [1.0, 1.0, 1.0])
    k = jnp.array([0.0, 1e-3, 0.05])
    found = convolved(one, k, FRAMES)
    a, b = np.asarray(FRAMES.start), np.asarray(FRAMES.end)
    np.testing.assert_allclose(found[0], 0.5 * (a + b), rtol=1e-12)
    for row, rate in ((1, 1e-3), (2, 0.05)):
        exact = (1 - (np.exp(-rate * a) - np.exp(-rate * b)) / (rate * (b - a))) / rate
        np.testing.assert_allclose(found[row], exact, rtol=1e-10)


@pytest.mark.smoke
def test_closed_forms_agree_with_integration(blood):
    """Two-compartment exchange and ammonia's trap against diffrax at a tolerance of 1e-8."""
    exchange = Exchange(1 / 60, 0.5 / 60, 0.1, 0.3)
    closed, ode = exchange.means(blood, FRAMES), by_integration(exchange.rates, jnp.zeros(2), blood, FRAMES).sum(0)
    np.testing.assert_allclose(closed, ode, atol=1e-6 * float(closed.max()))
    tracer = Ammonia(k2=0.2, k3=0.3)
    K1 = float(AMMONIA(jnp.asarray(2.0))) * 1.05 / 60

    def trap(t, C, A):
        return jnp.stack([K1 * A - (0.5 / 60) * C[0], (0.3 / 60) * C[0]])

    ode = by_integration(trap, jnp.zeros(2), blood, FRAMES).sum(0)
    np.testing.assert_allclose(tracer.tissue(jnp.asarray(2.0), blood, FRAMES), ode, atol=1e-6 * float(ode.max()))


def test_an_integration_that_fails_is_nan(blood):
    """dC/dt = C² from 1 ends at t = 1 s: no number stands for what comes after."""
    found = by_integration(lambda t, C, A: C**2, jnp.ones(1), blood, FRAMES, steps=60)
    assert bool(jnp.all(jnp.isnan(found)))


def test_water_flow_is_recovered(blood):
    """Noise-free curves of F 0.5-5 mL/min/mL with 70 % tissue and 25 % blood: F to 0.1 %."""
    mbf = jnp.linspace(0.5, 5.0, 10) / 1.05
    activity = Region(mbf, jnp.full(10, 0.7), jnp.full(10, 0.25)).activity(Water(), blood, FRAMES)
    found, ended = fit_regions(activity, Water(), blood, FRAMES)
    np.testing.assert_allclose(found.mbf, mbf, rtol=1e-3)
    np.testing.assert_allclose(found.fraction, 0.7, rtol=1e-3)
    assert float(ended.misfit.max()) < 1e-6
    assert (ended.result == RESULTS.successful).all()


def test_a_region_that_is_not_fitted_is_nan(blood):
    """Too few steps, and a curve with a hole: that region is NaN and says why, the other is right."""
    mbf = jnp.linspace(0.5, 5.0, 10) / 1.05
    seen = Region(mbf, jnp.full(10, 0.7), jnp.full(10, 0.25)).activity(Water(), blood, FRAMES)
    found, ended = fit_regions(seen.at[3, 5].set(jnp.nan), Water(), blood, FRAMES)
    assert np.flatnonzero(np.isnan(found.mbf)).tolist() == np.flatnonzero(ended.result).tolist() == [3]
    assert ended.result[3] == RESULTS.fit_not_finite
    found, ended = fit_regions(seen, Water(), blood, FRAMES, max_steps=2)
    assert np.isnan(found.mbf).all() and np.isnan(found.fraction).all()
    assert (ended.result == RESULTS.fit_out_of_steps).all() and (ended.steps == 2).all()


def test_decay_is_a_washout(blood):
    """Uncorrected curves with the decay rate in the model, corrected frame by frame, are the corrected ones."""
    rate = np.log(2) / HALF_LIFE["O15"]
    fine = Frames.sequence((300, 1.0))
    t = np.arange(0.0, 361.0, 0.25)
    corrected = Curve.of(t, np.asarray(blood(jnp.asarray(t))))
    decaying = Curve.of(t, np.asarray(corrected.activity) * np.exp(-rate * t))
    a = Water().tissue(jnp.asarray(2.0), corrected, fine)
    b = Water(decay=rate).tissue(jnp.asarray(2.0), decaying, fine) * decay_correction(fine, HALF_LIFE["O15"])
    np.testing.assert_allclose(b, a, rtol=2e-4, atol=1e-4 * float(a.max()))


@pytest.mark.parametrize("law", [RUBIDIUM, AMMONIA])
def test_extraction_inverts(law):
    """Round trip to 1e-10, and the derivative of the inverse, by flow and by the law's constants."""
    flow = jnp.array([0.05, 0.3, 1.0, 3.0, 8.0])
    np.testing.assert_allclose(law.flow(law(flow)), flow, rtol=1e-10)
    slope = jax.vmap(jax.grad(law))(flow)
    np.testing.assert_allclose(jax.vmap(jax.grad(law.flow))(law(flow)), 1.0 / slope, rtol=1e-9)
    K1 = law(jnp.asarray(2.0))
    by_a = jax.grad(lambda a: RenkinCrone(a, law.b).flow(K1))(law.a)
    difference = (RenkinCrone(law.a + 1e-5, law.b).flow(K1) - RenkinCrone(law.a - 1e-5, law.b).flow(K1)) / 2e-5
    assert float(by_a) == pytest.approx(float(difference), rel=1e-6)
    assert float(law(jnp.asarray(0.0))) == 0.0 and np.isfinite(jax.grad(law)(jnp.asarray(0.0)))


def test_rubidium_underestimates_high_flow(blood):
    """The uptake at 4 mL/min/g is less than three times that at 1: extraction falls."""
    tracer = Rubidium(volume=5.0)
    low, high = (tracer.tissue(jnp.asarray(f), blood, FRAMES) for f in (1.0, 4.0))
    assert 1.2 < float(high[10] / low[10]) < 3.0


def test_gradients_through_a_tracer(blood):
    def value(z):
        tracer = Water(partition=z[0])
        return jnp.sum(Region(z[1:2], z[2:3], z[3:4]).activity(tracer, blood.delayed(z[4]), FRAMES) ** 2)

    z = jnp.array([0.9464, 2.0, 0.7, 0.2, 1.3])
    slope = jax.grad(value)(z)
    for k in range(5):
        h = 1e-5 * jnp.zeros(5).at[k].set(1.0)
        assert float(slope[k]) == pytest.approx(float((value(z + h) - value(z - h)) / 2e-5), rel=1e-6)


def test_osipi_extended_tofts(data):
    """The 15 voxels of OSIPI's digital reference object within its own tolerances: v_e 0.05, v_p 0.025, K_trans 0.005 +
    10 % per minute (OSIPI DCE-DSC-MRI code collection).
    """
    import csv
    import sys

    csv.field_size_limit(sys.maxsize)
    with (data / "pet" / "osipi" / "dce_DRO_data_extended_tofts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    for row in rows:
        time, C, ca = (np.array([float(x) for x in row[k].split()]) for k in ("t", "C", "ca"))
        plasma = Curve.of(time, ca)

        def residual(z, plasma_time_C):
            plasma, time, C = plasma_time_C
            K, ve, vp = jnp.exp(z)
            return ExtendedTofts(K / 60.0, ve, vp).at(plasma, time) - C

        start = jnp.log(jnp.array([0.6, 0.2, 0.01]))
        solver = optx.LevenbergMarquardt(rtol=1e-8, atol=1e-8)
        arguments = plasma, jnp.asarray(time), jnp.asarray(C)
        K, ve, vp = np.exp(optx.least_squares(residual, solver, start, args=arguments, throw=False).value)
        assert abs(ve - float(row["ve"])) <= 0.05, row["label"]
        assert abs(vp - float(row["vp"])) <= 0.025, row["label"]
        assert abs(K - float(row["Ktrans"])) <= 0.005 + 0.1 * float(row["Ktrans"]), row["label"]


def test_curves_and_frames_are_checked(tmp_path, blood):
    for time, activity, match in (([0, 2, 1], [0, 1, 2], "must increase"), ([0, 1], [0, np.nan], "not finite")):
        with pytest.raises(perfsim.InputError, match=match):
            Curve.of(time, activity)
    with pytest.raises(perfsim.InputError, match="frame 1 starts at 1 s"):
        Frames.of([0, 1], [5, 5])
    with pytest.raises(perfsim.InputError, match="ends at 100 s, the last frame at 280 s"):
        fit_regions(jnp.ones((1, 24)), Water(), Curve.of([0.0, 100.0], [1.0, 1.0]), FRAMES)
    table = tmp_path / "blood.csv"
    table.write_text("time_s,activity\n0,0\n10,5.5\n20,oops\n")
    with pytest.raises(perfsim.InputError, match=r"line 4: activity 'oops' is not a number"):
        read_curve(table)
    table.write_text("time_s,activity\n0,0\n10,5.5\n")
    assert float(read_curve(table)(jnp.asarray(5.0))) == pytest.approx(2.75)


def test_dynamic_images_come_with_their_sidecar(tmp_path):
    import nibabel as nib

    nib.save(nib.Nifti1Image(np.ones((4, 5, 6, 3), np.float32), np.diag([2, 2, 3, 1])), tmp_path / "scan.nii.gz")
    sidecar = tmp_path / "scan.json"
    sidecar.write_text(json.dumps({"FrameTimesStart": [0, 5, 10], "FrameDuration": [5, 5, 10], "Units": "Bq/mL"}))
    image, affine, frames, _ = read_dynamic(tmp_path / "scan.nii.gz")
    assert image.shape == (4, 5, 6, 3) and float(frames.end[-1]) == 20.0
    np.testing.assert_allclose(np.diag(affine), [-2e-3, -2e-3, 3e-3, 1.0])
    sidecar.write_text(json.dumps({"FrameTimesStart": [0, 5], "FrameDuration": [5, 5]}))
    with pytest.raises(perfsim.InputError, match="does not hold the 2 frames"):
        read_dynamic(tmp_path / "scan.nii.gz")
    sidecar.write_text(json.dumps({"FrameTimesStart": [0, 5], "FrameDuration": [5, 5], "Units": "counts"}))
    with pytest.raises(perfsim.InputError, match="'counts'"):
        read_frames(sidecar)


def test_maps_of_mbf_are_read_and_checked(small_heart, tmp_path):
    """A map on a 3 mm grid is read back on the wall; six kinds of wrong ones are refused in a sentence."""
    import nibabel as nib

    volumes, axis = small_heart.sim.volumes, LongAxis.of(small_heart.wall.frame)
    center = np.asarray(volumes.center)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = 1e3 * (center * [-1, -1, 1]).min(0) - 9
    shape = tuple(int(n) for n in (1e3 * np.ptp(center, axis=0) + 18) // 3 + 1)
    good = np.full(shape, 2.0, np.float32)

    def read(values, turned=affine, **options):
        nib.save(nib.Nifti1Image(values, turned), tmp_path / "mbf.nii.gz")
        return read_mbf_map(tmp_path / "mbf.nii.gz", volumes, axis, fwhm=7e-3, **options)

    value, view = read(good)
    np.testing.assert_allclose(value, 2.0)
    assert float(view.fraction(volumes, Pose()).min()) >= 0.5 and len(value) == len(view.point)
    np.testing.assert_allclose(read(good, unit="mL/min/mL")[0], 2.0 / 1.05)
    away = affine.copy()
    away[0, 3] += 55.0
    broken = good.copy()
    broken[shape[0] // 4 :] = np.nan
    for values, turned, match in (
        (100 * good, affine, "mL/min/100g"),
        (good / 60, affine, "mL/s/g"),
        (-good, affine, "negative"),
        (broken, affine, "NaN"),
        (good, away, "covers"),
        (np.stack([good, good], -1), affine, "three dimensions"),
    ):
        with pytest.raises(perfsim.InputError, match=match):
            read(values, turned)

    frames = np.stack([good, 3 * good], -1)
    nib.save(nib.Nifti1Image(frames, affine), tmp_path / "scan.nii.gz")
    (tmp_path / "scan.json").write_text(json.dumps({"FrameTimesStart": [0, 5], "FrameDuration": [5, 5]}))
    activity, region, found = read_dynamic_map(tmp_path / "scan.nii.gz", volumes, axis, fwhm=7e-3)
    np.testing.assert_array_equal(activity, np.tile([2.0, 6.0], (len(view.point), 1)))
    assert region.per == "region" and float(found.end[-1]) == 10.0
    nib.save(nib.Nifti1Image(frames, away), tmp_path / "scan.nii.gz")
    with pytest.raises(perfsim.InputError, match="covers"):
        read_dynamic_map(tmp_path / "scan.nii.gz", volumes, axis, fwhm=7e-3)
