"""Time courses: what was sampled in the blood, and the frames of a scan."""

from perfsim._results import InputError

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Curve(eqx.Module):
    """A sampled time course, linear between samples, zero before the first and constant after the last."""

    time: Float[Array, " samples"]
    """[s], increasing"""
    activity: Float[Array, " samples"]
    """in the unit of the images"""

    @classmethod
    def of(cls, time, activity) -> "Curve":
        """A checked curve. Raises `InputError` for times that do not increase, or values that are not finite."""
        time, activity = np.asarray(time, float), np.asarray(activity, float)
        if time.ndim != 1 or time.shape != activity.shape or len(time) < 2:
            raise InputError(f"a time course needs one activity for each of at least two times, not {activity.shape}")
        if not (np.isfinite(time).all() and np.isfinite(activity).all()):
            raise InputError(f"sample {int(np.flatnonzero(~np.isfinite(time + activity))[0])} of a curve is not finite")
        if (np.diff(time) <= 0).any():
            k = int(np.flatnonzero(np.diff(time) <= 0)[0])
            raise InputError(
                f"times of a curve must increase: sample {k + 1} is at {time[k + 1]:g} s after {time[k]:g} s"
            )
        return cls(jnp.asarray(time), jnp.asarray(activity))

    def __call__(self, t: Float[Array, " times"]) -> Float[Array, " times"]:
        return jnp.interp(t, self.time, self.activity, left=0.0)

    def delayed(self, delay: Float[Array, ""] | float) -> "Curve":
        """The curve `delay` [s] later."""
        return Curve(self.time + delay, self.activity)


class Frames(eqx.Module):
    """The frames of a dynamic scan."""

    start: Float[Array, " frames"]
    """[s]"""
    duration: Float[Array, " frames"]
    """[s]"""

    @classmethod
    def of(cls, start, duration) -> "Frames":
        """Checked frames. Raises `InputError` for durations that are not positive or frames that overlap."""
        start, duration = np.atleast_1d(np.asarray(start, float)), np.atleast_1d(np.asarray(duration, float))
        if start.shape != duration.shape or not (duration > 0).all():
            raise InputError(f"{start.size} frames need as many positive durations, not {duration.tolist()}")
        if (start[1:] < start[:-1] + duration[:-1] - 1e-6).any():
            k = int(np.flatnonzero(start[1:] < start[:-1] + duration[:-1] - 1e-6)[0])
            raise InputError(
                f"frame {k + 1} starts at {start[k + 1]:g} s, before frame {k} ends: give starts in seconds"
            )
        return cls(jnp.asarray(start), jnp.asarray(duration))

    @classmethod
    def sequence(cls, *groups: tuple[int, float]) -> "Frames":
        """Frames without gaps: (count, duration [s]) of each group, e.g. (14, 5), (3, 10), (3, 20), (4, 30)."""
        duration = np.concatenate([np.full(n, d) for n, d in groups])
        return cls.of(np.cumsum(duration) - duration, duration)

    @property
    def end(self) -> Float[Array, " frames"]:
        return self.start + self.duration

    @property
    def edges(self) -> Float[Array, " edges"]:
        """All starts, then all ends."""
        return jnp.concatenate([self.start, self.end])

    def means(self, integral: Float[Array, "... edges"]) -> Float[Array, "... frames"]:
        """Means over the frames of what has this integral at the `edges`."""
        start, end = jnp.split(integral, 2, axis=-1)
        return (end - start) / self.duration


def check_covers(curve: Curve, frames: Frames) -> None:
    """Raises `InputError` for a blood curve that ends before the last frame does (host)."""
    last, end = float(curve.time[-1]), float(frames.end[-1])
    if last < end - 1e-6:
        raise InputError(
            f"the time course ends at {last:g} s, the last frame at {end:g} s: give a longer curve, or leave out frames"
        )


def decay_correction(frames: Frames, half_life: float) -> Float[Array, " frames"]:
    """What a frame's mean activity is multiplied by to undo decay since time 0: λT e^(λt₀)/(1 - e^(-λT))."""
    rate = jnp.log(2.0) / half_life
    x = rate * frames.duration
    return x * jnp.exp(rate * frames.start) / -jnp.expm1(-x)
