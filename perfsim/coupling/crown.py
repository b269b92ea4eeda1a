"""The ungrown crown: what lies between a terminal's own diameter and the diameter where tissue takes over."""

from perfsim.blood import Viscosity

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


def crown_resistance(
    diameter: Float[Array, " terminals"],
    volume: Float[Array, " terminals"],
    viscosity: Viscosity,
    *,
    exponent: Float[Array, ""],
    reference: Float[Array, ""],
    length_factor: Float[Array, ""],
) -> Float[Array, " terminals"]:
    """Resistance [Pa·s/m³] of a symmetric tree from D_t down to D_ref, per terminal.

    Generation k has 2^k vessels of diameter D_k = D_t 2^(-k/γ), length L_k = c V_k^(1/3) with V_k = V/2^k the volume
    each feeds, and friction f(k) = 128 μ(D_k) L_k/(π D_k⁴)/2^k together. n = γ log₂(D_t/D_ref) generations are missing;
    the sum over 1…n is taken as ∫_½^(n+½) f dk, so that it is smooth in D_t and zero at D_ref.

    Arguments: terminal diameter D_t [m], volume fed V [m³], γ, D_ref [m], c.
    """
    generations = jnp.maximum(exponent * jnp.log2(diameter / reference), 0.0)
    k = 0.5 + 0.5 * (1.0 + _NODES) * generations[:, None]
    D = diameter[:, None] * 2.0 ** (-k / exponent)
    L = length_factor * jnp.cbrt(volume)[:, None] * 2.0 ** (-k / 3.0)
    f = 128.0 * viscosity(D) * L / (jnp.pi * D**4) / 2.0**k
    return 0.5 * generations * jnp.sum(_WEIGHTS * f, axis=1)
