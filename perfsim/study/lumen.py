"""Where a millimetre of lumen matters: the derivative of an FFR by every radius of the tree."""

from perfsim._results import RESULTS, SimulationError
from perfsim.coupling import Simulation, linearize, simulate
from perfsim.darcy import FiniteVolumes
from perfsim.flow import Steady
from perfsim.observe import check_vessel, ffr

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

WINDOW = 5e-3  # [m] of vessel that are widened together
WIDENING = 0.1  # [mm] of radius


def sensitivity(sim: Simulation, vessel: int) -> Float[Array, " vessels"]:
    """d(FFR at a vessel's end)/d(radius) of every vessel, both ends moved together [1/mm].

    The radius is that of the open lumen, after what lesions take away. One reverse pass, by the programs that fits use
    (host). Only measured lumens matter directly; the radii of grown vessels follow from the radius law. Raises
    `SimulationError` if the solve fails, or that of its derivative, and `InputError` for a vessel that is not there.
    """

    check_vessel(sim.network, vessel)
    found = simulate(sim, states="hyperemia").hyperemia
    slope = linearize(sim, "hyperemia", found, Steady(given=True), FiniteVolumes())
    at, rest = eqx.partition(found, eqx.is_inexact_array)
    seen = jax.grad(lambda at: ffr(eqx.combine(at, rest))[vessel])(at)
    by_numbers, _ = slope.cotangents(jax.tree.map(lambda x: x[None], seen))
    by_healthy = by_numbers.network.lumen[0]
    if not bool(jnp.all(jnp.isfinite(by_healthy))):
        raise SimulationError(f"the sensitivity could not be computed: {RESULTS.linear_not_converged.message}")
    return jnp.sum(by_healthy / sim.lesions.factor(sim.network), axis=1) * 1e-3


def lumen_gain(sim: Simulation, vessel: int) -> np.ndarray:
    """To first order, what the FFR at a vessel's end gains where 5 mm of vessel around a place get 0.1 mm more radius.

    Returns one value per vessel, for its middle (vessels,). The window runs along the vessel's branch and ends with it,
    so that the map does not depend on how finely the centerline is sampled.
    """
    network, slope = sim.network, np.asarray(sensitivity(sim, vessel)) * WIDENING
    branch, s = np.asarray(network.branch), np.asarray(network.coordinate)
    gain = np.zeros(len(branch))
    for index in np.unique(branch[np.asarray(network.measured)]):
        on = np.flatnonzero(branch == index)
        total = np.concatenate([[0.0], np.cumsum(slope[on])])
        knots = np.append(s[on[0], 0], s[on, 1])
        middle = s[on].mean(1)
        gain[on] = np.interp(middle + 0.5 * WINDOW, knots, total) - np.interp(middle - 0.5 * WINDOW, knots, total)
    return gain
