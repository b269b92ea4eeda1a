"""The convolution of a sampled curve with an exponential, exactly, as values and as means over frames.

C(t) = ∫₀ᵗ e^(-k(t-s)) A(s) ds, A linear on each interval of length h from a to b. With x = kh and
φ₁ = (1 - e^(-x))/x, φ₂ = (1 - φ₁)/x, φ₃ = (½ - φ₂)/x,

    C(t+h)    = e^(-x) C(t) + h [a (φ₁ - φ₂) + b φ₂]
    ∫ₜᵗ⁺ʰ C  = h φ₁ C(t) + h² [a (φ₂ - φ₃) + b φ₃].
"""

from perfsim.observe.tracers.curves import Curve, Frames

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

TERMS = 16
SMALL = 0.7
"""x below which the φ are summed as series, to round-off with so many terms"""


def phis(x: Array) -> tuple[Array, Array, Array]:
    """φ₁, φ₂, φ₃ of x ≥ 0, smooth through 0."""
    small = x < SMALL
    near, far = jnp.where(small, x, 0.0), jnp.where(small, 1.0, x)

    def series(k):  # Σ (-x)ⁿ/(n + k)!
        total, factorial = jnp.zeros_like(near), 1.0
        for n in range(2, k + 1):
            factorial *= n
        terms = []
        for n in range(TERMS):
            terms.append(1.0 / factorial)
            factorial *= n + 1 + k
        for c in reversed(terms):
            total = c - near * total
        return total

    one = -jnp.expm1(-far) / far
    two = (1.0 - one) / far
    three = (0.5 - two) / far
    one, two, three = (jnp.where(small, series(k), v) for k, v in ((1, one), (2, two), (3, three)))
    return one, two, three


def convolved(curve: Curve, rate: Float[Array, " ..."], frames: Frames) -> Float[Array, "... frames"]:
    """Means over the frames of e^(-kt) convolved with the curve, for any array of rates k ≥ 0 [1/s]."""
    return frames.means(integral(curve, rate, frames.edges))


def convolved_at(curve: Curve, rate: Float[Array, " ..."], time: Float[Array, " times"]) -> Float[Array, "... times"]:
    """e^(-kt) convolved with the curve, at points of time [s]."""
    value, _ = _march(curve, rate, time)
    return value


def integral(curve: Curve, rate: Float[Array, " ..."], time: Float[Array, " times"]) -> Float[Array, "... times"]:
    """∫₀ᵗ of that convolution."""
    _, total = _march(curve, rate, time)
    return total


def frame_means(curve: Curve, frames: Frames) -> Float[Array, " frames"]:
    """Means of the curve itself over the frames."""
    return frames.means(convolved_at(curve, jnp.zeros(()), frames.edges))


def _march(curve: Curve, rate, time):
    """(convolution, its integral) at the given times, by one pass over all samples and times."""
    rate = jnp.asarray(rate, float)
    knot = jnp.concatenate([curve.time, time])
    order = jnp.argsort(knot)
    knot = knot[order]
    blood = curve(knot)
    before = knot[:-1] < curve.time[0]  # the curve jumps from zero at its first sample

    def step(carry, interval):
        C, total = carry
        h, a, b = interval
        x = rate * h
        one, two, three = phis(x)
        total = total + h * one * C + h**2 * (a * (two - three) + b * three)
        C = jnp.exp(-x) * C + h * (a * (one - two) + b * two)
        return (C, total), (C, total)

    none = jnp.zeros(rate.shape)
    intervals = jnp.diff(knot), jnp.where(before, 0.0, blood[:-1]), jnp.where(before, 0.0, blood[1:])
    _, found = jax.lax.scan(step, (none, none), intervals)
    place = jnp.argsort(order)[curve.time.shape[0] :]
    return tuple(jnp.moveaxis(jnp.concatenate([none[None], x])[place], 0, -1) for x in found)
