"""Time courses: what was sampled in the blood, and the frames of a scan."""

from perfsim._notes import note
from perfsim._results import InputError

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

FULL = 0.5
"""share of the greatest activity from which a first frame must have been preceded by others"""
LATE = 0.05
"""share of the greatest activity up to which a blood curve may begin after the first frame"""
RATIO = (1e-2, 50.0)
"""greatest activity of tissue over that of blood, beyond which they are in different units"""


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

    @classmethod
    def of_frames(cls, frames: "Frames", activity) -> "Curve":
        """A curve whose means over the frames are these, as image-derived blood curves are given.

        It is linear between the middles of the frames, zero at the start of the first, and constant from the middle of
        the last to its end; its values at the middles follow from the means. Raises `InputError` for a number of values
        that is not that of the frames, or a first frame so full that tracer came before it.
        """
        activity, start, end = (np.asarray(x, float) for x in (activity, frames.start, frames.end))
        if activity.shape != start.shape or not np.isfinite(activity).all():
            raise InputError(f"{len(start)} frames need as many finite activities, not {activity.tolist()}")
        if len(start) > 1 and activity[0] > FULL * activity.max() > 0:
            raise InputError(
                f"the first frame holds {100 * activity[0] / activity.max():.0f} % of the greatest activity: tracer "
                "came before the scan, when nothing was measured"
            )
        middle = 0.5 * (start + end)
        node = np.concatenate([start[:1], middle, end[-1:]])
        knot = np.unique(np.concatenate([node, start, end]))
        hat = np.array([np.interp(knot, node, row) for row in np.eye(len(node))])
        integral = np.concatenate(
            [np.zeros((len(node), 1)), np.cumsum(0.5 * (hat[:, 1:] + hat[:, :-1]) * np.diff(knot), 1)], 1
        )
        means = (integral[:, np.searchsorted(knot, end)] - integral[:, np.searchsorted(knot, start)]) / (end - start)
        means = np.vstack([means[1:-2], means[-2] + means[-1]])  # the last value holds to the end of its frame
        value = np.linalg.solve(means.T, activity)
        return cls.of(node, np.concatenate([[0.0], value, value[-1:]]))

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
        if start.shape == duration.shape and not np.isfinite(start + duration).all():
            k = int(np.flatnonzero(~np.isfinite(start + duration))[0])
            raise InputError(f"frame {k}: its start, {start[k]:g} s, and duration, {duration[k]:g} s, must be finite")
        if start.ndim != 1 or start.shape != duration.shape or not (duration > 0).all():
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
    """Raises `InputError` for a blood curve that begins too late or ends before the last frame does (host).

    A sample at the start or end of each frame is noted: a curve from the images holds means over frames.
    """
    time, activity, start, end = (np.asarray(x) for x in (curve.time, curve.activity, frames.start, frames.end))
    hint = ""
    for name, edge in (("start", start), ("end", end)):
        if len(time) == len(edge) > 2 and np.allclose(time, edge, atol=1e-3):
            hint = f"it has a sample at the {name} of each frame: if these are means over frames, use Curve.of_frames"
    if time[-1] < end[-1] - 1e-6:
        raise InputError(
            f"the time course ends at {time[-1]:g} s, the last frame at {end[-1]:g} s: "
            f"{hint or 'give a longer curve, or leave out frames; are both in seconds?'}"
        )
    if hint:
        note(f"the time course: {hint}")
    if time[0] > start[0] + 1e-6 and activity[0] > LATE * activity.max() > 0:
        raise InputError(
            f"the time course begins at {time[0]:g} s with {100 * activity[0] / activity.max():.0f} % of its maximum, "
            f"the frames at {start[0]:g} s: what came before is unknown; add the samples from where the activity is 0"
        )


def check_scale(curve: Curve, values) -> None:
    """Raises `InputError` for images whose unit cannot be that of the blood curve (host); NaN is left out."""
    if isinstance(values, jax.core.Tracer) or not np.any(np.nan_to_num(values)):
        return
    ratio = float(np.nanmax(np.asarray(values)) / max(float(np.max(curve.activity)), 1e-300))
    if not RATIO[0] <= ratio <= RATIO[1]:
        raise InputError(
            f"the greatest activity of the images is {ratio:.3g} times that of the time course: are both in one unit "
            "(Bq/mL)?"
        )


def decay_correction(frames: Frames, half_life: float) -> Float[Array, " frames"]:
    """What a frame's mean activity is multiplied by to undo decay since time 0: λT e^(λt₀)/(1 - e^(-λT))."""
    rate = jnp.log(2.0) / half_life
    x = rate * frames.duration
    return x * jnp.exp(rate * frames.start) / -jnp.expm1(-x)
