"""The ungrown crown: what lies between a terminal's own diameter and the diameter where tissue takes over."""

from perfsim._results import InputError
from perfsim.blood import Viscosity
from perfsim.physiology import REFERENCE_DIAMETER

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
    nodes, weights = (jnp.asarray(x, generations.dtype) for x in (_NODES, _WEIGHTS))
    k = 0.5 + 0.5 * (1.0 + nodes) * generations[:, None]
    D = diameter[:, None] * 2.0 ** (-k / exponent)
    L = length_factor * jnp.cbrt(volume)[:, None] * 2.0 ** (-k / 3.0)
    f = 128.0 * viscosity(D) * L / (jnp.pi * D**4) / 2.0**k
    return 0.5 * generations * jnp.sum(weights * f, axis=1)


def supply_from(
    reference: float, supply: float, volume: float, viscosity: Viscosity, exponent: float, length_factor: float
) -> float:
    """g_a of a tissue that starts at another D_ref than 100 µm, such that nothing else changes [1/(Pa·s)].

    Between 100 µm and D_ref lies, per vessel of 100 µm and the volume V that it feeds, a crown of the resistance R; it
    moves from the tissue to the tree: 1/(g_a' V) = 1/(g_a V) - R. Arguments: D_ref [m] of at most 100 µm, the `supply`
    g_a at 100 µm, V [m³], viscosity, γ, c. Raises `InputError` where the crown alone resists more than the tissue did.
    """
    R = float(
        crown_resistance(
            jnp.array([REFERENCE_DIAMETER]),
            jnp.array([volume]),
            viscosity,
            exponent=jnp.asarray(exponent),
            reference=jnp.asarray(reference),
            length_factor=jnp.asarray(length_factor),
        )[0]
    )
    left = 1.0 - supply * volume * R
    if not (0.0 < reference <= REFERENCE_DIAMETER and left > 0.05):
        raise InputError(
            f"with a reference diameter of {1e6 * reference:.4g} µm, {100 * (1.0 - left):.0f} % of what tissue resists "
            "from 100 µm on would lie in the tree: raise it (at most to 100 µm)"
        )
    return supply / left
