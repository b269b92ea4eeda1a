"""Tube laws: how the lumen of a vessel follows its pressure.

The working variable is s = √A, so that neither law needs a power: the pressure, the square of the wave speed
c² = (A/ρ) dP/dA and the pressure's part of the momentum flux Π = ∫ (A/ρ) dP are products of it.
"""

import abc

from perfsim._results import InputError

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class TubeLaw(eqx.Module):
    """A wall at a number of places; arrays have one entry per place."""

    stiffness: Float[Array, " places"]
    """k; its unit depends on the law"""
    compliance: Float[Array, " places"]
    """1/k; kept since products are several times cheaper than quotients"""
    offset: Float[Array, " places"]
    """the pressure's part that does not depend on the lumen [Pa]"""

    @classmethod
    @abc.abstractmethod
    def of(cls, radius, elasticity, reference) -> "TubeLaw":
        """A wall of radius r_d [m] at the pressure `reference` [Pa]; `elasticity` is E·h [N/m], E the modulus."""

    @abc.abstractmethod
    def pressure(self, s: Float[Array, " places"]) -> Float[Array, " places"]:
        """P [Pa] at s = √A [m]."""

    @abc.abstractmethod
    def root_area(self, P: Float[Array, " places"]) -> Float[Array, " places"]:
        """s = √A [m] at P [Pa]."""

    @abc.abstractmethod
    def slope(self, s: Float[Array, " places"]) -> Float[Array, " places"]:
        """A dP/dA [Pa]; the wave speed is its square root over that of the density."""

    @abc.abstractmethod
    def momentum(self, s: Float[Array, " places"]) -> Float[Array, " places"]:
        """ρΠ = ∫ A dP [N] from an empty lumen."""


class SquareRoot(TubeLaw):
    """P = P_d + β/A_d (√A - √A_d), β = 4/3 √π E h: a thin wall of an incompressible material.

    k = β/A_d [Pa/m]; A dP/dA = k s/2, ∫ A dP = k s³/3. Source: Formaggia et al. (2003), and DESIGN's model.
    """

    @classmethod
    def of(cls, radius, elasticity, reference):
        k = 4.0 / 3.0 * elasticity / (jnp.sqrt(jnp.pi) * radius**2)
        return cls(k, 1.0 / k, reference - k * jnp.sqrt(jnp.pi) * radius)

    def pressure(self, s):
        return self.stiffness * s + self.offset

    def root_area(self, P):
        return (P - self.offset) * self.compliance

    def slope(self, s):
        return 0.5 * self.stiffness * s

    def momentum(self, s):
        return self.stiffness * s * s * s * (1.0 / 3.0)


class Olufsen(TubeLaw):
    """P = P_d + 4/3 (E h/r_d)(1 - √(A_d/A)), as SimVascular's one-dimensional solver assumes.

    With f = 4/3 E h/r_d the offset is P_d + f and k = f √A_d [Pa·m]; A dP/dA = k/(2s), ∫ A dP = k s.
    Source: Olufsen (1999), Am J Physiol 276:H257.
    """

    @classmethod
    def of(cls, radius, elasticity, reference):
        f = 4.0 / 3.0 * elasticity / radius
        k = f * jnp.sqrt(jnp.pi) * radius
        return cls(k, 1.0 / k, reference + f)

    def pressure(self, s):
        return self.offset - self.stiffness / s

    def root_area(self, P):
        return self.stiffness / (self.offset - P)

    def slope(self, s):
        return 0.5 * self.stiffness / s

    def momentum(self, s):
        return self.stiffness * s


def olufsen_elasticity(radius, k1: float = 2.0e6, k2: float = -2253.0, k3: float = 8.65e4) -> Float[Array, " places"]:
    """E·h = r (k1 exp(k2 r) + k3) [N/m] of an artery of radius r [m].

    The defaults are Olufsen's fit, k1 = 2e7 g/(s²cm), k2 = -22.53/cm, k3 = 8.65e5 g/(s²cm). Raises `InputError` for a
    radius that is not positive.
    """
    if isinstance(radius, np.ndarray) and not (radius > 0).all():
        raise InputError(f"a radius of {radius.min():.4g} m has no wall: radii must be positive")
    return radius * (k1 * jnp.exp(k2 * radius) + k3)
