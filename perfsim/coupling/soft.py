"""Soft territories: which terminal feeds a volume as a smooth function of where the terminals are."""

from perfsim.coupling.simulation import Simulation
from perfsim.coupling.territories import couplings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float


class SoftTerritories(eqx.Module):
    """Weights that follow the terminals: w_tc ∝ exp(-d_tc²/2s²), d from terminal t to the center of volume c.

    Calling it on a simulation from `soft_territories` sets the weights, and with them the design flow of every
    terminal, from the positions in its network: a pure function, so that d(anything)/d(terminal position) exists.
    """

    width: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    """s [m]: half a terminal's reach or so; the smaller, the nearer to `nearest_terminals`"""

    def __call__(self, sim: Simulation) -> Simulation:
        volumes, links, _ = sim.parts()
        network = sim.network
        padded = links.terminal == len(network.terminals)
        where = network.position[network.terminals].T
        square = sum((links.at_feeders(a) - b) ** 2 for a, b in zip(where, volumes.center.T, strict=True))
        logit = jnp.where(padded, -jnp.inf, -square / (2.0 * self.width**2))
        weight = jax.nn.softmax(logit, axis=0) * volumes.volume
        least = 1e-3 * jnp.sum(volumes.volume) / len(network.terminals)
        # a terminal that feeds next to nothing still needs a radius
        fed = least + (1.0 - 1e-3) * links.to_terminals(weight)
        return eqx.tree_at(lambda s: (s.couplings.weight, s.network.demand), sim, (weight, fed))


def soft_territories(sim: Simulation, width: float, feeders: int = 8) -> tuple[Simulation, SoftTerritories]:
    """(the simulation with up to so many feeders for each volume, what sets their weights).

    The candidates are the terminals nearest to each volume now: let positions move by less than their spacing before
    making them anew. Raises `InputError` for a network without a wall.
    """
    volumes, _, _ = sim.parts()
    where = np.asarray(sim.network.position)[np.asarray(sim.network.terminals)]
    feeders, cells = min(feeders, len(where)), len(volumes.volume)
    nearest = scipy.spatial.cKDTree(where).query(np.asarray(volumes.center), feeders)[1].reshape(cells, feeders)
    cell = np.repeat(np.arange(cells), feeders)
    links = couplings(cell, np.sort(nearest, axis=1).ravel(), np.ones(cells * feeders), cells, len(where))
    soft = SoftTerritories(width)
    return soft(eqx.tree_at(lambda s: s.couplings, sim, links)), soft
