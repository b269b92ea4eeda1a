"""Random fields of tone against the Matérn correlation that they are meant to have, away from any surface."""

from perfsim.darcy import box
from perfsim.inverse import Matern

import jax
import jax.numpy as jnp
import numpy as np
import pytest

H, N, LENGTH, SD, DRAWS = 4e-3, 14, 15e-3, 0.3, 300


def on_the_grid(kappa: float, power: int, spacing: float, lags: int) -> np.ndarray:
    """Correlation of (κ² - Δ)^(-power/2) of white noise by its spectrum, Δ the seven-point operator on this grid."""
    k = 2.0 * np.pi * np.fft.fftfreq(96, d=spacing)
    s = (2.0 / spacing * np.sin(0.5 * k * spacing)) ** 2
    found = np.fft.ifftn(1.0 / (kappa**2 + s[:, None, None] + s[None, :, None] + s[None, None, :]) ** power).real
    return found[: lags + 1, 0, 0] / found[0, 0, 0]


def test_the_grid_comes_to_materns_law():
    """ν = 5/2: (1 + κd + (κd)²/3) e^(-κd), κ = √20/ℓ; ν = 1/2: e^(-κd), κ = 2/ℓ. Both fall to 0.14 over the length."""
    d = 1e-3 * np.arange(21)
    smooth, rough = np.sqrt(20.0) / LENGTH, 2.0 / LENGTH
    law = (1 + smooth * d + (smooth * d) ** 2 / 3) * np.exp(-smooth * d)
    np.testing.assert_allclose(on_the_grid(smooth, 4, 1e-3, 20), law, atol=0.01)
    np.testing.assert_allclose(on_the_grid(rough, 2, 1e-3, 20), np.exp(-rough * d), atol=0.03)
    assert law[15] == pytest.approx(0.139, abs=1e-3) and np.exp(-rough * d[15]) == pytest.approx(0.135, abs=1e-3)


@pytest.mark.parametrize(("smooth", "kappa", "power"), [(True, np.sqrt(20.0) / LENGTH, 4), (False, 2.0 / LENGTH, 2)])
def test_correlation_is_materns(smooth, kappa, power):
    """Deviation to 3 %, everywhere to 15 %; correlation to 0.04, by 300 draws and all pairs in the middle of a cube."""
    volumes, samples = box([N * H] * 3, [N] * 3)
    field = Matern.of(volumes, LENGTH, SD, smooth)
    assert float(field.kappa) == pytest.approx(kappa, rel=1e-12)
    draw = jax.jit(jax.vmap(lambda xi: field(volumes, xi)))
    white = np.random.default_rng(1).normal(size=(DRAWS, N**3))
    found = np.concatenate([np.asarray(draw(jnp.asarray(part))) for part in np.split(white, 6)])
    assert np.sqrt(np.mean(found**2)) == pytest.approx(SD, rel=0.03)
    grid = np.zeros((DRAWS, N, N, N))
    grid[(slice(None), *np.asarray(samples.index).T)] = found
    by_shell = [np.sqrt(np.mean(grid[:, k] ** 2)) for k in (0, N // 2)]  # at the surface and in the middle
    np.testing.assert_allclose(by_shell, SD, rtol=0.15)
    middle = grid[:, 3:11, 3:11, 3:11]
    expected = on_the_grid(kappa, power, H, 5)
    for lag in range(1, 6):
        pairs = [np.take(middle, range(lag, 8), a) * np.take(middle, range(8 - lag), a) for a in (1, 2, 3)]
        assert np.mean([p.mean() for p in pairs]) / np.mean(middle**2) == pytest.approx(expected[lag], abs=0.04), lag
