"""The anatomical frame of a left ventricle: long axis, and the angle that AHA segments are counted in."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Frame:
    """Cylinder coordinates of a left ventricle.

    Angles follow the AHA bull's eye seen from the apex: 90° anterior, 180° septal, 270° inferior, 0° lateral. The
    right ventricle inserts at `anterior_insert` and `inferior_insert`. (lateral, anterior, towards the apex) is a
    right-handed triad.
    """

    base: np.ndarray
    """center of the base on the long axis [m]"""
    axis: np.ndarray
    """unit vector from base to apex"""
    lateral: np.ndarray
    """unit vector at angle 0°"""
    length: float
    """base to epicardial apex [m]"""
    cavity_length: float
    """base to endocardial apex [m]"""
    anterior_insert: float = 120.0
    inferior_insert: float = 240.0

    @property
    def anterior(self) -> np.ndarray:
        """Unit vector at angle 90°."""
        return np.cross(self.axis, self.lateral)

    def cylindrical(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(distance below the base towards the apex [m], radius [m], angle [degrees in 0…360)) of points (n, 3)."""
        d = np.asarray(x) - self.base
        z, a, b = d @ self.axis, d @ self.lateral, d @ self.anterior
        return z, np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360.0

    def radial(self, theta: np.ndarray | float) -> np.ndarray:
        """Unit vectors away from the long axis at angles in degrees, (n, 3)."""
        t = np.radians(np.asarray(theta, float))[..., None]
        return np.cos(t) * self.lateral + np.sin(t) * self.anterior


def frame_from_points(base_points, apex, anterior_inserts, inferior_inserts, length=None, cavity_length=None) -> Frame:
    """A frame from landmarks: points on the valve ring, the apex, and the right ventricle's insertion points [m].

    The septum's middle, halfway between the inserts, is put at 180°.
    """
    base = np.mean(base_points, axis=0)
    axis = np.asarray(apex, float) - base
    reach = float(np.linalg.norm(axis))
    axis = axis / reach
    direction = []
    for points in (anterior_inserts, inferior_inserts):
        d = np.atleast_2d(points) - base
        d = d - np.outer(d @ axis, axis)
        d = (d / np.linalg.norm(d, axis=1)[:, None]).mean(0)
        direction.append(d / np.linalg.norm(d))
    septal = direction[0] + direction[1]
    septal /= np.linalg.norm(septal)
    frame = Frame(base, axis, -septal, reach, reach)
    angles = [frame.cylindrical(base + d)[2] for d in direction]
    return dataclasses.replace(
        frame,
        length=reach if length is None else length,
        cavity_length=reach if cavity_length is None else cavity_length,
        anterior_insert=float(angles[0]),
        inferior_insert=float(angles[1]),
    )
