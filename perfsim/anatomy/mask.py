"""A left-ventricular wall from a voxel mask."""

import dataclasses

from perfsim._results import InputError
from perfsim.anatomy.frame import Frame
from perfsim.anatomy.wall import Wall

import numpy as np
import scipy

_BINS_Z, _BINS_THETA = 48, 72


class MaskWall(Wall):
    """The wall given by a boolean array: center of mask[i, j, k] = origin + spacing · (i, j, k).

    What the wall encloses in a slice across the long axis is cavity; near the base, where the valves leave the ring
    open, the cavity of the slices below is continued. Everything else is outside; the two surfaces and the
    transmural depth follow from the distances to these two sets.
    """

    def __init__(self, mask: np.ndarray, origin: np.ndarray, spacing: float, frame: Frame):
        """Arguments: mask (i, j, k), origin (3,) [m], spacing [m], and the anatomical frame.

        Raises `InputError` for an empty mask or a long axis that misses it.
        """
        if not mask.any():
            raise InputError("the wall mask is empty")
        pad = 3
        self.mask = np.pad(np.asarray(mask, bool), pad)
        self.origin = np.asarray(origin, float) - pad * spacing
        self.spacing = float(spacing)
        self.frame = frame
        index = np.stack(np.meshgrid(*(np.arange(n) for n in self.mask.shape), indexing="ij"), -1)
        z, rho, theta = frame.cylindrical(self.origin + spacing * index.reshape(-1, 3))
        flat = self.mask.ravel()
        if z[flat].max() < 0:
            raise InputError(
                "the wall mask lies above the base of its frame: are mask and landmarks in one frame, in one unit?"
            )
        self._z_edges = np.linspace(min(0.0, z[flat].min()), z[flat].max() + spacing, _BINS_Z + 1)
        self._outer, self._inner = self._surfaces(z[flat], rho[flat], theta[flat])
        reach = z[flat].max() + 0.5 * spacing
        above = ~flat & (z < np.quantile(z[flat], 0.02))
        cavity = self._cavity(z, rho, theta) & ~flat & ~above
        if not cavity.any():
            raise InputError("the wall mask encloses no cavity around the long axis of its frame")
        outside = (~flat & ~cavity & ~above).reshape(self.mask.shape)
        cavity = cavity.reshape(self.mask.shape)
        half = 0.5 * spacing
        self._to_endo = scipy.ndimage.distance_transform_edt(~cavity, sampling=spacing) - half
        self._to_epi = scipy.ndimage.distance_transform_edt(~outside, sampling=spacing) - half
        into, out = (scipy.ndimage.distance_transform_edt(m, sampling=spacing) for m in (self.mask, ~self.mask))
        self._signed = np.where(self.mask, half - into, out - half)
        self.frame = dataclasses.replace(frame, length=reach, cavity_length=float(z[cavity.ravel()].max() + half))

    def _cavity(self, z, rho, theta):
        """Which of the given points (cylinder coordinates) the wall encloses, slice by slice from the apex up."""
        step, f = 0.5 * self.spacing, self.frame
        reach = np.hypot(*(np.ptp(self.bounds(), axis=0)[:2])) + self.spacing
        side = np.arange(-reach, reach + step, step)
        heights = np.arange(z[self.mask.ravel()].min(), z[self.mask.ravel()].max() + step, step)
        x, y = np.meshgrid(side, side, indexing="ij")
        enclosed = np.zeros((len(heights), len(side), len(side)), bool)
        solid = self.mask.astype(float)
        for k in range(len(heights) - 1, -1, -1):
            point = f.base + heights[k] * f.axis + x[..., None] * f.lateral + y[..., None] * f.anterior
            wall = self._sample(solid, point.reshape(-1, 3)).reshape(x.shape) > 0.5
            closed = scipy.ndimage.binary_closing(np.pad(wall, 4), iterations=3)[4:-4, 4:-4]
            hole = scipy.ndimage.binary_fill_holes(closed) & ~wall
            hole = scipy.ndimage.binary_opening(hole, iterations=2)
            if k + 1 < len(heights) and hole.sum() < 0.8 * enclosed[k + 1].sum() and heights[k] < 0.5 * f.length:
                hole = (hole | enclosed[k + 1]) & ~wall
            enclosed[k] = hole
        t = np.radians(theta)
        at = [(z - heights[0]) / step, (rho * np.cos(t) + reach) / step, (rho * np.sin(t) + reach) / step]
        return scipy.ndimage.map_coordinates(enclosed.astype(float), at, order=1, mode="constant") > 0.5

    def _surfaces(self, z, rho, theta):
        """Outer and inner radius of the wall by height and angle, gaps filled from their neighbors."""
        i = np.clip(np.digitize(z, self._z_edges) - 1, 0, _BINS_Z - 1)
        j = (theta / 360.0 * _BINS_THETA).astype(int) % _BINS_THETA
        outer, inner = np.full((_BINS_Z, _BINS_THETA), np.nan), np.full((_BINS_Z, _BINS_THETA), np.nan)
        np.fmax.at(outer, (i, j), rho)
        np.fmin.at(inner, (i, j), rho)
        filled = []
        for table, half in ((outer, 0.5), (inner, -0.5)):
            table = np.concatenate([table] * 3, axis=1)
            nearest = scipy.ndimage.distance_transform_edt(np.isnan(table), return_distances=False, return_indices=True)
            table = scipy.ndimage.gaussian_filter(table[tuple(nearest)], 1.0, mode="nearest")
            filled.append(np.maximum(table[:, _BINS_THETA : 2 * _BINS_THETA] + half * self.spacing, 0.0))
        return filled

    def _lookup(self, table, z, theta):
        step = self._z_edges[1] - self._z_edges[0]
        row = (np.atleast_1d(z) - self._z_edges[0]) / step - 0.5
        column = np.atleast_1d(theta) % 360.0 / 360.0 * _BINS_THETA - 0.5 + _BINS_THETA
        found = scipy.ndimage.map_coordinates(
            np.concatenate([table] * 3, axis=1), [row, column], order=1, mode="nearest"
        )
        return found.reshape(np.shape(z))

    def _sample(self, field, x):
        at = (np.asarray(x) - self.origin) / self.spacing
        return scipy.ndimage.map_coordinates(field, np.moveaxis(at, -1, 0), order=1, mode="nearest")

    def signed_distance(self, x):
        # beyond the grid: the value at its edge and the way to there
        last = self.origin + self.spacing * (np.array(self.mask.shape) - 1)
        beyond = np.linalg.norm(np.asarray(x) - np.clip(x, self.origin, last), axis=-1)
        return self._sample(self._signed, x) + beyond

    def depth(self, x):
        to_epi, to_endo = (np.maximum(self._sample(f, x), 0.0) for f in (self._to_epi, self._to_endo))
        return to_epi / np.maximum(to_epi + to_endo, 1e-9)

    def bounds(self):
        wall = np.argwhere(self.mask)
        return self.origin + self.spacing * (wall.min(0) - 1), self.origin + self.spacing * (wall.max(0) + 1)

    def epicardial_radius(self, z, theta):
        return self._lookup(self._outer, *np.broadcast_arrays(z, theta))

    def wall_thickness(self, z, theta):
        z, theta = np.broadcast_arrays(z, theta)
        return np.maximum(self._lookup(self._outer, z, theta) - self._lookup(self._inner, z, theta), self.spacing)
