"""The transmural profile of the conductances: what keeps a healthy heart's hyperemic flow even across the wall."""

from perfsim.darcy import ControlVolumes
from perfsim.physiology import BACK_ENDO, BACK_EPI, PIVOT

import jax.numpy as jnp
from jaxtyping import Array, Float


def transmural_profile(volumes: ControlVolumes, pivot: float = PIVOT) -> Float[Array, " volumes"]:
    """Factor on g_a and g_v by transmural depth: (p* - p_b(mean))/(p* - p_b(depth)), mean 1 over the wall.

    Where the back pressure is high the healthy heart has the higher conductance, so that hyperemic flow is even across
    the wall; p*, the `pivot` [Pa], is the one number that the calibration sets for it.
    """
    back = BACK_EPI + (BACK_ENDO - BACK_EPI) * volumes.depth
    profile = 1.0 / (pivot - back)
    return profile * jnp.sum(volumes.volume) / jnp.sum(volumes.volume * profile)
