"""Laying a segmented left coronary tree on a ventricle that came from another image."""

import dataclasses

from perfsim._results import InputError
from perfsim.anatomy.wall import Wall
from perfsim.network import VesselNetwork, relabel

import numpy as np

POINTS = 30
"""compared on each vessel"""
SCALES = 0.75, 1.33


@dataclasses.dataclass(frozen=True)
class Placement:
    """How a tree was laid on a wall."""

    scale: float
    """of the similarity"""
    rms: float
    """distance of the fitted trunks from their grooves before projection [m]"""
    moved: float
    """median distance that projection onto the epicardium moved a node [m]"""
    length_ratio: float
    """total length after placement over scaled length before"""
    kept_off_septum: int
    """nodes that would have lain on the right side of the septum"""


def place_left_tree(network: VesselNetwork, wall: Wall) -> tuple[VesselNetwork, Placement]:
    """Fit a left tree with branches named LM, LAD and LCx to a wall's grooves, then project it onto the epicardium.

    1. A similarity (rotation, translation, one scale; Umeyama 1991, IEEE PAMI 13:376) takes points of the LAD, evenly
       spaced, to the anterior groove from the base towards and around the apex, and points of the LCx to the left
       atrioventricular groove and down the free wall. How far each reaches is searched on a grid for the smallest
       misfit in the tree's own size, with the scale between 0.75 and 1.33 (both hearts are adult).
    2. Every node beyond the LM moves radially onto the epicardium. Nodes between the right ventricle's insertions
       would lie on the septum's right side: they move along the surface to the nearer groove.
    3. The LM follows its end, less and less towards the ostium.
    """
    position = np.asarray(network.position)
    moving = np.concatenate([_even(position[_course(network, name)], POINTS) for name in ("LAD", "LCx")])
    _, found = _fit_to_grooves(moving, wall)
    if found is None:
        raise InputError(
            "the tree fits this heart at no scale between 0.75 and 1.33: are its branches named rightly, and are its "
            "coordinates in metres?"
        )
    scale, rotation, shift, target = found
    fitted = scale * position @ rotation.T + shift
    rms = float(np.sqrt(np.mean(np.sum((scale * moving @ rotation.T + shift - target) ** 2, axis=1))))
    placed, off_septum = _project(wall, fitted)
    placed = _carry_main_stem(network, fitted, placed)
    result = relabel(network, np.asarray(network.branch), network.branch_names, position=placed)
    before, after = (
        np.linalg.norm(x[np.asarray(network.head)] - x[np.asarray(network.tail)], axis=1).sum()
        for x in (fitted, placed)
    )
    moved = float(np.median(np.linalg.norm(placed - fitted, axis=1)))
    return result, Placement(float(scale), rms, moved, float(after / before), off_septum)


def _fit_to_grooves(moving: np.ndarray, wall: Wall):
    """Least misfit [m, in the tree's size] over how far the two vessels may reach, with its similarity and target."""
    best, found = np.inf, None
    for lad_end in np.arange(0.7, 1.31, 0.05):
        groove = _anterior_groove(wall, lad_end)
        for turn in np.arange(90.0, -101.0, -10.0):
            for drop in (0.04, 0.3, 0.6):
                target = np.concatenate([groove, _circumflex_course(wall, turn, drop)])
                scale, rotation, shift = similarity(moving, target)
                misfit = np.sqrt(np.mean(np.sum((scale * moving @ rotation.T + shift - target) ** 2, axis=1))) / scale
                if misfit < best and SCALES[0] <= scale <= SCALES[1]:
                    best, found = misfit, (scale, rotation, shift, target)
    return best, found


def groove_misfit(lad: np.ndarray, lcx: np.ndarray, wall: Wall) -> float:
    """How far [m] two polylines are from the grooves of LAD and LCx under the best similarity; inf if none fits."""
    return _fit_to_grooves(np.concatenate([_even(lad, POINTS), _even(lcx, POINTS)]), wall)[0]


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """(scale, rotation, shift) that minimize Σ |s R x + t - y|² without reflection (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, d, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = float(np.sum(d * sign) / np.sum(a**2))
    return scale, rotation, target.mean(0) - scale * rotation @ source.mean(0)


def _course(network: VesselNetwork, name: str) -> np.ndarray:
    """Nodes of a branch from its origin to its end."""
    on = np.flatnonzero(np.asarray(network.branch) == network.branch_names.index(name))
    return np.concatenate([np.asarray(network.tail)[on[:1]], np.asarray(network.head)[on]])


def _even(x: np.ndarray, count: int) -> np.ndarray:
    """`count` points evenly along a polyline."""
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(x, axis=0), axis=1))])
    at = np.linspace(0.0, s[-1], count)
    return np.stack([np.interp(at, s, x[:, k]) for k in range(3)], 1)


def _anterior_groove(wall: Wall, end: float) -> np.ndarray:
    """The anterior interventricular groove from the base to u = `end`, beyond 1 around the apex."""
    return _even(wall.point(np.linspace(0.02, end, 200), np.full(200, wall.frame.anterior_insert)), POINTS)


def _circumflex_course(wall: Wall, turn: float, drop: float) -> np.ndarray:
    """Along the left atrioventricular groove to the angle `turn` [°], then down the free wall to u = `drop`."""
    u = np.concatenate([np.full(120, 0.04), np.linspace(0.04, drop, 80)])
    return _even(wall.point(u, np.linspace(wall.frame.anterior_insert - 5.0, turn, 200)), POINTS)


def _project(wall: Wall, x: np.ndarray) -> tuple[np.ndarray, int]:
    f = wall.frame
    z, _, theta = f.cylindrical(x)
    middle = 0.5 * (f.anterior_insert + f.inferior_insert)
    septal = (theta > f.anterior_insert) & (theta < f.inferior_insert)
    groove = np.where(theta < middle, f.anterior_insert, f.inferior_insert)
    # what is moved keeps 2 % of its distance, so that no two nodes of a vessel fall together
    theta = np.where(septal, groove + 0.02 * (theta - groove), theta)
    low, high = 0.03 * f.length, 0.985 * f.length
    z = np.clip(z, low, high) + 0.02 * (np.minimum(z - low, 0.0) + np.maximum(z - high, 0.0))
    radius = wall.epicardial_radius(z, theta)
    return f.base + z[:, None] * f.axis + radius[:, None] * f.radial(theta), int(septal.sum())


def _carry_main_stem(network: VesselNetwork, fitted: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """Shift the LM's nodes by a share of its end's shift that grows from 0 at the ostium."""
    stem = _course(network, "LM")
    share = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(fitted[stem], axis=0), axis=1))])
    share = share / share[-1]
    placed = placed.copy()
    placed[stem] = fitted[stem] + share[:, None] * (placed[stem[-1]] - fitted[stem[-1]])
    return placed
