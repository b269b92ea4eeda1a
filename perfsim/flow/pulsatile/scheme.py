"""The equations on the grid, and one step of them.

∂A/∂t + ∂Q/∂x = 0,   ∂Q/∂t + ∂(αQ²/A)/∂x + (A/ρ) ∂P/∂x = -2(ζ+2)πμ Q/(ρA),   P = P_ext + P(A) + Γ/(A_d√A) ∂A/∂t
"""

from typing import NamedTuple

from perfsim._fences import hold
from perfsim.flow.pulsatile.arteries import Arteries
from perfsim.flow.pulsatile.flux import face_flux, limited
from perfsim.flow.pulsatile.grid import Grid
from perfsim.flow.pulsatile.nodes import Ends, Joints, Supply, solve_nodes
from perfsim.flow.pulsatile.outlets import Absorbing, Outlet
from perfsim.flow.pulsatile.tube import TubeLaw

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Wave(eqx.Module):
    """The state of a network."""

    A: Float[Array, " cells"]
    """lumen [m²]"""
    Q: Float[Array, " cells"]
    """flow [m³/s]"""
    stores: tuple[Float[Array, "outlets stores"], ...]
    """of each group of outlets [Pa]"""
    throat: Float[Array, " throats"]
    """flow of each throat, for its inertia [m³/s]"""


Drive = tuple[Float[Array, " places"] | None, ...]
"""Prescribed values at an instant, in the order of `Arteries.waves`."""


class Scheme(eqx.Module):
    """All coefficients of the equations on a grid; built from the parameters by `scheme`.

    Arrays over `places` have one place more than cells on either side, those over `padded` two: these hold no blood and
    keep shifts in bounds. A face lies between one place and the next.
    """

    cell: TubeLaw
    """of the padded places"""
    near: TubeLaw
    """at the near and far face of each place"""
    far: TubeLaw
    rest: Float[Array, " cells"]
    """√A_d"""
    dx: Float[Array, " cells"]
    per_dx: Float[Array, " places"]
    alpha: Float[Array, ""] | Float[Array, " places"]
    friction: Float[Array, ""] | Float[Array, " places"]
    """2(ζ+2)πμ/ρ [m²/s]"""
    spread: Float[Array, " cells"] | None
    """Γ/(ρ√A_d) of a viscous wall [m²/s]"""
    eps_P: Float[Array, " places"]
    eps_Q: Float[Array, " places"]
    is_first: Bool[Array, " places"]
    is_last: Bool[Array, " places"]
    inner: Float[Array, " faces"]
    """0 at faces where one vessel ends and the next begins"""
    end_cell: Int[Array, " ends"]
    joints: Joints
    L: Float[Array, " throats"]
    rho: Float[Array, ""]
    dt: Float[Array, ""]
    flow_inlet: Int[Array, " flow_inlets"]
    pressure_inlet: Int[Array, " pressure_inlets"]
    outlets: tuple[Outlet, ...]

    def pressure(self, A: Float[Array, " cells"]) -> Float[Array, " cells"]:
        """P [Pa] in the cells."""
        return _sliced(self.cell, slice(2, -2)).pressure(jnp.sqrt(A))

    def resting_slope(self) -> Float[Array, " cells"]:
        """A dP/dA = ρc² [Pa] of the cells at rest."""
        return _sliced(self.cell, slice(2, -2)).slope(self.rest)

    def resting_drag(self) -> Float[Array, " cells"]:
        """2(ζ+2)πμ/(ρA_d) [1/s]: the rate at which friction alone would stop the flow at rest."""
        return (self.friction if self.friction.ndim == 0 else self.friction[1:-1]) / self.rest**2

    def step(self, wave: Wave, drive: Drive) -> tuple[Wave, Ends]:
        """One time step, and the ends in its middle; `drive` is what is prescribed there.

        MUSCL-Hancock (van Leer (1984), SIAM J Sci Stat Comput 5:1): what a cell reconstructs at its faces is carried
        half a step by the equations inside the cell,

            ∂P/∂t = -(ρc²/A) ∂Q/∂x,   ∂Q/∂t = -2αu ∂Q/∂x + αu² ∂A/∂x - (A/ρ) ∂P/∂x - 2(ζ+2)πμ u/ρ,

        and one flux per face is taken there: second order in time with one Riemann problem and one solve of the nodes
        a step, and waves travel at the right speed (the errors of space and time cancel at half the CFL number) where
        Heun's two stages run ahead.
        """
        h = 0.5 * self.dt
        s, P, Q, half_P, half_Q = self._reconstructed(wave)
        far, near = hold(self.far.root_area(P + half_P)), hold(self.near.root_area(P - half_P))
        A, r = s * s, h * self.per_dx
        per_A = 1.0 / A
        u, dQ = Q * per_A, 2.0 * half_Q
        slope = _sliced(self.cell, slice(1, -1)).slope(s)
        convected = self.alpha * u * (2.0 * dQ - u * (far * far - near * near))
        P = P - r * slope * per_A * dQ
        Q = Q - r * (convected + A * half_P * (2.0 / self.rho)) - h * self.friction * u
        P, Q = hold(P), hold(Q)
        A = (A - r * dQ)[1:-1]
        ports = self._ports(wave, drive, h)
        ends, dA, dQ = self._balance(A, P, Q, half_P, half_Q, self._supply(wave, drive, ports, self.L / h))
        stores = self._stores(
            wave, ends, drive, ports, lambda o, store, Q, muscle: self._advanced(o, store, Q, muscle, h)
        )
        inertial = 1.0 / (1.0 + (h * self.joints.R / jnp.where(self.L > 0, self.L, jnp.inf)) ** 2) * (self.L > 0)
        throat = ends.throat + inertial * (ends.throat - wave.throat)
        return Wave(wave.A + self.dt * dA, wave.Q + self.dt * dQ, stores, throat), ends

    def rate(self, wave: Wave, drive: Drive) -> Wave:
        """dU/dt: the equations with time left continuous, for integrators other than `step`."""
        _, P, Q, half_P, half_Q = self._reconstructed(wave)
        ports, lag = self._ports(wave, drive, 0.0), 4.0 * self.dt  # dQ/dt of a throat is taken over this time
        supply = self._supply(wave, drive, ports, self.L / lag)
        ends, dA, dQ = self._balance(wave.A, P, Q, half_P, half_Q, supply)
        stores = self._stores(wave, ends, drive, ports, lambda outlet, *group: outlet.rate(*group))
        return Wave(dA, dQ, stores, (ends.throat - wave.throat) / lag)

    def ends(self, wave: Wave, drive: Drive) -> Ends:
        """The ends of the vessels at the instant of the state."""
        _, P, Q, half_P, half_Q = self._reconstructed(wave)
        moment = 1e-6 * self.dt  # and not 0, or an outlet without compliance would divide by it
        supply = self._supply(wave, drive, self._ports(wave, drive, moment), self.L / (4.0 * self.dt))
        return self._solved(P, Q, half_P, half_Q, supply)

    def _reconstructed(self, wave: Wave):
        """√A, P and Q at the places, and half the slopes of P and Q there."""
        s = jnp.concatenate([self.rest[:1], self.rest[:1], jnp.sqrt(wave.A), self.rest[-1:], self.rest[-1:]])
        still = jnp.zeros(2, wave.Q.dtype)
        P, Q = self.cell.pressure(s), jnp.concatenate([still, wave.Q, still])
        return s[1:-1], P[1:-1], Q[1:-1], self._half_slope(P, self.eps_P), self._half_slope(Q, self.eps_Q)

    def _half_slope(self, V, eps):
        """Half the limited difference across each place; one-sided in a vessel's end cells."""
        d = V[1:] - V[:-1]
        before, after = d[:-1], d[1:]
        before, after = jnp.where(self.is_first, after, before), jnp.where(self.is_last, before, after)
        return 0.5 * limited(before, after, eps)

    def _solved(self, P, Q, half_P, half_Q, supply: Supply) -> Ends:
        """The nodes, from the values at the places and half their slopes."""
        vessels = len(self.end_cell) // 2
        start, end = self.end_cell[:vessels] + 1, self.end_cell[vessels:] + 1
        P_i, Q_i = (
            jnp.concatenate([V[start] - half[start], V[end] + half[end]]) for V, half in ((P, half_P), (Q, half_Q))
        )
        return solve_nodes(self.joints, P_i, Q_i, supply)

    def _balance(self, A, P, Q, half_P, half_Q, supply: Supply):
        """The ends, ∂A/∂t and ∂Q/∂t of the cells from the values at the places at one instant; A is that of cells."""
        ends = self._solved(P, Q, half_P, half_Q, supply)
        left, right = (
            ((V + half)[:-1] for V, half in ((P, half_P), (Q, half_Q))),
            ((V - half)[1:] for V, half in ((P, half_P), (Q, half_Q))),
        )
        alpha = self.alpha if self.alpha.ndim == 0 else self.alpha[:-1]
        wall = _sliced(self.far, slice(None, -1))
        mass, from_left, from_right = face_flux(wall, 1.0 / self.rho, alpha, tuple(left), tuple(right))
        mass, from_left, from_right = self.inner * mass, self.inner * from_left, self.inner * from_right
        friction = self.friction if self.friction.ndim == 0 else self.friction[1:-1]
        dA = mass[:-1] - mass[1:]
        dQ = from_right[:-1] - from_left[1:] - (2.0 / self.rho) * A * half_P[1:-1]
        if self.spread is not None:
            dQ = dQ + self._viscous(self.spread, A, Q)
        sign, per_dx = self.joints.sign, self.per_dx[1:-1]
        dA = dA.at[self.end_cell].add(-sign * ends.Q) * per_dx
        dQ = dQ.at[self.end_cell].add(-sign * ends.force) * per_dx - friction * Q[1:-1] / A
        return ends, dA, dQ

    def _viscous(self, spread, A, Q):
        """(A/ρ) ∂/∂x(Γ/(A_d√A) ∂Q/∂x) Δx, with no viscous stress at a vessel's ends."""
        stretched = self.inner * (Q[1:] - Q[:-1])
        return spread * jnp.sqrt(A) / self.rest * (stretched[1:] - stretched[:-1]) * self.per_dx[1:-1]

    def _ports(self, wave: Wave, drive: Drive, h) -> list[tuple[Array, Array]]:
        """Conductance and source of each group of outlets, a time h after the state's."""
        return [o.port(x, muscle, h) for o, x, muscle in zip(self.outlets, wave.stores, drive[2:], strict=True)]

    def _supply(self, wave: Wave, drive: Drive, ports, inertance) -> Supply:
        """What nodes are given."""
        conductance = jnp.zeros(len(self.joints.fixed), wave.A.dtype)
        current, pressure = conductance, conductance
        if drive[0] is not None:
            current = current.at[self.flow_inlet].add(drive[0])
        if drive[1] is not None:
            pressure = pressure.at[self.pressure_inlet].set(drive[1])
        for outlet, (Y, source) in zip(self.outlets, ports, strict=True):
            conductance = conductance.at[outlet.node].add(Y)
            current = current.at[outlet.node].add(Y * source)
        return Supply(conductance, current, pressure, wave.throat, inertance)

    def _stores(self, wave: Wave, ends: Ends, drive: Drive, ports, what):
        """`what`(outlet, stores, inflow, muscle) of each group of outlets."""
        return tuple(
            what(outlet, store, Y * (ends.node[outlet.node] - source), muscle)
            for outlet, store, muscle, (Y, source) in zip(self.outlets, wave.stores, drive[2:], ports, strict=True)
        )

    def _advanced(self, outlet, store, Q, muscle, h):
        """Twice the half step: the midpoint rule. A store that fills within the step stays at the half step's value,

        or it would ring from step to step: with z = h · its rate the second half is taken 1/(1 + z²) times.
        """
        z = h * outlet.fastest()[:, None]
        middle = outlet.after(store, Q, muscle, h)
        return middle + (middle - store) / (1.0 + z * z)

    def resting(self, arteries: Arteries, grid: Grid, pressure: Float[Array, " nodes"], flow: Float[Array, " vessels"]):
        """The state with these pressures at the nodes [Pa] and these flows [m³/s], pressures linear between nodes."""
        x = (grid.centers.knot + grid.centers.fraction) / (arteries.radius.shape[1] - 1)
        low, high = pressure[arteries.tail][grid.vessel], pressure[arteries.head][grid.vessel]
        stores = tuple(o.resting(pressure[o.node]) for o in self.outlets)
        s = _sliced(self.cell, slice(2, -2)).root_area(low + x * (high - low))
        return Wave(s * s, flow[grid.vessel], stores, jnp.zeros_like(self.L))


def _sliced(wall: TubeLaw, part: slice) -> TubeLaw:
    return jax.tree.map(lambda x: x[part], wall)


def scheme(arteries: Arteries, grid: Grid) -> Scheme:
    """The coefficients of the equations on a grid; differentiable in the arteries."""
    rho, v = arteries.density, grid.vessel

    def wall(places):
        reference = (arteries.reference_pressure + arteries.external_pressure)[places.vessel]
        return arteries.wall.of(places.of(arteries.radius), places.of(arteries.elasticity), reference)

    def at_places(x):
        return x if x.ndim == 0 else _pad(x[v], 1)

    cell, face, start = wall(grid.centers), wall(grid.faces), wall(grid.starts)
    rest = jnp.sqrt(jnp.pi) * grid.centers.of(arteries.radius)
    dx = (arteries.length / grid.cells)[v]
    return Scheme(
        cell=jax.tree.map(lambda x: _pad(x, 2), cell),
        near=jax.tree.map(lambda x, at_start: _pad(_behind(x).at[grid.first].set(at_start), 1), face, start),
        far=jax.tree.map(lambda x: _pad(x, 1), face),
        rest=rest, dx=dx, per_dx=_pad(1.0 / dx, 1), alpha=at_places(arteries.momentum_factor),
        friction=at_places(2.0 * jnp.pi / rho * (arteries.profile + 2.0) * arteries.viscosity),
        spread=None if arteries.viscous is None else grid.centers.of(arteries.viscous) / (rho * rest),
        eps_P=_pad(grid.small_P**2, 1), eps_Q=_pad(grid.small_Q**2, 1), is_first=_pad(grid.is_first, 1),
        is_last=_pad(grid.is_last, 1), inner=jnp.append(False, ~grid.is_last).astype(rest.dtype),
        end_cell=jnp.concatenate([grid.first, grid.last]), L=arteries.throats.L, rho=rho,
        joints=_joints(arteries, grid, jax.tree.map(lambda a, b: jnp.concatenate([a, b[grid.last]]), start, face)),
        dt=arteries.period / (grid.steps * grid.samples), flow_inlet=_nodes(arteries.flow_inlets),
        pressure_inlet=_nodes(arteries.pressure_inlets), outlets=arteries.outlets,
    )  # fmt: skip


def _pad(x, count: int):
    return jnp.pad(x, count, mode="edge")


def _behind(faces: Float[Array, " cells"]) -> Float[Array, " cells"]:
    """The far face of the cell before."""
    return jnp.concatenate([faces[:1], faces[:-1]])


def _nodes(inlets) -> Int[Array, " inlets"]:
    return jnp.zeros(0, int) if inlets is None else inlets.node


def _joints(arteries: Arteries, grid: Grid, wall: TubeLaw) -> Joints:
    n = len(arteries.tail)
    node = jnp.concatenate([arteries.tail, arteries.head])
    alpha = jnp.concatenate([jnp.broadcast_to(arteries.momentum_factor, (n,))] * 2)
    throats = arteries.throats
    ending = [o for o in arteries.outlets if isinstance(o, Absorbing)]
    end_at = grid.ends_at[:, 0]  # the only end at a node where a vessel ends
    return Joints(
        sign=jnp.repeat(jnp.array([-1.0, 1.0], alpha.dtype), n), node=node, ends_at=grid.ends_at, wall=wall,
        alpha=alpha, kinetic=0.5 * arteries.density * alpha * arteries.total[node], rho=arteries.density,
        fixed=jnp.zeros(arteries.nodes, bool).at[_nodes(arteries.pressure_inlets)].set(True),
        absorbing=jnp.concatenate([end_at[o.node] for o in ending] + [jnp.zeros(0, int)]),
        absorbed_at=jnp.concatenate([o.P_out for o in ending] + [jnp.zeros(0, alpha.dtype)]),
        absorbed=jnp.concatenate([jnp.broadcast_to((1.0 - o.echo) / (1.0 + o.echo), o.P_out.shape) for o in ending]
                                 + [jnp.zeros(0, alpha.dtype)]),
        throat=throats.node, R=throats.R, S=throats.S,
    )  # fmt: skip


class Values(NamedTuple):
    """What a user's integrator needs besides the state: the coefficients, and what is prescribed when."""

    scheme: Scheme
    arteries: Arteries


def drive_at(arteries: Arteries, t: Float[Array, ""]) -> Drive:
    """Everything that waveforms prescribe at a time [s]."""
    return tuple(None if wave is None else wave(t) for wave in arteries.waves())


def term():
    """The right-hand side for diffrax: `diffeqsolve(term(), solver, t0, t1, dt0, wave, args=Values(…))`.

    An explicit solver needs a step that resolves the fastest outlet (`Outlet.fastest`), which `Scheme.step` does not.
    """
    import diffrax  # here, not above: it takes a second to load, and few need it

    return diffrax.ODETerm(lambda t, wave, args: args.scheme.rate(wave, drive_at(args.arteries, t)))
