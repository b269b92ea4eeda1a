"""Reconstruction and flux: second order, smooth, and well balanced where vessels taper.

Pressure and flow are reconstructed, not the lumen: both are constant in a vessel at rest, whatever its taper, and the
face's own wall turns pressures into lumens on either side of it. What a cell then gains is

    dQ_i/dt Δx = -(F*_{i+½} - Π(P⁻_{i+½})) + (F*_{i-½} - Π(P⁺_{i-½})) - (A_i/ρ)(P⁻_{i+½} - P⁺_{i-½}),

F* the momentum flux αQ²/A + Π of the face: at rest every bracket vanishes exactly. (Audusse et al. (2004), SIAM J Sci
Comput 25:2050, for the shallow water equations.)
"""

from perfsim._fences import hold

import jax.numpy as jnp
from jaxtyping import Array, Float


def limited(
    a: Float[Array, " cells"], b: Float[Array, " cells"], eps: Float[Array, " cells"]
) -> Float[Array, " cells"]:
    """van Albada's mean of two differences, (a(b²+ε) + b(a²+ε))/(a²+b²+2ε): infinitely often differentiable.

    For |a|, |b| « √ε it is the plain mean, so that round-off is not limited and its derivative exists at a = b = 0.
    """
    a2, b2 = a * a + eps, b * b + eps
    return (a * b2 + b * a2) / (a2 + b2)


def face_flux(wall, volume, alpha, left, right):
    """Fluxes of mass and momentum through faces between two states (P, Q), each reconstructed to the face.

    `volume` is 1/ρ. The solver is Roe's with arithmetic means: with λ± = αu ± ĉ, ĉ² = c² + α(α-1)u²,

        F* = ½[F_L + F_R + (αu/ĉ)(F_L - F_R) - (ĉ - (αu)²/ĉ)(U_R - U_L)],

    which is exact upwinding of both waves while |αu| < ĉ. Returns (mass flux, F* - Π_L, F* - Π_R).
    """
    (P_l, Q_l), (P_r, Q_r) = left, right
    s_l, s_r, Q_l, Q_r = hold(wall.root_area(P_l)), hold(wall.root_area(P_r)), hold(Q_l), hold(Q_r)
    A_l, A_r = s_l * s_l, s_r * s_r
    one_over = 1.0 / (A_l * A_r)  # one quotient for both velocities
    u_l, u_r = Q_l * A_r * one_over, Q_r * A_l * one_over
    pi_l, pi_r = wall.momentum(s_l) * volume, wall.momentum(s_r) * volume
    F_l, F_r = alpha * Q_l * u_l + pi_l, alpha * Q_r * u_r + pi_r
    u = hold(0.5 * (u_l + u_r))
    speed = jnp.sqrt(wall.slope(0.5 * (s_l + s_r)) * volume + alpha * (alpha - 1.0) * u * u)
    speed = hold(speed)
    mach = alpha * u / speed
    damping = speed - alpha * u * mach
    mass = 0.5 * (Q_l + Q_r + mach * (Q_l - Q_r) - damping * (A_r - A_l))
    momentum = 0.5 * (F_l + F_r + mach * (F_l - F_r) - damping * (Q_r - Q_l))
    return mass, momentum - pi_l, momentum - pi_r
