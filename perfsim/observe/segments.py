"""AHA segments as a differentiable view: how much of a volume belongs to each."""

from typing import Literal

from perfsim.observe.polar import wall_points
from perfsim.observe.pose import LongAxis
from perfsim.observe.views import View, weighted_means
from perfsim.observe.voxels import Voxels

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import erf
from jaxtyping import Array, Float


class Segments(View):
    """Means over the 17 segments (or 16, without the apex) of the American Heart Association.

    Rings are thirds of the cavity's length. Sectors are equal, 60° from 60° on and 90° from 45° on in the apical ring,
    or `anchored` at the insertions of the right ventricle, which then bound the septum: segments 2 and 3 halve it, the
    other four share the rest. A volume of edge h belongs to what lies on its side of a border as if it were a Gaussian
    of variance h²/12, so that the means are smooth in the pose. With `blur` the means are those of what voxels see.
    """

    axis: LongAxis
    blur: Voxels | None = None
    count: Literal[16, 17] = eqx.field(static=True, default=17)
    anchored: bool = eqx.field(static=True, default=False)

    def __call__(self, volumes, field, pose):
        x, weight, values = wall_points(self.blur, volumes, field)
        edge = jnp.cbrt(volumes.volume) if self.blur is None else jnp.full(len(x), self.blur.voxel)
        return weighted_means(self.membership(pose.to_image(self.axis, x), edge), weight, values)

    def membership(self, x: Float[Array, "points 3"], edge: Float[Array, " points"]) -> Float[Array, "segments points"]:
        """Share of each segment in points of this extent [m]; they sum to 1 (or less, at an apex left out)."""
        z, radius, angle = self.axis.cylindrical(x)
        width = edge / jnp.sqrt(12.0)
        thirds = self.axis.cavity_length * jnp.arange(1, 4)[:, None] / 3.0
        beyond = _gaussian_below((z - thirds) / width)
        rings = (1.0 - beyond[0], beyond[0] - beyond[1], beyond[1] - beyond[2])
        share = _shares(self._sectors(), angle, radius / width)
        in_sixth, in_quarter = (part / jnp.maximum(jnp.sum(part, axis=0), 1e-30) for part in (share[:6], share[6:]))
        parts = [rings[0] * in_sixth, rings[1] * in_sixth, rings[2] * in_quarter]
        return jnp.concatenate(parts if self.count == 16 else [*parts, beyond[2][None]])

    def _sectors(self):
        """(middles, half widths) [rad] of the six sectors of the basal and mid rings and the four of the apical one."""
        right = jnp.pi / 180.0
        apical = right * jnp.array([90.0, 180.0, 270.0, 0.0]), jnp.full(4, 45.0 * right)
        if not self.anchored:
            sixths = right * jnp.array([90.0, 150.0, 210.0, 270.0, 330.0, 30.0])
            return jnp.concatenate([sixths, apical[0]]), jnp.concatenate([jnp.full(6, 30.0 * right), apical[1]])
        a, b = self.axis.inserts
        septum = jnp.mod(b - a, 2.0 * jnp.pi)
        free = (2.0 * jnp.pi - septum) / 4.0
        middle = [a - 0.5 * free, a + 0.25 * septum, a + 0.75 * septum, *(b + (k + 0.5) * free for k in range(3))]
        half = 0.5 * jnp.stack([free, 0.5 * septum, 0.5 * septum, free, free, free])
        turn = a + 0.5 * septum - jnp.pi
        return jnp.concatenate([jnp.stack(middle), turn + apical[0]]), jnp.concatenate([half, apical[1]])


def _shares(sectors, angle, sharpness):
    """What of each sector lies in points at an angle; `sharpness` is their radius over their width."""
    middle, half = sectors
    off = jnp.mod(angle - middle[:, None] + jnp.pi, 2.0 * jnp.pi) - jnp.pi
    ends = off + jnp.stack([half, -half])[..., None]
    upper, lower = _gaussian_below(ends * sharpness)
    return upper - lower


def _gaussian_below(x):
    """The normal distribution function, as one array of error functions: each call is a long program of its own."""
    return 0.5 * (1.0 + erf(x / jnp.sqrt(2.0)))
