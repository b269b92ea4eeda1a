"""Nodes: what all vessel ends that meet agree on, with inlets, outlets and throats.

The wave that runs from the inside of a vessel to its end ties the end's lumen to its flow, A = A_i + (Q - Q_i)/λ with λ
the speed of the wave that enters; so the end's pressure is a function p_e(Q) alone, with the admittance
y_e = -σ/(dp_e/dQ) > 0 (σ = 1 where a vessel ends, -1 where it begins). Newton's step for p_e(Q_e) = π_n and
Σ σQ = Y(π - ψ) - q_in at every node is then that of a direct-current circuit,

    π = (Σ(σQ + y p) + q_in + Yψ)/(Σy + Y),   Q ← Q + σ y (p - π):

flows balance to round-off after each, and what converges quadratically is the pressure. A throat joins two nodes, each
seen through it as a source π₀ behind a resistance z = 1/(Σy + Y).
"""

from typing import NamedTuple

from perfsim.flow.pulsatile.tube import TubeLaw

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

NEWTON_STEPS = 3
"""from the state inside the vessels, which is a truncation error away: the third reaches round-off"""

CONVERGED = "flows of the ends and throats"
"""what gradients keep of each step besides its state, since finding it again costs more"""


class Joints(eqx.Module):
    """The nodes' coefficients that do not change with time."""

    sign: Float[Array, " ends"]
    node: Int[Array, " ends"]
    ends_at: Int[Array, "nodes degree"]
    wall: TubeLaw
    """at the ends"""
    alpha: Float[Array, " ends"]
    kinetic: Float[Array, " ends"]
    """½ρα where the node's pressure is total, 0 where it is static"""
    rho: Float[Array, ""]
    fixed: Bool[Array, " nodes"]
    """pressure inlets"""
    absorbing: Int[Array, " absorbing"]
    """ends that absorb, and the pressure they are at when nothing comes"""
    absorbed_at: Float[Array, " absorbing"]
    absorbed: Float[Array, " absorbing"]
    """(1 - R_t)/(1 + R_t) for an echo R_t"""
    throat: Int[Array, "throats 2"]
    R: Float[Array, " throats"]
    S: Float[Array, " throats"]


class Supply(NamedTuple):
    """What nodes are given at an instant."""

    conductance: Float[Array, " nodes"]
    """Y"""
    current: Float[Array, " nodes"]
    """q_in + Yψ"""
    pressure: Float[Array, " nodes"]
    """at pressure inlets"""
    before: Float[Array, " throats"]
    """flow of each throat a moment ago"""
    inertance: Float[Array, " throats"]
    """L over that moment [Pa·s/m³]"""


class Ends(NamedTuple):
    """The vessel ends after the nodes have been solved."""

    Q: Float[Array, " ends"]
    P: Float[Array, " ends"]
    """static"""
    force: Float[Array, " ends"]
    """αQ²/A + Π - Π_i, the momentum flux less the pressure's part inside"""
    node: Float[Array, " nodes"]
    """π"""
    throat: Float[Array, " throats"]
    residual: Float[Array, ""]
    """greatest |p_e - π| over ρc², before the last step"""


def solve_nodes(joints: Joints, P_i: Float[Array, " ends"], Q_i: Float[Array, " ends"], supply: Supply) -> Ends:
    """Solve all nodes at once. The last Newton step alone carries the derivative, which is the implicit one."""
    s_i = joints.wall.root_area(P_i)
    A_i = s_i * s_i
    slope = joints.wall.slope(s_i)
    u = Q_i / A_i
    speed = jnp.sqrt(slope / joints.rho + joints.alpha * (joints.alpha - 1.0) * u * u)
    incoming = joints.alpha * u - joints.sign * speed
    given = _with_absorption(joints, supply, A_i, slope)

    def end_pressure(Q):
        A = A_i + (Q - Q_i) / incoming
        s = jnp.sqrt(jnp.maximum(A, 1e-4 * A_i))
        p = joints.wall.pressure(s) + joints.kinetic * (Q / A) ** 2
        dp = (joints.wall.slope(s) / A - 2.0 * joints.kinetic * Q * Q / A**3) / incoming
        return p, -joints.sign / (dp + 2.0 * joints.kinetic * Q / A**2), s

    def newton(Q, q):
        p, y, _ = end_pressure(Q)
        y = jax.lax.stop_gradient(y)
        open_pressure, z = _circuit(joints, given, joints.sign * Q + y * p, y)
        q, pi = _throats(joints, supply, open_pressure, z, q)
        return Q + joints.sign * y * (p - pi[joints.node]), q, pi, p

    Q, q = Q_i, _gathered(joints, joints.sign * Q_i)[joints.throat[:, 0]]
    for _ in range(NEWTON_STEPS - 1):
        Q, q, _, _ = newton(Q, q)
    Q, q = (checkpoint_name(jax.lax.stop_gradient(x), CONVERGED) for x in (Q, q))
    Q, q, pi, p = newton(Q, q)
    residual = jnp.max(jnp.abs(p - pi[joints.node]) / (joints.rho * speed**2))
    _, _, s = end_pressure(Q)
    A = s * s
    force = joints.alpha * Q * Q / A + (joints.wall.momentum(s) - joints.wall.momentum(s_i)) / joints.rho
    return Ends(Q, joints.wall.pressure(s), force, pi, q, residual)


def _gathered(joints: Joints, at_ends: Float[Array, " ends"]) -> Float[Array, " nodes"]:
    """Sum over the ends at each node."""
    return jnp.sum(jnp.append(at_ends, 0.0)[joints.ends_at], axis=1)


def _circuit(joints: Joints, given: Supply, current, y):
    """Each node as a source of pressure behind a resistance: where nothing is prescribed, (Σ I)/(Σ y) and 1/Σ y."""
    conductance = _gathered(joints, y) + given.conductance + jnp.finfo(y.dtype).tiny
    pressure = (_gathered(joints, current) + given.current) / conductance
    return jnp.where(joints.fixed, given.pressure, pressure), jnp.where(joints.fixed, 0.0, 1.0 / conductance)


def _throats(joints: Joints, supply: Supply, pressure, z, q):
    """Newton's step for the flow of the throats, and the pressures of the nodes with it."""
    if len(joints.R) == 0:
        return q, pressure
    a, b = joints.throat[:, 0], joints.throat[:, 1]
    drop = joints.R * q + joints.S * q * jnp.abs(q) + supply.inertance * (q - supply.before)
    slope = jax.lax.stop_gradient(joints.R + 2.0 * joints.S * jnp.abs(q) + supply.inertance)
    q = (q * slope - drop + pressure[a] - pressure[b]) / (slope + z[a] + z[b])
    return q, pressure.at[a].add(-z[a] * q).at[b].add(z[b] * q)


def _with_absorption(joints: Joints, supply: Supply, A, slope) -> Supply:
    """Add the conductance A/(ρc) of ends that absorb, less what they send back, c halfway between now and rest."""
    if len(joints.absorbing) == 0:
        return supply
    at = joints.absorbing
    wall = jax.tree.map(lambda x: x[at], joints.wall)
    rest = wall.slope(wall.root_area(joints.absorbed_at))
    c = 0.5 * (jnp.sqrt(slope[at] / joints.rho) + jnp.sqrt(rest / joints.rho))
    y = joints.absorbed * A[at] / (joints.rho * c)
    return supply._replace(
        conductance=supply.conductance.at[joints.node[at]].add(y),
        current=supply.current.at[joints.node[at]].add(y * joints.absorbed_at),
    )
