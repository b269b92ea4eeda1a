"""The wall of a left ventricle as a region of space: what growth and meshing ask of it."""

import abc

from perfsim.anatomy.frame import Frame

import numpy as np


class Wall(abc.ABC):
    """A left-ventricular wall. All methods take points (n, 3) in metres and run on the host."""

    frame: Frame

    @abc.abstractmethod
    def signed_distance(self, x: np.ndarray) -> np.ndarray:
        """Distance to the wall's surface [m], negative inside; near the surface correct to first order."""

    @abc.abstractmethod
    def depth(self, x: np.ndarray) -> np.ndarray:
        """Transmural depth: 0 at the epicardium (on the septum: its right side), 1 at the endocardium."""

    @abc.abstractmethod
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box that holds the wall [m]."""

    @abc.abstractmethod
    def epicardial_radius(self, z: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Distance of the outer surface from the long axis [m] at distance z [m] below the base and angle theta [°]."""

    @abc.abstractmethod
    def wall_thickness(self, z: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Radial distance between the outer and the inner surface [m]."""

    def inside(self, x: np.ndarray) -> np.ndarray:
        """Which points lie in the wall."""
        return self.signed_distance(x) < 0

    def point(self, u: np.ndarray | float, theta: np.ndarray | float, depth: float | np.ndarray = 0.0) -> np.ndarray:
        """Points in the wall from the base (u = 0) to the apex (u = 1), at angle theta [°] and transmural depth.

        u runs evenly along a quarter ellipse, so that equal steps are nearly equal lengths; beyond 1 it comes up again
        on the other side of the apex.
        """
        u, theta = np.broadcast_arrays(np.asarray(u, float), np.asarray(theta, float))
        u, theta = np.where(u > 1.0, 2.0 - u, u), np.where(u > 1.0, theta + 180.0, theta) % 360.0
        f = self.frame
        z = f.length * np.sin(0.5 * np.pi * np.clip(u, 0.0, 1.0)) ** 1.15
        z = np.minimum(z, 0.998 * f.length)
        radius = self.epicardial_radius(z, theta) - np.asarray(depth) * self.wall_thickness(z, theta)
        return f.base + z[..., None] * f.axis + radius[..., None] * f.radial(theta)
