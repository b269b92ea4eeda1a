"""Viscous friction of a tapered vessel."""

from perfsim.blood import Viscosity

import jax.numpy as jnp
from jaxtyping import Array, Float


def friction(
    radius: Float[Array, "vessels 2"], length: Float[Array, " vessels"], viscosity: Viscosity, profile=2.0
) -> Float[Array, " vessels"]:
    """Resistance R = ∫ 2(ζ+2)πμ/A² dx [Pa·s/m³] of vessels whose radius tapers linearly.

    With A = πr² the integral is 2(ζ+2)μ/π · L (r₁² + r₁r₂ + r₂²)/(3 r₁³r₂³). `profile` is the exponent ζ of the
    velocity profile (2 is Poiseuille); μ is taken at the mean diameter.
    """
    a, b = radius[:, 0], radius[:, 1]
    mu = viscosity(a + b)
    return 2.0 * (profile + 2.0) / jnp.pi * mu * length * (a**2 + a * b + b**2) / (3.0 * a**3 * b**3)
