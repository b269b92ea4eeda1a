"""Dynamic scans as they were taken: activity in every frame, instead of the MBF that somebody made of it."""

from perfsim._results import InputError
from perfsim.observe.measurements import Imaging
from perfsim.observe.noise import Noise
from perfsim.observe.pose import Pose
from perfsim.observe.tracers.curves import Curve, Frames, check_covers, check_scale
from perfsim.observe.tracers.kinetics import frame_means
from perfsim.observe.tracers.tissue import Tracer
from perfsim.observe.views import EachVolume, View

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Activity(Imaging):
    """Mean activity of voxels or regions in the frames of a dynamic scan of one state.

    measured = view(C_T(MBF)) + V_a A: every volume takes up tracer by its own MBF, the camera blurs the activity (a
    `view` with per="region", so that it sees F·PTF), arterial blood adds what lies in the voxel or spills over. The
    blood curve A is the sampled one `delay` later.
    """

    state: str = eqx.field(static=True)
    value: Float[Array, "data frames"]
    """NaN where not measured, in the unit of the blood curve"""
    noise: Noise
    """with σ₀ as one number or for each datum and frame"""
    view: View
    tracer: Tracer
    blood: Curve
    frames: Frames
    arterial: Float[Array, " data"]
    """V_a, blood in the voxel and from the cavity (see `fractions`) [mL/mL]"""
    delay: Float[Array, ""]
    """[s]"""
    pose: Pose
    instrument: str = eqx.field(static=True)

    def __init__(
        self, state, value, noise, tracer, blood, frames, *, view=None, arterial=0.0, delay=0.0, pose=None,
        instrument="PET",
    ):  # fmt: skip
        """Arguments: `state` by name, `value` with a row for each datum of the `view`, `noise`, `tracer`, `blood`
        curve, `frames`; `arterial` fraction, one or for each datum. Raises `InputError` for rows that are not of these
        frames, or a curve that ends before them.
        """
        self.state, self.value = state, jnp.asarray(value, float)
        if self.value.ndim != 2 or self.value.shape[1] != len(frames.start):
            raise InputError(f"activity needs a column for each of the {len(frames.start)} frames: {self.value.shape}")
        check_covers(blood, frames)
        check_scale(blood, self.value)
        self.noise, self.tracer, self.blood, self.frames = noise, tracer, blood, frames
        self.view, self.pose, self.instrument = view or EachVolume(), pose or Pose(), instrument
        self.arterial = jnp.broadcast_to(jnp.asarray(arterial, float), self.value.shape[:1])
        self.delay = jnp.asarray(delay, float)

    @property
    def needs(self):
        return (self.state,)

    @property
    def size(self):
        return self.value.shape[0]

    def predict(self, sim, solution):
        volumes, blood = sim.parts()[0], self.blood.delayed(self.delay)
        taken_up = self.tracer.tissue(solution[self.state].mbf, blood, self.frames)
        seen = jax.vmap(lambda frame: self.view(volumes, frame, self.pose), in_axes=1, out_axes=1)(taken_up)
        return seen + self.arterial[:, None] * frame_means(blood, self.frames)

    def residual(self, sim, solution):
        return jnp.ravel(self.noise.residual(self.predict(sim, solution), self.value))
