"""The 17 segments of the American Heart Association (Cerqueira et al. 2002, Circulation 105:539)."""

from perfsim._arrays import on_device
from perfsim.anatomy import Frame

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

SEGMENT_NAMES = (
    "basal anterior", "basal anteroseptal", "basal inferoseptal", "basal inferior", "basal inferolateral",
    "basal anterolateral", "mid anterior", "mid anteroseptal", "mid inferoseptal", "mid inferior",
    "mid inferolateral", "mid anterolateral", "apical anterior", "apical septal", "apical inferior",
    "apical lateral", "apex",
)  # fmt: skip


def aha17(frame: Frame, center: Float[Array, "volumes 3"] | Float[np.ndarray, "volumes 3"]) -> Int[Array, " volumes"]:
    """Segment (0…16 for AHA 1…17) of each point, on any left ventricle with an anatomical frame.

    Thirds of the cavity's length are basal, mid and apical, what lies beyond the cavity is the apex (17). Sectors are
    equal: 60° in the basal and mid rings, starting at 60° (anterior 60-120°, then towards the septum), 90° in the
    apical ring.
    """
    z, _, theta = frame.cylindrical(np.asarray(center))
    ring = np.clip(np.floor(3.0 * z / frame.cavity_length), 0, 2).astype(int)
    sixth = ((theta - 60.0) % 360.0 // 60.0).astype(int)
    quarter = ((theta - 45.0) % 360.0 // 90.0).astype(int)
    segment = np.where(ring == 2, 12 + quarter, 6 * ring + sixth)
    return on_device(np.where(z > frame.cavity_length, 16, segment))


@eqx.filter_jit
def group_means(
    values: Float[Array, " volumes"],
    group: Int[Array, " volumes"],
    weight: Float[Array, " volumes"],
    groups: int,
) -> Float[Array, " groups"]:
    """Weighted means over groups, e.g. MBF over AHA segments by volume; NaN for an empty group."""
    total = jax.ops.segment_sum(weight, group, groups)
    return jax.ops.segment_sum(weight * values, group, groups) / jnp.where(total > 0, total, jnp.nan)
