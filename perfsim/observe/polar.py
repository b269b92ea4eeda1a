"""Bull's-eye maps as data: ring by ring, sector by sector."""

from perfsim.observe.pose import LongAxis, Pose
from perfsim.observe.views import View
from perfsim.observe.voxels import Voxels

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

APEX = 0.2
"""radius of the apex on the bull's eye, whose rim is 1"""


def polar_radius(axis: LongAxis, z: Float[Array, " points"] | Float[np.ndarray, " points"]) -> Float[Array, " points"]:
    """Place on the bull's eye of a distance below the base: the rim is the base, what lies beyond the cavity is the
    apex, the inner fifth.
    """
    tip = jnp.maximum(axis.length - axis.cavity_length, 1e-6)
    within = APEX + (1.0 - APEX) * (1.0 - z / axis.cavity_length)
    return jnp.where(z > axis.cavity_length, APEX * (axis.length - z) / tip, within)


class PolarMap(View):
    """Transmural means on rings × sectors, from the apex outwards, sector 0 lateral, 12 of 48 anterior.

    A point counts for the 4 × 4 nearest bins by the cubic B-spline, so that the map is smooth in the pose. Values are
    in one row, ring by ring. With `blur` it averages what its voxels see, instead of the volumes.
    """

    axis: LongAxis
    blur: Voxels | None = None
    rings: int = eqx.field(static=True, default=32)
    sectors: int = eqx.field(static=True, default=48)

    def __call__(self, volumes, field, pose):
        x, weight, values = wall_points(self.blur, volumes, field)
        z, _, angle = self.axis.cylindrical(pose.to_image(self.axis, x))
        ring, by_ring = _spline(self.rings * polar_radius(self.axis, z) - 0.5)
        sector, by_sector = _spline(self.sectors * angle / (2.0 * jnp.pi) - 0.5)
        ring, sector = jnp.clip(ring, 0, self.rings - 1), sector % self.sectors
        bin_, share = ring[:, :, None] * self.sectors + sector[:, None], by_ring[:, :, None] * by_sector[:, None]
        empty = jnp.zeros(self.rings * self.sectors)
        mass = empty.at[bin_].add(share * weight[:, None, None])
        total = empty.at[bin_].add(share * (weight * values)[:, None, None])
        return total / jnp.maximum(mass, 1e-6 * jnp.mean(weight))


def wall_points(blur: Voxels | None, volumes, field):
    """(points of the wall, what each stands for, the field there): the volumes, or blurred, what voxels see of them."""
    if blur is None:
        return volumes.center, volumes.volume, field
    still = Pose()  # the blur is the same from every side: it need not follow the wall
    return blur.point, blur.fraction(volumes, still), blur(volumes, field, still)


def _spline(x: Float[Array, " n"]) -> tuple[Int[Array, "n 4"], Float[Array, "n 4"]]:
    """The four knots next to each x, and the cubic B-spline's weights of them."""
    first = jnp.floor(x)
    t = x - first
    weight = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    knot = first.astype(int)[:, None] + jnp.arange(-1, 3)
    return knot, jnp.stack(weight, 1) / 6.0
