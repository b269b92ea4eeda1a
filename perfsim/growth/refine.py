"""Moving the bifurcations of a finished tree to the least of any objective, with the rules of growth as penalties."""

import dataclasses
from collections.abc import Callable

from perfsim._results import RESULTS
from perfsim.growth.domain import Domain
from perfsim.growth.rules import MARGIN, SHORTEST
from perfsim.network import VesselNetwork, no_lesions, radii

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Refinement:
    """What `refine` did."""

    before: float
    """objective"""
    after: float
    short: int
    """vessels shorter than wide, after"""
    outside: int
    """moved nodes that lie outside the domain, after"""
    iterations: int
    result: RESULTS
    """successful, or `fit_out_of_steps`, `fit_stalled`, `fit_not_finite` where the objective or its gradient is NaN"""


def refine(
    network: VesselNetwork,
    objective: Callable[[VesselNetwork], Float[Array, ""]],
    domain: Domain,
    *,
    max_steps: int = 100,
    weight: float = 1e3,
) -> tuple[VesselNetwork, Refinement]:
    """Minimize an objective over the positions of the grown bifurcations by L-BFGS.

    Added to the objective, relative to its first value, are `weight` × Σ max(0, 2.16 r - L)²/L̄² over the grown
    vessels and `weight` × Σ max(0, s)²/L̄² over the moved nodes, s the signed distance to the domain (sampled on a grid
    of 96 cells along its longest side) and L̄ the mean vessel length. Trunks and terminals stay.

    Arguments: the network, any differentiable function of it (see `network.murray_cost`, `lumen_volume`,
    `pressure_drop`), the domain it grew in, the largest number of steps.
    Returns: the moved network and a `Refinement`. Where the objective is not finite the network stays as it was.
    """
    movable, distance = _movable(network), _sampled(domain)
    scale = float(jnp.mean(network.length))
    first = float(objective(network))
    failed = False

    def placed(x):
        position = network.position.at[movable].set(network.position[movable] + scale * x.reshape(-1, 3))
        return eqx.tree_at(lambda n: n.position, network, position)

    @jax.jit
    @jax.value_and_grad
    def penalized(x):
        moved = placed(x)
        need = MARGIN * SHORTEST * radii(moved, no_lesions())[:, 0] - moved.length
        short = jnp.where(moved.measured, 0.0, jnp.maximum(need, 0.0))
        out = jnp.maximum(distance(moved.position[movable]), 0.0)
        return objective(moved) / first + weight * (jnp.sum(short**2) + jnp.sum(out**2)) / scale**2

    def value_and_gradient(x):
        nonlocal failed
        value, gradient = penalized(jnp.asarray(x))
        failed = failed or not (np.isfinite(value) and np.isfinite(gradient).all())
        return float(value), np.asarray(gradient, float)

    found = scipy.optimize.minimize(
        value_and_gradient, np.zeros(3 * len(movable)), jac=True, method="L-BFGS-B", options={"maxiter": max_steps}
    )
    ended = {0: RESULTS.successful, 1: RESULTS.fit_out_of_steps}.get(found.status, RESULTS.fit_stalled)
    result = RESULTS.fit_not_finite if failed else ended
    moved = network if failed else placed(jnp.asarray(found.x))
    lawful = ~np.asarray(moved.measured)
    short = np.asarray(moved.length) < SHORTEST * np.asarray(radii(moved, no_lesions()))[:, 0]
    outside = domain.signed_distance(np.asarray(moved.position[movable])) > 0.0
    return moved, Refinement(
        first, float(objective(moved)), int((short & lawful).sum()), int(outside.sum()), int(found.nit), result
    )


def _movable(network: VesselNetwork) -> np.ndarray:
    """Nodes where only grown vessels meet, terminals excepted."""
    grown = ~np.asarray(network.measured)
    tail, head = np.asarray(network.tail), np.asarray(network.head)
    free = np.zeros(len(network.position), bool)
    free[head[grown]] = True
    free[tail[~grown]] = free[head[~grown]] = False
    for fixed in (network.terminals, network.outlets, network.inlets):
        free[np.asarray(fixed, int)] = False
    return np.flatnonzero(free)


def _sampled(domain: Domain, cells: int = 96):
    """The signed distance as a differentiable function, from samples on a grid."""
    low, high = (np.asarray(x, float) for x in domain.bounds())
    step = float((high - low).max()) / cells
    axes = [np.arange(a - 2 * step, b + 3 * step, step) for a, b in zip(low, high, strict=True)]
    grid = domain.signed_distance(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3))
    values = jnp.asarray(grid.reshape([len(a) for a in axes]))
    origin = jnp.asarray([a[0] for a in axes])
    return lambda x: map_coordinates(values, list(((x - origin) / step).T), order=1, mode="nearest")
