"""The periodic state: the fixed point of the map that one cycle is, and its derivative.

y = Φ(y) is found by Anderson's acceleration from the steady state: plain repetition gains a factor e^(-T/RC) a cycle
for every outlet that stores blood, and those few modes are what the acceleration removes. By the implicit function
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

LINEAR_TOLERANCE = 1e-10
"""of the derivative's linear equation, relative to its right-hand side"""
LINEAR_ACCEPTED = 1e-7
"""what of it may be left for a derivative to count"""


class Periodicity(eqx.Module):
    """How a periodic state was reached."""

    cycles: Int[Array, ""]
    change: Float[Array, " vessels"]
    """greatest change of a vessel's lumen or flow over the last cycle, over A_d and A_d c"""
    result: Int[Array, ""]
    """a value of `RESULTS`"""


def scales(s: Scheme, wave: Wave) -> Wave:
    """What each part of a state is measured in: the resting lumen, A_d c, and the wall's A dP/dA."""
    slope = s.resting_slope()
    A, pressure = s.rest**2, jnp.mean(slope)
    flow = A * jnp.sqrt(slope / s.rho)
    stores = tuple(jnp.full(x.shape, pressure) for x in wave.stores)
    return Wave(A, flow, stores, jnp.full(wave.throat.shape, jnp.mean(flow)))


class CycleMap(eqx.Module):
    """The map that one cycle is, between flat states in units of `scales`."""

    arteries: Arteries
    grid: Grid
    unit: Wave
    unravel: Callable = eqx.field(static=True)

    @classmethod
    def of(cls, arteries: Arteries, grid: Grid) -> "tuple[CycleMap, Float[Array, ' n']]":
        """The map, and the flat steady state to begin with."""
        frozen = jax.lax.stop_gradient(arteries)
        s = scheme(frozen, grid)
        start = steady_start(frozen, s, grid)
        unit = scales(s, start)
        flat, unravel = ravel_pytree(jax.tree.map(lambda x, u: x / u, start, unit))
        return cls(arteries, grid, unit, unravel), flat

    def wave(self, x: Float[Array, " n"]) -> Wave:
        """The state that a flat one stands for."""
        return jax.tree.map(lambda x, u: x * u, self.unravel(x), self.unit)

    def residual(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """f(x) = Φ(x) - x."""
        wave, _ = march(scheme(self.arteries, self.grid), self.arteries, self.grid, self.wave(x))
        return ravel_pytree(jax.tree.map(lambda x, u: x / u, wave, self.unit))[0] - x

    def change(self, residual: Float[Array, " n"]) -> Float[Array, " vessels"]:
        """Greatest change of lumen or flow in each vessel."""
        change = self.unravel(residual)
        moved = jnp.maximum(jnp.abs(change.A), jnp.abs(change.Q))
        return jax.ops.segment_max(moved, self.grid.vessel, len(self.grid.cells), indices_are_sorted=True)


def periodic_state(
    arteries: Arteries, grid: Grid, tolerance: float, max_cycles: int, *, throw: bool = True
) -> tuple[Wave, Periodicity]:
    """Find the state at the start of a cycle that the cycle returns to; differentiable in the arteries.

    It has converged when no vessel's lumen or flow changes by more than `tolerance` (relative to A_d and A_d c). A
    state that did not is NaN, with its derivatives, unless `throw` is False.
    """
    frozen, x = CycleMap.of(jax.lax.stop_gradient(arteries), grid)
    end = anderson(frozen.residual, x, lambda f: jnp.max(frozen.change(f)), tolerance, max_cycles)
    x = attach_derivative(max_cycles, throw, eqx.tree_at(lambda m: m.arteries, frozen, arteries), end.x)
    change = frozen.change(end.f)
    result = jnp.where(jnp.max(change) <= tolerance, RESULTS.successful, RESULTS.not_periodic)
    result = jnp.where(jnp.all(jnp.isfinite(change)), result, RESULTS.wave_not_finite).astype(int)
    if throw:
        x = poison(x, result != RESULTS.successful)
    return frozen.wave(x), Periodicity(end.steps, change, result)


class Iteration(NamedTuple):
    """Where Anderson's acceleration stands."""

    x: Float[Array, " n"]
    x_old: Float[Array, " n"]
    f: Float[Array, " n"]
    """residual of `x_old`"""
    dX: Float[Array, "memory n"]
    dF: Float[Array, "memory n"]
    steps: Int[Array, ""]

    @classmethod
    def at(cls, x: Float[Array, " n"]) -> "Iteration":
        """Before the first evaluation."""
        empty = jnp.zeros((MEMORY, len(x)), x.dtype)
        return cls(x, x, jnp.full_like(x, jnp.inf), empty, empty, jnp.zeros((), int))

    def advanced(self, residual: Callable) -> "Iteration":
        """One evaluation of the residual, and the step that follows from it.

        x ← x + f - Σ γ_j (Δx_j + Δf_j), γ the least-squares solution of Σ γ_j Δf_j = f over the last `MEMORY`
        differences; columns not yet filled are zero and get γ = 0. For an affine f this is GMRES.
        Source: Walker & Ni (2011), SIAM J Numer Anal 49:1715.
        """
        x, f = self.x, residual(self.x)
        row, known = (self.steps - 1) % MEMORY, self.steps > 0
        dX = self.dX.at[row].set(jnp.where(known, x - self.x_old, 0.0))
        dF = self.dF.at[row].set(jnp.where(known, f - self.f, 0.0))
        norm = jnp.maximum(jnp.linalg.norm(dF, axis=1), jnp.finfo(x.dtype).tiny)
        gamma = jnp.linalg.lstsq((dF / norm[:, None]).T, f, rcond=1e-12)[0] / norm
        return Iteration(x + f - gamma @ (dX + dF), x, f, dX, dF, self.steps + 1)


def anderson(residual: Callable, x: Float[Array, " n"], error: Callable, tolerance: float, max_steps: int) -> Iteration:
    """A zero of f(x) from x; ends where `error`(f) is at most `tolerance`, or is not finite."""

    def unfinished(state):
        iteration, worst = state
        wanted = (worst > tolerance) & (iteration.steps < max_steps) & jnp.isfinite(worst)
        return (iteration.steps == 0) | wanted

    def body(state):
        iteration = state[0].advanced(residual)
        return iteration, error(iteration.f)

    return jax.lax.while_loop(unfinished, body, (Iteration.at(x), jnp.asarray(jnp.inf, x.dtype)))[0]


@eqx.filter_custom_jvp
def attach_derivative(max_steps, throw, equation, x):
    """Return the zero x of `equation.residual` unchanged; its derivative is the implicit one, -(∂f/∂x)⁻¹ ∂f/∂θ dθ."""
    return x


@attach_derivative.def_jvp
def _attach_derivative_jvp(primals, tangents):
    max_steps, throw, equation, x = primals
    _, df = eqx.filter_jvp(lambda e: e.residual(x), (equation,), (tangents[2],))
    _, along = jax.linearize(equation.residual, x)

    def solve(matvec, b):
        size = jnp.maximum(jnp.max(jnp.abs(b)), jnp.finfo(b.dtype).tiny)
        end = anderson(lambda v: b - matvec(v), b, lambda f: jnp.max(jnp.abs(f)) / size, LINEAR_TOLERANCE, max_steps)
        missed = ~(jnp.max(jnp.abs(end.f)) <= size * LINEAR_ACCEPTED)
        return poison(end.x, missed) if throw else end.x

    return x, jax.lax.custom_linear_solve(lambda v: -along(v), df, solve, transpose_solve=solve)


def periodic_cycle(
    arteries: Arteries, grid: Grid, tolerance: float, max_cycles: int, *, throw: bool = True
) -> tuple[Cycle, Wave, Periodicity]:
    """The periodic cycle as it was sampled, the state at its start, and how it was reached (see `periodic_state`)."""
    wave, reached = periodic_state(arteries, grid, tolerance, max_cycles, throw=throw)
    _, cycle = march(scheme(arteries, grid), arteries, grid, wave)
    return cycle, wave, reached
