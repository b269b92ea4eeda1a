"""Blood: density and viscosity laws."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

DENSITY = 1060.0  # [kg/m³], whole blood
PLASMA_VISCOSITY = 1.2e-3  # [Pa·s], at 37 °C; gives 3.8 mPa·s in a large vessel at H = 0.45


class Viscosity(eqx.Module):
    """A law for the apparent viscosity μ(D)."""

    @abc.abstractmethod
    def __call__(self, diameter: Float[Array, " *shape"]) -> Float[Array, " *shape"]:
        """Apparent viscosity [Pa·s] in a vessel of the given diameter [m]."""


class ConstantViscosity(Viscosity):
    """Newtonian blood."""

    mu: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=3.5e-3)
    """viscosity [Pa·s]"""

    def __call__(self, diameter):
        return jnp.broadcast_to(self.mu, jnp.shape(diameter))


class PriesInVivo(Viscosity):
    """The in-vivo viscosity law of Pries et al. (1994), Circ Res 75:904.

    With D in µm, η*(D) = 6 e^(-0.085 D) + 3.2 - 2.44 e^(-0.06 D^0.645),
    C = (0.8 + e^(-0.075 D)) (1/(1 + 1e-11 D¹²) - 1) + 1/(1 + 1e-11 D¹²) and w = (D/(D - 1.1))²:

        μ / μ_plasma = [1 + (η* - 1) ((1-H)^C - 1)/((1-0.45)^C - 1) w] w.

    Diameters below 3 µm, where no red cell passes and the law has a pole (1.1 µm), are read as 3 µm.
    """

    plasma: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=PLASMA_VISCOSITY)
    """plasma viscosity [Pa·s]"""
    hematocrit: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.45)
    """discharge hematocrit H"""

    def __call__(self, diameter):
        D = jnp.maximum(diameter * 1e6, 3.0)
        eta = 6.0 * jnp.exp(-0.085 * D) + 3.2 - 2.44 * jnp.exp(-0.06 * D**0.645)
        # written with D^-12 so that large vessels do not overflow in single precision
        f = D**-12.0 / (D**-12.0 + 1e-11)
        C = (0.8 + jnp.exp(-0.075 * D)) * (f - 1.0) + f
        w = (D / (D - 1.1)) ** 2
        shape = jnp.expm1(C * jnp.log1p(-self.hematocrit)) / jnp.expm1(C * jnp.log(0.55))
        return self.plasma * (1.0 + (eta - 1.0) * shape * w) * w
