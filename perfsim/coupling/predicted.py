"""Pressures from a network, finished by the solver wherever they are not good enough.

    1  the trees, with tissue that shares nothing (K = 0): every volume drains what it is supplied with
    2  the network's pressures of the volumes, at the terminals' pressures found in 1
    3  the trees at those, and one shift of the whole wall, after which as much drains as enters

What comes out is a starting field for Newton's method. With `Steady(accuracy=...)` it is certified first, and where the
proof says that it is good enough nothing more is solved. `Steady(given=True)` takes it as the network predicts it.
"""

from collections.abc import Callable

from perfsim.coupling.newton_krylov import flat
from perfsim.coupling.potential import Graph, gradient, trees_stepped
from perfsim.coupling.system import CoupledSystem
from perfsim.darcy import DarcyOperator, FiniteVolumes, operator
from perfsim.darcy.coarsening import Coarsening
from perfsim.darcy.columns import sum_rows
from perfsim.darcy.multigrid import coarser

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LOCAL, ALTERNATIONS = 8, 3
"""Newton steps of the tissue that shares nothing, and turns of trees and shift"""


class TissueProblem(eqx.Module):
    """The wall's equations A p = b at given pressures of the terminals [mmHg, mL/min], on all meshes from fine to
    coarse. Where supply is autoregulated, or veins close, they are those near `local`.
    """

    operators: tuple[DarcyOperator, ...]
    levels: tuple[Coarsening, ...]
    load: Float[Array, " volumes"]
    """b"""
    local: Float[Array, " volumes"]
    """the pressures of a tissue that shares nothing"""
    depth: Float[Array, " volumes"]

    def residual(self, p: Float[Array, " volumes"]) -> Float[Array, " volumes"]:
        """b - A p, what each volume has too much."""
        return self.load - self.operators[0](p)

    def energy(self, p: Float[Array, " volumes"]) -> Float[Array, ""]:
        """½(p - p₀)ᵀA(p - p₀) - (p - p₀)ᵀr₀, p₀ = `local` and r₀ what it leaves: ½pᵀAp - bᵀp from there on."""
        d = p - self.local
        return 0.5 * d @ self.operators[0](d) - d @ self.residual(self.local)


class Predicted(eqx.Module):
    """A network that says pressures: give it to `simulate` as `tissue`.

    `model` maps a `TissueProblem` to pressures of its volumes, e.g. `learn.PressureNetwork`. Two-point fluxes and one
    compartment.
    """

    model: Callable[[TissueProblem], Float[Array, " volumes"]]
    solver: FiniteVolumes = eqx.field(default_factory=FiniteVolumes)

    def start(self, system: CoupledSystem, links: Graph) -> Float[Array, " nodes"]:
        """The field that the network leads to."""
        x = local_field(system, links)
        p = self.model(tissue_problem(system, links, x))
        return _balanced(system, links, x[: links.nodes], p)


def local_field(system: CoupledSystem, links: Graph) -> Float[Array, " nodes"]:
    """Pressures where tissue shares nothing: Newton on trees whose terminals drain each by itself."""
    alone = eqx.tree_at(lambda s: s.transmissibility, system, jnp.zeros_like(system.transmissibility))

    def step(_, x):
        p0, p = system.vessels.pressures(x[: links.nodes]), x[links.nodes :]
        link = system.supply_slopes(links.couplings, p0[links.terminal_node], p)
        diagonal = sum_rows(link) + system.drain_slopes(p)
        diagonal = jnp.where(diagonal > 0, diagonal, 1.0)
        p = p - gradient(alone, links, x)[links.nodes :] / diagonal
        out = gradient(alone, links, jnp.concatenate([p0, p]))[: links.nodes]
        # what a terminal drives through its volumes when their pressure follows
        passed = links.to_nodes(links.to_terminals(link * (1.0 - link / diagonal)))
        tree = system.vessels.linearized(links.forest, p0).add(passed)
        return jnp.concatenate([system.vessels.pressures(p0 - tree.inverse()(out)), p])

    return jax.lax.fori_loop(0, LOCAL, step, flat(system, links))


def tissue_problem(system: CoupledSystem, links: Graph, x: Float[Array, " nodes"]) -> TissueProblem:
    """The wall's equations at the terminals' pressures in x, near its pressures in the wall."""
    p0, p = system.vessels.pressures(x[: links.nodes]), x[links.nodes :]
    at_terminals = p0[links.terminal_node]
    link = sum_rows(system.supply_slopes(links.couplings, at_terminals, p))
    drain = system.drain_slopes(p)
    A = operator(links.volumes, system.transmissibility, drain + link)
    given = sum_rows(system.supplies(links.couplings, at_terminals, p)) - system.drained(p)
    load = given + (link + drain) * p
    meshes = [A]
    for level in links.volumes.levels:
        meshes.append(coarser(meshes[-1], level))
    # a scar has no pressure of its own: let it start from the mean
    mean = jnp.sum(A.sink * p) / jnp.sum(A.sink)
    return TissueProblem(tuple(meshes), links.volumes.levels, load, jnp.where(A.sink > 0, p, mean), links.volumes.depth)


def _balanced(system: CoupledSystem, links: Graph, p0, p) -> Float[Array, " nodes"]:
    """The field with these pressures in the wall but for a shift: trees solved, and Σ residual over the wall zero."""

    def shifted(p0, p):
        link = system.supply_slopes(links.couplings, p0[links.terminal_node], p)
        left = gradient(system, links, jnp.concatenate([p0, p]))[links.nodes :]
        return p - jnp.sum(left) / (jnp.sum(link) + jnp.sum(system.drain_slopes(p)))

    def turn(_, field):
        p0, p = field
        p0 = trees_stepped(system, links, p0, p)
        return p0, shifted(p0, shifted(p0, p))

    return jnp.concatenate(jax.lax.fori_loop(0, ALTERNATIONS, turn, (system.vessels.pressures(p0), p)))
