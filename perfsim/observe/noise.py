"""How far a measurement may lie from what was there."""

from perfsim._outcome import is_traced
from perfsim._results import InputError

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

NUGGET = 0.1
"""share of the variance of correlated voxels that each has by itself"""


class Noise(eqx.Module):
    """Errors of standard deviation σ(m)² = (ρm)² + σ₀² at the model's value m; independent, or correlated by `factor`.

    The residual is formed on the scale where that deviation is one, g(m) = asinh(ρm/σ₀)/ρ (Bartlett 1947, Biometrics
    3:39), so that it is a fixed function of the model without the weights that favor large predictions; the shift
    E g(y) - g(m) ≈ -½ρ²m/σ(m) of the mean is taken out.
    """

    relative: Float[Array, ""] | Float[Array, " data"] = eqx.field(converter=jnp.asarray, default=0.0)
    """ρ"""
    absolute: Float[Array, ""] | Float[Array, " data"] = eqx.field(converter=jnp.asarray, default=0.05)
    """σ₀ > 0, in the unit of the data"""
    factor: Float[Array, "data data"] | None = None
    """lower Cholesky factor of the correlation matrix, see `correlation_factor`"""
    freedom: Float[Array, ""] | None = None
    """ν of Student's t, for data with outliers; None: normal"""

    def __check_init__(self):
        """Refuse deviations that are none; under `jit` nothing can be refused."""
        if is_traced((self.relative, self.absolute)):
            return
        relative, absolute = np.asarray(self.relative), np.asarray(self.absolute)
        if not (np.all((relative >= 0.0) & np.isfinite(relative)) and np.all(absolute >= 0.0)):
            raise InputError(
                f"the noise has the relative part {relative.min():.4g} and the absolute part {absolute.min():.4g}: "
                "give standard deviations that are not negative"
            )

    def deviation(self, m: Float[Array, "*data"]) -> Float[Array, "*data"]:
        """σ(m)."""
        return jnp.sqrt((self.relative * m) ** 2 + self.absolute**2)

    def residual(self, m: Float[Array, "*data"], y: Float[Array, "*data"]) -> Float[Array, "*data"]:
        """Model minus measurement in standard deviations; zero where `y` is NaN (not measured)."""
        seen = jnp.isfinite(y)
        m, y = jnp.where(seen, m, 0.0), jnp.where(seen, y, 0.0)
        gap = self._stabilized(m) - self._stabilized(y) - 0.5 * self.relative**2 * m / self.deviation(m)
        gap = jnp.where(seen, gap, 0.0)
        if self.factor is not None:
            gap = jax.scipy.linalg.solve_triangular(self.factor, gap, lower=True)
        return gap if self.freedom is None else _heavy_tailed(gap, self.freedom)

    def _stabilized(self, m):
        linear = self.relative == 0
        rho = jnp.where(linear, 1.0, self.relative)
        return jnp.where(linear, m / self.absolute, jnp.arcsinh(rho * m / self.absolute) / rho)

    def draw(self, rng: np.random.Generator, m: np.ndarray) -> np.ndarray:
        """A measurement of the values m (host)."""
        m = np.asarray(m)
        noise = rng.normal(size=m.shape) if self.freedom is None else rng.standard_t(float(self.freedom), m.shape)
        if self.factor is not None:
            noise = np.asarray(self.factor) @ noise
        return m + np.asarray(self.deviation(m)) * noise


def _heavy_tailed(r, nu):
    """s(r) with ½s² = ½(ν+1) log(1 + r²/ν): minus the log-density of Student's t, smooth at 0."""
    u = r**2 / nu
    small = u < 1e-8
    safe = jnp.where(small, 1.0, u)
    return r * jnp.sqrt((nu + 1.0) / nu * jnp.where(small, 1.0 - 0.5 * u, jnp.log1p(safe) / safe))


def correlation_factor(point: np.ndarray, fwhm: float, nugget: float = NUGGET) -> Float[Array, "data data"]:
    """Cholesky factor of the correlation of voxels at `point` [m] whose white noise went through a Gaussian of `fwhm`.

    Noise smoothed by a Gaussian of variance s² correlates as exp(-d²/4s²); a share `nugget` of each variance stays with
    the voxel, as reconstruction leaves some, without which the matrix is singular to round-off. Raises `InputError`
    beyond 12,000 voxels, whose factor takes more than a gigabyte.
    """
    if len(point) > 12_000:
        raise InputError(
            f"{len(point)} voxels are too many for a full correlation matrix: use larger ones, at most 12,000"
        )
    s = fwhm / (2.0 * np.sqrt(2.0 * np.log(2.0)))
    square = np.sum((point[:, None] - point) ** 2, axis=-1)
    matrix = (1.0 - nugget) * np.exp(-square / (4.0 * s**2)) + nugget * np.eye(len(point))
    return jnp.asarray(np.linalg.cholesky(matrix))
