"""Where a millimetre of lumen matters: the derivative of an FFR by every radius of the tree."""

from perfsim._outcome import is_traced
from perfsim._results import RESULTS, SimulationError
from perfsim.coupling import Simulation, check, simulate
from perfsim.observe import ffr

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

WINDOW = 5e-3  # [m] of vessel that are widened together
WIDENING = 0.1  # [mm] of radius


def sensitivity(sim: Simulation, vessel: int) -> Float[Array, " vessels"]:
    """d(FFR at a vessel's end)/d(radius) of every vessel, both ends moved together [1/mm].

    The radius is that of the open lumen, after what lesions take away. One reverse pass. Only measured lumens matter
    directly; the radii of grown vessels follow from the radius law. Raises `SimulationError` if the solve fails, or
    that of its derivative.
    """

    def at(lumen):
        changed = eqx.tree_at(lambda s: s.network.lumen, sim, lumen)
        solution = simulate(changed, states=("hyperemia",))
        return ffr(solution.hyperemia)[vessel], solution

    by_healthy, solution = jax.grad(at, has_aux=True)(sim.network.lumen)
    if not is_traced(by_healthy):
        check(solution)
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
