"""Lines of a centerline file as paths from where blood enters: who hangs on whom, and which way each runs."""

import dataclasses

from perfsim._results import InputError
from perfsim.io.bundles import CONTAINED, EXACT, Path, place

import numpy as np
import scipy


@dataclasses.dataclass(frozen=True)
class _Contact:
    """An end of a line that lies on another line."""

    line: int
    end: int
    """0 is the line's start, -1 its end"""
    other: int
    point: int
    """of the other line"""
    exact: bool
    """at the point, not only close to it"""


def paths_from_inlets(lines: list[Path], source: str) -> list[list[Path]]:
    """Paths from the inlet to the end of each line, a list for each connected piece.

    Lines touch where an end of one lies on another, closer than a quarter of its radius. The inlet of a piece is the
    end where most of its lines start, else where most end, else its thickest free end; lines that run towards it are
    turned. Raises `InputError` naming the place where a line begins inside another without touching it, where a line
    crosses itself, or where a piece has no free end.
    """
    for line in lines:
        _refuse_crossing(line, source)
    contacts = _contacts(lines)
    pairs = np.array([[c.line, c.other] for c in contacts]).reshape(-1, 2).T
    graph = scipy.sparse.coo_matrix((np.ones(pairs.shape[1]), pairs), (len(lines), len(lines)))
    count, piece = scipy.sparse.csgraph.connected_components(graph, directed=False)
    if count > 1:
        _refuse_ambiguous(lines, piece, source)
    found = [_traced(lines, np.flatnonzero(piece == p).tolist(), contacts, source) for p in range(count)]
    for path in (path for paths in found for path in paths):
        _refuse_crossing(path, source)
    return found


def _contacts(lines: list[Path]) -> list[_Contact]:
    """Every end that lies on another line."""
    trees = [scipy.spatial.cKDTree(line.points) for line in lines]
    found = []
    for i, line in enumerate(lines):
        for end in (0, -1):
            for j, (other, tree) in enumerate(zip(lines, trees, strict=True)):
                distance, k = tree.query(line.points[end])
                if i != j and distance <= CONTAINED * other.radius[k]:
                    found.append(_Contact(i, end, j, int(k), bool(distance <= EXACT * other.radius[k])))
    return found


def _traced(lines: list[Path], members: list[int], contacts: list[_Contact], source: str) -> list[Path]:
    """Paths of one piece, breadth first from its inlet."""
    touching: dict[int, list[_Contact]] = {i: [] for i in members}
    for c in contacts:
        if c.other in touching:
            touching[c.other].append(c)
    first, end = _inlet(lines, members, touching, source)
    start = lines[first].points[end]
    near = CONTAINED * lines[first].radius[end]
    found: dict[int, Path] = {}
    for i in members:
        for e in (end, -1 - end):  # lines that run like the first one before those that run against it
            if i not in found and np.linalg.norm(lines[i].points[e] - start) <= near:
                found[i] = _moved(_turned(lines[i], e), start)
    inner: set[int] = set()  # what others go on from: their paths begin with these
    for exact in (True, False):
        queue = list(found)
        for parent in queue:
            for c in sorted(touching[parent], key=lambda c: -c.end):  # starts before ends
                if c.line in found or c.exact < exact:
                    continue
                at = lines[parent].points[c.point]
                found[c.line] = _continued(found[parent], at, _turned(lines[c.line], c.end))
                queue.append(c.line)
                if np.linalg.norm(found[parent].points[-1] - at) == 0.0:
                    inner.add(parent)
    return [path for i, path in found.items() if i not in inner]


def _inlet(lines: list[Path], members: list[int], touching, source: str) -> tuple[int, int]:
    """The line and the end of it where blood enters a piece: a free end is one that all lines leave the same way."""
    free: list[tuple[int, int, int, float]] = []
    for i in members:
        for end in (0, -1):
            ends, leaving = _touching_at(lines, members, i, end)
            if ends is not None and (len(set(ends)) == 1 or _together(leaving)):
                free.append((i, end, ends.count(end), float(lines[i].radius[end])))
    if not free:
        raise InputError(f"{source}: a piece of the centerlines has no free end, so no inlet: it forms a closed loop")
    most = max(free, key=lambda f: (f[2] > 1 and f[1] == 0, f[2] > 1, f[2], f[3]))
    return most[0], most[1]


def _touching_at(lines: list[Path], members: list[int], i: int, end: int) -> tuple[list[int] | None, list[Path]]:
    """The ends of lines that lie at an end of line i, and the lines from there; None where a line passes through."""
    ends, leaving = [end], [_turned(lines[i], end)]
    for j in members:
        distance = np.linalg.norm(lines[j].points - lines[i].points[end], axis=1)
        k = int(np.argmin(distance))
        if j == i or distance[k] > CONTAINED * lines[i].radius[end]:
            continue
        if k not in (0, len(distance) - 1):
            return None, []
        ends.append(0 if k == 0 else -1)
        leaving.append(_turned(lines[j], ends[-1]))
    return ends, leaving


def _together(lines: list[Path]) -> bool:
    """Whether lines from one point are still within a radius of each other two radii on."""
    there = [np.array([np.interp(2.0 * line.radius[0], line.arc, x) for x in line.points.T]) for line in lines]
    return all(np.linalg.norm(x - there[0]) < lines[0].radius[0] for x in there)


def _turned(line: Path, start: int) -> Path:
    return line if start == 0 else Path(line.name, line.points[::-1], line.radius[::-1])


def _moved(line: Path, start: np.ndarray) -> Path:
    """The line with its first point put where the others start."""
    return Path(line.name, np.concatenate([start[None], line.points[1:]]), line.radius)


def _continued(parent: Path, at: np.ndarray, line: Path) -> Path:
    """A parent's path up to a point of it, and the line from there on."""
    k = int(np.argmin(np.linalg.norm(parent.points - at, axis=1)))
    return Path(
        line.name,
        np.concatenate([parent.points[: k + 1], line.points[1:]]),
        np.concatenate([parent.radius[: k + 1], line.radius[1:]]),
    )


def _refuse_crossing(line: Path, source: str) -> None:
    """Raise `InputError` where a line comes back to a point that it has passed."""
    near = EXACT * float(np.median(line.radius))
    pairs = scipy.spatial.cKDTree(line.points).query_pairs(near, output_type="ndarray")
    apart = np.diff(line.arc[pairs], axis=1).ravel() > 4.0 * line.radius[pairs[:, 0]]
    if apart.any():
        here = place(line.points[pairs[np.argmax(apart), 0]])
        raise InputError(f"{source}: {line.name} crosses itself at {here}: a tree is required; remove the loop")


def _refuse_ambiguous(lines: list[Path], piece: np.ndarray, source: str) -> None:
    """Raise `InputError` where an end lies inside a line of another piece, but not on it."""
    for i, line in enumerate(lines):
        for j, other in enumerate(lines):
            if piece[i] == piece[j]:
                continue
            distance, k = scipy.spatial.cKDTree(other.points).query(line.points[[0, -1]])
            inside = distance < other.radius[k]
            if inside.any():
                end = int(np.argmax(inside))
                raise InputError(
                    f"{source}: {line.name} {('starts', 'ends')[end]} at {place(line.points[-end])} inside "
                    f"{other.name}, {distance[end] / other.radius[k[end]]:.1f} of its radius from its middle, without "
                    "touching it: join the lines at a point, or move them apart"
                )
