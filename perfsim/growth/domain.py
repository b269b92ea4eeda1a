"""Regions that trees grow in: a box, a ball, an ellipsoidal shell; anything with bounds and a signed distance."""

import dataclasses
from typing import Protocol

from perfsim._results import InputError
from perfsim.anatomy.ellipsoid import ellipsoid_distance
from perfsim.growth.vectors import norm

import numpy as np

SAGITTA = (
    0.35  # chords are looked at in pieces short enough for any boundary that curves no tighter than this × thickness
)


class Domain(Protocol):
    """What growth asks of a region; `anatomy.Wall` is one. Points are (..., 3) in metres."""

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box that holds the region [m]."""

    def signed_distance(self, x: np.ndarray) -> np.ndarray:
        """Distance to the boundary [m], negative inside; near the boundary correct to first order."""


class Layered(Domain, Protocol):
    """A domain with an outer and an inner surface, such as a wall."""

    def depth(self, x: np.ndarray) -> np.ndarray:
        """Transmural depth: 0 at the outer surface, 1 at the inner one."""


@dataclasses.dataclass(frozen=True, eq=False)
class Box:
    """A box between two corners [m]."""

    low: np.ndarray
    high: np.ndarray

    def bounds(self):
        return np.asarray(self.low, float), np.asarray(self.high, float)

    def signed_distance(self, x):
        return np.maximum(self.low - np.asarray(x), np.asarray(x) - self.high).max(-1)


@dataclasses.dataclass(frozen=True, eq=False)
class Ball:
    """A ball [m]."""

    center: np.ndarray
    radius: float

    def bounds(self):
        return np.asarray(self.center) - self.radius, np.asarray(self.center) + self.radius

    def signed_distance(self, x):
        return np.linalg.norm(np.asarray(x) - self.center, axis=-1) - self.radius


@dataclasses.dataclass(frozen=True, eq=False)
class EllipsoidShell:
    """What lies between two concentric ellipsoids around the origin, below the plane z = top [m]."""

    inner: np.ndarray
    """semi-axes"""
    outer: np.ndarray
    """semi-axes"""
    top: float

    def bounds(self):
        outer = np.asarray(self.outer, float)
        return -outer, np.array([outer[0], outer[1], min(self.top, outer[2])])

    def signed_distance(self, x):
        x = np.asarray(x)
        within, beyond = ellipsoid_distance(x, self.outer), -ellipsoid_distance(x, self.inner)
        return np.maximum.reduce([within, beyond, x[..., 2] - self.top])

    def depth(self, x):
        """Transmural depth: 0 at the outer ellipsoid, 1 at the inner one."""
        x = np.asarray(x)
        to_outer, to_inner = -ellipsoid_distance(x, self.outer), ellipsoid_distance(x, self.inner)
        to_outer = np.maximum(to_outer, 0.0)
        return to_outer / np.maximum(to_outer + np.maximum(to_inner, 0.0), 1e-12)


@dataclasses.dataclass(frozen=True, eq=False)
class OuterLayer:
    """The part of a wall nearer to its outer surface than a share of its thickness [m]."""

    wall: Layered
    share: float
    thickness: float

    def bounds(self):
        return self.wall.bounds()

    def signed_distance(self, x):
        beyond = (self.wall.depth(x) - self.share) * self.thickness
        return np.maximum(self.wall.signed_distance(x), beyond)


def leaves(domain: Domain, a: np.ndarray, b: np.ndarray, tolerance: float, piece: float) -> np.ndarray:
    """Which segments a-b (n, 3) leave the domain by more than `tolerance`, or by more than their ends do.

    Segments are halved until a piece is shorter than `piece` [m] or its middle is deeper inside than it is long: the
    distance to the boundary changes by no more than the way.
    """
    length = norm(b - a)
    out = np.zeros(len(a), bool)
    segment, low, high = np.arange(len(a)), np.zeros(len(a)), np.ones(len(a))
    allowed = np.full(len(a), tolerance)
    first = True
    while len(segment):
        middle = 0.5 * (low + high)
        distance = domain.signed_distance(a[segment] + middle[:, None] * (b - a)[segment])
        half = 0.5 * (high - low) * length[segment]
        suspect = distance + half > tolerance
        segment, low, middle, high = segment[suspect], low[suspect], middle[suspect], high[suspect]
        distance, half = distance[suspect], half[suspect]
        if first and len(segment):
            # a trunk may lie a little off the wall: what leaves it may start from there
            ends = np.maximum(domain.signed_distance(a[segment]), domain.signed_distance(b[segment]))
            allowed[segment] = np.maximum(tolerance, ends + tolerance * (ends > tolerance))
            first = False
        out[segment[distance > allowed[segment]]] = True
        again = (2.0 * half > piece) & ~out[segment]
        segment, low, middle, high = segment[again], low[again], middle[again], high[again]
        segment = np.concatenate([segment, segment])
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    return out


def check_bounds(domain: Domain) -> None:
    """Raise `InputError` where a domain's bounds hold no volume."""
    low, high = domain.bounds()
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (np.asarray(high) > low).all()):
        raise InputError(f"the domain's bounds {low} to {high} hold no volume")
