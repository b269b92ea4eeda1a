"""Flow laws of single edges: Q as a smooth, increasing function of the pressure difference."""

import jax.numpy as jnp
from jaxtyping import Array, Float

SOFTNESS = 0.05  # of demand; the width of the corner between demand-limited and conductance-limited supply
OPENING = 1.0
"""pressure [mmHg] over the back pressure from which on a vein is open"""
STEEPEST = 1.52
"""the greatest slope of `drain`, at 0.6 mmHg"""
LEAK = 1e-4
"""of an open vein's conductance, what a collapsed one still has: without it a sealed tissue would have no pressure"""


def vessel_flow(drop: Float[Array, " e"], R: Float[Array, " e"], S: Float[Array, " e"]) -> Float[Array, " e"]:
    """Flow through a vessel with Δp = R Q + S Q|Q|: Q = 2Δp/(R + √(R² + 4S|Δp|)). Exact for S = 0 and at Δp = 0."""
    return drop * vessel_chord(drop, R, S)


def vessel_chord(drop: Float[Array, " e"], R: Float[Array, " e"], S: Float[Array, " e"]) -> Float[Array, " e"]:
    """Q/Δp."""
    return 2.0 / (R + jnp.sqrt(R**2 + 4.0 * S * jnp.abs(drop)))


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
    return drop * supply_chord(drop, conductance, inverse_demand)


def supply_chord(drop: Float[Array, "*e"], conductance: Float[Array, "*e"], inverse_demand: Float[Array, "..."]):
    """q/Δp of `supply`."""
    u = conductance * drop * inverse_demand
    top = jnp.sqrt(1.0 + SOFTNESS**2)
    limited = conductance * (1.0 + top) / (u + top + jnp.hypot(1.0 - u, SOFTNESS))
    return jnp.where(inverse_demand == 0.0, conductance, limited)


def drain(drop: Float[Array, "*e"]) -> Float[Array, "*e"]:
    """Drop that drives venous outflow, of a pressure `drop` [mmHg] over the back pressure: a Starling resistor.

    Veins collapse where the pressure in the tissue falls below the pressure around them, so no blood comes back. With
    t = drop/w held in [0, 1], w = 1 mmHg, and a leak of ε = 1e-4 of an open vein's conductance,

        D = drop (ε + (1 - ε) (6t² - 8t³ + 3t⁴)):

    the drop itself from w on, the leak below 0, twice continuously differentiable and rising, so that the potential
    stays convex. Source: Uhlig et al. (1984), Circ Res 55:238: a vascular waterfall in epicardial veins.
    """
    return drop * drain_chord(drop)


def drain_chord(drop: Float[Array, "*e"]) -> Float[Array, "*e"]:
    """D/drop of `drain`."""
    t = jnp.clip(drop / OPENING, 0.0, 1.0)
    return LEAK + (1.0 - LEAK) * t**2 * (6.0 - t * (8.0 - 3.0 * t))


def drain_slope(drop: Float[Array, "*e"]) -> Float[Array, "*e"]:
    """dD/d(drop) of `drain`: ε below 0, at most `STEEPEST` on the way, 1 from w on. It rises, then falls."""
    t = jnp.clip(drop / OPENING, 0.0, 1.0)
    return LEAK + (1.0 - LEAK) * t**2 * (18.0 - t * (32.0 - 15.0 * t))


def supply_conductance(drop: Float[Array, "*e"], conductance: Float[Array, "*e"], inverse_demand: Float[Array, "..."]):
    """dq/dΔp of `supply`."""
    gap = 1.0 - conductance * drop * inverse_demand
    limited = 0.5 * conductance * (1.0 + gap / jnp.hypot(gap, SOFTNESS))
    return jnp.where(inverse_demand == 0.0, conductance, limited)


def slope_of(picard, chord, tangent, *arguments):
    """The slope of a law, or its chord from 0 where `picard` is true: with chords in place of slopes the linear system
    is that of fixed conductances, whose pressures lie between those of inlets and veins. None: the slope alone.
    """
    slope = tangent(*arguments)
    return slope if picard is None else jnp.where(picard, chord(*arguments), slope)
