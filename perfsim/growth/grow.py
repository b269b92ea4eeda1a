"""Growth of a forest of synthetic vessels from trunks into a domain, in batches."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from perfsim._results import RESULTS, InputError, SimulationError
from perfsim.growth.attach import Arrivals
from perfsim.growth.attach import attach as attach_batch
from perfsim.growth.domain import Domain, OuterLayer, check_bounds
from perfsim.growth.forest import GrowingForest
from perfsim.growth.index import VesselIndex
from perfsim.growth.regraft import regraft
from perfsim.growth.relax import relax
from perfsim.growth.repair import CLOSE_ENOUGH, balance, part, share_error
from perfsim.growth.report import GrowthReport, measure
from perfsim.growth.rules import Rules
from perfsim.growth.shares import COARSE, find_price, goal_of
from perfsim.growth.terminals import moved_aside, outer_first, sampled_volume, terminal_points
from perfsim.network import GROWN, Centerlines

import numpy as np

if TYPE_CHECKING:
    from perfsim.network import VesselNetwork

AGAIN = 3  # rounds of balancing and parting, where shares are to be met
BATCH = 0.15  # of the present terminals
CLASH = 0.1  # what running through another vessel costs while the tree finds its shape
FEW = 0.2  # of the last batch: below it growth hands the rest over
FIRST = 4  # terminals of the first batches: the main stems take shape one by one
STARTS = 5  # again, at most
STRICT = 5e-4  # of the thickness that a looked-at point may lie outside by: what lies between stays below twice that
PIECE = 0.12  # of the thickness: chords this short leave no boundary that curves like a ventricle's by more than that
OUTER = 0.2  # of the thickness: where the epicardial stage lays its arteries
OFF_DOMAIN = 4e-3  # [m] that a trunk may lie off the domain and still sprout
OFF_WALL = ("LM", "LCx", "RCA", "PLV")
"""coronary trunks in the fat of the grooves of the base: growth does not attach to them, only to their branches"""

Trunks = TypeVar("Trunks", Centerlines, "VesselNetwork")


def grow(
    domain: Domain,
    trunks: Trunks,
    terminals: int = 2000,
    *,
    exponent: float = 7 / 3,
    demand: Callable[[np.ndarray], np.ndarray] | np.ndarray | None = None,
    shares: Mapping[str, float] | None = None,
    attach: tuple[str, ...] | None = None,
    points: np.ndarray | None = None,
    epicardial: float = 0.0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    throw: bool = True,
) -> tuple[Trunks, GrowthReport]:
    """Grow a forest of synthetic arterioles from all trunks into a domain.

    Terminals are added in batches, coarse to fine. Each takes, among its ~10 nearest vessels, the bifurcation with the
    least increase of the Murray cost Σ Q^(2/γ) L: the local change at the exact optimum point plus the widening of the
    path to the trunk (trunks are sunk cost). One terminal per vessel and batch; losers choose again, then wait. Between
    batches all bifurcations relax to their Fermat points (the cost is convex in them), and subtrees move to where they
    are cheaper. At the end vessels that overlap part. Vessels stay in the domain and are longer than wide.

    Arguments: `domain` (anything with `bounds` and `signed_distance`: an `anatomy.Wall`, or see `growth.domain`),
    `trunks` (kept as they are; may sprout at nodes one diameter apart), number of `terminals`, `exponent` γ, `demand`
    of the terminals as a function of their points (n, 3) or an array (default: all the same), `shares` of the demand by
    inlet name that the trees must meet (default: they compete freely), `attach` the branches that may sprout (default:
    all that lie in or on the domain but those of `OFF_WALL`), the terminals' `points` (n, 3) [m] if not the domain's
    own, the share of terminals that an `epicardial` stage lays first, in the outer fifth of the wall, to stay there
    (the domain needs `depth`), `seed`, `progress(done, total)`. From `Centerlines` come `Centerlines`, without jax.

    Returns the network (trunks whose ends fed nothing are pruned) and a `GrowthReport`. Raises `InputError` where
    nothing can sprout or an argument cannot be met, and `SimulationError` where more than 1 % of the terminals found no
    place (with `throw=False` the report's `result` says so). The method follows Schreiner & Buxbaum (1993) IEEE TBME
    40:482, batched.
    """
    check_bounds(domain)
    seconds: dict[str, float] = {}
    rng = np.random.default_rng(seed)
    with _timed(seconds, "terminals"):
        points = _points(domain, terminals, seed, points)
        rules = _rules(domain, points)
        demand = _demand(demand, points)
        order, outer = outer_first(domain, points, round(epicardial * len(points)), OUTER)
        points, demand = points[order], demand[order]
        forest = _start(domain, trunks, exponent, attach, demand)
    goal = None if shares is None else goal_of(shares, trunks.inlet_names)
    price = np.zeros(len(trunks.inlets))
    if goal is not None:
        with _timed(seconds, "shares"):
            price = _price(domain, trunks, exponent, attach, points, demand, goal)
    waiting = np.arange(len(points))
    if outer:
        with _timed(seconds, "epicardial"):
            layer = dataclasses.replace(rules, domain=OuterLayer(domain, OUTER, rules.tolerance / STRICT))
            left = _attach_all(forest, layer, points, waiting[:outer], price, rng)
            relax(forest, layer, sweeps=20)
            forest.pin()
            waiting = np.concatenate([left, waiting[outer:]])
    with _timed(seconds, "attach"):
        waiting = _attach_all(forest, rules, points, waiting, price, rng, progress)
    if goal is not None:
        with _timed(seconds, "balance"):
            price = balance(forest, rules, price, goal, rng)
    with _timed(seconds, "relax"):
        relax(forest, rules, sweeps=int(np.clip(30_000 / len(points), 6, 60)))
    with _timed(seconds, "part"):
        waiting = part(forest, rules, points, price, waiting, rng)
        for _ in range(AGAIN):  # what was placed anew may have changed trees
            if goal is None or np.abs(share_error(forest, goal)).max() < CLOSE_ENOUGH:
                break
            price = balance(forest, rules, price, goal, rng)
            waiting = part(forest, rules, points, price, waiting, rng)
    with _timed(seconds, "finish"):
        network = _finish(trunks, forest, exponent)
        report = measure(forest, rules, trunks.inlet_names, sampled_volume(domain, 20_000), len(waiting), seconds)
    if throw and report.result is not RESULTS.successful:
        raise SimulationError(f"{report.result.message} ({report})", (network, report))
    return network, report


@contextmanager
def _timed(seconds: dict[str, float], stage: str):
    started = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - started


def _points(domain: Domain, terminals: int, seed: int, points) -> np.ndarray:
    if points is None:
        if terminals < 1:
            raise InputError(f"terminals = {terminals}: at least one is needed")
        return terminal_points(domain, terminals, seed)
    points = np.array(points, float)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points) or not np.isfinite(points).all():
        raise InputError(f"points must be finite and of shape (n, 3); their shape is {points.shape}")
    outside = np.flatnonzero(domain.signed_distance(points) > 0.0)
    if len(outside):
        raise InputError(f"points must lie in the domain: point {outside[0]}, {points[outside[0]]} m, does not")
    return points


def _demand(demand, points: np.ndarray) -> np.ndarray:
    """Demand of every terminal, 1 in the mean and at least a millionth of it, so that every vessel has a lumen."""
    if demand is None:
        return np.ones(len(points))
    value = np.asarray(demand(points) if callable(demand) else demand, float)
    if value.shape != (len(points),) or not np.isfinite(value).all() or (value < 0).any() or not value.sum() > 0:
        raise InputError(f"demand must be {len(points)} finite numbers ≥ 0, not all zero; its shape is {value.shape}")
    value = np.maximum(value, 1e-6 * value.mean())
    return value / value.mean()


def _rules(domain: Domain, points: np.ndarray) -> Rules:
    thickness = 2.0 * float(np.max(-domain.signed_distance(points)))
    return Rules(domain, STRICT * thickness, PIECE * thickness)


def _start(domain: Domain, trunks: Trunks, exponent, attach, demand) -> GrowingForest:
    """The trunks alone, with the nodes that may sprout."""
    position, root = np.asarray(trunks.position), np.zeros(len(trunks.position), int)
    root[np.asarray(trunks.inlets)] = np.arange(len(trunks.inlets))
    root[np.asarray(trunks.far)] = np.asarray(trunks.root)
    names = np.array(trunks.branch_names)
    if attach is None:
        attach = tuple(n for n in names if n not in OFF_WALL and n not in set(trunks.outlet_names))
    unknown = sorted(set(attach) - set(names))
    if unknown:
        raise InputError(f"attach names {unknown[0]!r}, but the trunks are {', '.join(names)}")
    sprouts = np.zeros(len(position), bool)
    sprouts[np.asarray(trunks.head)[np.isin(names[np.asarray(trunks.branch)], attach)]] = True
    sprouts[np.asarray(trunks.outlets, int)] = False
    sprouts &= domain.signed_distance(position) < OFF_DOMAIN
    sprouts &= _apart(trunks, sprouts)
    if not sprouts.any():
        raise InputError(
            "no trunk lies on the domain, so nothing can sprout: are trunks and domain in one frame, in one unit?"
        )
    return GrowingForest(position, root, sprouts, np.asarray(trunks.root_radius), exponent, demand)


def _apart(trunks: Trunks, sprouts: np.ndarray) -> np.ndarray:
    """Those of the nodes that may sprout which lie a lumen's diameter apart along their branch, from its start on.

    What leaves a trunk at one place must not run through what leaves it beside; and where vessels may start does not
    depend on how finely a centerline is sampled.
    """
    node, along = np.asarray(trunks.head), np.asarray(trunks.coordinate)[:, 1]
    diameter, branch = 2.0 * np.asarray(trunks.lumen)[:, 1], np.asarray(trunks.branch)
    keep, last = np.zeros(len(sprouts), bool), dict[int, float]()
    for v in np.lexsort((along, branch)):
        if sprouts[node[v]] and along[v] - last.get(branch[v], -np.inf) >= diameter[v] * (1.0 - 1e-9):
            keep[node[v]], last[branch[v]] = True, along[v]
    return keep


def _price(domain: Domain, trunks: Trunks, exponent, attach, points, demand, goal) -> np.ndarray:
    """The price of each root at which small forests have the wanted shares."""
    few = min(COARSE, len(points))
    coarse, part_demand = points[:few].copy(), demand[:few]
    rules = _rules(domain, coarse)

    def grown_share(price: np.ndarray) -> np.ndarray:
        forest = _start(domain, trunks, exponent, attach, part_demand)
        _attach_all(forest, rules, coarse.copy(), np.arange(few), price, np.random.default_rng(0))
        forest.update()
        share = forest.root_flow()
        return share / share.sum()

    return find_price(grown_share, goal)


def _attach_all(forest: GrowingForest, rules: Rules, points, waiting, price, rng, progress=None) -> np.ndarray:
    """Batch after batch; returns the terminals without a place.

    Arguments: `points` of all terminals, numbers of those `waiting`, `price` of each root in mean costs of a terminal.
    """
    done, more = len(forest.placed()), 1
    starts = STARTS if done else 0
    while len(waiting) and more < 1e6:
        batch = waiting[: more * max(FIRST, int(BATCH * done))]
        forest.update()
        asked = price * forest.unit_cost()
        arrivals = Arrivals.of(forest, points, batch)
        placed = attach_batch(forest, rules, VesselIndex(forest), arrivals, asked, CLASH)
        last = len(batch) == len(waiting)
        waiting = np.concatenate([batch[~placed], waiting[len(batch) :]])
        done += int(placed.sum())
        if last and placed.sum() < FEW * len(batch):
            if done > len(waiting) or starts == STARTS:
                break  # what is left needs to be moved, which parting does
            # a first vessel so short that nothing can branch from it: others first
            forest.update()
            waiting = np.concatenate([rng.permutation(waiting), forest.clear()])
            done, more, starts = 0, 1, starts + 1
            continue
        if not placed.any():  # nothing can be reached from here: look farther ahead, and a little aside
            more *= 4
            points[batch] = moved_aside(rules.domain, points, batch, 0.3 * rules.piece, rng)
            continue
        more = 1
        relax(forest, rules, sweeps=2)
        regraft(forest, rules, asked, rng)
        if progress is not None:
            progress(done, len(points))
    return waiting


def _finish(trunks: Trunks, forest: GrowingForest, exponent: float) -> Trunks:
    """Trunks and grown vessels as one network, trunk ends that feed nothing pruned."""
    grown = forest.grown()
    tail = np.concatenate([np.asarray(trunks.tail), forest.parent[grown]])
    head = np.concatenate([np.asarray(trunks.head), grown])
    names = (*trunks.branch_names, GROWN)
    branch = np.concatenate([np.asarray(trunks.branch), np.full(len(grown), len(names) - 1)])
    lumen = np.concatenate([np.asarray(trunks.lumen), np.full((len(grown), 2), 1e-4)])
    measured = np.concatenate([np.asarray(trunks.measured), np.zeros(len(grown), bool)])
    keep = np.ones(len(tail), bool)
    feeds = forest.terminal >= 0
    feeds[np.asarray(trunks.outlets, int)] = True
    feeds[forest.parent[grown]] = True
    for v in range(len(trunks.tail) - 1, -1, -1):  # depth first, so children come after their parents
        keep[v] = feeds[head[v]]
        feeds[tail[v]] |= feeds[head[v]]
    used = np.zeros(forest.size, bool)
    used[tail[keep]] = used[head[keep]] = True
    number = np.cumsum(used) - 1
    tips = np.flatnonzero(forest.terminal >= 0)
    return type(trunks).build(
        forest.position[used],
        number[tail[keep]],
        number[head[keep]],
        lumen[keep],
        inlets=number[np.asarray(trunks.inlets)],
        terminals=number[tips],
        demand=forest.demand[forest.terminal[tips]],
        outlets=number[np.asarray(trunks.outlets, int)],
        branch=branch[keep],
        branch_names=names,
        inlet_names=trunks.inlet_names,
        outlet_names=trunks.outlet_names,
        measured=measured[keep],
        root_radius=trunks.root_radius,
        exponent=exponent,
        outlet_demand=trunks.outlet_demand,
    )
