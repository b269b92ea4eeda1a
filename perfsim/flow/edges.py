"""Flow laws of single edges: Q as a smooth, increasing function of the pressure difference."""

import jax.numpy as jnp
from jaxtyping import Array, Float

SOFTNESS = 0.05  # of demand; the width of the corner between demand-limited and conductance-limited supply


def vessel_flow(drop: Float[Array, " e"], R: Float[Array, " e"], S: Float[Array, " e"]) -> Float[Array, " e"]:
    """Flow through a vessel with Δp = R Q + S Q|Q|: Q = 2Δp/(R + √(R² + 4S|Δp|)). Exact for S = 0 and at Δp = 0."""
    return 2.0 * drop / (R + jnp.sqrt(R**2 + 4.0 * S * jnp.abs(drop)))


def vessel_conductance(drop: Float[Array, " e"], R: Float[Array, " e"], S: Float[Array, " e"]) -> Float[Array, " e"]:
    """dQ/dΔp = 1/√(R² + 4S|Δp|)."""
    return 1.0 / jnp.sqrt(R**2 + 4.0 * S * jnp.abs(drop))


def supply(drop: Float[Array, "*e"], conductance: Float[Array, "*e"], demand: Float[Array, "..."] | None):
    """Autoregulated supply q = smoothmin(demand, conductance·Δp); None is maximal dilation, q = conductance·Δp.

    With a = demand, b = conductance·Δp and ε = 0.05 a, q = m(a, b) - m(a, 0), m(a, b) = ½(a + b - √((a-b)² + ε²)):
    smooth, increasing, zero at Δp = 0, and within 0.1 % of demand when the reserve is twofold.
    """
    b = conductance * drop
    if demand is None:
        return b
    return 0.5 * (b - jnp.hypot(demand - b, SOFTNESS * demand) + jnp.hypot(demand, SOFTNESS * demand))


def supply_conductance(drop: Float[Array, "*e"], conductance: Float[Array, "*e"], demand: Float[Array, "..."] | None):
    """dq/dΔp of `supply`."""
    if demand is None:
        return conductance
    gap = demand - conductance * drop
    return 0.5 * conductance * (1.0 + gap / jnp.hypot(gap, SOFTNESS * demand))
