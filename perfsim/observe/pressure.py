"""Pressure indices: fractional flow reserve, pressure at the resistance vessels."""

from perfsim._results import InputError
from perfsim.coupling import Perfusion, Simulation
from perfsim.network import GROWN, VesselNetwork

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

RECOVERY = 20e-3  # [m] past a lesion, where the jet has mixed out and a wire reads


def ffr(state: Perfusion) -> Float[Array, " vessels"]:
    """Static distal over aortic pressure at the far end of every vessel, without venous subtraction.

    In hyperemia this is the fractional flow reserve (Pijls et al. 1996, N Engl J Med 334:1703).
    """
    return state.static_pressure / state.aortic_pressure


def check_vessel(network: VesselNetwork, vessel) -> None:
    """Raise `InputError` for what is no vessel of a network: another's number would be read instead (host)."""
    count, number = len(network.tail), np.asarray(vessel)
    if number.shape != () or not np.issubdtype(number.dtype, np.integer) or not 0 <= number < count:
        raise InputError(f"vessel {number}: the network has the vessels 0 to {count - 1}")


def vessel_at(network: VesselNetwork, branch: str, position: float) -> int:
    """The vessel of a branch that reaches the arc length `position` [m], or its last vessel (host)."""
    if branch not in network.branch_names:
        raise InputError(f"there is no branch {branch!r}: the network has {', '.join(network.branch_names)}")
    on = np.flatnonzero(np.asarray(network.branch) == network.branch_names.index(branch))
    if len(on) == 0:
        raise InputError(f"branch {branch!r} has no vessels left (it fed nothing and was pruned)")
    reach = np.asarray(network.coordinate)[on, 1]
    beyond = np.flatnonzero(reach >= position - 1e-9)
    return int(on[beyond[np.argmin(reach[beyond])] if len(beyond) else np.argmax(reach)])


def branch_ends(network: VesselNetwork) -> dict[str, int]:
    """The last vessel of every named branch (host)."""
    used = np.unique(np.asarray(network.branch))
    return {n: vessel_at(network, n, np.inf) for i, n in enumerate(network.branch_names) if n != GROWN and i in used}


def lesion_sites(sim: Simulation, distance: float = RECOVERY) -> list[int]:
    """For every lesion the vessel `distance` [m] past its end, where its FFR is read (host).

    Where the branch ends sooner, its last vessel.
    """
    lesions = sim.lesions
    return [
        vessel_at(sim.network, sim.network.branch_names[int(b)], float(c) + 0.5 * float(l) + distance)
        for b, c, l in zip(lesions.branch, lesions.center, lesions.length, strict=True)
    ]


def mean_terminal_pressure(state: Perfusion) -> Float[Array, ""]:
    """Flow-weighted mean pressure at D_ref (100 µm unless changed) [Pa]."""
    return jnp.sum(state.terminal_pressure * state.terminal_flow) / jnp.sum(state.terminal_flow)
