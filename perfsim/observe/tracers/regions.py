"""Regions of an image: tissue, blood and background in one voxel or segment, and the fit of their kinetics."""

from perfsim.observe.tracers.curves import Curve, Frames, check_covers
from perfsim.observe.tracers.kinetics import frame_means
from perfsim.observe.tracers.tissue import Tracer

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Region(eqx.Module):
    """C_roi = PTF·C_T(MBF) + V_a·A + V_b·B: perfusable tissue fraction, arterial blood with spill-over, background."""

    mbf: Float[Array, " regions"]
    """of the perfusable tissue [mL/min/g]"""
    fraction: Float[Array, " regions"]
    """PTF [mL/mL]"""
    arterial: Float[Array, " regions"]
    """V_a [mL/mL]"""
    background: Float[Array, " regions"] | None = None
    """V_b"""

    def activity(
        self, tracer: Tracer, blood: Curve, frames: Frames, around: Float[Array, " frames"] | None = None
    ) -> Float[Array, "regions frames"]:
        """Mean activity of each region in each frame; `around` is B."""
        C = self.fraction[:, None] * tracer.tissue(self.mbf, blood, frames)
        C = C + self.arterial[:, None] * frame_means(blood, frames)
        return C if self.background is None or around is None else C + self.background[:, None] * around


def fit_regions(
    curves: Float[Array, "regions frames"], tracer: Tracer, blood: Curve, frames: Frames, *, steps: int = 60
) -> tuple[Region, Float[Array, " regions"]]:
    """MBF, tissue fraction and arterial fraction of measured curves, each by itself; and the rms residual.

    Least squares weighted by frame duration, by optimistix' Levenberg-Marquardt, all positive. Raises `InputError` for
    a blood curve that ends before the last frame.
    """
    check_covers(blood, frames)
    return _fitted(curves, tracer, blood, frames, steps)


@eqx.filter_jit
def _fitted(curves, tracer: Tracer, blood: Curve, frames: Frames, steps: int):
    import optimistix as optx  # here, not above: few need it

    weight = jnp.sqrt(frames.duration / jnp.mean(frames.duration))
    size = jnp.maximum(jnp.max(jnp.abs(curves), axis=1), 1e-30)

    def model(z):
        mbf, fraction, arterial = jnp.exp(z)
        return Region(mbf[None], fraction[None], arterial[None]).activity(tracer, blood, frames)[0]

    def one(curve, size):
        def residual(z, _):
            return weight * (model(z) - curve) / size

        solver: optx.AbstractLeastSquaresSolver = optx.LevenbergMarquardt(rtol=1e-8, atol=1e-10)
        start = jnp.log(jnp.array([1.0, 0.7, 0.2]))
        found = optx.least_squares(residual, solver, start, max_steps=steps, throw=False).value
        return jnp.exp(found), jnp.sqrt(jnp.mean(residual(found, None) ** 2))

    values, misfit = jax.vmap(one)(curves, size)
    return Region(*values.T), misfit
