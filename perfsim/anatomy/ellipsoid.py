"""The embedded left ventricle: a truncated ellipsoidal shell of published normal dimensions."""

from perfsim._results import InputError
from perfsim.anatomy.frame import Frame
from perfsim.anatomy.wall import Wall

import numpy as np
import scipy

MYOCARDIUM = 1050.0  # [kg/m³]


def ellipsoid_distance(x: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Signed distance to an ellipsoid about the origin, to first order and exact on it: (f - 1)/|∇f|, f² = Σ (x/a)².

    Points (..., 3) and semi-axes (3,) in one unit; negative inside.
    """
    f = np.sqrt(np.sum((x / axes) ** 2, axis=-1))
    slope = np.sqrt(np.sum((x / np.square(axes)) ** 2, axis=-1)) / np.maximum(f, 1e-12)
    return (f - 1.0) / np.maximum(slope, 1e-12)


class EllipsoidWall(Wall):
    """A shell between two coaxial ellipsoids with a common center, cut by the plane of the base.

    Defaults: end-diastolic cavity diameter 48 mm and wall mass 140 g lie within the normal ranges of Lang et al.
    (2015), J Am Soc Echocardiogr 28:1 (cavity 42-58 mm in men, 38-52 mm in women; mass by 2D 96-200 g in men,
    66-150 g in women). The wall thickness (9.6 mm here) follows from the mass.
    """

    def __init__(self, mass: float = 0.140, cavity_radius: float = 24e-3, cavity_half_length: float = 66e-3):
        """Arguments: mass [kg], cavity radius [m], long half-axis of the cavity [m].

        Raises `InputError` where no wall of that mass fits around the cavity.
        """
        if not 0.02 < mass < 1.0:
            raise InputError(f"a left ventricle of {mass * 1e3:.4g} g is not between 20 and 1000 g")
        self.a, self.c = cavity_radius, cavity_half_length
        self.top = 0.3 * cavity_half_length  # the base plane, above the widest section
        self.thickness = scipy.optimize.brentq(lambda t: self._volume(t) - mass / MYOCARDIUM, 1e-3, 40e-3)
        outer = self.c + self.thickness
        self.frame = Frame(
            base=np.array([0.0, 0.0, self.top]),
            axis=np.array([0.0, 0.0, -1.0]),
            lateral=np.array([1.0, 0.0, 0.0]),
            length=self.top + outer,
            cavity_length=self.top + self.c,
        )

    def _volume(self, t: float) -> float:
        def cap(a, c):
            s = self.top / c
            return np.pi * a**2 * c * (s - s**3 / 3.0 + 2.0 / 3.0)

        return cap(self.a + t, self.c + t) - cap(self.a, self.c)

    def _distance(self, x, t):
        """First-order signed distance to the ellipsoid with semi-axes (a+t, a+t, c+t)."""
        return ellipsoid_distance(x, np.array([self.a + t, self.a + t, self.c + t]))

    def signed_distance(self, x):
        x = np.asarray(x)
        return np.maximum.reduce([self._distance(x, self.thickness), -self._distance(x, 0.0), x[..., 2] - self.top])

    def depth(self, x):
        to_epi = np.maximum(-self._distance(np.asarray(x), self.thickness), 0.0)
        to_endo = np.maximum(self._distance(np.asarray(x), 0.0), 0.0)
        return to_epi / np.maximum(to_epi + to_endo, 1e-12)

    def bounds(self):
        r, low = self.a + self.thickness, -(self.c + self.thickness)
        return np.array([-r, -r, low]), np.array([r, r, self.top])

    def epicardial_radius(self, z, theta):
        height = (self.top - z) / (self.c + self.thickness)
        return (self.a + self.thickness) * np.sqrt(np.maximum(1.0 - height**2, 0.0)) + 0.0 * theta

    def wall_thickness(self, z, theta):
        height = (self.top - z) / self.c
        return self.epicardial_radius(z, theta) - self.a * np.sqrt(np.maximum(1.0 - height**2, 0.0))
