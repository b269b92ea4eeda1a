"""How far a pressure field can be from the solution of the coupled equations: bounds that are proved, not estimated.

Let F(u) be the imbalance of every node and volume and u* the solution. Vessels, couplings and drains are monotone, so

    F(u) - F(u*) = J̄ (u - u*),   J̄ = ∫₀¹ J(u* + s (u - u*)) ds,

and J̄ is an M-matrix whose edges lie between the least and the largest slope of each law on the way. Any w ≥ 0 with
J̄ w ≥ |F(u)|/β, for every J̄ that is possible, proves |u - u*| ≤ β w.

Trees are eliminated first. Given the flow into every volume, flows in the tree are sums, and pressures follow from the
inlet down, Δp = R Q + S Q|Q|: inside the tree nothing is out of balance, only where it meets the wall (`balanced`).
Two w are tried. The flat one, a constant in the tree and in the wall, needs no slopes of vessels at all. The shaped
one, about J⁻¹|F|, is sharper and may end in a scar that drains nothing; inside the tree it is built from the terminals
up (flows) and from the inlet down (values) such that every possible J̄ w is ≥ 0 there.

Slopes are taken over a neighborhood |u - u*| ≤ B. If the bound that follows is at most B it holds: along the solutions
of F(u_s) = s F(u), which lead from u to u* without a jump, the error would have to pass B before it could exceed the
bound. What rounding does to pressures and residuals is added. Inside, pressures are in mmHg and flows in mL/min.
"""

from perfsim.coupling.potential import Graph, Hessian, gradient, trees_stepped
from perfsim.coupling.system import CoupledSystem
from perfsim.darcy import FiniteVolumes
from perfsim.darcy.certificate import raised
from perfsim.darcy.columns import sum_rows, take
from perfsim.flow import elimination
from perfsim.flow.edges import OPENING, supply_conductance, vessel_flow

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

CLOSE, STEPS = 1e-3, 80
"""to the best w, in the 1-norm; and steps of conjugate gradients at most. With closed veins 1e-2 is too little."""
NEWTON = 6
"""Newton steps at most until something is proved"""
MARGIN = 0.02
"""of the coupled flow at a terminal, added to |F| before w is made"""
SETTLING = 3
"""Newton steps in the trees"""
NEIGHBORHOODS = (1.5, 4.0)
"""B over the bound that the slopes at u alone would give; the first that proves itself counts"""


class Balanced(eqx.Module):
    """A pressure field without any imbalance inside the trees."""

    p0: Float[Array, " contracted"]
    p: Float[Array, " volumes"]
    flow: Float[Array, " chains"]
    at_nodes: Float[Array, " contracted"]
    """size of what is out of balance, rounding included"""
    at_volumes: Float[Array, " volumes"]
    rounding: Float[Array, " contracted"]
    """what p0 itself may be off by"""


class Enclosure(eqx.Module):
    """|p0 - p0*| and |p - p*| are at most these; infinite where nothing could be proved."""

    at_nodes: Float[Array, " contracted"]
    at_volumes: Float[Array, " volumes"]


class _Slopes(eqx.Module):
    """Least and largest slope of every law within a neighborhood."""

    chain: tuple[Array, Array]
    outlet: tuple[Array, Array]
    link: tuple[Array, Array]
    drain: Array
    """the least"""


def balanced(system: CoupledSystem, graph: Graph, p0, p) -> Balanced:
    """The tree's pressures from the flows that p0 and p drive into the wall, and what is then out of balance."""
    forest, vessels, links = graph.forest, system.vessels, graph.couplings
    given = system.supplies(links, p0[graph.terminal_node], p)
    given_out = vessels.outlet_flow(p0)

    def leaving(q, outlets):
        return graph.to_nodes(graph.to_terminals(q)).at[vessels.outlet].add(outlets)

    Q, _ = elimination.subtree_sum(forest, leaving(given, given_out) - vessels.injected)
    drop = vessels.R * Q + vessels.S * Q * jnp.abs(Q)
    p0 = elimination.path_sum(forest, vessels.fixed_pressure[: forest.roots], -drop)

    eps = jnp.finfo(p.dtype).eps
    carried, _ = elimination.subtree_sum(forest, leaving(jnp.abs(given), jnp.abs(given_out)))
    terms = graph.couplings.slot.shape[1] + forest.levels.shape[0] * (forest.children.shape[1] + 2) + 8
    off = terms * eps * carried * (vessels.R + 2.0 * vessels.S * carried) + 4.0 * eps * jnp.abs(drop)
    rounding = elimination.path_sum(forest, jnp.zeros(forest.roots), off + eps * jnp.max(jnp.abs(p0)))
    q, out = system.supplies(links, p0[graph.terminal_node], p), vessels.outlet_flow(p0)
    blur = system.weight * system.conductance * graph.at_feeders(rounding)
    blur_out = vessels.outlet_conductance * rounding[vessels.outlet]
    at_nodes = jnp.maximum(
        jnp.abs(leaving(q - given, out - given_out)),
        terms * eps * leaving(jnp.abs(q - given), jnp.abs(out - given_out)),
    )
    at_nodes = at_nodes + leaving(blur + 4.0 * eps * jnp.abs(q), blur_out + 4.0 * eps * jnp.abs(out))
    at_volumes = _left_in_volumes(system, graph, p, q) + sum_rows(blur)
    return Balanced(p0, p, Q, at_nodes, at_volumes, rounding)


def _left_in_volumes(system, graph, p, q):
    """Size of the imbalance of every volume that the flows q supply, with what rounding does to its sum."""
    eps = jnp.finfo(p.dtype).eps
    spread = [T * (p - take(p, j)) for T, j in zip(system.transmissibility, graph.volumes.neighbor, strict=True)]
    drained = system.drained(p)
    left = jnp.abs(sum(spread, drained) - sum_rows(q))
    moved = sum(map(jnp.abs, spread), jnp.abs(drained)) + sum_rows(jnp.abs(q))
    moved = moved + system.drainage * OPENING  # what a drain that opens is off by, whatever passes it
    return left + (len(spread) + len(q) + 4) * eps * moved


def sharpened(system: CoupledSystem, graph: Graph, x, method: FiniteVolumes) -> tuple[Balanced, Enclosure]:
    """A better field than x (a Newton step, then the trees exactly), and how far from the solution it can be.

    Where veins are about to close, slopes change within the neighborhood and nothing may be proved; after another step
    it is smaller.
    """

    def step(state):
        _, _, x, count = state
        hessian = Hessian.at(system, graph, x, method)
        better = x - hessian.solve(gradient(system, graph, x), CLOSE, STEPS)[0]
        p = better[graph.nodes :]
        field = balanced(system, graph, _settled(system, graph, better[: graph.nodes], p), p)
        tries = _flat(system, graph, field), _shaped(hessian, field)
        both = jax.tree.map(lambda *rows: jnp.stack(rows), *tries)  # one program for both: half as much to compile
        found = jax.lax.map(lambda w: _proved(system, graph, field, *_lifted(graph, hessian, *w)), both)
        around = jax.tree.map(lambda rows: jnp.min(rows, axis=0), found)
        return field, around, jnp.concatenate([field.p0, p]), count + 1

    def unproved(state):
        _, around, _, count = state
        return (count < NEWTON) & ~jnp.all(jnp.isfinite(around.at_volumes))

    nodes, volumes = jnp.zeros(graph.nodes, x.dtype), jnp.zeros_like(x[graph.nodes :])
    chains = jnp.zeros_like(system.vessels.R)
    begin = Balanced(nodes, volumes, chains, nodes, volumes, nodes), Enclosure(nodes, volumes + jnp.inf), x
    field, around, _, _ = jax.lax.while_loop(unproved, step, (*begin, jnp.zeros((), int)))
    return field, around


def stepped(system: CoupledSystem, graph: Graph, x, method: FiniteVolumes) -> tuple[Balanced, Enclosure]:
    """The field after a Newton step, without proof: a second step is the estimate of what is left."""

    def step(x):
        return x - Hessian.at(system, graph, x, method).solve(gradient(system, graph, x), CLOSE, STEPS)[0]

    x = step(x)
    left = jnp.abs(step(x) - x)
    p0, p = system.vessels.pressures(x[: graph.nodes]), x[graph.nodes :]
    flow = vessel_flow(system.vessels.drops(graph.forest, p0), system.vessels.R, system.vessels.S)
    none = jnp.zeros_like(p0)
    field = Balanced(p0, p, flow, none, jnp.zeros_like(p), none)
    return field, Enclosure(left[: graph.nodes], left[graph.nodes :])


def supply_bounds(system: CoupledSystem, graph: Graph, field: Balanced, around: Enclosure):
    """How far the supply of each volume can be from the solution's [mL/min]."""
    eps = jnp.finfo(field.p.dtype).eps
    reach = graph.at_feeders(around.at_nodes) + around.at_volumes
    slope = _slopes(system, graph, field, around.at_nodes, around.at_volumes).link[1]
    q = system.supplies(graph.couplings, field.p0[graph.terminal_node], field.p)
    off = jnp.where(system.weight > 0, slope * reach + (len(q) + 4) * eps * jnp.abs(q), 0.0)
    off = sum_rows(off)
    return jnp.where(jnp.all(jnp.isfinite(around.at_volumes)), off, jnp.inf)


def _settled(system: CoupledSystem, graph: Graph, p0, p):
    """The trees' pressures for these in the wall, by Newton: what is left out of balance is out of balance there."""
    start = system.vessels.pressures(p0)
    return jax.lax.fori_loop(0, SETTLING, lambda _, p0: trees_stepped(system, graph, p0, p), start)


def _flat(system, graph, field):
    """For w = 1 in the wall and 1 + η in the trees, lifted where too little is drained: see `_lifted`."""
    drained, left, volume = system.drain_slopes(field.p), field.at_volumes, graph.volumes.volume
    link = sum_rows(system.weight * system.conductance)
    sinks = drained >= 0.1 * volume * jnp.sum(drained) / jnp.sum(volume)
    excess = jnp.clip(0.05 * jnp.min(jnp.where(sinks & (link > 0), drained / jnp.maximum(link, 1e-300), 1.0)), 0.0, 1.0)
    beta = jnp.max(jnp.where(sinks, left / jnp.where(sinks, drained, 1.0), 0.0))
    missing = jnp.where(sinks, 0.0, jnp.maximum(left, 1e-3 * jnp.mean(left)) / beta)
    return 1.0 + excess, jnp.ones(()), jnp.zeros(graph.nodes), missing


def _shaped(hessian, field):
    """For w about J⁻¹(|F| + something small)."""
    at_nodes = jnp.where(hessian.fixed, 0.0, field.at_nodes)
    return jnp.zeros(()), jnp.zeros(()), at_nodes, raised(hessian.tissue, field.at_volumes)


def _lifted(graph, hessian, base, level, at_nodes, at_volumes):
    """(w at the inlets, what makes w in the trees cover `at_nodes` for certain, w in the wall).

    w is `base` at the inlets, `level` in the wall, and above them what makes J w about as much as asked for.
    """
    w = hessian.solve(jnp.concatenate([at_nodes, at_volumes]), CLOSE, STEPS).x
    w = jnp.maximum(hessian.split(w)[1], 0.0)
    from_wall = hessian.to_tree(w)
    ends = at_nodes + MARGIN * hessian.vessels.diagonal * hessian.vessels_inverse(from_wall)
    return base, ends + from_wall - hessian.vessels.diagonal * hessian.vessels_inverse(ends + from_wall), level + w


def _proved(system, graph, field, base, pushed, w) -> Enclosure:
    """The bound that this w gives, by slopes in a neighborhood that turns out to hold it; infinite if none does."""

    def bound(at_nodes, at_volumes):
        slopes = _slopes(system, graph, field, at_nodes, at_volumes)
        return _bound(system, graph, field, base, pushed, w, slopes)

    around = bound(jnp.zeros_like(field.p0), jnp.zeros_like(field.p))

    def attempt(best, factor):
        near = jax.tree.map(lambda b: factor * b, around)
        found = bound(near.at_nodes, near.at_volumes)
        held = jnp.all(found.at_nodes <= near.at_nodes) & jnp.all(found.at_volumes <= near.at_volumes)
        return jax.tree.map(lambda b, old: jnp.where(held, jnp.minimum(b, old), old), found, best), None

    nothing = jax.tree.map(lambda b: jnp.full_like(b, jnp.inf), around)
    return jax.lax.scan(attempt, nothing, jnp.asarray(NEIGHBORHOODS))[0]


def _slopes(system, graph, field, at_nodes, at_volumes) -> _Slopes:
    """Slopes of the chords to whatever lies within a neighborhood.

    Those of supplies fall as the pressure difference grows, and those of drains rise and then fall, so their least lie
    at the ends. Flow in a vessel is the sum of what leaves below; that it can be off by at most δ says more than
    pressures do where losses S dominate: from Q to Q + δ the chord of Δp = R Q + S Q|Q| has the resistance
    R + S (2|Q| ± δ).
    """
    vessels, forest = system.vessels, graph.forest
    at_nodes = at_nodes + field.rounding

    def outlet(d):
        return supply_conductance(d, vessels.outlet_conductance, vessels.outlet_inverse_demand)

    def link(d):
        return system.weight * supply_conductance(d, system.conductance, system.inverse_demand)

    out, out_reach = field.p0[vessels.outlet] - vessels.outlet_pressure, at_nodes[vessels.outlet]
    over = graph.at_feeders(field.p0) - field.p
    over_reach = graph.at_feeders(at_nodes) + at_volumes
    outlets = outlet(out + out_reach), outlet(out - out_reach)
    links = link(over + over_reach), link(over - over_reach)
    drains = jnp.minimum(system.drain_slopes(field.p - at_volumes), system.drain_slopes(field.p + at_volumes))

    off = graph.to_nodes(graph.to_terminals(links[1] * over_reach)).at[vessels.outlet].add(outlets[1] * out_reach)
    delta, _ = elimination.subtree_sum(forest, off + field.at_nodes)
    twice = 2.0 * jnp.abs(field.flow)
    low = 1.0 / (vessels.R + vessels.S * (twice + delta))
    high = 1.0 / (vessels.R + vessels.S * jnp.maximum(twice - delta, 0.0))
    return _Slopes((low, high), outlets, links, drains)


def _bound(system, graph, field, base, pushed, w, slopes: _Slopes) -> Enclosure:
    """β w, or infinity where J̄ w is not positive for certain.

    Arguments: w at the inlets, what J̄ w shall be at the nodes besides their couplings (the flow that leaves them
    upwards less what arrives from below), w in the wall.
    """
    forest, vessels, eps = graph.forest, system.vessels, jnp.finfo(w.dtype).eps
    up, slack = _tree_weight(forest, base, pushed, slopes.chain)
    at = graph.at_feeders(up)
    blur = graph.at_feeders(slack)

    def most(d):
        """The largest flow that a difference d (by so much more) can drive through the couplings."""
        d = d + blur
        return jnp.where(d > 0, slopes.link[1] * d, slopes.link[0] * d)

    arriving = graph.to_nodes(graph.to_terminals(most(w - at)))
    nodes = pushed - arriving
    nodes = nodes.at[vessels.outlet].add(slopes.outlet[0] * jnp.maximum(up - slack, 0.0)[vessels.outlet])
    spread = [T * (w - take(w, j)) for T, j in zip(system.transmissibility, graph.volumes.neighbor, strict=True)]
    volumes = sum(spread, slopes.drain * w) - sum_rows(most(at - w))
    moved = sum(map(jnp.abs, spread), slopes.drain * w) + sum_rows(jnp.abs(most(at - w)))
    volumes = volumes - (len(spread) + len(at) + 4) * eps * moved
    nodes = nodes - (graph.couplings.slot.shape[1] + 4) * eps * jnp.abs(pushed)

    ends = (field.at_nodes > 0) & ~vessels.fixed
    valid = jnp.all(volumes > 0) & jnp.all((nodes > 0) | (~ends & (nodes == 0)) | vessels.fixed)
    valid = valid & jnp.all(w >= 0) & jnp.all(up >= 0)
    beta = jnp.maximum(
        jnp.max(field.at_volumes / jnp.where(volumes > 0, volumes, 1.0)),
        jnp.max(jnp.where(ends & (nodes > 0), field.at_nodes / jnp.where(nodes > 0, nodes, 1.0), 0.0)),
    )
    beta = jnp.where(valid, beta * (1.0 + 16.0 * eps), jnp.inf)
    at_nodes = jnp.where(vessels.fixed, 0.0, beta * (up + slack)) + field.rounding
    return Enclosure(jnp.where(vessels.fixed, 0.0, at_nodes), jnp.where(w > 0, beta, 0.0) * w)


def _tree_weight(forest, base, pushed, chain):
    """(w at the nodes, what rounding may do to it) such that whatever slopes the chains have, what leaves a node
    upwards covers what arrives from below and what it is pushed by.
    """
    low, high = (jnp.append(g, 1.0) for g in chain)
    roots, chains = forest.roots, forest.chains

    def level(F, c):
        """F: the flow of w up each chain; its largest value at the upper end follows from its least at the lower."""
        node = jnp.minimum(roots + c, roots + chains - 1)
        below = forest.children[node]
        arriving = jnp.where(F[below] > 0, F[below] * high[below] / low[below], F[below] * low[below] / high[below])
        total = jnp.sum(arriving, axis=1) + pushed[node]
        return F.at[c].set(jnp.where(c < chains, total, 0.0)), None

    F, _ = jax.lax.scan(level, jnp.zeros(chains + 1), forest.levels, reverse=True)
    F, low, high = F[:-1], low[:-1], high[:-1]
    rise = jnp.where(F > 0, F / low, F / high)
    up = elimination.path_sum(forest, jnp.full(roots, base), rise)
    eps, terms = jnp.finfo(up.dtype).eps, forest.levels.shape[0] * (forest.children.shape[1] + 4) + 8
    size, _ = elimination.subtree_sum(forest, jnp.abs(pushed))
    off = terms * eps * size * (high / low) / low + 4.0 * eps * jnp.abs(rise) + eps * jnp.max(jnp.abs(up))
    slack = elimination.path_sum(forest, jnp.zeros(roots), off)
    return up, jnp.where(jnp.any(pushed != 0), slack, 0.0)
