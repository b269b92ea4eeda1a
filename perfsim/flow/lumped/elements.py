"""Elements of a lumped network: small functions of the pressures at their ports and of variables of their own.

Each class stands for all elements of its kind. What it says is linear, apart from a pressure drop that depends on one
flow: F y + E dy/dt + D drop(q, t) + G given(t) = 0 (see `perfsim.flow.lumped.assembly`).

The equations are those of svZeroDSolver (github.com/SimVascular/svZeroDSolver, the files of src/model that the classes
name), with the pressures and flows inside an element as variables, so that any of R, L and C may be zero.
"""

import abc
from typing import ClassVar

from perfsim.flow.pulsatile.arrays import pairs, vector
from perfsim.flow.pulsatile.waveform import Waveform

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def column(x) -> Int[Array, "elements 1"]:
    """The node of each element that has one port."""
    return jnp.reshape(jnp.asarray(x, int), (-1, 1))


class Element(eqx.Module):
    """All elements of a kind. Lists of values have one entry per port or variable, an array over the elements."""

    variables: ClassVar[int]
    """number of variables y of an element, and of its equations"""
    stores: ClassVar[tuple[int, ...]] = ()
    """which variables have a time derivative"""
    pressures: ClassVar[tuple[int, ...]] = ()
    """which variables are pressures; the others are flows"""
    gives: ClassVar[int] = 0
    """number of values that are prescribed in time"""
    ports: eqx.AbstractVar[Int[Array, "elements ports"]]
    """nodes"""

    @property
    def lossy(self) -> int | None:
        """The variable whose flow a pressure drop depends on; None where nothing does."""
        return None

    @abc.abstractmethod
    def equations(self, p: list, y: list, dy: list, drop, given: list) -> list[Array]:
        """What must be zero, given pressures at the ports, variables, their rates, the drop and prescribed values."""

    def flows(self, y: list) -> list[Array]:
        """The flow from the node at each port into the element."""
        return [y[0]]

    def given(self, t: Float[Array, ""]) -> list[Array]:
        """The prescribed values at a time."""
        return []

    def drop(self, q: Float[Array, " elements"], t: Float[Array, ""]) -> Float[Array, " elements"]:
        """The pressure drop at the flow q, for elements that are lossy."""
        return jnp.zeros_like(q)


class Vessel(Element):
    """R and stenosis - C - L, with the pressure p_c over C. Source: BloodVessel.h.

    p_in - p_c = (R + S|q_in|) q_in,    C dp_c/dt = q_in - q_out,    p_c - p_out = L dq_out/dt
    """

    variables, stores, pressures = 3, (0, 2), (0,)
    ports: Int[Array, "elements 2"] = eqx.field(converter=pairs)
    R: Float[Array, " elements"] = eqx.field(converter=vector)
    L: Float[Array, " elements"] = eqx.field(converter=vector)
    C: Float[Array, " elements"] = eqx.field(converter=vector)
    S: Float[Array, " elements"] | None = None
    """coefficients of stenoses; None for vessels without any, which then cost no iteration"""

    @property
    def lossy(self):
        return None if self.S is None else 1

    def equations(self, p, y, dy, drop, given):
        p_c, q_in, q_out = y
        return [p[0] - p_c - self.R * q_in - drop, q_in - q_out - self.C * dy[0], p_c - p[1] - self.L * dy[2]]

    def flows(self, y):
        return [y[1], -y[2]]

    def drop(self, q, t):
        return jnp.zeros_like(q) if self.S is None else self.S * jnp.abs(q) * q


class ProximalVessel(Vessel):
    """C - R and stenosis - L. Source: BloodVesselCRL.h.

    p_c = p_in,    C dp_c/dt = q_in - q_out,    p_c - p_out = (R + S|q_out|) q_out + L dq_out/dt
    """

    @property
    def lossy(self):
        return None if self.S is None else 2

    def equations(self, p, y, dy, drop, given):
        p_c, q_in, q_out = y
        loss = self.R * q_out + drop
        return [p[0] - p_c, q_in - q_out - self.C * dy[0], p_c - p[1] - loss - self.L * dy[2]]


class Inflow(Element):
    """A prescribed flow into the network, Q(t). Source: FlowReferenceBC.h."""

    variables, gives = 1, 1
    ports: Int[Array, "elements 1"] = eqx.field(converter=column)
    Q: Waveform

    def equations(self, p, y, dy, drop, given):
        return [y[0] + given[0]]

    def given(self, t):
        return [self.Q(t)]


class Held(Element):
    """A prescribed pressure P(t). Source: PressureReferenceBC.h."""

    variables, gives = 1, 1
    ports: Int[Array, "elements 1"] = eqx.field(converter=column)
    P: Waveform

    def equations(self, p, y, dy, drop, given):
        return [p[0] - given[0]]

    def given(self, t):
        return [self.P(t)]


class Drain(Element):
    """A resistance to a pressure: p - P_d = R q. Source: ResistanceBC.h."""

    variables, gives = 1, 1
    ports: Int[Array, "elements 1"] = eqx.field(converter=column)
    R: Float[Array, " elements"] = eqx.field(converter=vector)
    Pd: Waveform

    def equations(self, p, y, dy, drop, given):
        return [p[0] - given[0] - self.R * y[0]]

    def given(self, t):
        return [self.Pd(t)]


class Windkessel(Element):
    """R_p - C - R_d to P_d: p - p_c = R_p q, C dp_c/dt = q - q_d, p_c - P_d = R_d q_d. Source: WindkesselBC.h."""

    variables, stores, pressures, gives = 3, (1,), (1,), 1
    ports: Int[Array, "elements 1"] = eqx.field(converter=column)
    Rp: Float[Array, " elements"] = eqx.field(converter=vector)
    C: Float[Array, " elements"] = eqx.field(converter=vector)
    Rd: Float[Array, " elements"] = eqx.field(converter=vector)
    Pd: Waveform

    def equations(self, p, y, dy, drop, given):
        q, p_c, q_d = y
        return [p[0] - p_c - self.Rp * q, q - q_d - self.C * dy[1], p_c - given[0] - self.Rd * q_d]

    def given(self, t):
        return [self.Pd(t)]


class Coronary(Element):
    """R_a - C_a - R_am - C_im - R_v to P_v, C_im on the pressure P_im(t). Source: OpenLoopCoronaryBC.h.

    With the pressure p_1 over C_a and the transmural pressure v of C_im,

        p - p_1 = R_a q,    C_a dp_1/dt = q - q_am,    p_1 - (v + P_im) = R_am q_am,
        C_im dv/dt = q_am - q_v,    v + P_im - P_v = R_v q_v.

    The solver's own variable is the volume C_im v counted from its start, which shifts no pressure or flow.
    """

    variables, stores, pressures, gives = 5, (1, 3), (1, 3), 2
    ports: Int[Array, "elements 1"] = eqx.field(converter=column)
    Ra: Float[Array, " elements"] = eqx.field(converter=vector)
    Ram: Float[Array, " elements"] = eqx.field(converter=vector)
    Rv: Float[Array, " elements"] = eqx.field(converter=vector)
    Ca: Float[Array, " elements"] = eqx.field(converter=vector)
    Cim: Float[Array, " elements"] = eqx.field(converter=vector)
    Pv: Waveform
    Pim: Waveform

    def equations(self, p, y, dy, drop, given):
        q, p_1, q_am, v, q_v = y
        P_v, P_im = given
        return [
            p[0] - p_1 - self.Ra * q,
            q - q_am - self.Ca * dy[1],
            p_1 - (v + P_im) - self.Ram * q_am - drop,
            q_am - q_v - self.Cim * dy[3],
            v + P_im - P_v - self.Rv * q_v,
        ]

    def given(self, t):
        return [self.Pv(t), self.Pim(t)]


class SqueezedCoronary(Coronary):
    """A coronary bed whose microvessels narrow as the muscle contracts. Source: OpenLoopCoronaryVarResBC.cpp.

    √R_am(t) = √R_min + (√R_max - √R_min) e(t), the activity e rising as (1 - cos(π t/T_vc))/2 until T_vc and falling
    likewise within T_vr. Here `Ram` is R_min; the rest is the drop.
    """

    Ram_max: Float[Array, " elements"] = eqx.field(converter=vector)
    T_vc: Float[Array, " elements"] = eqx.field(converter=vector)
    T_vr: Float[Array, " elements"] = eqx.field(converter=vector)

    @property
    def lossy(self):
        return 2

    def drop(self, q, t):
        rise = 0.5 * (1.0 - jnp.cos(jnp.pi * t / self.T_vc))
        fall = 0.5 * (1.0 + jnp.cos(jnp.pi * (t - self.T_vc) / self.T_vr))
        e = jnp.where(t <= self.T_vc, rise, jnp.where(t <= self.T_vc + self.T_vr, fall, 0.0))
        root = jnp.sqrt(self.Ram)
        return ((root + (jnp.sqrt(self.Ram_max) - root) * e) ** 2 - self.Ram) * q
