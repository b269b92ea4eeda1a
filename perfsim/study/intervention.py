"""Virtual interventions: what a stent, an occlusion, a bypass or a collateral would change."""

from perfsim._results import InputError
from perfsim.coupling import Simulation, bridge
from perfsim.network import join, stenosis, vessel_into

import equinox as eqx
import jax.numpy as jnp
import numpy as np

CLOSED = 0.03
"""throat of an occlusion, d/D: flow falls by a factor of a million"""
WIDEST, LONGEST = 0.02, 1.0
"""[m] beyond which a graft's number is in another unit"""


def dilate(sim: Simulation, branch: str, start: float, end: float, residual: float = 0.0) -> Simulation:
    """Widen a branch from `start` to `end` [m along it] to its reference lumen, as a stent does.

    The reference is the straight line between the healthy lumens at the two ends of the stretch; lesions centered
    within it are removed, and lumens already wider are kept. Arguments: `residual`, the diameter reduction that a
    balloon leaves there, 0.3 for 30 %. Raises `InputError` for an unknown branch, a stretch that does not lie on it, or
    a reduction that a balloon cannot leave.
    """
    if not 0.0 <= residual < 1.0:
        raise InputError(
            f"residual is {residual:.4g}: give the diameter reduction that is left, at least 0 and below 1"
        )
    network, index = sim.network, _branch(sim, branch)
    on = np.flatnonzero(np.asarray(network.branch) == index)
    s = np.asarray(network.coordinate)
    if not 0.0 <= start < end <= s[on].max() + 1e-9:
        stretch = f"from {start * 1e3:.4g} to {end * 1e3:.4g} mm"
        raise InputError(f"{branch} is {s[on].max() * 1e3:.4g} mm long: a stretch {stretch} does not lie on it")
    lumen = np.asarray(network.lumen)
    along, radius = np.append(s[on, 0], s[on[-1], 1]), np.append(lumen[on, 0], lumen[on[-1], 1])
    reference = np.interp([start, end], along, radius)
    within = on[(s[on, 1] > start) & (s[on, 0] < end)]
    target = (1.0 - residual) * np.interp(s[within], [start, end], reference)
    widened = jnp.asarray(lumen).at[within].set(np.maximum(lumen[within], target))
    made = sim.lesions
    stented = (made.branch == index) & (made.center >= start) & (made.center <= end)
    throat = jnp.where(stented, jnp.maximum(made.throat, 1.0 - residual), made.throat)
    return eqx.tree_at(lambda s: (s.network.lumen, s.lesions.throat), sim, (widened, throat))


def occlude(sim: Simulation, branch: str, position: float, length: float = 5e-3) -> Simulation:
    """Close a branch at `position` [m along it] (to 3 % of its diameter: what is left carries next to nothing).

    Raises `InputError` for an unknown branch, a position that does not lie on it, or a length that is not positive.
    """
    plug = stenosis(sim.network, branch, position, 1.0 - CLOSED, length)
    return eqx.tree_at(lambda s: s.lesions, sim, join(sim.lesions, plug))


def graft(sim: Simulation, branch: str, position: float, *, diameter: float, length: float) -> Simulation:
    """Bypass to a branch, sewn on at `position` [m along it], from the aorta (the branch's own inlet).

    A straight tube: Poiseuille's resistance 128 μ L/(π D⁴) with the simulation's viscosity. Arguments: `diameter` and
    `length` [m]. Raises `InputError` for an unknown branch, a position that does not lie on it, or a tube that is none.
    """
    for name, value, most in (("diameter", diameter, WIDEST), ("length", length, LONGEST)):
        if not 0.0 < value <= most:
            raise InputError(f"a graft's {name} is {value:.4g} m: it must be positive and at most {most:g} m")
    node = _node_on(sim, branch, position)
    inlet = sim.network.inlets[sim.network.root[vessel_into(sim.network)[node]]]
    mu = float(sim.viscosity(jnp.asarray(diameter)))
    return bridge(sim, int(inlet), node, 128.0 * mu * length / (np.pi * diameter**4))


def collateral(
    sim: Simulation, donor: tuple[str, float], recipient: tuple[str, float], resistance: float
) -> Simulation:
    """Join two branches, each by name and position [m along it], by a collateral of this resistance [Pa·s/m³].

    Raises `InputError` for an unknown branch, or a position that does not lie on it.
    """
    return bridge(sim, _node_on(sim, *donor), _node_on(sim, *recipient), resistance)


def _node_on(sim: Simulation, branch: str, position: float) -> int:
    """The node of a branch nearest to a position [m along it]."""
    on = np.flatnonzero(np.asarray(sim.network.branch) == _branch(sim, branch))
    s = np.asarray(sim.network.coordinate)[on, 1]
    if not 0.0 <= position <= s.max() + 1e-9:
        raise InputError(f"{branch} is {s.max() * 1e3:.4g} mm long: {position * 1e3:.4g} mm does not lie on it")
    return int(np.asarray(sim.network.far)[on[np.argmin(np.abs(s - position))]])


def _branch(sim: Simulation, branch: str) -> int:
    names = sim.network.branch_names
    if branch not in names:
        raise InputError(f"there is no branch {branch!r}: the network has {', '.join(names)}")
    return names.index(branch)
