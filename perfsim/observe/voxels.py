"""Maps in voxels, as blurred as the camera that took them."""

import dataclasses
from typing import Literal

from perfsim._arrays import on_device
from perfsim._results import InputError
from perfsim.darcy import ControlVolumes
from perfsim.darcy.padding import rung
from perfsim.observe.pose import LongAxis, Pose
from perfsim.observe.views import View

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float, Int

FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))
"""full width at half maximum of a Gaussian, over its σ"""
REACH = 3.0
"""σ at which the Gaussian is cut off: 3 % of it lie farther out in space, less in a wall"""
CHUNK = 4096
"""points that are looked at together, where only their sums are kept"""
SEEN = 0.5
"""share of tissue from which a voxel counts as one of the wall"""


class Voxels(View):
    """A field seen at points through a Gaussian point-spread function.

    The volume c spreads with the variance σ_c² = (fwhm/2.355)² + h_c²/12 + voxel²/12 per direction, h_c³ = V_c its own
    extent. With G_vc = V_c N(x_v - y_c; σ_c²), a voxel sees the tissue fraction PTF_v = Σ_c G_vc and

        per gram of perfusable tissue   Σ_c G_vc f_c / Σ_c G_vc
        per region (F·PTF)              Σ_c G_vc f_c

    Points are fixed in the image; a pose moves the wall under them. Build one with `Voxels.at` or `Voxels.grid`, and
    `padded` for arrays of standard sizes.
    """

    point: Float[Array, "voxels 3"]
    """[m], in the image"""
    axis: LongAxis
    source: Int[Array, "voxels sources"]
    """volumes that each voxel sees, padded with their number"""
    fwhm: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    """of the point-spread function [m]"""
    voxel: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    """edge of a voxel [m]"""
    volumes: int = eqx.field(static=True)
    """of the mesh"""
    per: Literal["gram", "region"] = eqx.field(static=True, default="gram")

    @classmethod
    def at(
        cls,
        volumes: ControlVolumes,
        axis: LongAxis,
        point: np.ndarray,
        fwhm: float,
        voxel: float,
        *,
        per: Literal["gram", "region"] = "gram",
        margin: float = 4e-3,
    ) -> "Voxels":
        """Voxels at given points [m]; the wall may move by `margin` [m] before a voxel misses what it should see.

        Raises `InputError` for a width that is no camera's, or points that see no tissue.
        """
        if not 1e-3 <= fwhm <= 30e-3:
            raise InputError(f"a point-spread function of {1e3 * fwhm:.4g} mm full width: give 1 to 30 mm")
        center = np.asarray(volumes.center)
        real = np.asarray(volumes.volume) > 1e-6 * np.max(volumes.volume)
        edge = float(np.cbrt(np.max(volumes.volume)))
        reach = REACH * np.sqrt((fwhm / FWHM) ** 2 + (edge**2 + voxel**2) / 12.0) + margin
        tree, index, point = scipy.spatial.cKDTree(center[real]), np.flatnonzero(real), np.asarray(point)
        width = int(np.max(tree.query_ball_point(point, reach, return_length=True), initial=0))
        source = np.full((len(point), width), len(center), np.int32)
        for k in range(0, len(point), CHUNK):  # some at a time: lists of numbers take ten times an array's memory
            found = tree.query_ball_point(point[k : k + CHUNK], reach)
            for row, seen in zip(source[k : k + CHUNK], found, strict=True):
                row[: len(seen)] = index[seen]
        if source.shape[1] == 0:
            raise InputError(f"none of the {len(point)} voxels lies within {1e3 * reach:.0f} mm of the wall")
        return cls(on_device(point), axis, on_device(source), fwhm, voxel, len(center), per)

    @classmethod
    def grid(
        cls,
        volumes: ControlVolumes,
        axis: LongAxis,
        fwhm: float,
        voxel: float,
        *,
        fraction: float = SEEN,
        per: Literal["gram", "region"] = "gram",
    ) -> "Voxels":
        """All voxels of a regular grid over the wall that see at least this `fraction` of tissue."""
        center = np.asarray(volumes.center)
        low, high = center.min(0) - voxel, center.max(0) + voxel
        steps = [np.arange(a, b, voxel) for a, b in zip(low, high, strict=True)]
        point = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
        near, _ = scipy.spatial.cKDTree(center).query(point)
        view = cls.at(volumes, axis, point[near <= fwhm + voxel], fwhm, voxel, per=per)
        return view.only(np.asarray(view.fraction(volumes, Pose())) >= fraction)

    def only(self, kept: np.ndarray) -> "Voxels":
        """Some of the voxels (host)."""
        source = np.asarray(self.source)[kept]
        width = int(np.max(np.sum(source < self.volumes, axis=1), initial=0))
        return dataclasses.replace(self, point=self.point[kept], source=on_device(source[:, :width]))

    def padded(self, least: int = 1) -> "Voxels":
        """The same with points added that see nothing (their value is 0), at `least` so many in all, so that hearts
        share compiled code.
        """
        (voxels, sources), nothing = self.source.shape, self.volumes
        more, wider = rung(max(voxels, least)) - voxels, rung(sources) - sources
        point = jnp.concatenate([self.point, jnp.broadcast_to(self.point[:1], (more, 3))])
        source = jnp.pad(self.source, ((0, more), (0, wider)), constant_values=nothing)
        return dataclasses.replace(self, point=point, source=source)

    def weights(self, volumes: ControlVolumes, pose: Pose) -> Float[Array, "voxels sources"]:
        """G_vc of the volumes that each voxel sees."""
        x = pose.to_heart(self.axis, self.point)
        size = jnp.append(volumes.volume, 0.0)[self.source]
        y = jnp.concatenate([volumes.center, volumes.center[:1]])[self.source]
        variance = (self.fwhm / FWHM) ** 2 + (self.voxel**2 + jnp.cbrt(jnp.maximum(size, 1e-30)) ** 2) / 12.0
        square = jnp.sum((x[:, None] - y) ** 2, axis=-1)
        return size * jnp.exp(-0.5 * square / variance) / (2.0 * jnp.pi * variance) ** 1.5

    def fraction(self, volumes: ControlVolumes, pose: Pose) -> Float[Array, " voxels"]:
        """PTF: the share of tissue in what each voxel sees."""
        return jnp.sum(self.weights(volumes, pose), axis=1)

    def __call__(self, volumes, field, pose):
        G = self.weights(volumes, pose)
        seen = jnp.sum(G * jnp.append(field, 0.0)[self.source], axis=1)
        return seen if self.per == "region" else seen / jnp.maximum(jnp.sum(G, axis=1), 1e-30)
