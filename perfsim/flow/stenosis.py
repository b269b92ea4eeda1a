"""Irrecoverable losses S Q|Q| where a lumen widens: one interface, two laws."""

import abc
from typing import NamedTuple

from perfsim.blood import DENSITY
from perfsim.network import VesselNetwork

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

ROUNDING = 0.02
"""of the velocity that fills the lumen, over which max(e, 0)² is rounded off"""
SLOWEST = 1e-6
"""velocity [m/s] over which it is in blood at rest"""


class Jet(NamedTuple):
    """Coefficients of jets along the vessels, from which static pressures follow."""

    kept: Float[Array, " vessels"]
    """part of the excess velocity that enters a vessel and also leaves it"""
    gained: Float[Array, " vessels"]
    """excess velocity per unit flow that arises in the vessel, at its far end [1/m²]; negative where it narrows"""
    waiting: Float[Array, " vessels"]
    """part of the loss charged so far that is not yet lost at the far end"""

    def along(
        self, table: Int[Array, "steps branches"], u: Float[Array, " vessels"], loss: Float[Array, " vessels"], flow
    ) -> tuple[Float[Array, " vessels"], Float[Array, " vessels"]]:
        """Excess velocity of the core [m/s] and the loss that is still to come [Pa], at the far end of each vessel.

        Arguments: `table` as for the law, `u` and `loss` its velocity and S, `flow` [m³/s] away from the inlet. Flow
        toward the inlet makes no jet here.
        """
        forward = jnp.maximum(flow, 0.0)
        last = len(flow)
        rows = self.kept, self.gained * forward, self.waiting, loss * forward**2

        def down(state, vessel):
            (excess, pending), (kept, gained, waiting, charged) = state, vessel
            state = kept * excess + gained, waiting * (pending + charged)
            return state, state

        none = jnp.zeros(table.shape[1], flow.dtype)
        _, found = jax.lax.scan(down, (none, none), tuple(jnp.append(x, 0.0)[table] for x in rows))
        excess, pending = (jnp.zeros(last + 1, flow.dtype).at[table].add(x)[:-1] for x in found)
        width = jnp.hypot(ROUNDING * u * flow, SLOWEST)
        # the rounding of the losses makes the core's velocity smooth where the jet begins
        return jnp.sqrt(_squared_excess(excess, width) + width**2) - width, pending


class VesselLosses(NamedTuple):
    """What a stenosis law says of each vessel."""

    R: Float[Array, " vessels"]
    """friction, corrected where the law replaces it [Pa·s/m³]"""
    S: Float[Array, " vessels"]
    """quadratic loss coefficient [Pa·s²/m⁶]"""
    velocity: Float[Array, " vessels"]
    """velocity per unit flow that fills the lumen at the far end, 1/A [1/m²]"""
    jet: Jet | None = None
    """None where a law knows none"""


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
    ) -> VesselLosses:
        """Losses of each vessel; `table` is `network.branch_table`."""


def full_lumen(network: VesselNetwork, radius: Float[Array, "vessels 2"]) -> Float[Array, " vessels"]:
    """1/A at the far end of each vessel."""
    return 1.0 / (jnp.pi * jnp.where(network.flipped, radius[:, 0], radius[:, 1]) ** 2)


class NoLoss(StenosisLaw):
    """Friction only."""

    def __call__(self, network, table, radius, length, friction):
        return VesselLosses(friction, jnp.zeros_like(friction), full_lumen(network, radius))


class StaticJunctions(StenosisLaw):
    """For verification only: static instead of total pressure continuous, as some one-dimensional codes assume.

    Along a vessel p_a - p_b = R Q + ½ρα(1/A_b² - 1/A_a²) Q|Q|, α = (ζ+2)/(ζ+1), with no loss at all where a lumen
    widens or flows part. The unknowns, `Perfusion.total_pressure`, are then static pressures. The coefficient is
    negative in a widening vessel, so the potential is no longer convex; mild tapers are fine.
    """

    profile: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=2.0)

    def __call__(self, network, table, radius, length, friction):
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
    averages radius noise; max(e, 0)² is rounded off below 2 % of u.

    Where the lumen widens the loss is decided, with the flow that passes there; where it mixes, other vessels may have
    left or joined. So the loss of each vessel is charged to those upstream in which its jet arose: with e = P - N, P
    being what widenings gave and N what narrowings took, in proportion to the squares of what each gave to P. (In
    proportion to P itself a healthy vessel that widens a little would pay for the jet of an occlusion before it.) The
    sum of all charges is the sum of all losses. A branch starts without a jet; what is left of one at a branch's end,
    where the flow parts, is lost.

    The static pressure is that of the core (`VesselLosses.jet`), so a pull-back shows the pressure recover as the jet
    mixes. Constants: K_t = 1.52 (Young & Tsai 1973, J Biomech 6:395); λ_e = 8 D and λ_c = D/4 were chosen on concentric
    40-80 % lesions against Young and Tsai's law (docs/design.md has the table).
    """

    k_t: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=1.52)
    expansion: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=8.0)
    """λ_e over the local diameter"""
    contraction: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.25)
    """λ_c over the local diameter"""

    def __call__(self, network, table, radius, length, friction):
        u = 1.0 / (jnp.pi * radius**2)
        last = len(network.tail)
        here = table < last
        u, L, D = (x[jnp.minimum(table, last - 1)] for x in (u, length, radius.sum(1)))

        def relax(state, vessel):
            """The excess and what widenings gave of it, along one vessel of each branch; see `_Mixing`."""
            (e, P, _), (u, L, D, here) = state, vessel
            slope = (u[:, 1] - u[:, 0]) / L
            width = ROUNDING * u.mean(1)
            switch = jax.nn.sigmoid((e - 0.5 * slope * L) / width)
            lam = D * (self.contraction + (self.expansion - self.contraction) * switch)

            def excess(x):
                return (e + slope * lam) * jnp.exp(-x / lam) - slope * lam

            start, middle, end = (_squared_excess(x, width) for x in (e, excess(0.5 * L), excess(L)))
            loss = (start + 4.0 * middle + end) / 6.0 * L / (D * self.expansion)  # Simpson's rule
            kept = jnp.exp(-L / lam)
            gained = -slope * lam * (1.0 - kept)
            from_here = _widening(gained, width)
            from_before = P * kept
            given = from_before + from_here
            both = from_here**2 + from_before**2
            found = _Mixing(kept, gained, loss, _part(from_here**2, both), _part(from_before**2, both))
            found = jax.tree.map(lambda x: jnp.where(here, x, 0.0), found)
            state = tuple(jnp.where(here, new, old) for new, old in zip((excess(L), given, width), state, strict=True))
            return state, found

        none = jnp.zeros(table.shape[1], u.dtype)
        (e, _, width), mixing = jax.lax.scan(relax, (none, none, none + 1.0), (u, L, D, here))
        ends = 0.5 * _squared_excess(e, width)

        def charge(later, vessel):
            """Hand losses upstream: `later` is what vessels further down lose of the jets that leave this one."""
            mixing, here = vessel
            known = later + mixing.loss
            upstream = jnp.where(here, mixing.from_before * known, later)
            return upstream, (mixing.from_here * known, _part(later, known))

        _, (charged, waiting) = jax.lax.scan(charge, ends, (mixing, here), reverse=True)
        fields = self.k_t * DENSITY * charged, mixing.kept, mixing.gained, waiting
        S, kept, gained, waiting = (jnp.zeros(last + 1, u.dtype).at[table].add(x)[:-1] for x in fields)
        return VesselLosses(friction, S, full_lumen(network, radius), Jet(kept, gained, waiting))


class _Mixing(NamedTuple):
    """Of one vessel in each branch."""

    kept: Array
    gained: Array
    loss: Array
    """∫ e²/λ_e dx"""
    from_here: Array
    """part of the loss behind this vessel that is charged to it"""
    from_before: Array
    """part that is charged to vessels before it; the two sum to 1 or, without any widening so far, to 0"""


def _part(x, of):
    """x/of, 0 where there is nothing to share."""
    return jnp.where(of > 0.0, x / jnp.where(of > 0.0, of, 1.0), 0.0)


def _widening(gained, width):
    """max(x, 0), rounded off over a tenth of `width` so that its slope is continuous at 0."""
    positive = jnp.maximum(gained, 0.0)
    return positive**2 / (positive + 0.1 * width)


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

    def __call__(self, network, table, radius, length, friction):
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
