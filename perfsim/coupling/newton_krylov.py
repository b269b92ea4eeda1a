"""The monolithic solve: Newton on the convex potential, conjugate gradients inside, trees eliminated exactly."""

from collections.abc import Callable

from perfsim._outcome import poison
from perfsim.coupling.enclosure import sharpened, supply_bounds
from perfsim.coupling.potential import Graph, Hessian, gradient, largest_conductance
from perfsim.coupling.system import CoupledSystem
from perfsim.darcy import FiniteVolumes
from perfsim.flow import Balance, Counters, Steady, minimize

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

AIMED = 500.0
"""round-offs of the right-hand side that the linear solve of a derivative leaves; half of the digits must be right"""
Start = Callable[[CoupledSystem, Graph], Array]


def solve_coupled(
    system: CoupledSystem,
    graph: Graph,
    flow: Steady,
    tissue: FiniteVolumes,
    start: Float[Array, " unknowns"] | None = None,
    own: Start | None = None,
    *,
    throw: bool = True,
) -> tuple[Float[Array, " contracted"], Float[Array, " volumes"], Counters]:
    """(total pressures at contracted nodes, pressures in the volumes) [mmHg], and what the solve did.

    `start` is the field to start from. Where it is left out or holds a NaN, `own(system, graph)` takes its place, or
    else a flat one. Differentiable in `system` in both modes: the derivative is one more solve with the same operator.
    A derivative whose linear solve fails is NaN, unless `throw` is False.
    """
    frozen, still = jax.lax.stop_gradient((system, graph))  # or the loops below are differentiated, for nothing
    own = flat if own is None else own
    if start is None:
        guess = own(frozen, still)
    elif flow.given:
        guess = start
    else:
        known = jnp.all(jnp.isfinite(start))
        guess = jax.lax.cond(known, lambda: start, lambda: own(frozen, still))
    guess = jax.lax.stop_gradient(guess)
    x, counters = _solve(frozen, still, guess, flow, tissue)
    x = _attach(system, graph, x, flow, tissue, throw)
    return system.vessels.pressures(x[: graph.nodes]), x[graph.nodes :], counters


def flat(system: CoupledSystem, graph: Graph) -> Float[Array, " nodes"]:
    """The inlet's pressure in all vessels, a fifth of what is left of it in the wall."""
    top = jnp.max(system.vessels.fixed_pressure)
    middle = system.back_pressure + 0.2 * (top - system.back_pressure)
    return jnp.concatenate([jnp.where(system.vessels.fixed, 0.0, top), middle])


def _solve(frozen: CoupledSystem, graph: Graph, start, flow: Steady, tissue: FiniteVolumes):
    """(pressures, counters). With corrected fluxes there is no convex potential, so Newton starts from the two-point
    solution.
    """
    if frozen.correction is not None and not flow.given:
        plain = eqx.tree_at(lambda s: s.correction, frozen, None)
        near = eqx.tree_at(lambda f: f.tolerance, flow, jnp.maximum(flow.tolerance, 1e-4))
        start, _ = _solve(plain, graph, start, near, tissue)

    def step(x, F, rtol, picard):
        found = Hessian.at(frozen, graph, x, tissue, picard).solve(-F, rtol, flow.max_krylov)
        return found.x, found.steps, found.left <= rtol

    forest = frozen.vessels.bridge.shape[1] == 0
    certain = flow.accuracy is not None and frozen.correction is None and forest  # of others nothing is proved
    certify = (lambda x: _certified(frozen, graph, x, tissue, flow.accuracy)) if certain else None

    def balance(x):
        inflow = jnp.sum(jnp.abs(frozen.drained(x[graph.nodes :])))
        return Balance(gradient(frozen, graph, x), inflow)

    return minimize(balance, step, start, largest_conductance(frozen, graph), flow, certify)


def _certified(system: CoupledSystem, graph: Graph, x, tissue: FiniteVolumes, accuracy: float):
    """(a better field than x, whether its MBF is proved to be off by at most `accuracy` of the wall's mean)."""
    field, around = sharpened(system, graph, x, tissue)
    volume = graph.volumes.volume
    drained = jnp.sum(system.drained(field.p))
    worst = jnp.max(supply_bounds(system, graph, field, around) / volume)
    return jnp.concatenate([field.p0, field.p]), worst <= accuracy * drained / jnp.sum(volume)


@eqx.filter_custom_jvp
def _attach(system, graph, x, flow, tissue, throw):
    """Return x unchanged; its derivative is the implicit one, dx = -J⁻¹ ∂F/∂system of F(x, system) = 0 (approximate if
    `flow.passes` is set).
    """
    return x


@_attach.def_jvp
def _attach_jvp(primals, tangents):
    system, graph, x, flow, tissue, throw = primals
    _, dF = eqx.filter_jvp(lambda s: gradient(s, graph, x), (system,), (tangents[0],))
    hessian = Hessian.at(jax.lax.stop_gradient(system), graph, x, tissue)
    eps = jnp.finfo(x.dtype).eps

    def solve(matvec, b):
        given = hessian if hessian.symmetric else matvec  # the transposed one in reverse mode
        if flow.passes is not None:
            return hessian.relaxed(b, flow.passes, given)
        found = hessian.solve(b, jnp.asarray(AIMED * eps, b.dtype), flow.max_krylov, given)
        return poison(found.x, ~(found.left <= jnp.sqrt(eps))) if throw else found.x

    return x, jax.lax.custom_linear_solve(hessian, -dF, solve, solve, symmetric=hessian.symmetric)
