"""Grown forests: optimal forks, the rules, forests that share, what growth cannot do."""

import subprocess
import sys

import perfsim
from perfsim.anatomy import EllipsoidWall, coronary_trunks
from perfsim.growth import Ball, Box, EllipsoidShell, equal_pressure_radii, grow, refine, stub_roots
from perfsim.growth.bifurcation import fermat_points
from perfsim.growth.rules import closest_points
from perfsim.network import GROWN, lumen_volume, murray_cost, no_lesions, pressure_drop, radii

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

SHELL = EllipsoidShell(np.array([21e-3, 21e-3, 51e-3]), np.array([30e-3, 30e-3, 60e-3]), 15e-3)
RIM = 30e-3 * np.sqrt(1.0 - (15.0 / 60.0) ** 2)


@pytest.fixture(scope="module")
def grown():
    wall = EllipsoidWall()
    return wall, coronary_trunks(wall), *grow(wall, coronary_trunks(wall), 1500, seed=3)


@pytest.fixture(scope="module")
def shell_tree():
    """A tree in a ventricle-like shell, thick enough at its root for every rule to bite."""
    return grow(SHELL, stub_roots([[RIM, 0, 15e-3]], [[0, 0, 1]], [1.5e-3]), 3000, exponent=3.0)


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
    """No grown vessel leaves the wall by more than a thousandth of its thickness, or farther than its trunk lies off."""
    wall, _, network, _ = grown
    own = np.asarray(network.branch) == network.branch_names.index(GROWN)
    tail, head, x = np.asarray(network.tail)[own], np.asarray(network.head)[own], np.asarray(network.position)
    worst = np.maximum.reduce([wall.signed_distance((1 - s) * x[tail] + s * x[head]) for s in np.linspace(0, 1, 33)])
    ends = np.maximum(wall.signed_distance(x[tail]), wall.signed_distance(x[head]))
    assert (worst <= np.maximum(ends, 0.0) + 2.1e-3 * wall.thickness).all()


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
    """Against a general minimizer: never worse, whether the optimum lies inside the triangle or on an end."""
    rng = np.random.default_rng(2)
    ends, weights = rng.random((60, 3, 3)), 0.3 + rng.random((60, 3))
    found = fermat_points(ends, weights)
    for e, w, x in zip(ends, weights, found, strict=True):

        def cost(y, e=e, w=w):
            return np.sum(w * np.linalg.norm(y - e, axis=1))

        best = minimize(cost, e.mean(0), method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-12}).fun
        assert cost(x) <= min(best, *(cost(end) for end in e)) * (1 + 1e-12)


def test_cost_beats_direct_connections(grown):
    """Bifurcations share vessels: cheaper than one vessel from the nearest trunk to each terminal."""
    wall, trunks, network, report = grown
    ends = np.asarray(network.position)[np.asarray(network.terminals)]
    near = np.asarray(trunks.position)[wall.signed_distance(np.asarray(trunks.position)) < 4e-3]
    direct = np.linalg.norm(ends[:, None] - near[None, ::8], axis=2).min(1).sum()
    assert report.cost < direct * 1500 ** (-6 / 7)


def test_one_two_and_three_terminals():
    """One: a straight vessel. Two: a fork in the Fermat point. Three: no worse than any tree over the same points."""
    box = Box(np.full(3, -10e-3), np.full(3, 10e-3))
    root = stub_roots([[-10e-3, 0, 0]], [[-1, 0, 0]], [1e-5])
    points = np.array([[5e-3, 4e-3, 0], [6e-3, -3e-3, 2e-3], [2e-3, 6e-3, -5e-3]])
    start = np.array([-10e-3, 0, 0])
    one = grow(box, root, exponent=3.0, points=points[:1])[1]
    assert one.cost == pytest.approx(np.linalg.norm(points[0] - start), rel=1e-12)
    two, report = grow(box, root, exponent=3.0, points=points[:2])
    ends, weights = np.stack([start, *points[:2]])[None], np.array([[1.0, 0.5, 0.5]]) ** (2 / 3)
    best = fermat_points(ends, weights)[0]
    assert report.cost == pytest.approx(float(np.sum(weights * np.linalg.norm(ends - best, axis=2))), rel=1e-9)
    assert np.linalg.norm(np.asarray(two.position) - best, axis=1).min() < 1e-9
    three = grow(box, root, exponent=3.0, points=points)[1]
    topologies = []
    for k in range(3):
        i, j = (m for m in range(3) if m != k)

        def cost(y, k=k, i=i, j=j):
            a, b = y.reshape(2, 3) * 1e-3
            d = np.linalg.norm
            w1, w2 = (1 / 3) ** (2 / 3), (2 / 3) ** (2 / 3)
            pair = w1 * (d(b - points[i]) + d(b - points[j]))
            return 1e3 * (d(start - a) + w1 * d(a - points[k]) + w2 * d(a - b) + pair)

        tries = (np.random.default_rng(s).normal(0, 4, 6) for s in range(3))
        options = {"xatol": 1e-8, "fatol": 1e-10, "maxiter": 6000, "maxfev": 6000}
        topologies.append(min(minimize(cost, y, method="Nelder-Mead", options=options).fun for y in tries))
    assert three.cost * 1e3 == pytest.approx(min(topologies), rel=1e-4)


def test_rules_hold(shell_tree):
    """Longer than wide, in the shell, no two vessels through each other: looked at here, not by the grower."""
    network, report = shell_tree
    assert report.dropped == 0 and report.far_overlaps == 0 and report.near_overlaps <= 3
    own = np.asarray(network.branch) == network.branch_names.index(GROWN)
    radius, length = np.asarray(radii(network, no_lesions()))[own, 0], np.asarray(network.length)[own]
    assert np.mean(length < 2.0 * radius) <= 1e-3
    x = np.asarray(network.position)
    a, b = x[np.asarray(network.tail)[own]], x[np.asarray(network.head)[own]]
    for s in np.linspace(0.0, 1.0, 33):
        assert SHELL.signed_distance((1 - s) * a + s * b).max() < 1.1e-3 * 9e-3


def test_a_first_terminal_close_to_the_root_does_not_stop_growth():
    """The first vessel is shorter than wide then, and nothing can branch from it: growth starts from others."""
    box = Box(np.full(3, -5e-3), np.full(3, 5e-3))
    points = np.random.default_rng(0).uniform(-4.9e-3, 4.9e-3, (300, 3))
    points[0] = [-4.9e-3, 0.1e-3, 0.0]
    root = stub_roots([[-5e-3, 0, 0]], [[-1, 0, 0]], [0.46e-3])
    _, report = grow(box, root, exponent=3.0, points=points)
    assert report.dropped == 0 and report.far_overlaps == 0


def test_numpy_in_numpy_out_without_jax(without_jax):
    """From `Centerlines` the same forest as from a network, in a process where jax cannot be imported."""
    code = """
from perfsim.growth import Ball, grow, stub_lines
lines, report = grow(Ball([0, 0, 0], 0.01), stub_lines([[0, 0.01, 0]], [[0, 1, 0]], [5e-4]), 200, exponent=3.0)
print(report.cost)
"""
    run = subprocess.run([sys.executable, "-c", without_jax + code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    root = stub_roots([[0, 0.01, 0]], [[0, 1, 0]], [5e-4])
    assert float(run.stdout) == grow(Ball(np.zeros(3), 0.01), root, 200, exponent=3.0)[1].cost


def test_overlaps_by_brute_force():
    """All pairs of vessels of a crowded tree, one by one, against the report's count."""
    network, report = grow(SHELL, stub_roots([[RIM, 0, 15e-3]], [[0, 0, 1]], [3.5e-3]), 400, exponent=3.0)
    own = np.flatnonzero(np.asarray(network.branch) == network.branch_names.index(GROWN))
    x, r = np.asarray(network.position), np.asarray(radii(network, no_lesions()))[:, 0]
    tail, head = np.asarray(network.tail), np.asarray(network.head)
    i, j = (own[k] for k in np.triu_indices(len(own), 1))
    apart = (tail[i] != tail[j]) & (tail[i] != head[j]) & (tail[j] != head[i])
    i, j = i[apart], j[apart]
    _, _, distance = closest_points(x[tail[i]], x[head[i]], x[tail[j]], x[head[j]])
    assert int((distance < r[i] + r[j]).sum()) == report.far_overlaps + report.near_overlaps


def test_closest_points_of_segments():
    """Against a fine search, parallel and crossing segments included."""
    rng = np.random.default_rng(5)
    a, b, c, d = rng.normal(size=(4, 200, 3))
    d[:20] = c[:20] + (b - a)[:20]  # parallel
    _, _, distance = closest_points(a, b, c, d)
    s, t = (x.ravel() for x in np.meshgrid(*[np.linspace(0, 1, 201)] * 2))
    for k in range(200):
        p, q = a[k] + s[:, None] * (b - a)[k], c[k] + t[:, None] * (d - c)[k]
        fine = np.linalg.norm(p - q, axis=1).min()
        assert fine - 0.03 <= distance[k] <= fine + 1e-9


def test_murray_and_flow_at_every_fork(shell_tree):
    network, _ = shell_tree
    r, q = np.asarray(radii(network, no_lesions()))[:, 0], np.asarray(network.design_flow()[0])
    below = np.zeros((2, len(network.position)))
    np.add.at(below[0], np.asarray(network.tail), r**3)
    np.add.at(below[1], np.asarray(network.tail), q)
    head = np.asarray(network.head)
    fork = np.bincount(np.asarray(network.tail), minlength=len(below[0]))[head] == 2
    np.testing.assert_allclose(below[0][head[fork]], r[fork] ** 3, rtol=1e-12)
    np.testing.assert_allclose(below[1][head[fork]], q[fork], rtol=1e-12)


def test_growth_gets_around_a_cavity():
    """The root sits at the apex or on the rim of a shell: the far side is out of sight, and reached all the same."""
    for root, out in (([0, 0, -60e-3], [0, 0, -1]), ([-RIM, 0, 15e-3], [0, 0, 1])):
        report = grow(SHELL, stub_roots([root], [out], [0.7e-3]), 500, exponent=3.0)[1]
        assert report.dropped == 0 and report.outside_share == 0.0


def test_domain_with_a_hole():
    class Hollow(Ball):
        """A ball with a hole in its middle."""

        def signed_distance(self, x):
            return np.maximum(super().signed_distance(x), 4e-3 - np.linalg.norm(np.asarray(x) - self.center, axis=-1))

    report = grow(Hollow(np.zeros(3), 10e-3), stub_roots([[0, 10e-3, 0]], [[0, 1, 0]], [0.3e-3]), 800, exponent=3.0)[1]
    assert report.dropped == 0 and report.outside_share == 0.0


def test_mirrored_roots_share_evenly():
    box = Box(np.full(3, -5e-3), np.full(3, 5e-3))
    roots = stub_roots([[-5e-3, 0, 0], [5e-3, 0, 0]], [[-1, 0, 0], [1, 0, 0]], [0.3e-3] * 2, ("west", "east"))
    report = grow(box, roots, 3000, exponent=3.0)[1]
    assert report.shares["west"] == pytest.approx(0.5, abs=0.02)


def test_shares_are_met():
    """Three roots on the rim, targets 0.45/0.30/0.25: within a percentage point, hardly dearer than free competition."""
    angles = np.radians([0, 120, 240])
    position = np.stack([RIM * np.cos(angles), RIM * np.sin(angles), np.full(3, 15e-3)], 1)
    roots = stub_roots(position, np.tile([0, 0, 1], (3, 1)), [1e-3] * 3, ("a", "b", "c"))
    goal = {"a": 0.45, "b": 0.30, "c": 0.25}
    free = grow(SHELL, roots, 2000, exponent=3.0)[1]
    report = grow(SHELL, roots, 2000, exponent=3.0, shares=goal)[1]
    for name, share in goal.items():
        assert report.shares[name] == pytest.approx(share, abs=0.01)
    assert report.cost < 1.015 * free.cost


def test_crown_factor(grown):
    """Crowns of 32 to 127 terminals resist as a symmetric crown with c of about 0.4 does, and much alike."""
    mean, deviation = grown[3].crown_factor
    assert 0.3 < mean < 0.5 and deviation < 0.08
    assert np.isnan(
        grow(Ball(np.zeros(3), 1e-2), stub_roots([[0, 1e-2, 0]], [[0, 1, 0]], [1e-4]), 5)[1].crown_factor[0]
    )


def test_epicardial_stage():
    """Arteries of the first stage stay in the outer fifth of the wall, carry the flow there, and rules hold."""
    root = stub_roots([[RIM, 0, 15e-3]], [[0, 0, 1]], [1e-3])
    plain, _ = grow(SHELL, root, 1500, exponent=3.0)
    staged, report = grow(SHELL, root, 1500, exponent=3.0, epicardial=0.2)
    assert report.dropped == 0 and report.far_overlaps == 0 and report.outside_share == 0.0

    def depth_of_large(network):
        flow = np.asarray(network.design_flow()[0])
        large = flow > 0.1 * flow.max()
        middle = 0.5 * (network.position[network.tail] + network.position[network.head])
        return np.average(SHELL.depth(np.asarray(middle))[large], weights=np.asarray(network.length)[large])

    assert depth_of_large(staged) < 0.2 and depth_of_large(plain) > 0.5
    with pytest.raises(perfsim.InputError, match="depth"):
        grow(Ball(np.zeros(3), 1e-2), stub_roots([[0, 1e-2, 0]], [[0, 1, 0]], [1e-4]), 50, epicardial=0.1)


def test_demand_decides_flow():
    """Twice the demand on one side of a box draws twice the flow there; terminals without demand are reached as well."""
    box = Box(np.full(3, -5e-3), np.full(3, 5e-3))
    root = stub_roots([[0, 0, -5e-3]], [[0, 0, -1]], [0.4e-3])
    network, _ = grow(box, root, 600, exponent=3.0, demand=lambda x: np.where(x[:, 0] > 0, 2.0, 1.0))
    at = np.asarray(network.position)[np.asarray(network.terminals)]
    demand = np.asarray(network.demand)
    assert demand[at[:, 0] > 0.5e-3].mean() / demand[at[:, 0] < -0.5e-3].mean() == pytest.approx(2.0, rel=0.02)
    idle = grow(box, root, 300, exponent=3.0, demand=np.arange(300) % 3 > 0)
    assert idle[1].dropped == 0 and (np.asarray(radii(idle[0], no_lesions())) > 0).all()


def test_cost_is_invariant_to_rotation_and_scale():
    """For given terminals, in a ball: rotated, or twice as large, the same tree."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(700, 3))
    points = 9e-3 * points / np.linalg.norm(points, axis=1)[:, None] * rng.random((700, 1)) ** (1 / 3)
    turn = Rotation.from_rotvec([0.3, -1.0, 0.7]).as_matrix()

    def cost(scale, R):
        root = stub_roots([scale * R @ [0, 10e-3, 0]], [R @ [0, 1, 0]], [scale * 1e-4])
        return grow(Ball(np.zeros(3), scale * 10e-3), root, exponent=3.0, points=scale * points @ R.T)[1].cost

    reference = cost(1.0, np.eye(3))
    assert cost(1.0, turn) == pytest.approx(reference, rel=1e-10)
    assert cost(2.0, np.eye(3)) == pytest.approx(2.0 * reference, rel=1e-10)


def test_equal_pressure_radii(shell_tree):
    """CCO mode: all terminals at one pressure to 1e-9 mmHg, Murray's law to 1e-12."""
    network = equal_pressure_radii(shell_tree[0])
    drop = np.asarray(pressure_drop(network, 4e-6 / float(network.demand.sum())))
    head = np.asarray(network.head)
    at = np.isin(head, np.asarray(network.terminals))
    assert np.ptp(drop[at]) / 133.322 < 1e-9 and drop[at].mean() / 133.322 > 1.0
    r = np.asarray(network.lumen)[:, 0]
    below = np.zeros(len(network.position))
    np.add.at(below, np.asarray(network.tail), r**3)
    fork = np.bincount(np.asarray(network.tail), minlength=len(below))[head] == 2
    np.testing.assert_allclose(below[head[fork]], r[fork] ** 3, rtol=1e-12)


@pytest.mark.parametrize("name", ["cost", "volume", "pressure"])
def test_tree_sums_have_exact_gradients(grown, name):
    """Value and gradient w.r.t. positions, demands, γ and root radii against differences of fourth order."""
    network = grown[2]
    objective = {
        "cost": murray_cost,
        "volume": lambda n: 1e6 * lumen_volume(n),
        "pressure": lambda n: pressure_drop(n, 1e-9)[len(n.tail) // 3],
    }[name]
    leaves = lambda n: (n.position, n.demand, n.exponent, n.root_radius)  # noqa: E731
    gradient = leaves(jax.grad(objective, allow_int=True)(network))
    rng = np.random.default_rng(1)
    for k, (value, slope) in enumerate(zip(leaves(network), gradient, strict=True)):
        size = jnp.maximum(jnp.std(value), 0.1 * jnp.abs(jnp.mean(value)))
        way = size * jnp.asarray(rng.normal(size=np.shape(value)))
        h = 4e-5

        def moved(t, k=k, way=way):
            return float(objective(eqx.tree_at(lambda n: leaves(n)[k], network, leaves(network)[k] + t * way)))

        difference = (8.0 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12.0 * h)
        assert float(jnp.sum(slope * way)) == pytest.approx(difference, rel=1e-6)


def test_refine_lowers_its_objective():
    """From a tree whose forks were shaken, the Murray cost comes back to that of the relaxed tree, rules kept."""
    ball = Ball(np.zeros(3), 10e-3)
    network, report = grow(ball, stub_roots([[0, 10e-3, 0]], [[0, 1, 0]], [0.1e-3]), 150, exponent=3.0)
    shaken = np.array(network.position)
    fork = np.setdiff1d(np.arange(len(shaken)), [*np.asarray(network.terminals), 0, 1])
    fork = fork[np.bincount(np.asarray(network.tail), minlength=len(shaken))[fork] == 2]
    shaken[fork] += 0.2e-3 * np.random.default_rng(0).normal(size=(len(fork), 3))
    shaken = eqx.tree_at(lambda n: n.position, network, jnp.asarray(shaken))
    moved, found = refine(shaken, murray_cost, ball, max_steps=300)
    assert (found.result, found.iterations) == (perfsim.RESULTS.fit_out_of_steps, 300)  # L-BFGS creeps
    assert found.before > 1.01 * report.cost and found.after < 1.001 * report.cost
    assert found.outside == 0 and found.short == 0
    kept = np.asarray(network.terminals)
    np.testing.assert_array_equal(np.asarray(moved.position)[kept], np.asarray(network.position)[kept])

    same, failed = refine(shaken, lambda n: jnp.nan * murray_cost(n), ball)
    assert failed.result == perfsim.RESULTS.fit_not_finite
    np.testing.assert_array_equal(same.position, shaken.position)


def test_what_cannot_be_grown_is_refused(grown):
    wall, trunks, *_ = grown
    with pytest.raises(perfsim.InputError, match="LAT"):
        grow(wall, trunks, 10, attach=("LAT",))
    moved = eqx.tree_at(lambda t: t.position, trunks, trunks.position + 1.0)
    with pytest.raises(perfsim.InputError, match="frame"):
        grow(wall, moved, 10)
    box = Box(np.zeros(3), np.full(3, 1e-2))
    root = stub_roots([[0, 5e-3, 5e-3]], [[-1, 0, 0]], [1e-4])
    for options, words in (
        ({"terminals": 0}, "at least one"),
        ({"points": np.full((3, 3), 0.5)}, "lie in the domain"),
        ({"points": np.zeros((3, 2))}, "shape"),
        ({"demand": np.ones(7)}, "demand must be"),
        ({"shares": {"root1": 1.0}}, "root1"),
        ({"shares": {"root0": 0.4}}, "sum to 0.4"),
    ):
        with pytest.raises(perfsim.InputError, match=words):
            grow(box, root, **({"terminals": 20} | options))
    with pytest.raises(perfsim.InputError, match="no volume"):
        grow(Box(np.zeros(3), np.zeros(3)), root, 10)
    with pytest.raises(perfsim.InputError, match="frame"):
        grow(box, stub_roots([[0.5, 0, 0]], [[-1, 0, 0]], [1e-4]), 10)
