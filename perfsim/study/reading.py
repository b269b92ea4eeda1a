"""What a lumen that was read wrong does to the FFR behind it."""

from collections.abc import Sequence

from perfsim.coupling import Simulation, simulate
from perfsim.inverse import throat_errors
from perfsim.observe import ffr, lesion_sites
from perfsim.physiology import LEAST_THROAT

import equinox as eqx

NINETY = 1.645
"""standard deviations on either side of the middle that hold 90 % of a normal distribution"""


def misread(sim: Simulation, errors: Sequence[float | None] | None = None) -> list[tuple[float, float]]:
    """The FFR behind each lesion if its throat is wider or narrower than read (host): 90 % intervals.

    Arguments: `errors`, the standard deviation of each throat's reading, in healthy diameters; None, for all or one,
    is that of CT angiography (see `throat_errors`).

    Returns the two ends for each lesion, of which one at a time is misread; all else is taken as exact. One solve for
    each end. Raises `SimulationError` where one fails.
    """
    found = []
    usual = throat_errors(sim)
    given = [None] * len(usual) if errors is None else errors
    for k, (site, stated) in enumerate(zip(lesion_sites(sim), given, strict=True)):
        sd = float(usual[k]) if stated is None else stated
        throat = float(sim.lesions.throat[k])
        ends = (max(throat - NINETY * sd, 1.05 * LEAST_THROAT), min(throat + NINETY * sd, 1.0))
        changed = (eqx.tree_at(lambda s: s.lesions.throat, sim, sim.lesions.throat.at[k].set(x)) for x in ends)
        low, high = (float(ffr(simulate(s, states=("hyperemia",)).hyperemia)[site]) for s in changed)
        found.append((low, high))
    return found
