"""Grown forests."""

import perfsim
from perfsim.anatomy import EllipsoidWall, coronary_trunks
from perfsim.growth import grow
from perfsim.growth.bifurcation import fermat_points
from perfsim.network import GROWN

import equinox as eqx
import numpy as np
import pytest
from scipy.optimize import minimize


@pytest.fixture(scope="module")
def grown():
    wall = EllipsoidWall()
    return wall, coronary_trunks(wall), *grow(wall, coronary_trunks(wall), 1500, seed=3)


def test_every_terminal_is_reached(grown):
    _, _, network, report = grown
    assert report.dropped == 0 and report.terminals == 1500
    assert len(np.unique(np.asarray(network.terminals))) == 1500
    degree = np.bincount(np.asarray(network.tail), minlength=len(network.position))
    assert (degree[np.asarray(network.terminals)] == 0).all()


def test_same_seed_same_forest_other_seed_other_forest(grown):
    wall, trunks, network, _ = grown
    assert eqx.tree_equal(grow(wall, trunks, 1500, seed=3)[0], network)
    assert not np.array_equal(grow(wall, trunks, 1500, seed=4)[0].position, network.position)


def test_vessels_stay_in_the_wall(grown):
    """Grown vessels lie inside, but for chords of the curved surface."""
    wall, _, network, _ = grown
    own = np.asarray(network.branch) == network.branch_names.index(GROWN)
    a, b = (
        np.asarray(network.position)[np.asarray(network.tail)[own]],
        np.asarray(network.position)[np.asarray(network.head)[own]],
    )
    for s in (0.25, 0.5, 0.75):
        assert wall.signed_distance((1 - s) * a + s * b).max() < 0.5e-3


def test_every_part_of_the_wall_is_fed(grown):
    """No tissue is farther from a terminal than a few spacings of an even covering."""
    from scipy.spatial import cKDTree

    wall, _, network, _ = grown
    low, high = wall.bounds()
    x = low + (high - low) * np.random.default_rng(0).random((40_000, 3))
    x = x[wall.inside(x)]
    distance = cKDTree(np.asarray(network.position)[np.asarray(network.terminals)]).query(x)[0]
    spacing = (0.140 / 1050 / 1500) ** (1 / 3)
    assert distance.max() < 2.5 * spacing


def test_fermat_points_minimize():
    """Against a general minimizer: never worse than it, whether the optimum lies inside the triangle or on an end."""
    rng = np.random.default_rng(2)
    ends, weights = rng.random((20, 3, 3)), 0.6 + rng.random((20, 3))
    found = fermat_points(ends, weights)
    for e, w, x in zip(ends, weights, found, strict=True):

        def cost(y, e=e, w=w):
            return np.sum(w * np.linalg.norm(y - e, axis=1))

        assert (
            cost(x)
            <= minimize(cost, e.mean(0), method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-12}).fun * (1 + 1e-12)
        )


def test_cost_beats_direct_connections(grown):
    """Bifurcations share vessels: cheaper than one vessel from the nearest trunk to each terminal."""
    wall, trunks, network, report = grown
    ends = np.asarray(network.position)[np.asarray(network.terminals)]
    near = np.asarray(trunks.position)[wall.signed_distance(np.asarray(trunks.position)) < 4e-3]
    direct = np.linalg.norm(ends[:, None] - near[None, ::8], axis=2).min(1).sum()
    assert report.cost < direct


def test_unknown_branch_and_distant_trunks_are_refused(grown):
    wall, trunks, *_ = grown
    with pytest.raises(perfsim.InputError, match="LAT"):
        grow(wall, trunks, 10, attach=("LAT",))
    moved = eqx.tree_at(lambda t: t.position, trunks, trunks.position + 1.0)
    with pytest.raises(perfsim.InputError, match="frame"):
        grow(wall, moved, 10)
