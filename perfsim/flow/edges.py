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


def supply(drop: Float[Array, "*e"], conductance: Float[Array, "*e"], inverse_demand: Float[Array, "..."]):
    """Autoregulated supply q = smoothmin(demand, conductance·Δp); an inverse demand of 0 is maximal dilation, where
    q = conductance·Δp.

    With a = demand, b = conductance·Δp and ε = 0.05 a, q = m(a, b) - m(a, 0), m(a, b) = ½(a + b - √((a-b)² + ε²)):
    smooth, increasing, zero at Δp = 0, and within 0.1 % of demand when the reserve is twofold. Written without a
    difference of large numbers, with u = b/a, s = 0.05 and κ = √(1 + s²):

        q = b (1 + κ)/(u + κ + √((1 - u)² + s²)).
    """
    b = conductance * drop
    u = b * inverse_demand
    top = jnp.sqrt(1.0 + SOFTNESS**2)
    limited = b * (1.0 + top) / (u + top + jnp.hypot(1.0 - u, SOFTNESS))
    return jnp.where(inverse_demand == 0.0, b, limited)


def supply_conductance(drop: Float[Array, "*e"], conductance: Float[Array, "*e"], inverse_demand: Float[Array, "..."]):
    """dq/dΔp of `supply`."""
    gap = 1.0 - conductance * drop * inverse_demand
    limited = 0.5 * conductance * (1.0 + gap / jnp.hypot(gap, SOFTNESS))
    return jnp.where(inverse_demand == 0.0, conductance, limited)
