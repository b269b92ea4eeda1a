"""Networks that act on the coefficients of the coupled system.

Fluxes belong to edges (see `graph`), so a network that changes coefficients, and not pressures, can neither make nor
lose blood. While they stay positive the system is the same convex one, with the same solver, gradients and certificate.
"""

from collections.abc import Callable

from perfsim._results import InputError
from perfsim.coupling.graph import FVGraph
from perfsim.coupling.potential import Graph
from perfsim.coupling.system import CoupledSystem
from perfsim.darcy import FiniteVolumes
from perfsim.darcy.columns import sum_rows, take

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Factors(eqx.Module):
    """Positive factors on the conductances of the wall."""

    supply: Float[Array, " volumes"]
    """on g_a"""
    drainage: Float[Array, " volumes"]
    """on g_v"""
    faces: Float[Array, " faces"]
    """on the transmissibilities, one number per face"""


class GraphNetwork(eqx.Module):
    """The finite-volume scheme with coefficients from a graph network: give it to `simulate` as `tissue`.

    `model` maps an `FVGraph` with features to `Factors`, e.g. `learn.Closures`, which untrained gives ones: the
    finite-volume scheme itself. `features` are what is known of every volume besides its place in the wall: image
    intensity, PET, fiber angle, (volumes, features). What comes out solves the same kind of equations: it conserves
    blood, is certified and differentiated like any other. Two-point fluxes and one compartment.
    """

    model: Callable[[FVGraph], Factors]
    features: Float[Array, "volumes features"] | None = None
    solver: FiniteVolumes = eqx.field(default_factory=FiniteVolumes)

    def __call__(self, system: CoupledSystem, links: Graph) -> CoupledSystem:
        """The system with the network's coefficients. Raises `InputError` for features of another mesh."""
        n = len(links.volumes.volume)
        if self.features is not None and self.features.shape[:1] != (n,):
            raise InputError(f"features of {self.features.shape[0]} volumes were given, the mesh has {n}")
        whole = FVGraph.of(links)
        factor = self.model(described(whole, system, links, self.features))
        return eqx.tree_at(
            lambda s: (s.conductance, s.drainage, s.transmissibility),
            system,
            (
                system.conductance * factor.supply,
                system.drainage * factor.drainage,
                system.transmissibility * whole.on_sides(factor.faces, 1.0),
            ),
        )


OWN_FEATURES = 6
"""that `described` gives every node by itself"""
EDGE_FEATURES = 5


def described(graph: FVGraph, system: CoupledSystem, links: Graph, features=None) -> FVGraph:
    """The graph with what the equations know of themselves, without units, so that it means the same on any mesh.

    Nodes: whether it is a volume, depth, log of supply over drainage a/d, of faces over both ΣT/(a + d), of the volume
    over their mean, Σ (w_t/V)² of its feeders (1: a single one); then `features`. Edges: their kind, and of faces
    log T/√((a + d)_i (a + d)_j) and how much the same terminals feed both, Σ_t min(w_ti/V_i, w_tj/V_j).
    """
    volumes = links.volumes
    supplied = sum_rows(system.weight * system.conductance)
    lost, spread = supplied + system.drainage, sum_rows(system.transmissibility)
    share = system.weight / volumes.volume
    own = [
        jnp.ones_like(lost),
        volumes.depth,
        _log(supplied, system.drainage),
        _log(spread, lost),
        _log(volumes.volume, jnp.mean(volumes.volume)),
        sum_rows(share**2),
    ]
    at_volumes = jnp.stack(own, axis=1)
    if features is not None:
        at_volumes = jnp.concatenate([at_volumes, jnp.asarray(features)], axis=1)
    i, j = (x[-graph.faces :] - graph.tree_nodes for x in (graph.graph.senders, graph.graph.receivers))
    through = graph.on_faces(system.transmissibility)
    between = 0.5 * (_log(through, lost[i]) + _log(through, lost[j]))  # no root of a scar's zero
    at_faces = jnp.column_stack([between, _in_common(links.couplings.terminal, share, i, j)])
    others = len(graph.present) - graph.faces
    return graph.with_features(
        jnp.pad(at_volumes, ((graph.tree_nodes, 0), (0, 0))),
        jnp.column_stack([graph.kind, jnp.pad(at_faces, ((others, 0), (0, 0)))]),
    )


def _in_common(terminal, share, i, j) -> Float[Array, " faces"]:
    """Σ_t min(w_ti/V_i, w_tj/V_j): 1 where the same terminals feed both volumes alike, 0 across a border."""
    total = jnp.zeros(len(i))
    for t, s in zip(terminal, share, strict=True):
        for u, r in zip(terminal, share, strict=True):
            same = take(t, i) == take(u, j)
            total = total + jnp.where(same, jnp.minimum(take(s, i), take(r, j)), 0.0)
    return total


def _log(a, b):
    """log(a/b) between ±10, also of nothing."""
    return jnp.log(jnp.clip(a / jnp.where(b > 0, b, 1.0), 4.5e-5, 2.2e4))
