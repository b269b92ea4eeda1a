"""What lies around the wall: the blood in the cavity, whose activity spills over into tissue, and everything else."""

from perfsim._arrays import on_device
from perfsim.anatomy import Wall
from perfsim.observe.pose import Pose
from perfsim.observe.voxels import Voxels

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class BloodPool(eqx.Module):
    """The cavity of the left ventricle as cells; `Voxels` see them as they see the volumes of the wall."""

    center: Float[Array, "cells 3"]
    """[m]"""
    volume: Float[Array, " cells"]
    """[m³]"""

    @classmethod
    def of(cls, wall: Wall, spacing: float = 2e-3) -> "BloodPool":
        """Cells of this edge [m] within the inner surface, from the base to its apex (host)."""
        low, high = wall.bounds()
        steps = [np.arange(a + 0.5 * spacing, b, spacing) for a, b in zip(low, high, strict=True)]
        x = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
        z, radius, theta = wall.frame.cylindrical(x)
        inner = wall.epicardial_radius(z, theta) - wall.wall_thickness(z, theta)
        within = (z > 0) & (z < wall.frame.cavity_length) & (radius < inner) & ~wall.inside(x)
        return cls(on_device(x[within]), jnp.full(int(within.sum()), spacing**3))

    def seen_by(self, view: Voxels) -> Voxels:
        """The same camera, looking at the blood."""
        return Voxels.at(self, view.axis, np.asarray(view.point), float(view.fwhm), float(view.voxel), per="region")


def fractions(
    view: Voxels, volumes, pool: BloodPool, pose: Pose
) -> tuple[Float[Array, " voxels"], Float[Array, " voxels"], Float[Array, " voxels"]]:
    """Shares of tissue (PTF), of blood that spills over from the cavity, and of background in what each voxel sees."""
    tissue, blood = view.fraction(volumes, pose), pool.seen_by(view).fraction(pool, pose)
    return tissue, blood, jnp.maximum(1.0 - tissue - blood, 0.0)
