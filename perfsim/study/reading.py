"""What a lumen that was read wrong does to the FFR behind it."""

from perfsim.coupling import Simulation, simulate
from perfsim.inverse import PARAMETERS, Model
from perfsim.observe import ffr, lesion_sites
from perfsim.physiology import LEAST_THROAT

import equinox as eqx
import numpy as np

NINETY = 1.645
"""standard deviations on either side of the middle that hold 90 % of a normal distribution"""


def misread(sim: Simulation) -> list[tuple[float, float]]:
    """The FFR behind each lesion if its throat is wider or narrower than read (host): 90 % intervals.

    The error is that of CT angiography (0.2 mm of the throat's diameter, one standard deviation), of one lesion at a
    time; all else is taken as exact. One solve for each end. Raises `SimulationError` where one fails.
    """
    found = []
    spread = PARAMETERS["throat"].spread
    error = spread(Model(sim, ())) if callable(spread) else np.full(len(sim.lesions.throat), spread)
    for k, (site, sd) in enumerate(zip(lesion_sites(sim), np.asarray(error), strict=True)):
        throat = float(sim.lesions.throat[k])
        ends = (max(throat - NINETY * sd, 1.05 * LEAST_THROAT), min(throat + NINETY * sd, 1.0))
        changed = (eqx.tree_at(lambda s: s.lesions.throat, sim, sim.lesions.throat.at[k].set(x)) for x in ends)
        low, high = (float(ffr(simulate(s, states=("hyperemia",)).hyperemia)[site]) for s in changed)
        found.append((low, high))
    return found
