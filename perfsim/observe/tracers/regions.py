"""Regions of an image: tissue, blood and background in one voxel or segment, and the fit of their kinetics."""

from typing import Literal

from perfsim._outcome import poison
from perfsim._results import RESULTS
from perfsim.observe.tracers.curves import Curve, Frames, check_covers, check_scale
from perfsim.observe.tracers.kinetics import frame_means
from perfsim.observe.tracers.tissue import Tracer

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

LONGEST = 30.0
"""[s], delay of the tissue that a fit may find"""


class Region(eqx.Module):
    """C_roi = PTF·C_T(MBF; A delayed) + V_a·A + V_b·B: perfusable tissue fraction, arterial blood, background.

    A is the activity of the pool where it was sampled. Blood reaches the tissue `delay` later; what spills over from
    the pool does not wait.
    """

    mbf: Float[Array, " regions"]
    """of the perfusable tissue [mL/min/g]"""
    fraction: Float[Array, " regions"]
    """PTF [mL/mL]"""
    arterial: Float[Array, " regions"]
    """V_a [mL/mL]"""
    background: Float[Array, " regions"] | None = None
    """V_b"""
    delay: Float[Array, " regions"] | None = None
    """[s] by which the tissue lags the pool; None: 0"""

    def activity(
        self, tracer: Tracer, blood: Curve, frames: Frames, around: Float[Array, " frames"] | None = None
    ) -> Float[Array, "regions frames"]:
        """Mean activity of each region in each frame; `around` is B."""
        if self.delay is None:
            C = tracer.tissue(self.mbf, blood, frames)
        else:
            C = jax.vmap(lambda mbf, late: tracer.tissue(mbf, blood.delayed(late), frames))(self.mbf, self.delay)
        C = self.fraction[:, None] * C
        C = C + self.arterial[:, None] * frame_means(blood, frames)
        return C if self.background is None or around is None else C + self.background[:, None] * around


class RegionFit(eqx.Module):
    """How the fit of each region ended."""

    misfit: Float[Array, " regions"]
    """rms of what is left of each curve, over the curve's maximum"""
    steps: Int[Array, " regions"]
    result: Int[Array, " regions"]
    """values of `RESULTS`; a region that did not succeed is NaN"""


def fit_regions(
    curves: Float[Array, "regions frames"],
    tracer: Tracer,
    blood: Curve,
    frames: Frames,
    *,
    delay: float | Literal["fit"] = 0.0,
    max_steps: int = 200,
) -> tuple[Region, RegionFit]:
    """Fit MBF, tissue fraction and arterial fraction to measured curves, each by itself.

    Least squares weighted by frame duration, by optimistix' Levenberg-Marquardt, all values positive.

    Arguments: `curves` in the unit of the blood curve; `delay` [s] of the tissue behind the pool where blood was
    sampled, or "fit" (0-30 s, one for each region); `max_steps` of a region's fit.
    Returns: the regions, and how their fits ended. A region whose fit did not converge is NaN: it never shows where the
    fit began.
    Raises: `InputError` for a blood curve that begins too late or ends before the last frame, or that is in another
    unit.
    """
    check_covers(blood, frames)
    check_scale(blood, curves)
    return _fitted(curves, tracer, blood, frames, None if delay == "fit" else jnp.asarray(delay, float), max_steps)


@eqx.filter_jit
def _fitted(curves, tracer: Tracer, blood: Curve, frames: Frames, delay, max_steps: int) -> tuple[Region, RegionFit]:
    import optimistix as optx  # here, not above: few need it

    weight = jnp.sqrt(frames.duration / jnp.mean(frames.duration))
    size = jnp.maximum(jnp.max(jnp.abs(curves), axis=1), 1e-30)

    def region(z):
        mbf, fraction, arterial = jnp.exp(z[:3])
        late = LONGEST * jax.nn.sigmoid(z[3]) if delay is None else delay
        return Region(mbf[None], fraction[None], arterial[None], delay=late[None])

    def one(curve, size):
        def residual(z, _):
            return weight * (region(z).activity(tracer, blood, frames)[0] - curve) / size

        solver: optx.AbstractLeastSquaresSolver = optx.LevenbergMarquardt(rtol=1e-8, atol=1e-10)
        start = jnp.concatenate([jnp.log(jnp.array([1.0, 0.7, 0.2])), jnp.full(int(delay is None), -2.0)])
        found: optx.Solution = optx.least_squares(residual, solver, start, max_steps=max_steps, throw=False)
        misfit = jnp.sqrt(jnp.mean(residual(found.value, None) ** 2))
        result = jnp.where(found.result == optx.RESULTS.successful, RESULTS.successful, RESULTS.fit_out_of_steps)
        result = jnp.where(jnp.isfinite(misfit), result, RESULTS.fit_not_finite).astype(int)
        fitted = jax.tree.map(lambda x: x[0], region(found.value))
        return poison(fitted, result != RESULTS.successful), RegionFit(misfit, found.stats["num_steps"], result)

    return jax.vmap(one)(curves, size)
