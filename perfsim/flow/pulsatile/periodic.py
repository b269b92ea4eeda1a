"""The periodic state: the fixed point of the map that one cycle is, and its derivative.

y = Φ(y) is found by Anderson's acceleration from the steady state: plain repetition gains a factor e^(-T/RC) a cycle
for every outlet that stores blood, and those few modes are what the acceleration removes. For the same reason a small
change over a cycle is no proof: what is left to come is up to 1/(1 - e^(-T/RC)) times as much. By the implicit function
theorem dy = (I - ∂Φ/∂y)⁻¹ ∂Φ/∂θ dθ: the derivative costs cycles of the linearized map, not of those that led there.
"""

from collections.abc import Callable
from typing import NamedTuple

from perfsim._outcome import poison
from perfsim._results import RESULTS
from perfsim.flow.pulsatile.arteries import Arteries
from perfsim.flow.pulsatile.grid import Grid
from perfsim.flow.pulsatile.march import Cycle, march
from perfsim.flow.pulsatile.scheme import Scheme, Wave, scheme
from perfsim.flow.pulsatile.start import steady_start

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

MEMORY = 6
"""earlier cycles that Anderson's acceleration combines"""

STEADY, QUIET, STILL = 0.1, 1e-3, 1e-8
"""the least that a vessel's pressure or flow is taken to swing by: of its own greatest, of the network's greatest, and
of ρc² or A_d c, which count where nothing moves"""
FORGOTTEN = 1e-3
"""the least part of an error that a cycle is taken to forget"""

LINEAR_TOLERANCE = 1e-10
"""of the derivative's linear equation, relative to its right-hand side"""
LINEAR_ACCEPTED = 1e-7
"""what of it may be left for a derivative to count"""


class Periodicity(eqx.Module):
    """How a periodic state was reached."""

    cycles: Int[Array, ""]
    change: Float[Array, " vessels"]
    """what pressure or flow may still change by in each vessel and in the outlet at its end, over what they swing by"""
    result: Int[Array, ""]
    """a value of `RESULTS`"""


def scales(s: Scheme, wave: Wave) -> Wave:
    """What each part of a state is measured in: the resting lumen, A_d c, and the wall's A dP/dA."""
    slope = s.resting_slope()
    A, pressure = s.rest**2, jnp.mean(slope)
    flow = A * jnp.sqrt(slope / s.rho)
    stores = tuple(jnp.full(x.shape, pressure) for x in wave.stores)
    return Wave(A, flow, stores, jnp.full(wave.throat.shape, jnp.mean(flow)))


def forgotten(arteries: Arteries, s: Scheme) -> Float[Array, ""]:
    """Return the part of an error that one cycle forgets at least, 1 - e^(-T/τ).

    τ is the longest time in which an outlet's stores empty, and, where flow is prescribed and so none can leave by the
    inlet, the time in which the vessels' compliance ∫ dA/dP dx empties through all outlets.
    """
    tau = [jnp.zeros(1)] + [jnp.where(jnp.isfinite(o.slowest()), o.slowest(), 0.0) for o in arteries.outlets]
    longest = jnp.max(jnp.concatenate(tau))
    if arteries.pressure_inlets is None:
        compliance = jnp.sum(s.rest**2 * s.dx / s.resting_slope())
        drained = sum((jnp.sum(1.0 / o.total()[0]) for o in arteries.outlets), jnp.zeros(()))
        longest = longest + jnp.where(drained > 0, compliance / jnp.where(drained > 0, drained, 1.0), 0.0)
    longest = jnp.maximum(longest, jnp.finfo(longest.dtype).tiny * arteries.period)
    return jnp.maximum(-jnp.expm1(-arteries.period / longest), FORGOTTEN)


class CycleMap(eqx.Module):
    """The map that one cycle is, between flat states in units of `scales`."""

    arteries: Arteries
    grid: Grid
    unit: Wave
    forgotten: Float[Array, ""]
    unravel: Callable = eqx.field(static=True)

    @classmethod
    def of(cls, arteries: Arteries, grid: Grid) -> "tuple[CycleMap, Float[Array, ' n']]":
        """The map, and the flat steady state to begin with."""
        frozen = jax.lax.stop_gradient(arteries)
        s = scheme(frozen, grid)
        start = steady_start(frozen, s, grid)
        unit = scales(s, start)
        flat, unravel = ravel_pytree(jax.tree.map(lambda x, u: x / u, start, unit))
        return cls(arteries, grid, unit, forgotten(frozen, s), unravel), flat

    def wave(self, x: Float[Array, " n"]) -> Wave:
        """The state that a flat one stands for."""
        return jax.tree.map(lambda x, u: x * u, self.unravel(x), self.unit)

    def cycle(self, x: Float[Array, " n"]) -> tuple[Float[Array, " n"], Float[Array, " vessels"], Cycle]:
        """f(x) = Φ(x) - x, what of it may still be to come in each vessel (see `Periodicity`), and the way there."""
        s, start = scheme(self.arteries, self.grid), self.wave(x)
        end, cycle = march(s, self.arteries, self.grid, start)
        f = ravel_pytree(jax.tree.map(lambda x, u: x / u, end, self.unit))[0] - x
        return f, self._change(s, start, end, cycle) / self.forgotten, cycle

    def residual(self, x: Float[Array, " n"]) -> tuple[Float[Array, " n"], Float[Array, " vessels"]]:
        """The first two of `cycle`: what Anderson's acceleration asks for."""
        f, change, _ = self.cycle(x)
        return f, change

    def _change(self, s: Scheme, start: Wave, end: Wave, cycle: Cycle) -> Float[Array, " vessels"]:
        """Greatest change of pressure or flow of each vessel and the outlet at its end, over what they swing by."""
        vessel, n = self.grid.vessel, len(self.grid.cells)
        P = _swing(cycle.pressure, s.resting_slope()[self.grid.first])
        Q = _swing(cycle.flow, self.unit.Q[self.grid.first])
        moved = jnp.maximum(
            jnp.abs(s.pressure(end.A) - s.pressure(start.A)) / P[vessel], jnp.abs(end.Q - start.Q) / Q[vessel]
        )
        change = jax.ops.segment_max(moved, vessel, n, indices_are_sorted=True)
        for outlet, before, after in zip(self.arteries.outlets, start.stores, end.stores, strict=True):
            at = self.grid.ends_at[outlet.node, 0] % n
            stored = jnp.max(jnp.abs(after - before), axis=1, initial=0.0)
            change = change.at[at].max(stored / P[at])
        return change


def _swing(x: Float[Array, "times places vessels"], unit: Float[Array, " vessels"]) -> Float[Array, " vessels"]:
    """What a vessel's pressure or flow swings by, max - min over the cycle, or what it is taken to."""
    swing, greatest = jnp.max(jnp.ptp(x, axis=0), axis=0), jnp.max(jnp.abs(x), axis=(0, 1))
    least = jnp.maximum(jnp.maximum(STEADY * greatest, QUIET * jnp.max(greatest)), STILL * unit)
    return jnp.maximum(swing, least)


def periodic_state(
    arteries: Arteries, grid: Grid, tolerance: float, max_cycles: int, *, throw: bool = True
) -> tuple[Wave, Periodicity]:
    """Find the state at the start of a cycle that the cycle returns to; differentiable in the arteries.

    It has converged when no vessel's pressure or flow, and no outlet's stored pressure, may still change by more than
    `tolerance`, relative to what it swings by in the cycle. A state that did not is NaN, with its derivatives, unless
    `throw` is False.
    """
    frozen, x = CycleMap.of(jax.lax.stop_gradient(arteries), grid)
    end = anderson(frozen.residual, x, len(grid.cells), tolerance, max_cycles)
    x = attach_derivative(max_cycles, throw, eqx.tree_at(lambda m: m.arteries, frozen, arteries), end.found)
    result = jnp.where(jnp.max(end.error) <= tolerance, RESULTS.successful, RESULTS.not_periodic)
    result = jnp.where(jnp.all(jnp.isfinite(end.error)), result, RESULTS.wave_not_finite).astype(int)
    if throw:
        x = poison(x, result != RESULTS.successful)
    return frozen.wave(x), Periodicity(end.steps, end.error, result)


class Iteration(NamedTuple):
    """Where Anderson's acceleration stands."""

    x: Float[Array, " n"]
    x_old: Float[Array, " n"]
    f: Float[Array, " n"]
    """residual of `x_old`"""
    error: Float[Array, " parts"]
    """of `x_old`, as the residual's function gives it"""
    dX: Float[Array, "memory n"]
    dF: Float[Array, "memory n"]
    steps: Int[Array, ""]

    @classmethod
    def at(cls, x: Float[Array, " n"], parts: int) -> "Iteration":
        """Before the first evaluation; the error will have so many parts."""
        empty = jnp.zeros((MEMORY, len(x)), x.dtype)
        unknown = jnp.full(parts, jnp.inf, x.dtype)
        return cls(x, x, jnp.full_like(x, jnp.inf), unknown, empty, empty, jnp.zeros((), int))

    @property
    def found(self) -> Float[Array, " n"]:
        """The state that the error is known to bound: a plain step on, x + f. An accelerated one may lead away."""
        return self.x_old + self.f

    def advanced(self, residual: Callable) -> "Iteration":
        """One evaluation of the residual, and the step that follows from it.

        x ← x + f - Σ γ_j (Δx_j + Δf_j), γ the least-squares solution of Σ γ_j Δf_j = f over the last `MEMORY`
        differences; columns not yet filled are zero and get γ = 0. For an affine f this is GMRES.
        Source: Walker & Ni (2011), SIAM J Numer Anal 49:1715.
        """
        x, (f, error) = self.x, residual(self.x)
        row, known = (self.steps - 1) % MEMORY, self.steps > 0
        dX = self.dX.at[row].set(jnp.where(known, x - self.x_old, 0.0))
        dF = self.dF.at[row].set(jnp.where(known, f - self.f, 0.0))
        norm = jnp.maximum(jnp.linalg.norm(dF, axis=1), jnp.finfo(x.dtype).tiny)
        gamma = jnp.linalg.lstsq((dF / norm[:, None]).T, f, rcond=1e-12)[0] / norm
        return Iteration(x + f - gamma @ (dX + dF), x, f, error, dX, dF, self.steps + 1)


def anderson(residual: Callable, x: Float[Array, " n"], parts: int, tolerance: float, max_steps: int) -> Iteration:
    """A zero of f(x) from x; `residual` returns f and the error of x, of so many parts.

    It ends where the greatest error is at most `tolerance`, or is not finite.
    """

    def unfinished(iteration):
        worst = jnp.max(iteration.error)
        wanted = (worst > tolerance) & (iteration.steps < max_steps) & jnp.isfinite(worst)
        return (iteration.steps == 0) | wanted

    return jax.lax.while_loop(unfinished, lambda i: i.advanced(residual), Iteration.at(x, parts))


@eqx.filter_custom_jvp
def attach_derivative(max_steps, throw, equation, x):
    """Return the zero x of f, the first of `equation.residual`'s values, unchanged.

    Its derivative is the implicit one, -(∂f/∂x)⁻¹ ∂f/∂θ dθ.
    """
    return x


@attach_derivative.def_jvp
def _attach_derivative_jvp(primals, tangents):
    max_steps, throw, equation, x = primals
    _, df = eqx.filter_jvp(lambda e: e.residual(x)[0], (equation,), (tangents[2],))
    _, along = jax.linearize(lambda x: equation.residual(x)[0], x)

    def solve(matvec, b):
        size = jnp.maximum(jnp.max(jnp.abs(b)), jnp.finfo(b.dtype).tiny)

        def residual(v):
            f = b - matvec(v)
            return f, jnp.max(jnp.abs(f), keepdims=True) / size

        end = anderson(residual, b, 1, LINEAR_TOLERANCE, max_steps)
        missed = ~(end.error[0] <= LINEAR_ACCEPTED)
        return poison(end.found, missed) if throw else end.found

    return x, jax.lax.custom_linear_solve(lambda v: -along(v), df, solve, transpose_solve=solve)


def periodic_cycle(
    arteries: Arteries, grid: Grid, tolerance: float, max_cycles: int, *, throw: bool = True
) -> tuple[Cycle, Wave, Periodicity]:
    """The periodic cycle as it was sampled, the state at its start, and how it was reached (see `periodic_state`)."""
    wave, reached = periodic_state(arteries, grid, tolerance, max_cycles, throw=throw)
    _, cycle = march(scheme(arteries, grid), arteries, grid, wave)
    return cycle, wave, reached
