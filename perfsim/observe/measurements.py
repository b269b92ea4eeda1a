"""Measurements: maps of MBF, the pressure wire, the cuff. Each says what it would read of a solution."""

import abc

from perfsim._outcome import is_traced
from perfsim._results import InputError
from perfsim.coupling import Simulation, Solution
from perfsim.darcy import ControlVolumes
from perfsim.observe.noise import Noise
from perfsim.observe.pose import Pose
from perfsim.observe.pressure import check_vessel, ffr
from perfsim.observe.views import EachVolume, View

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Measurement(eqx.Module):
    """What an instrument read, and how far it may be off."""

    value: eqx.AbstractVar[Array]
    noise: eqx.AbstractVar[Noise]

    @property
    @abc.abstractmethod
    def needs(self) -> tuple[str, ...]:
        """The states it was taken in."""

    @abc.abstractmethod
    def predict(self, sim: Simulation, solution: Solution) -> Array:
        """What it would read of a solution, in the shape of `value`."""

    def check(self, sim: Simulation) -> None:
        """Raise `InputError` where it cannot be of this simulation, or holds no number that could be fitted.

        Under `jit`, where numbers are not known, sizes alone are checked.
        """
        if is_traced(self):
            return
        value = np.asarray(self.value)
        if np.isinf(value).any():
            raise InputError(f"a {type(self).__name__} holds an infinite value: give NaN where nothing was measured")
        if not np.isfinite(value).any():
            raise InputError(f"a {type(self).__name__} holds no number: leave it out")
        if np.any(np.isfinite(value) & (np.asarray(self.noise.absolute) == 0.0)):
            raise InputError(
                f"a {type(self).__name__} has a datum with a standard deviation of 0, which would outweigh all others: "
                "give its noise an absolute part"
            )

    def residual(self, sim: Simulation, solution: Solution) -> Float[Array, " data"]:
        """Model minus measurement in standard deviations, zero where nothing was measured."""
        return jnp.atleast_1d(self.noise.residual(self.predict(sim, solution), self.value))


class Imaging(Measurement):
    """A measurement by an instrument in whose images the wall lies by a pose."""

    pose: eqx.AbstractVar[Pose]
    instrument: eqx.AbstractVar[str]
    """camera and program: measurements by one share their pose and their scale"""
    view: eqx.AbstractVar[View]

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """Data of one map."""

    def check(self, sim: Simulation) -> None:
        self.check_size(sim.parts()[0])
        super().check(sim)

    def check_size(self, volumes: ControlVolumes) -> None:
        """Raises `InputError` where there are not as many data as the view shows of a wall."""
        shown = jax.eval_shape(lambda v: self.view(v, v.volume, self.pose), volumes).shape[0]
        if shown != self.size:
            what = type(self.view).__name__
            raise InputError(f"a map holds {self.size} values where its view, {what}, shows {shown}")


class Scan(Imaging):
    """MBF maps of one patient by one camera and one program, in one or more states.

    measured = e^(s + s_state) · view(MBF): the scale e^s is what programs and tracers disagree by. It is SHARED by the
    states, for microvascular dysfunction is a scale as well, which only their ratio tells from the program's.
    """

    states: tuple[str, ...] = eqx.field(static=True)
    value: Float[Array, "states data"]
    """[mL/min/g], NaN where not measured"""
    noise: Noise
    view: View
    pose: Pose
    log_scale: Float[Array, ""]
    """s, of all states; its prior has the standard deviation 0.10 within one program, 0.25 across programs"""
    state_log_scale: Float[Array, " states"]
    """s_state, prior 0.05"""
    instrument: str = eqx.field(static=True)

    def __init__(self, states, value, noise, view=None, pose=None, instrument="PET"):
        """Arguments: `states` by name, `value` with one row for each, `noise`; the `view` (default: every volume by
        itself), the `pose` of the wall in the image, the `instrument`. Raises `InputError` for rows that do not match.
        """
        self.states, self.value = tuple(states), jnp.asarray(value)
        if self.value.ndim != 2 or self.value.shape[0] != len(self.states):
            raise InputError(f"a scan of {self.states} needs one row of data for each state, not {self.value.shape}")
        self.noise, self.view, self.pose = noise, view or EachVolume(), pose or Pose()
        self.log_scale, self.state_log_scale = jnp.zeros(()), jnp.zeros(len(self.states))
        self.instrument = instrument

    @property
    def needs(self):
        return self.states

    @property
    def size(self):
        return self.value.shape[1]

    def predict(self, sim, solution):
        volumes = sim.parts()[0]
        maps = jnp.stack([self.view(volumes, solution[s].mbf, self.pose) for s in self.states])
        return maps * jnp.exp(self.log_scale + self.state_log_scale)[:, None]

    def residual(self, sim, solution):
        predicted = self.predict(sim, solution)
        return jnp.concatenate([self.noise.residual(m, y) for m, y in zip(predicted, self.value, strict=True)])


class Wire(Measurement):
    """A pressure wire: static pressure at the far end of a vessel over aortic pressure, in hyperemia the FFR."""

    value: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    vessel: Int[Array, ""] = eqx.field(converter=jnp.asarray)
    noise: Noise
    state: str = eqx.field(static=True)

    def __init__(self, value, vessel, noise=None, state="hyperemia"):
        """Arguments: what was read, the `vessel` (see `vessel_at`, `lesion_sites`), `noise` (default: 0.02)."""
        self.value, self.vessel, self.state = jnp.asarray(value), jnp.asarray(vessel), state
        self.noise = noise or Noise(0.0, 0.02)

    @property
    def needs(self):
        return (self.state,)

    def check(self, sim):
        if not is_traced(self):
            check_vessel(sim.network, self.vessel)
        super().check(sim)

    def predict(self, sim, solution):
        return ffr(solution[self.state])[self.vessel]


class Cuff(Measurement):
    """Mean arterial pressure by the cuff [Pa], taken as the aortic pressure."""

    value: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    noise: Noise = Noise(0.0, 667.0)  # 5 mmHg
    state: str = eqx.field(static=True, default="hyperemia")

    @property
    def needs(self):
        return (self.state,)

    def predict(self, sim, solution):
        return solution[self.state].aortic_pressure
