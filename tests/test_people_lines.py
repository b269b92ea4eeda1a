"""Centerlines as other programs leave them: smoothed, resampled, cut in tracts, turned round: one tree, or refused."""

import itertools
from pathlib import Path

from perfsim._results import InputError
from perfsim.io import read_tree
from perfsim.io.bundles import Path as Line
from perfsim.io.bundles import tree_of_paths
from perfsim.io.polylines import paths_from_inlets

import numpy as np
import pytest

CASES = Path(__file__).parent / "cases"
MM = 1e-3


@pytest.mark.parametrize(
    ("name", "branches", "total", "trunk"),
    [
        ("lines_raw", 3, 149, 10), ("lines_smoothed100", 3, 149, 10), ("lines_trunk_0.03mm_apart", 3, 100, 40),
        ("vmtk/left_default", 5, 171, 10), ("vmtk/left_ends", 5, 171, 12), ("vmtk/left_merged", 5, 171, 10),
        ("vmtk/left_resampled", 5, 171, 10), ("vmtk/y", 3, 52, 14),
    ],
)  # fmt: skip
def test_centerlines_of_other_programs(name, branches, total, trunk):
    """Branches, length within 3 %, the trunk within 2.1 mm, and the inlet where the lines start."""
    lines, _ = read_tree(CASES / f"{name}.vtp")
    assert len(lines.branch_names) == branches and len(lines.inlets) == 1
    assert lines.length.sum() / MM == pytest.approx(total, rel=0.03)
    assert lines.length[lines.branch == 0].sum() / MM == pytest.approx(trunk, abs=2.1)
    assert np.linalg.norm(lines.position[lines.inlets[0]]) < 3 * MM


ENDS = [((0, 0, 10), (6, 4, 36), (4, 10, 85)), ((0, 0, 10), (6, 4, 36), (20, 6, 60)),
        ((0, 0, 10), (-10, -2, 32), (-22, -4, 58)), ((0, 0, 10), (-10, -2, 32), (-22, 12, 45))]  # fmt: skip
LENGTH = 189.8


def polyline(*corners, start=(0, 0, 0), step: float = 0.4) -> np.ndarray:
    corners = np.array([start, *corners], float)
    pieces = [corners[:1]]
    for a, b in itertools.pairwise(corners):
        count = max(2, int(np.linalg.norm(b - a) / step))
        pieces.append(a + (b - a) * np.linspace(0, 1, count + 1)[1:, None])
    return np.concatenate(pieces)


def smoothed(p: np.ndarray, times: int) -> np.ndarray:
    p = p.copy()
    for _ in range(times):
        p[1:-1] += 0.2 * (0.5 * (p[:-2] + p[2:]) - p[1:-1])
    return p


def resampled(p: np.ndarray, step: float) -> np.ndarray:
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
    return np.stack([np.interp(np.append(np.arange(0, s[-1], step), s[-1]), s, x) for x in p.T], 1)


def tracts(lines: list[np.ndarray]) -> list[np.ndarray]:
    """Each line cut before and behind its bifurcations, as a branch extractor does."""
    found = []
    for p in lines:
        cuts = [0, *(int(np.argmin(abs(p[:, 2] - z))) for z in (8, 13, 34, 38) if p[-1, 2] > z + 1), len(p) - 1]
        found += [p[a : b + 1] for a, b in itertools.pairwise(cuts)]
    return found


def apart(lines: list[np.ndarray], distance: float) -> list[np.ndarray]:
    """Every line moved by its own step, its start left where it is."""
    steps = np.random.default_rng(0).normal(size=(len(lines), 3))
    steps *= distance / np.linalg.norm(steps, axis=1)[:, None]
    return [np.concatenate([p[:1], p[1:] + d]) for p, d in zip(lines, steps, strict=True)]


TRACED = [polyline(*corners) for corners in ENDS]
J1, J2, J3 = (0, 0, 10), (6, 4, 36), (-10, -2, 32)
SEGMENTS = [polyline(b, start=a) for a, b in (
    ((0, 0, 0), J1), (J1, J2), (J2, (4, 10, 85)), (J2, (20, 6, 60)), (J1, J3), (J3, (-22, -4, 58)), (J3, (-22, 12, 45)),
)]  # fmt: skip
VARIANTS = {
    "traced": TRACED,
    "smoothed 30": [smoothed(p, 30) for p in TRACED],
    "smoothed 100": [smoothed(p, 100) for p in TRACED],
    "resampled 0.7": [resampled(p, 0.7) for p in TRACED],
    "resampled 2.5": [resampled(p, 2.5) for p in TRACED],
    "0.03 apart": apart(TRACED, 0.03),
    "0.1 apart": apart(TRACED, 0.1),
    "0.1 apart, resampled": apart([resampled(p, 0.7) for p in TRACED], 0.1),
    "towards the inlet": [p[::-1] for p in TRACED],
    "one towards the inlet": [TRACED[0][::-1], *TRACED[1:]],
    "tracts": tracts(TRACED),
    "smoothed, then tracts": tracts([smoothed(p, 30) for p in TRACED]),
    "tracts, each smoothed": [smoothed(p, 30) for p in tracts(TRACED)],
    "tracts, resampled": [resampled(p, 0.7) for p in tracts(TRACED)],
    "segments": SEGMENTS,
    "segments, some reversed": [p[::-1] if k % 2 else p for k, p in enumerate(SEGMENTS)],
    "segments, resampled": [resampled(p, 0.7) for p in SEGMENTS],
}


def named(lines: list[np.ndarray]) -> list[Line]:
    return [Line(f"line {k + 1}", p, 2.0 - 0.012 * p[:, 2]) for k, p in enumerate(lines)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_tree_however_its_lines_were_processed(variant):
    """Four ends, three junctions within 2 mm of the true ones, length within 3 %, radii within 5 %."""
    (paths,) = paths_from_inlets(named(VARIANTS[variant]), "f")
    position, radius, parent = tree_of_paths(paths, "f")
    children = np.bincount(parent[1:], minlength=len(parent))
    assert np.linalg.norm(position[0]) < 1e-9 and (children == 0).sum() == 4
    found = position[children > 1]
    assert len(found) == 3
    for true in ((0, 0, 10), (6, 4, 36), (-10, -2, 32)):
        assert np.linalg.norm(found - true, axis=1).min() < 2.0
    assert np.linalg.norm(position[1:] - position[parent[1:]], axis=1).sum() == pytest.approx(LENGTH, rel=0.03)
    np.testing.assert_allclose(radius, 2.0 - 0.012 * position[:, 2], rtol=0.05)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([TRACED[0], polyline((0, 0, 10), (-10, -2, 32), (4, 10, 85))], r"line 2 and line 1 part at .* meet again at"),
        ([TRACED[0], polyline((0, 0, 10), (0.9, 0, 10.5))], r"line 2 ends at \(0.9, 0, 10.5\) inside line 1"),
        ([TRACED[0], TRACED[2][24:] + np.array([1, 0, 0])], r"line 2 starts at \(1, .*inside line 1, 0.5 of its radius"),
        ([np.concatenate([TRACED[0], TRACED[0][100:101]])], r"line 1 crosses itself at \("),
    ],
)  # fmt: skip
def test_ambiguous_lines_are_refused_with_the_place(lines, words):
    with pytest.raises(InputError, match=words):
        for paths in paths_from_inlets(named(lines), "f"):
            tree_of_paths(paths, "f")
