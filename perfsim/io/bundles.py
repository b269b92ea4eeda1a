"""Lines that run together are one vessel: a tree from paths that all start where blood enters.

Programs trace one centerline per outlet, each from the inlet, and smooth and resample them one by one: along the trunk
they lie a few hundredths of a millimetre apart, and corners are rounded. Two paths are one vessel until they part by a
radius. Where vessels meet follows from how they go on: the junction is where the straight lines through the daughters,
between three and five radii apart, come closest to each other.
"""

import dataclasses

from perfsim._results import InputError

import numpy as np
import scipy

EXACT = 0.01
"""points closer than this share of the median radius are one point"""
FINE = 0.1
"""step of the samples that distances are measured at, as a share of the median radius"""
CONTAINED = 0.25
"""a line that ends in another one, closer to its middle than this share of its radius, is a copy of it"""
APART = (3.0, 5.0)
"""distances of two daughters, in radii, between which their directions are taken"""
STEEP = 0.1
"""sine of the least angle between daughters whose straight lines say where they meet"""
SNAP = 0.25
"""a junction is put at the host's point that is this close, in radii, else between two points"""
TOGETHER = 0.5
"""lines that come this close again, as a share of the radius, after they parted, close a loop"""


@dataclasses.dataclass(frozen=True)
class Path:
    """A line from an inlet to its end."""

    name: str
    points: np.ndarray
    radius: np.ndarray

    @property
    def arc(self) -> np.ndarray:
        """Arc length at the points."""
        return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(self.points, axis=0), axis=1))])


class _Traced:
    """A path that is part of the tree: the tree's node at each of its points, and fine samples of it."""

    def __init__(self, path: Path, step: float):
        self.path, self.arc = path, path.arc
        self.node = np.full(len(path.points), -1)
        count = max(2, int(np.ceil(self.arc[-1] / step)) + 1)
        self.s = np.unique(np.concatenate([np.linspace(0.0, self.arc[-1], count), self.arc]))
        self.fine = np.stack([np.interp(self.s, self.arc, x) for x in path.points.T], 1)
        self.radius = np.interp(self.s, self.arc, path.radius)
        self.tree = scipy.spatial.cKDTree(self.fine)

    def nearest(self, point: np.ndarray) -> int:
        """The path's point that is closest."""
        return int(np.argmin(np.linalg.norm(self.path.points - point, axis=1)))

    def insert(self, k: int, point: np.ndarray, radius: float, node: int) -> None:
        """Put a node before the path's point k."""
        points = np.insert(self.path.points, k, point, axis=0)
        self.path = Path(self.path.name, points, np.insert(self.path.radius, k, radius))
        self.arc, self.node = self.path.arc, np.insert(self.node, k, node)

    def at(self, s: float) -> np.ndarray:
        """The point at an arc length."""
        return np.array([np.interp(s, self.arc, x) for x in self.path.points.T])

    def distance(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance of points from the path, and the sample that is closest to each."""
        _, at = self.tree.query(points)
        found = np.full(len(points), np.inf)
        for step in (-1, 0):
            a, b = (self.fine[np.clip(at + step + k, 0, len(self.fine) - 1)] for k in (0, 1))
            along = b - a
            share = np.einsum("ij,ij->i", points - a, along) / np.maximum(np.einsum("ij,ij->i", along, along), 1e-300)
            foot = a + np.clip(share, 0.0, 1.0)[:, None] * along
            found = np.minimum(found, np.linalg.norm(points - foot, axis=1))
        return found, at


@dataclasses.dataclass(frozen=True)
class _Parting:
    """Where a path leaves another one."""

    host: _Traced
    s: float
    """arc length along the path that leaves, where they are a radius apart; infinite where they never are"""
    point: np.ndarray
    """where they meet"""
    exact: bool
    """they share their points up to there"""


@dataclasses.dataclass
class _Tree:
    """Nodes as they are found."""

    position: list[np.ndarray] = dataclasses.field(default_factory=list)
    radius: list[float] = dataclasses.field(default_factory=list)
    parent: list[int] = dataclasses.field(default_factory=list)

    def append(self, parent: int, position: np.ndarray, radius: float) -> int:
        """The number of a new node."""
        self.position.append(position)
        self.radius.append(radius)
        self.parent.append(parent)
        return len(self.parent) - 1

    def lineage(self, node: int) -> list[int]:
        """A node and all that lie between it and the inlet."""
        found = []
        while node >= 0:
            found.append(node)
            node = self.parent[node]
        return found

    def children(self, node: int) -> int:
        """How many vessels begin at a node."""
        return self.parent.count(node)


def tree_of_paths(paths: list[Path], source: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tree that paths from one inlet make: node positions, radii, and the parent of each node (-1 at the inlet).

    Raises `InputError` naming the place where two paths meet again after they parted, or end in each other.
    """
    median = float(np.median(np.concatenate([p.radius for p in paths])))
    tree, traced = _Tree(), list[_Traced]()
    for path in paths:
        new = _Traced(path, FINE * median)
        partings = [_parting(new, host, EXACT * median, source) for host in traced]
        last, start = -1, -1.0
        if partings:
            parting = max(partings, key=lambda p: p.s)
            if not np.isfinite(parting.s):
                continue
            last = _junction(parting, tree)
            start = float(new.s[np.argmin(np.linalg.norm(new.fine - tree.position[last], axis=1))])
            along = new.arc <= start
            new.node[along] = [parting.host.node[parting.host.nearest(x)] for x in path.points[along]]
        for k in np.flatnonzero(new.arc > start):
            if last < 0 or np.linalg.norm(path.points[k] - tree.position[last]) > EXACT * median:
                last = tree.append(last, path.points[k], float(path.radius[k]))
            new.node[k] = last
        traced.append(new)
    return np.array(tree.position), np.array(tree.radius), np.array(tree.parent)


def _parting(new: _Traced, host: _Traced, exact: float, source: str) -> _Parting:
    distance, at = host.distance(new.fine)
    r = np.maximum(new.radius, host.radius[at])
    apart = np.flatnonzero(distance > r)
    if not len(apart):
        if distance[-1] > CONTAINED * r[-1]:
            raise InputError(
                f"{source}: {new.path.name} ends at {place(new.fine[-1])} inside {host.path.name}, "
                f"{distance[-1] / r[-1]:.1f} of its radius from its middle: is it a branch or a copy? Remove it, or "
                "continue it out of the vessel"
            )
        return _Parting(host, np.inf, new.fine[-1], False)
    first = apart[0]
    again = first + np.flatnonzero(distance[first:] < TOGETHER * np.minimum(new.radius, host.radius[at])[first:])
    if len(again):
        raise InputError(
            f"{source}: {new.path.name} and {host.path.name} part at {place(new.fine[first])} and meet again at "
            f"{place(new.fine[again[0]])}: the centerlines close a loop; a tree is required: remove one segment of it"
        )
    shared = max(np.flatnonzero(np.logical_and.accumulate(distance <= exact)), default=0)
    meeting, sine = _meeting(new, host, first, distance / r, float(host.s[at[first]]))
    before = new.s[np.argmin(np.linalg.norm(new.fine - meeting, axis=1))] - new.s[shared]
    # lines that were not smoothed leave a point that they share at once, at the angle that they keep
    soon = int(np.searchsorted(new.s, new.s[shared] + 0.5 * r[first]))
    at_once = distance[min(soon, len(distance) - 1)] > 0.25 * r[first] * sine
    exact_there = before <= r[first] and (at_once or shared == 0)
    return _Parting(host, float(new.s[first]), new.fine[shared] if exact_there else meeting, bool(exact_there))


def _meeting(
    new: _Traced, host: _Traced, first: int, radii_apart: np.ndarray, parted: float
) -> tuple[np.ndarray, float]:
    """Where the straight lines through two daughters come closest, or where they part if that lies elsewhere; and the
    sine of the angle between them.

    `radii_apart` is their distance at the samples of the new one, `parted` the host's arc length where they part.
    """
    ends = [first + np.flatnonzero(radii_apart[first:] > a) for a in APART]
    near, far = (int(found[0]) if len(found) else len(new.s) - 1 for found in ends)
    if near == far:
        near = first
    s, beyond = new.s[[near, far]], parted + new.s[[near, far]] - new.s[first]
    a, b = (
        np.array([line.at(x) for x in where]) for line, where in ((new, s), (host, np.minimum(beyond, host.arc[-1])))
    )
    u, v = (x[1] - x[0] for x in (a, b))
    # a0 + x u and b0 + y v are closest where the vector between them is normal to both
    (x, y), _, rank, _ = np.linalg.lstsq(np.stack([u, -v], 1), b[0] - a[0], rcond=1e-6)
    meeting = 0.5 * (a[0] + x * u + b[0] + y * v)
    # lines at an angle are a radius apart r/sin(angle) behind their junction
    sine = float(np.linalg.norm(np.cross(u, v))) / max(float(np.linalg.norm(u) * np.linalg.norm(v)), 1e-300)
    radius = max(float(new.radius[first]), float(host.radius[host.tree.query(new.fine[first])[1]]))
    skew = np.linalg.norm(a[0] + x * u - b[0] - y * v)
    far_off = np.linalg.norm(meeting - new.fine[first]) * sine > 2.0 * radius
    if rank < 2 or sine < STEEP or skew > radius or far_off:
        return new.fine[first], sine
    return meeting, sine


def _junction(parting: _Parting, tree: "_Tree") -> int:
    """The tree's node where a path leaves its host: one that is a junction already, if it is within a radius."""
    host = parting.host
    at = host.nearest(parting.point)
    if parting.exact:
        return int(host.node[at])
    near = [n for n in tree.lineage(int(host.node[-1])) if tree.children(n) > 1]
    away = [float(np.linalg.norm(tree.position[n] - parting.point)) for n in near]
    if away and min(away) <= host.path.radius[at]:
        return near[int(np.argmin(away))]
    return _inserted(host, parting.point, tree)


def _inserted(host: _Traced, point: np.ndarray, tree: "_Tree") -> int:
    """The node of the host at its arc length closest to a point; a new one between two that lie far apart."""
    k = int(np.argmin(np.linalg.norm(host.fine - point, axis=1)))
    s, after = float(host.s[k]), int(np.searchsorted(host.arc, host.s[k]))
    after = min(max(after, 1), len(host.arc) - 1)
    before = after - 1
    closest = before if s - host.arc[before] < host.arc[after] - s else after
    if abs(host.arc[closest] - s) <= SNAP * host.radius[k] or host.node[before] != tree.parent[host.node[after]]:
        return int(host.node[closest])
    node = tree.append(int(host.node[before]), host.fine[k], float(host.radius[k]))
    tree.parent[host.node[after]] = node
    host.insert(after, host.fine[k], float(host.radius[k]), node)
    return node


def place(x: np.ndarray) -> str:
    """A point in the unit of the file, in words."""
    return f"({x[0]:.4g}, {x[1]:.4g}, {x[2]:.4g})"
