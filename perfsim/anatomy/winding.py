"""Inside or outside a triangulated surface that need not be closed: the generalised winding number."""

import numpy as np

LEAF = 8
"""triangles that are not divided further"""
FAR = 2.0
"""triangles are seen as one dipole from beyond this many of their radii; the error of w is then at most about 0.05"""


def winding_number(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """w(p) = 1/(4π) Σ Ω_t(p), the solid angle that the surface subtends at each point over the full sphere.

    1 inside and 0 outside a closed surface whose triangles run counterclockwise seen from outside (-1 inside if they
    run clockwise). Where the surface is open w passes smoothly through ½ across the opening, so that w > ½ closes it
    (Jacobson, Kavan, Sorkine-Hornung 2013, ACM Trans Graph 32:33). Triangles far from a point act together as
    the dipole A·(c - p)/|c - p|³ of their summed area vector A at their middle c (Barill et al. 2018, ACM Trans Graph
    37:43).
    Shapes: points (n, 3), vertices (m, 3) in one unit, triangles (t, 3) indices; returns (n,).
    """
    corner = vertices[triangles]
    area = 0.5 * np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    middle, weight = corner.mean(1), np.linalg.norm(area, axis=1)
    w = np.zeros(len(points))
    left = [(np.arange(len(triangles)), np.arange(len(points)))]
    while left:
        members, seen = left.pop()
        center = weight[members] @ middle[members] / max(weight[members].sum(), 1e-300)
        radius = np.linalg.norm(corner[members] - center, axis=-1).max()
        way = center - points[seen]
        distance = np.sqrt(np.einsum("ij,ij->i", way, way))
        far = distance > FAR * radius
        w[seen[far]] += way[far] @ area[members].sum(0) / distance[far] ** 3
        near = seen[~far]
        if len(members) > LEAF and len(near):
            left += [(half, near) for half in _halves(members, corner)]
        elif len(near):
            w[near] += _solid_angle(corner[members], area[members], points[near])
    return w / (4.0 * np.pi)


def _solid_angle(corner: np.ndarray, area: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Σ Ω of a few triangles: tan(Ω/2) = a·(b×c) / (|a||b||c| + (a·b)|c| + (b·c)|a| + (c·a)|b|), a·(b×c) = 2 a·A.

    Van Oosterom and Strackee 1983, IEEE Trans Biomed Eng 30:125; a, b, c run from the point to the corners, A is a
    triangle's area vector.
    """
    to_corner = np.moveaxis(corner, 1, 0)[:, :, None] - points  # corner, triangle, point, 3
    la, lb, lc = np.sqrt(np.einsum("...i,...i", to_corner, to_corner))
    ab, bc, ca = np.einsum("...i,...i", to_corner, np.roll(to_corner, -1, axis=0))
    volume = 2.0 * np.einsum("tpi,ti->tp", to_corner[0], area)
    return 2.0 * np.arctan2(volume, la * lb * lc + ab * lc + bc * la + ca * lb).sum(0)


def _halves(members: np.ndarray, corner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Triangles divided in two at the median along their longest side."""
    center = corner[members].mean(1)
    order = members[np.argsort(center[:, np.argmax(np.ptp(center, axis=0))], kind="stable")]
    return order[: len(order) // 2], order[len(order) // 2 :]
