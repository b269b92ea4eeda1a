"""Tracers in perfused tissue: activity per mL of it, frame by frame, for a given blood flow."""

import abc

from perfsim.anatomy import MYOCARDIUM
from perfsim.observe.tracers.curves import Curve, Frames
from perfsim.observe.tracers.extraction import AMMONIA, RUBIDIUM, RenkinCrone
from perfsim.observe.tracers.kinetics import convolved

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

DENSITY = MYOCARDIUM / 1e3
"""of myocardium [g/mL]: mL/min/mL is 1.05 times mL/min/g"""
MINUTE = 60.0


class Tracer(eqx.Module):
    """What a scanner would see of tissue with a blood flow."""

    @abc.abstractmethod
    def tissue(self, mbf: Float[Array, " ..."], blood: Curve, frames: Frames) -> Float[Array, "... frames"]:
        """Mean activity per mL of perfusable tissue in each frame.

        Arguments: MBF [mL/min/g], arterial activity, frames. Curve and result are both corrected for decay, or neither
        (then the rate of decay adds to every rate of washout: see `decaying`).
        """

    decay: eqx.AbstractVar[Array]


class Water(Tracer):
    """¹⁵O-water in one tissue compartment: dC/dt = F A - (F/p) C (Iida et al. 1991, Circulation 84:1368).

    F is per mL of perfusable tissue, p the partition coefficient.
    """

    partition: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.9464)
    """p [mL/mL], as in the Turku PET Centre's fitmbf"""
    decay: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.0)
    """rate of decay [1/s] where curve and images are not corrected for it, else 0"""

    def tissue(self, mbf, blood, frames):
        F = mbf * (DENSITY / MINUTE)
        return F[..., None] * convolved(blood, F / self.partition + self.decay, frames)


class Rubidium(Tracer):
    """⁸²Rb in one tissue compartment: dC/dt = K1 A - (K1/V) C, K1 by Renkin and Crone (Lortie et al. 2007)."""

    volume: Float[Array, ""] = eqx.field(converter=jnp.asarray, kw_only=True)
    """distribution volume V = K1/k2 [mL/mL]"""
    extraction: RenkinCrone = RUBIDIUM
    decay: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.0)

    def tissue(self, mbf, blood, frames):
        K1 = self.extraction(mbf) * (DENSITY / MINUTE)
        return K1[..., None] * convolved(blood, K1 / self.volume + self.decay, frames)


class Ammonia(Tracer):
    """¹³N-ammonia in two tissue compartments, the second a trap: with k = k2 + k3

    C = K1/k [k3 ∫A + k2 e^(-kt) ∗ A], K1 by Renkin and Crone. Metabolites in the blood are taken out of the curve
    before (see `ammonia_alone`).
    """

    k2: Float[Array, ""] = eqx.field(converter=jnp.asarray, kw_only=True)
    """[1/min]"""
    k3: Float[Array, ""] = eqx.field(converter=jnp.asarray, kw_only=True)
    """[1/min]"""
    extraction: RenkinCrone = AMMONIA
    decay: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.0)

    def tissue(self, mbf, blood, frames):
        K1 = self.extraction(mbf) * (DENSITY / MINUTE)
        k = self.k2 + self.k3
        kept, washed = convolved(blood, self.decay, frames), convolved(blood, k / MINUTE + self.decay, frames)
        return K1[..., None] / k * (self.k3 * kept + self.k2 * washed)


def ammonia_alone(blood: Curve, delay: float = 0.48 * MINUTE, half_life: float = 6.69 * MINUTE) -> Curve:
    """Blood activity that is still ammonia: it is metabolized with this half-life [s] after a delay [s] (van den Hoff
    et al. 2001, J Nucl Med 42:1174).
    """
    left = jnp.exp2(-jnp.maximum(blood.time - delay, 0.0) / half_life)
    return Curve(blood.time, blood.activity * left)
