"""Outlets with memory: what a vessel's end drains through.

Each node that ends in one sees, at any instant, a conductance Y to a source of pressure ψ that its stores determine,
Q = Y (p - ψ); the stores follow from Q by ordinary differential equations. The time steps take them by the implicit
midpoint rule, whose half step is linear and so ends up in Y and ψ: no outlet limits the step. R = ∞ closes an outlet.
"""

import abc

from perfsim.flow.pulsatile.arrays import indices, vector
from perfsim.flow.pulsatile.waveform import Waveform

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Outlet(eqx.Module):
    """A group of outlets of one kind. `muscle` is the pressure around the stores [Pa], for the kinds it matters to."""

    node: eqx.AbstractVar[Int[Array, " outlets"]]

    @abc.abstractmethod
    def port(self, stores: Float[Array, "outlets stores"], muscle, h) -> tuple[Array, Array]:
        """Y [m³/(s·Pa)] and ψ [Pa] a time h [s] after the stores were as given, by one implicit Euler step."""

    @abc.abstractmethod
    def after(self, stores, Q: Float[Array, " outlets"], muscle, h) -> Float[Array, "outlets stores"]:
        """The stores of that step when Q flows in."""

    @abc.abstractmethod
    def rate(self, stores, Q: Float[Array, " outlets"], muscle) -> Float[Array, "outlets stores"]:
        """Time derivative of the stores [Pa/s]."""

    @abc.abstractmethod
    def resting(self, p: Float[Array, " outlets"]) -> Float[Array, "outlets stores"]:
        """The stores under a steady pressure p [Pa] before the outlet."""

    @abc.abstractmethod
    def total(self) -> tuple[Float[Array, " outlets"], Float[Array, " outlets"]]:
        """Resistance to, and pressure of, where the mean flow goes."""

    @abc.abstractmethod
    def fastest(self) -> Float[Array, " outlets"]:
        """The fastest rate [1/s] of the stores."""

    @abc.abstractmethod
    def slowest(self) -> Float[Array, " outlets"]:
        """The time [s] in which the stores empty by a factor e, or more, when nothing flows in."""


class Memoryless(Outlet):
    """Outlets without stores."""

    def after(self, stores, Q, muscle, h):
        return stores

    def rate(self, stores, Q, muscle):
        return jnp.zeros_like(stores)

    def resting(self, p):
        return jnp.zeros((len(self.node), 0), p.dtype)

    def fastest(self):
        return jnp.zeros_like(self.total()[0])

    def slowest(self):
        return jnp.zeros_like(self.total()[0])


class Resistance(Memoryless):
    """Q = (p - P_out)/R."""

    node: Int[Array, " outlets"] = eqx.field(converter=indices)
    R: Float[Array, " outlets"] = eqx.field(converter=vector)
    """[Pa·s/m³]"""
    P_out: Float[Array, " outlets"] = eqx.field(converter=vector)
    """[Pa]"""

    def port(self, stores, muscle, h):
        return 1.0 / self.R, self.P_out

    def total(self):
        return self.R, self.P_out


class Absorbing(Memoryless):
    """An end that waves leave: without an echo as if the vessel went on for ever, at rest at `P_out`, or with one.

    Along the wave u = ∫ dP/(ρc); with c halfway between the present state and rest this is exact to third order in the
    wave's height. An `echo` R_t sends back W₁ - W₁⁰ = -R_t (W₂ - W₂⁰) of the invariants W = u ∓ ∫ dP/(ρc), so that
    u = (1 - R_t)/(1 + R_t) ∫ dP/(ρc): 1 is a closed end. The conductance belongs to the vessel's end and is put in
    where nodes are solved.
    """

    node: Int[Array, " outlets"] = eqx.field(converter=indices)
    P_out: Float[Array, " outlets"] = eqx.field(converter=vector)
    """[Pa]"""
    echo: Float[Array, " outlets"] | Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.0)
    """R_t, in (-1, 1]; 0 absorbs all"""

    def port(self, stores, muscle, h):
        return jnp.zeros_like(self.P_out), self.P_out

    def total(self):
        return jnp.full_like(self.P_out, jnp.inf), self.P_out


class Windkessel(Outlet):
    """R1 - C - R2 to P_out: C dP_c/dt = Q - (P_c - P_out)/R2, Q = (p - P_c)/R1."""

    node: Int[Array, " outlets"] = eqx.field(converter=indices)
    R1: Float[Array, " outlets"] = eqx.field(converter=vector)
    """[Pa·s/m³]"""
    R2: Float[Array, " outlets"] = eqx.field(converter=vector)
    C: Float[Array, " outlets"] = eqx.field(converter=vector)
    """[m³/Pa]"""
    P_out: Float[Array, " outlets"] = eqx.field(converter=vector)

    def port(self, stores, muscle, h):
        D, source = self._ahead(stores, h)
        return 1.0 / (self.R1 + h / D), source

    def after(self, stores, Q, muscle, h):
        D, source = self._ahead(stores, h)
        return (source + h * Q / D)[:, None]

    def _ahead(self, stores, h):
        """D and ψ of P_c = ψ + hQ/D at the end of the step."""
        D = self.C + h / self.R2
        return D, (self.C * stores[:, 0] + h * self.P_out / self.R2) / D

    def rate(self, stores, Q, muscle):
        return ((Q - (stores[:, 0] - self.P_out) / self.R2) / self.C)[:, None]

    def resting(self, p):
        R, P_out = self.total()
        return (P_out + (p - P_out) * self.R2 / R)[:, None]

    def total(self):
        return self.R1 + self.R2, self.P_out

    def fastest(self):
        return (1.0 / self.R1 + 1.0 / self.R2) / self.C

    def slowest(self):
        return self.R2 * self.C


class Coronary(Outlet):
    """R_a - C_a - R_am - C_im - R_v to P_v, C_im standing on the intramyocardial pressure P_im(t).

    With the pressure P_1 over C_a and the transmural pressure V_2 = P_2 - P_im over C_im,

        C_a  dP_1/dt = Q - (P_1 - P_2)/R_am,           Q = (p - P_1)/R_a,
        C_im dV_2/dt = (P_1 - P_2)/R_am - (P_2 - P_v)/R_v,

    so that no derivative of P_im is needed. Source: Kim et al. (2010), Ann Biomed Eng 38:3195.
    """

    node: Int[Array, " outlets"] = eqx.field(converter=indices)
    R_a: Float[Array, " outlets"] = eqx.field(converter=vector)
    """arterial, arterial micro- and venous resistance [Pa·s/m³]"""
    R_am: Float[Array, " outlets"] = eqx.field(converter=vector)
    R_v: Float[Array, " outlets"] = eqx.field(converter=vector)
    C_a: Float[Array, " outlets"] = eqx.field(converter=vector)
    """[m³/Pa]"""
    C_im: Float[Array, " outlets"] = eqx.field(converter=vector)
    P_v: Float[Array, " outlets"] = eqx.field(converter=vector)
    P_im: Waveform
    """[Pa]"""

    def port(self, stores, muscle, h):
        D, source, _ = self._ahead(stores, muscle, h)
        return 1.0 / (self.R_a + h / D), source

    def after(self, stores, Q, muscle, h):
        D, source, beyond = self._ahead(stores, muscle, h)
        P1 = source + h * Q / D
        return jnp.stack([P1, beyond(P1) - muscle], axis=1)

    def _ahead(self, stores, muscle, h):
        """D and ψ of P_1 = ψ + hQ/D at the end of the step, and P_2 as a function of P_1."""
        whole = self.C_im + h / self.R_am + h / self.R_v
        own = self.C_im * (stores[:, 1] + muscle) + h * self.P_v / self.R_v
        share = h / (self.R_am * whole)  # of P_1 in P_2
        D = self.C_a + h / self.R_am * (1.0 - share)
        return D, (self.C_a * stores[:, 0] + share * own) / D, lambda P1: own / whole + share * P1

    def rate(self, stores, Q, muscle):
        P1, P2 = stores[:, 0], stores[:, 1] + muscle
        through = (P1 - P2) / self.R_am
        return jnp.stack([(Q - through) / self.C_a, (through - (P2 - self.P_v) / self.R_v) / self.C_im], axis=1)

    def resting(self, p):
        R, P_v = self.total()
        P1, P2 = (P_v + (p - P_v) * beyond / R for beyond in (self.R_am + self.R_v, self.R_v))
        return jnp.stack([P1, P2 - self.P_im(jnp.zeros(()))], axis=1)

    def total(self):
        return self.R_a + self.R_am + self.R_v, self.P_v

    def fastest(self):
        first = (1.0 / self.R_a + 1.0 / self.R_am) / self.C_a
        return jnp.maximum(first, (1.0 / self.R_am + 1.0 / self.R_v) / self.C_im)

    def slowest(self):
        return self.C_a * (self.R_am + self.R_v) + self.C_im * self.R_v  # the sum of both is an upper bound
