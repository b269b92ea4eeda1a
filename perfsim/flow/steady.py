"""Steady flow in a network without a wall: Newton with exact tree elimination, and its implicit derivative."""

from perfsim.flow.newton import Balance, Counters, Steady, minimize
from perfsim.flow.system import VesselSystem
from perfsim.network import Forest

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def solve_network(
    system: VesselSystem, forest: Forest, method: Steady, start: Float[Array, " contracted"] | None = None
) -> tuple[Float[Array, " contracted"], Counters]:
    """Total pressures [mmHg] at the contracted nodes, and what the solve did. Differentiable in `system`.

    `start` is the field to start from; where it is left out or holds a NaN, the highest pressure everywhere.
    """
    frozen = jax.lax.stop_gradient(system)

    def balance(x):
        return Balance(_residual(frozen, forest, x), total_outflow(frozen, x))

    def step(x, F, rtol, picard):
        inverse = frozen.linearized(forest, frozen.pressures(x), picard).inverse()
        return -inverse(F), jnp.ones((), int), jnp.ones((), bool)

    flat = jnp.full(forest.children.shape[0], jnp.max(frozen.fixed_pressure))
    flat = jnp.where(jnp.any(frozen.fixed), flat, 100.0)
    start = flat if start is None else jnp.where(jnp.all(jnp.isfinite(start)), start, flat)
    largest = frozen.largest_conductance(forest)
    x, counters = minimize(balance, step, jax.lax.stop_gradient(start), largest, method)
    x = _attach(system, forest, x)
    return system.pressures(x), counters


def total_outflow(system: VesselSystem, x):
    """Sum of the magnitudes of all outlet flows [mL/min], the scale of a network's flow."""
    return jnp.sum(jnp.abs(system.outlet_flow(system.pressures(x))))


def _residual(system, forest, x):
    return jnp.where(system.fixed, 0.0, system.net_outflow(forest, system.pressures(x)))


@eqx.filter_custom_jvp
def _attach(system, forest, x):
    """x itself, with the derivative dx = -J⁻¹ ∂F/∂system that the equation F(x, system) = 0 implies."""
    return x


@_attach.def_jvp
def _attach_jvp(primals, tangents):
    system, forest, x = primals
    _, dF = eqx.filter_jvp(lambda s: _residual(s, forest, x), (system,), (tangents[0],))
    hessian = system.linearized(forest, system.pressures(x))
    inverse = hessian.inverse()

    def solve(_, b):
        return jnp.where(system.fixed, b, inverse(b))

    return x, jax.lax.custom_linear_solve(hessian, -dF, solve, symmetric=True)
