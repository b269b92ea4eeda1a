"""The heartbeat that trunks feel: shapes of the aortic and the ventricular pressure, and the squeeze of the muscle."""

from perfsim.flow.pulsatile import Sampled, Waveform

import numpy as np
import scipy
from jaxtyping import Array, Float


class Swinging(Waveform):
    """mean + swing · (shape(t) - mean of the shape), with a mean and a swing for each place."""

    shape: Waveform
    center: Float[Array, ""]
    """mean of the shape"""
    mean: Float[Array, " places"]
    swing: Float[Array, " places"]

    def __call__(self, t):
        return self.mean + self.swing * (self.shape(t) - self.center)

    @classmethod
    def of(cls, shape: Waveform, period, mean, swing) -> "Swinging":
        """With the mean of the shape over a period."""
        return cls(shape, shape.average(period)[0], mean, swing)


def aortic_shape(period: float, systole: float = 0.35, time_constant: float = 1.2) -> Sampled:
    """The aortic pressure over its mean: a windkessel filled by half a sine, dP/dt = q(t)/C - P/(RC).

    RC is the `time_constant` [s], q > 0 in the first `systole` of the period.
    """
    t = np.linspace(0.0, period, 2001)
    inflow = np.where(t < systole * period, np.sin(np.pi * t / (systole * period)), 0.0)
    decay = np.exp(-t / time_constant)
    filled = scipy.integrate.cumulative_trapezoid(inflow / decay, t, initial=0.0)
    pressure = decay * (filled + filled[-1] * decay[-1] / (1.0 - decay[-1]))
    return Sampled(t[::10], (pressure / np.mean(pressure[:-1]))[None, ::10])


def ventricular_shape(period: float, systole: float = 0.35, filling: float = 0.08, ramp: float = 0.05) -> Sampled:
    """The left ventricle's pressure over the aortic mean: `filling` in diastole, the aorta's while the valve is open.

    It rises to the aorta's pressure in the last `ramp` [s] of the period and falls from it within as long.
    """
    aorta = aortic_shape(period, systole)
    t, p = np.asarray(aorta.times), np.asarray(aorta.values[0])
    closing = systole * period
    rising = 0.5 - 0.5 * np.cos(np.pi * np.clip((t - period + ramp) / ramp, 0.0, 1.0))
    falling = 0.5 + 0.5 * np.cos(np.pi * np.clip((t - closing) / ramp, 0.0, 1.0))
    after = filling + (p[0] - filling) * rising + (np.interp(closing, t, p) - filling) * falling
    return Sampled(t, np.where(t <= closing, p, after)[None])
