"""Irrecoverable losses S Q|Q| where a lumen widens: one interface, two laws."""

import abc
from typing import NamedTuple

from perfsim.blood import DENSITY
from perfsim.network import VesselNetwork

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class VesselLosses(NamedTuple):
    """What a stenosis law says of each vessel."""

    R: Float[Array, " vessels"]
    """friction, corrected where the law replaces it [Pa·s/m³]"""
    S: Float[Array, " vessels"]
    """quadratic loss coefficient [Pa·s²/m⁶]"""
    velocity: Float[Array, " vessels"]
    """of the stream, per unit flow, at the far end [1/m²], for the kinetic pressure; 1/A where it fills the lumen"""


class StenosisLaw(eqx.Module):
    """A law for the quadratic loss coefficient S of each vessel, and for corrections of its friction R."""

    @abc.abstractmethod
    def __call__(
        self,
        network: VesselNetwork,
        table: Int[Array, "steps branches"],
        radius: Float[Array, "vessels 2"],
        length: Float[Array, " vessels"],
        friction: Float[Array, " vessels"],
        mixed: Bool[Array, " vessels"] | None = None,
    ) -> VesselLosses:
        """Losses of each vessel; `table` is `network.branch_table`, `mixed` the vessels at whose end another joins."""


def full_lumen(network: VesselNetwork, radius: Float[Array, "vessels 2"]) -> Float[Array, " vessels"]:
    """1/A at the far end of each vessel."""
    return 1.0 / (jnp.pi * jnp.where(network.flipped, radius[:, 0], radius[:, 1]) ** 2)


class NoLoss(StenosisLaw):
    """Friction only."""

    def __call__(self, network, table, radius, length, friction, mixed=None):
        return VesselLosses(friction, jnp.zeros_like(friction), full_lumen(network, radius))


class StaticJunctions(StenosisLaw):
    """For verification only: static instead of total pressure continuous, as some one-dimensional codes assume.

    Along a vessel p_a - p_b = R Q + ½ρα(1/A_b² - 1/A_a²) Q|Q|, α = (ζ+2)/(ζ+1), with no loss at all where a lumen
    widens or flows part. The unknowns, `Perfusion.total_pressure`, are then static pressures. The coefficient is
    negative in a widening vessel, so the potential is no longer convex; mild tapers are fine.
    """

    profile: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=2.0)

    def __call__(self, network, table, radius, length, friction, mixed=None):
        area = jnp.pi * radius**2
        alpha = (self.profile + 2.0) / (self.profile + 1.0)
        S = 0.5 * DENSITY * alpha * (1.0 / area[:, 1] ** 2 - 1.0 / area[:, 0] ** 2)
        return VesselLosses(friction, S, full_lumen(network, radius))


class JetExpansion(StenosisLaw):
    """The distributed default: the loss of a jet that mixes out over a few diameters. It detects nothing.

    Let u = 1/A be the velocity per unit flow that fills the lumen and u_j that of the jet core. The core follows a
    contraction within ~λ_c and spreads in an expansion over λ_e; with the excess e = u_j - u,

        de/dx = -e/λ(e) - du/dx,     λ = λ_e where e > 0, λ_c where e < 0 (a smooth switch),
        dp0/dx = -K_t · ½ρQ|Q| · 2 max(e, 0)²/λ_e.

    This is the momentum balance of a relaxing jet: for a sudden expansion e decays from u_s - u₀ and the loss
    integrates to K_t ½ρ (u_s - u₀)² Q², Borda-Carnot with the factor of Young and Tsai. λ is a length of the flow
    and not of the sampling, so the result does not depend on how finely a centerline is sampled, and the switch
    averages radius noise; max(e, 0)² is rounded off below 2 % of u. The excess is carried across side branches, and
    starts at 0 where a branch begins; where a graft or a collateral joins (`mixed`) what is left of it is lost at once,
    ½e², for the flow behind is not the jet's. The kinetic pressure is that of the core, so a pull-back shows the
    pressure recover as the jet mixes. Constants: K_t = 1.52 (Young & Tsai 1973, J Biomech 6:395); λ_e = 8 D and
    λ_c = D/4 were chosen on concentric 40-80 % lesions against Young and Tsai's law (docs/design.md has the table).
    """

    k_t: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=1.52)
    expansion: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=8.0)
    """λ_e over the local diameter"""
    contraction: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.25)
    """λ_c over the local diameter"""

    def __call__(self, network, table, radius, length, friction, mixed=None):
        u = 1.0 / (jnp.pi * radius**2)
        last = len(network.tail)
        pad = (
            jnp.concatenate([u, u[:1]]),
            jnp.append(length, 1e-3),
            jnp.append(radius.sum(1), 1e-3),
        )
        joined = jnp.zeros(last + 1, bool) if mixed is None else jnp.append(mixed, False)
        u, L, D = (jnp.where((table == last).reshape(table.shape + (1,) * (x.ndim - 1)), x[-1], x[table]) for x in pad)

        def step(e, vessel):
            u, L, D, stop = vessel
            slope = (u[:, 1] - u[:, 0]) / L
            switch = jax.nn.sigmoid((e - 0.5 * slope * L) / (0.02 * u.mean(1)))
            lam = D * (self.contraction + (self.expansion - self.contraction) * switch)

            def excess(x):
                return (e + slope * lam) * jnp.exp(-x / lam) - slope * lam

            ends = e, excess(0.5 * L), excess(L)
            start, middle, end = (_squared_excess(value, 0.02 * u.mean(1)) for value in ends)
            loss = (start + 4.0 * middle + end) / 6.0 * L / (D * self.expansion)  # Simpson's rule
            loss, end = loss + jnp.where(stop, 0.5 * end, 0.0), jnp.where(stop, 0.0, end)
            # the same rounding makes the core's velocity smooth where the jet begins
            return jnp.where(stop, 0.0, ends[-1]), (loss, jnp.sqrt(end + (0.02 * u.mean(1)) ** 2) - 0.02 * u.mean(1))

        _, (loss, excess) = jax.lax.scan(step, jnp.zeros(table.shape[1], u.dtype), (u, L, D, joined[table]))
        S, jet = (jnp.zeros(last + 1, x.dtype).at[table].add(x)[:-1] for x in (self.k_t * DENSITY * loss, excess))
        return VesselLosses(friction, S, full_lumen(network, radius) + jet)


def _squared_excess(e, width):
    """max(e, 0)², rounded off over `width` to e³/(e + width), whose second derivative is continuous at 0."""
    positive = jnp.maximum(e, 0.0)
    return positive**3 / (positive + width)


class YoungTsai(StenosisLaw):
    """Young and Tsai's law for vessels that are stenoses as a whole (Young & Tsai 1973, J Biomech 6:395).

    Δp = K_v μ Q/(A₀D₀) + ½ρ K_t (A₀/A_s - 1)² Q|Q|/A₀² with K_v = 32 (L_a/D₀)(A₀/A_s)², L_a = 0.83 L + 1.64 D_s
    and K_t = 1.52. K_v replaces the Poiseuille friction of the lesion. `vessels` lists them; the normal lumen A₀
    is the end of the vessel before each.
    """

    vessels: Int[Array, " lesions"] = eqx.field(converter=jnp.asarray)
    normal_radius: Float[Array, " lesions"] = eqx.field(converter=jnp.asarray)
    """radius of the normal lumen D₀/2 [m]"""
    k_t: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=1.52)

    def __call__(self, network, table, radius, length, friction, mixed=None):
        v = self.vessels
        throat = radius[v].min(1)
        area, normal = jnp.pi * throat**2, jnp.pi * self.normal_radius**2
        straight = 8.0 * length[v] / (jnp.pi * throat**4)  # friction is μ times this, for μ at the throat
        mu = friction[v] / straight
        effective = 0.83 * length[v] + 1.64 * 2.0 * throat
        R = (
            32.0
            * effective
            / (2.0 * self.normal_radius)
            * (normal / area) ** 2
            * mu
            / (normal * 2.0 * self.normal_radius)
        )
        S = 0.5 * DENSITY * self.k_t * (1.0 / area - 1.0 / normal) ** 2
        losses = jnp.zeros_like(friction).at[v].set(S)
        return VesselLosses(friction.at[v].set(R), losses, full_lumen(network, radius))
