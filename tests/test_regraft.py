"""Moving subtrees: every kind of move costs what it was said to cost, and never the tree its terminals."""

import copy

from perfsim.growth.bifurcation import fermat_points
from perfsim.growth.domain import Box
from perfsim.growth.forest import GrowingForest
from perfsim.growth.regraft import _independent, _Moves, regraft
from perfsim.growth.rules import Rules

import numpy as np
import pytest

BOX = Box(np.full(3, -0.01), np.full(3, 0.01))
RULES = Rules(BOX, 1e-6, 1e-3)


def random_forest(seed: int, terminals: int, demand: np.ndarray) -> GrowingForest:
    """Two trunks of four nodes each, terminals hung anywhere: as bad a tree as can be."""
    rng = np.random.default_rng(seed)
    trunk = np.array([[side * 0.009, y, 0.0] for side in (-1, 1) for y in np.linspace(-0.008, 0.008, 4)])
    forest = GrowingForest(trunk, np.repeat([0, 1], 4), np.ones(8, bool), np.full(2, 1e-5), 3.0, demand)
    points = rng.uniform(-0.009, 0.009, (terminals, 3))
    forest.sprout(np.array([0, 5]), points[:2], np.array([0, 1]))
    for k in range(2, terminals):
        node = rng.choice(forest.grown(), 1)
        middle = 0.5 * (forest.position[node] + forest.position[forest.parent[node]])
        forest.split(node, middle + 1e-4 * rng.standard_normal((1, 3)), points[k : k + 1], np.array([k]))
    forest.update()
    return forest


@pytest.mark.parametrize("demands", ["equal", "unequal"])
def test_moves_cost_what_they_say(demands):
    """The predicted change of Σ Q^α L is that of the tree, to round-off, for each of the best moves made alone."""
    demand = np.ones(60) if demands == "equal" else np.random.default_rng(9).lognormal(0.0, 1.0, 60)
    kinds = set()
    for seed in range(8):
        forest = random_forest(seed, 60, demand)
        moves = _Moves.best(forest, RULES, forest.grown(), np.zeros(2), None)
        for k in range(len(moves.node)):
            forest = random_forest(seed, 60, demand)
            before, flow = forest.cost(), forest.root_flow()
            one = moves.kept(np.array([k]))
            v, b = int(one.node[0]), int(one.onto[0])
            p, path = forest.parent[v], [v]
            while path[-1] >= forest.trunk:
                path.append(int(forest.parent[path[-1]]))
            kinds.add("sprout" if b < forest.trunk else "ancestor" if b in path else "")
            kinds.add("below the sibling" if p >= forest.trunk and b in forest.below(p[None]) else "")
            kinds.add("off the trunk" if p < forest.trunk else "")
            kinds.add("other root" if forest.root[v] != forest.root[b] else "")
            forest.move(one.node, one.onto, one.fork)
            forest.update()
            assert forest.cost() - before == pytest.approx(one.cost[0], abs=1e-12 * before)
            assert forest.root_flow().sum() == pytest.approx(flow.sum(), rel=1e-12)
            assert sorted(forest.placed()) == list(range(60))
    assert {"sprout", "ancestor", "below the sibling", "off the trunk", "other root"} <= kinds


def test_regrafting_lowers_the_cost_of_a_bad_tree_by_far():
    """Roots of all nodes are right afterwards, and every bifurcation has two children that know it."""
    forest = random_forest(1, 400, np.ones(400))
    costs = [forest.cost()]
    for _ in range(12):
        regraft(forest, RULES, np.zeros(2), np.random.default_rng(0))
        forest.update()
        costs.append(forest.cost())
    assert costs[1] < 0.9 * costs[0] and costs[-1] < 0.6 * costs[0]
    node = forest.grown()
    above = forest.parent[node]
    assert (forest.root[node] == forest.root[above]).all()
    assert (forest.child[above] == node[:, None]).any(1).all()
    assert ((forest.child[node] >= 0).sum(1) == np.where(forest.terminal[node] >= 0, 0, 2)).all()
    assert sorted(forest.placed()) == list(range(400))


def test_a_price_moves_subtrees_to_the_other_root():
    forest = random_forest(2, 300, np.ones(300))
    for _ in range(6):
        regraft(forest, RULES, np.zeros(2), np.random.default_rng(0))
    forest.update()
    free = forest.root_flow()
    for _ in range(3):
        regraft(forest, RULES, np.array([0.0, 3.0]) * forest.unit_cost(), np.random.default_rng(0))
    forest.update()
    assert forest.root_flow()[1] < 0.8 * free[1]


def test_what_shall_leave_leaves_though_it_costs():
    forest = random_forest(3, 200, np.ones(200))
    for _ in range(12):
        regraft(forest, RULES, np.zeros(2), np.random.default_rng(0))
    forest.update()
    tips, before = np.flatnonzero(forest.terminal >= 0)[:10], forest.cost()
    family = [set(forest.child[p]) for p in forest.parent[tips]]
    moved = regraft(forest, RULES, np.zeros(2), np.random.default_rng(0), leave=tips)
    forest.update()
    other = sum(set(forest.child[p]) != f for p, f in zip(forest.parent[tips], family, strict=True))
    assert moved > 5 and other >= moved and forest.cost() > before


def moved(seed: int, demand, v: int, onto: int) -> GrowingForest:
    """The forest of a seed after one move, its new bifurcation where it costs least."""
    forest = random_forest(seed, len(demand), demand)
    forest.root_radius[:] = 1e-9  # so thin that every place has room
    forest.move(np.array([v]), np.array([onto]), forest.position[[onto]].copy())
    forest.update()
    if onto >= forest.trunk:
        fork = int(forest.parent[v])
        ends = forest.position[[forest.parent[fork], *forest.child[fork]]]
        weight = forest.flow[[fork, *forest.child[fork]]] ** forest.alpha
        forest.position[fork] = fermat_points(ends[None], weight[None])[0]
    return forest


@pytest.mark.parametrize("demands", ["equal", "unequal"])
def test_the_best_of_all_moves_is_found(demands):
    """Every subtree onto every vessel that feeds no less, and every free trunk node, one after the other: none gains more."""
    demand = np.ones(9) if demands == "equal" else np.random.default_rng(9).lognormal(0.0, 0.4, 9)
    for seed in range(2):
        forest = random_forest(seed, 9, demand)
        forest.root_radius[:] = 1e-9
        before = forest.cost()
        found = _Moves.best(forest, RULES, forest.grown(), np.zeros(2), None)
        gains = [0.0]
        for v in forest.grown():
            p = int(forest.parent[v])
            below, sibling = set(forest.below(v[None]).tolist()), set(forest.child[p].tolist()) - {int(v)}
            near = [
                n
                for n in forest.grown()
                if n not in below and n != p and n not in sibling and forest.flow[n] >= forest.flow[v]
            ]
            free = forest.free_sprouts()
            there = forest.position[free]
            free = free[[int(np.argmin(np.linalg.norm(there - forest.position[v], axis=1)))]]
            gains += [moved(seed, demand, int(v), int(n)).cost() - before for n in [*near, *free]]
        assert found.cost.min(initial=0.0) == pytest.approx(min(gains), rel=1e-3), seed


def test_moves_made_together_touch_no_common_vessel():
    """Of moves that share a vessel the best is made; what is left is disjoint, and cannot be added to."""
    forest = random_forest(4, 60, np.ones(60))
    moves = _Moves.best(forest, RULES, forest.grown(), np.zeros(2), None)
    chosen = _independent(forest, moves)

    def touched(k: int) -> set[int]:
        v, b = int(moves.node[k]), int(moves.onto[k])
        p = int(forest.parent[v])
        nodes = {v, p, int(forest.parent[p]), b, int(forest.parent[b]), *forest.child[p].tolist()}
        return {n for n in nodes if n >= forest.trunk} | {b}

    sets = [touched(k) for k in range(len(moves.node))]
    made = np.flatnonzero(chosen)
    assert 3 < len(made) < len(sets) and chosen[np.argmin(moves.cost)]
    for i in made:
        assert all(not sets[i] & sets[j] for j in made if j != i)
    for k in np.flatnonzero(~chosen):
        assert any(sets[k] & sets[i] for i in made)


def test_what_shall_leave_pays_a_thousandth_of_the_whole_at_most():
    """Of a small settled tree few terminals can: each leaves if its best other place costs less than that, or stays."""
    forest = random_forest(6, 40, np.ones(40))
    for _ in range(8):
        regraft(forest, RULES, np.zeros(2), np.random.default_rng(0))
    forest.update()
    whole, left = forest.cost(), []
    for tip in np.flatnonzero(forest.terminal >= 0)[::2]:
        cost = _Moves.best(forest, RULES, np.array([tip]), np.zeros(2), np.inf).cost
        moved = regraft(copy.deepcopy(forest), RULES, np.zeros(2), np.random.default_rng(0), leave=np.array([tip]))
        assert moved == (len(cost) > 0 and cost[0] < 1e-3 * whole)
        left.append(moved)
    assert 0 < sum(left) < len(left)
