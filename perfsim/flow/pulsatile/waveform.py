"""Waveforms: what is prescribed over a cycle at inlets, and the pressure of the muscle around outlets."""

import abc
import re
from pathlib import Path

from perfsim._files import read_text
from perfsim._notes import note
from perfsim._results import InputError
from perfsim.flow.pulsatile.arrays import rows, scalar, vector

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

OPEN = 0.1
"""share of its range by which the two ends of a period may differ unsaid"""
FOREIGN = re.compile(r"(?<![a-z])(ms|msec|ml|mmhg|kpa|cm3|dyn)(?![a-z])", re.IGNORECASE)
"""units that the values of a table must not be in"""


class Waveform(eqx.Module):
    """Values over time, one row per place they are prescribed at."""

    @abc.abstractmethod
    def __call__(self, t: Float[Array, ""]) -> Float[Array, " places"]:
        """The values at a time [s]."""

    def average(self, period: Float[Array, ""], times: int = 512) -> Float[Array, " places"]:
        """Mean over a period [s], by the midpoint rule."""
        t = (jnp.arange(times) + 0.5) * (period / times)
        return jnp.mean(jax.vmap(self)(t), axis=0)


class Steadily(Waveform):
    """Constant values."""

    values: Float[Array, " places"] = eqx.field(converter=vector)

    def __call__(self, t):
        return self.values


class Fourier(Waveform):
    """mean + Σ_k amplitude_k sin(2π k t/T + phase_k), k = 1, 2, ..."""

    mean: Float[Array, " places"] = eqx.field(converter=vector)
    amplitude: Float[Array, "places harmonics"] = eqx.field(converter=rows)
    phase: Float[Array, "places harmonics"] = eqx.field(converter=rows)
    period: Float[Array, ""] = eqx.field(converter=scalar)

    def __call__(self, t):
        k = jnp.arange(1, self.amplitude.shape[1] + 1)
        angle = 2.0 * jnp.pi * k * t / self.period + self.phase
        return self.mean + jnp.sum(self.amplitude * jnp.sin(angle), axis=1)


class Sampled(Waveform):
    """Linear interpolation between samples that span one period, its end included."""

    times: Float[Array, " samples"] = eqx.field(converter=vector)
    """ascending [s]"""
    values: Float[Array, "places samples"] = eqx.field(converter=rows)

    def __call__(self, t):
        start, end = self.times[0], self.times[-1]
        inside = start + jnp.mod(t - start, end - start)
        return jax.vmap(lambda values: jnp.interp(inside, self.times, values))(self.values)


class Stacked(Waveform):
    """The places of several waveforms, one after the other."""

    parts: tuple[Waveform, ...]

    def __call__(self, t):
        return jnp.concatenate([part(t) for part in self.parts])


def read_waveform(path: str | Path) -> Sampled:
    """Two columns, time [s] and value, separated by blanks or a comma; one period, its end included.

    Raises `InputError` naming file, line and value.
    """
    path = Path(path)
    times, values = read_samples(path)
    if len(times) < 2 or not (np.diff(times) > 0).all():
        raise InputError(f"{path}: a waveform needs at least two rows with ascending times")
    say_open_ends(str(path), values)
    return Sampled(times, values)


def read_samples(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times [s] and values of a file of two columns, in the order of its rows. Raises `InputError`."""
    rows: list[tuple[float, float]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split("#")[0].replace(",", " ").split()
        if not words:
            continue
        if not rows and words[0][0].isalpha():
            foreign = FOREIGN.search(line)
            if foreign:
                raise InputError(f"{path}, line {number}: the header says {foreign[0]}: give times in s, values in SI")
            continue
        try:
            time, value = (float(w) for w in words)
        except ValueError:
            raise InputError(f"{path}, line {number}: {line.strip()!r} is not a time and a value") from None
        if not (np.isfinite(time) and np.isfinite(value)):
            raise InputError(f"{path}, line {number}: {line.strip()!r} is not finite")
        rows.append((time, value))
    times, values = np.array(rows).reshape(-1, 2).T
    return times, values


def say_open_ends(source: str, values: np.ndarray) -> None:
    """Note a table of one period whose last value is not its first: it is repeated with a jump."""
    jump, span = float(values[-1] - values[0]), float(np.ptp(values))
    if abs(jump) > OPEN * span:
        note(
            f"{source}: the last value of the period differs from the first by {jump:.3g}, "
            f"{100 * abs(jump) / span:.0f} % of the range: every cycle has this jump; is it a whole period?"
        )
