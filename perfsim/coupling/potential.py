"""The coupled potential: who is connected to whom, its gradient (the imbalance of nodes and volumes), its Hessian."""

from perfsim.coupling.system import CoupledSystem
from perfsim.coupling.territories import Couplings
from perfsim.darcy import (
    ControlVolumes,
    Correction,
    DarcyOperator,
    FiniteVolumes,
    LinearSolve,
    Multigrid,
    conjugate_gradients,
    gmres,
    operator,
)
from perfsim.darcy.columns import sum_rows, take
from perfsim.flow import Inverse, Linearized
from perfsim.flow.edges import STEEPEST
from perfsim.network import Forest

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Graph(eqx.Module):
    """Who is connected to whom: the integer side of the coupled system."""

    forest: Forest
    volumes: ControlVolumes
    couplings: Couplings
    terminal_node: Int[Array, " terminals"]
    """contracted node of each terminal"""
    node_terminal: Int[Array, " contracted"]
    """terminal at each contracted node, or the number of terminals"""

    @property
    def nodes(self) -> int:
        return self.forest.children.shape[0]

    def to_terminals(self, on_couplings: Float[Array, "feeders volumes"]) -> Float[Array, " terminals"]:
        """Sum over the volumes of each terminal."""
        return self.couplings.to_terminals(on_couplings)

    def at_feeders(self, at_nodes: Float[Array, " contracted"]) -> Float[Array, "feeders volumes"]:
        """What the node of each feeder of a volume has."""
        return self.couplings.at_feeders(take(at_nodes, self.terminal_node))

    def to_nodes(self, at_terminals: Float[Array, " terminals"]) -> Float[Array, " contracted"]:
        """Place terminal values on the contracted nodes, zero elsewhere."""
        return take(jnp.append(at_terminals, 0.0), self.node_terminal)


def graph(forest: Forest, volumes: ControlVolumes, couplings: Couplings, terminals: Int[Array, " terminals"]) -> Graph:
    """Index maps between terminals (network nodes) and contracted nodes."""
    node = forest.contracted[terminals]
    count = terminals.shape[0]
    back = jnp.full(forest.children.shape[0], count).at[node].set(jnp.arange(count))
    return Graph(forest, volumes, couplings, node, back)


def gradient(system: CoupledSystem, graph: Graph, x):
    """Gradient of the potential: net outflow of every free node and volume [mL/min]."""
    p0, p = system.vessels.pressures(x[: graph.nodes]), x[graph.nodes :]
    q = system.supplies(graph.couplings, p0[graph.terminal_node], p)
    at_nodes = system.vessels.net_outflow(graph.forest, p0) + graph.to_nodes(graph.to_terminals(q))
    # faces by differences, so that the balance of a volume is exact to round-off of its fluxes
    sides = zip(system.transmissibility, graph.volumes.neighbor, strict=True)
    spread = sum((T * (p - take(p, j)) for T, j in sides), jnp.zeros_like(p))
    if system.correction is not None:
        spread = spread + system.correction(p)
    at_volumes = spread + system.drained(p) - sum_rows(q)
    return jnp.concatenate([jnp.where(system.vessels.fixed, 0.0, at_nodes), at_volumes])


def largest_conductance(system: CoupledSystem, graph: Graph) -> Float[Array, " nodes"]:
    """Sum of the conductances at each free node and volume, each the largest that its law can have."""
    link = system.weight * system.conductance
    at_nodes = system.vessels.largest_conductance(graph.forest) + graph.to_nodes(graph.to_terminals(link))
    wall = sum_rows(system.transmissibility) + STEEPEST * system.drainage + sum_rows(link)
    if system.correction is not None:
        wall = wall + system.correction.largest_conductance()
    return jnp.concatenate([jnp.where(system.vessels.fixed, 0.0, at_nodes), wall])


def vessel_hessian(system: CoupledSystem, graph: Graph, p0, p, picard: Bool[Array, ""] | None = None) -> Linearized:
    """The vessels' block at a pressure field, with what each node drives into the wall."""
    link = system.supply_slopes(graph.couplings, p0[graph.terminal_node], p, picard)
    return system.vessels.linearized(graph.forest, p0, picard).add(graph.to_nodes(graph.to_terminals(link)))


def trees_stepped(system: CoupledSystem, graph: Graph, p0, p) -> Float[Array, " contracted"]:
    """The trees' pressures after a Newton step at these in the wall."""
    out = gradient(system, graph, jnp.concatenate([p0, p]))[: graph.nodes]
    return system.vessels.pressures(p0 - vessel_hessian(system, graph, p0, p).inverse()(out))


class Hessian(eqx.Module):
    """The coupled Hessian at a pressure field: tree, tissue, the couplings between them, and the flux's correction."""

    graph: Graph
    vessels: Linearized
    vessels_inverse: Inverse
    link: Float[Array, "feeders volumes"]
    tissue: DarcyOperator
    tissue_inverse: Multigrid
    correction: Correction | None

    @classmethod
    def at(
        cls, system: CoupledSystem, graph: Graph, x, method: FiniteVolumes, picard: Bool[Array, ""] | None = None
    ) -> "Hessian":
        """At the field x; with the laws' chords for slopes where `picard` is true."""
        p0, p = system.vessels.pressures(x[: graph.nodes]), x[graph.nodes :]
        link = system.supply_slopes(graph.couplings, p0[graph.terminal_node], p, picard)
        vessels = vessel_hessian(system, graph, p0, p, picard)
        tissue = operator(graph.volumes, system.transmissibility, system.drain_slopes(p, picard) + sum_rows(link))
        dtype = jnp.float32 if method.single else x.dtype
        degree = method.smoothing(graph.volumes)
        return cls(
            graph=graph,
            vessels=vessels,
            vessels_inverse=vessels.inverse(),
            link=link,
            tissue=tissue,
            tissue_inverse=Multigrid.of(graph.volumes.levels, tissue, degree=degree, dtype=dtype),
            correction=system.correction,
        )

    @property
    def fixed(self) -> Array:
        return self.vessels.fixed

    def split(self, x):
        return x[: self.graph.nodes], x[self.graph.nodes :]

    def to_tissue(self, x):
        """What node values x push into the volumes."""
        return self.graph.couplings.to_volumes(self.link, take(x, self.graph.terminal_node))

    def to_tree(self, y):
        """What volume values y push into the nodes."""
        return self.graph.to_nodes(self.graph.to_terminals(self.link * y))

    def __call__(self, v):
        """Matrix times vector; identity on the fixed nodes."""
        x, y = self.split(v)
        free = jnp.where(self.fixed, 0.0, x)
        top = jnp.where(self.fixed, x, self.vessels(x) - self.to_tree(y))
        bottom = self.tissue(y) - self.to_tissue(free)
        if self.correction is not None:
            bottom = bottom + self.correction(y)
        return jnp.concatenate([top, bottom])

    def precondition(self, r):
        """Symmetric Gauss-Seidel: tissue, tree (exact), tissue again."""
        top, bottom = self.split(r)

        def pass_(k, state):  # one program for both times in the tissue: half as much to compile
            x, y = state
            # a branch also keeps XLA from computing what is left anew wherever the V-cycle uses it
            left = jax.lax.cond(k == 0, lambda: bottom, lambda: bottom + self.to_tissue(x) - self.tissue(y))
            y = y + self.tissue_inverse(left)
            return jax.lax.cond(k == 0, lambda: self.vessels_inverse(top + self.to_tree(y)), lambda: x), y

        x, y = jax.lax.fori_loop(0, 2, pass_, (jnp.zeros_like(top), jnp.zeros_like(bottom)))
        return jnp.concatenate([jnp.where(self.fixed, top, x), y])

    @property
    def symmetric(self) -> bool:
        return self.correction is None

    def solve(self, b, rtol, max_steps: Int[Array, ""] | int, matvec=None) -> LinearSolve:
        """Preconditioned conjugate gradients, or GMRES where fluxes are corrected."""
        krylov = conjugate_gradients if self.symmetric else gmres
        return krylov(self if matvec is None else matvec, self.precondition, b, rtol, max_steps)

    def relaxed(self, b, passes: Int[Array, ""] | int, matvec):
        """Approximate H⁻¹b by `passes` preconditioned Richardson steps x ← x + M⁻¹(b - Hx), linear in b."""
        return jax.lax.fori_loop(1, passes, lambda _, x: x + self.precondition(b - matvec(x)), self.precondition(b))
