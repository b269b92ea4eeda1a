"""Can learned weights make the V-cycle converge in fewer steps for the same work? Trained on small meshes and random
fields, tested on others, larger ones, tetrahedra, scars.

Learned are, for each degree of the smoothing polynomial, at the same number of passes over the mesh as the cycle in
`darcy.multigrid` makes:

bounds    the interval of the Chebyshev smoothing and the size of the coarse correction, by level
edges     these; factors on the faces, sinks and diagonals of the operator that smooths, and on coarse faces and sinks,
          by a small network of what is known locally (share of the diagonal, same aggregate, sinks, number of faces)

and, where the finest mesh falls into two halves, no two volumes of one beside each other (grids and these tetrahedra
do), with as many half-sweeps over one and the other in turn instead of the polynomial:

halves    the relaxation ω of each half-sweep, the other levels' intervals and corrections

All of it is linear in the residual and symmetric, so that conjugate gradients stay valid. The loss is the logarithm of
the energy of the error after eight steps of them. A step takes 2·degree + 1 products with the matrix, of h half-sweeps
before and after the coarse correction h + 1: `products` are what a method needs of them in all. `milliseconds` are
medians of solves in turn, by the solver's cycle and by learned half-sweeps.
"""

import argparse
import functools
import json
import statistics
import time

import perfsim
from perfsim._fences import materialize
from perfsim.anatomy import EllipsoidWall
from perfsim.darcy import (
    DarcyOperator,
    Multigrid,
    conjugate_gradients,
    cut_cells,
    mesh_cells,
    operator,
    tetrahedra_in_box,
    transmissibility,
)
from perfsim.darcy import multigrid as cycle
from perfsim.darcy.columns import sum_slots, take

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from scipy.sparse.csgraph import connected_components, dijkstra

perfsim.enable_x64()

CONDUCTANCE = 7e-5
"""g_a + g_v of the healthy wall [1/(Pa·s)]"""
STEPS_IN_LOSS, ACCURACY, MOST = 8, 1e-8, 200


def chebyshev_roots(degree: int) -> np.ndarray:
    """Roots of the Chebyshev polynomial for [0.5, 1.95]."""
    return 1.225 - 0.725 * np.cos(np.pi / (2 * degree) * np.arange(1, 2 * degree, 2))


class Weights(eqx.Module):
    """What is learned; at the start the cycle as it is."""

    roots: Array
    correction: Array
    edge: eqx.nn.MLP
    sink: eqx.nn.MLP
    diagonal: eqx.nn.MLP
    coarse_face: eqx.nn.MLP
    coarse_sink: eqx.nn.MLP
    local: bool = eqx.field(static=True)

    @classmethod
    def of(cls, local: bool, degree: int = 2) -> "Weights":
        keys = jax.random.split(jax.random.key(0), 5)

        def mlp(inputs, key):
            net = eqx.nn.MLP(inputs, "scalar", 12, 1, jnp.tanh, key=key)
            return eqx.tree_at(lambda m: m.layers[-1], net, replace_fn=lambda x: jax.tree.map(jnp.zeros_like, x))

        nets = [mlp(n, k) for n, k in zip((9, 4, 4, 5, 3), keys, strict=True)]
        return cls(jnp.log(jnp.tile(jnp.asarray(chebyshev_roots(degree)), (3, 1))), jnp.zeros(3), *nets, local)

    def factor(self, net: eqx.nn.MLP, features: list[Array], most: float = 1.5) -> Array:
        if not self.local:
            return jnp.ones_like(features[0])
        return jnp.exp(jnp.clip(jax.vmap(net)(jnp.stack(features, -1)), -most, most)).astype(features[0].dtype)


def smoothing_operator(w: Weights, A: DarcyOperator, own, k: int) -> tuple[DarcyOperator, Array]:
    """(the operator that smooths, its inverse diagonal)."""
    d, s = A.diagonal, A.sink / A.diagonal
    count = 1.0 / sum((T > 0).astype(d.dtype) for T in A.transmissibility)
    inside = (
        sum(jnp.where(take(own, j) == own, T, 0.0) for T, j in zip(A.transmissibility, A.neighbor, strict=True)) / d
    )
    level = jnp.full(d.shape, float(k > 0), d.dtype)

    def both(x, j):
        return [x + take(x, j), (x - take(x, j)) ** 2]

    sides = []
    for T, j in zip(A.transmissibility, A.neighbor, strict=True):
        seen = [T / d + T / take(d, j), 4.0 * T * T / d / take(d, j), (take(own, j) == own).astype(d.dtype), level]
        sides.append(T * w.factor(w.edge, [*seen, *both(s, j), *both(inside, j), count + take(count, j)]))
    local = [s, inside, count, level]
    sides, sink = jnp.stack(sides), A.sink * w.factor(w.sink, local)
    diagonal = jnp.sum(sides, axis=0) + sink
    return DarcyOperator(sides, A.neighbor, sink, diagonal), w.factor(w.diagonal, local, 0.7) / diagonal


def coarse_operator(w: Weights, A: DarcyOperator, level, k: int) -> DarcyOperator:
    B = cycle.coarser(A, level)
    size = sum_slots(jnp.ones_like(A.sink), level.members)
    share, stage = B.sink / B.diagonal, jnp.full(size.shape, float(k > 0), size.dtype)
    sides = []
    for T, j in zip(B.transmissibility, B.neighbor, strict=True):
        strength = jnp.log(jnp.clip(T / jnp.sqrt(B.diagonal * take(B.diagonal, j)), 1e-6, 1e6))
        about = [strength, jnp.log(size * take(size, j)) - 4.0, share + take(share, j), share * take(share, j), stage]
        sides.append(T * w.factor(w.coarse_face, about, 2.0))
    sides, sink = jnp.stack(sides), B.sink * w.factor(w.coarse_sink, [share, jnp.log(size) - 2.0, stage], 2.0)
    return DarcyOperator(sides, B.neighbor, sink, jnp.sum(sides, axis=0) + sink)


def polynomial(B: DarcyOperator, inverse, roots, r):
    """About B⁻¹r: the polynomial in D⁻¹B with these roots."""
    first, *others = 1.0 / roots
    x = first * inverse * r
    for a in others:
        x = x + a * inverse * cycle._residual(B, r, x)
    return x


def coarse_cycle(w, levels, operators, smoothers, bottom):
    """(level, residual) -> correction, by the V-cycle from that level down; the direct solve at the last one."""

    def down(k, r):
        if k == len(levels):
            return bottom @ r
        B, level, roots = operators[k], levels[k], jnp.exp(w.roots[min(k, 2)]).astype(r.dtype)
        x = polynomial(*smoothers[k], roots, r)
        coarse = take(down(k + 1, sum_slots(cycle._residual(B, r, x), level.members)), level.aggregate)
        x = x + jnp.exp(w.correction[min(k, 2)]).astype(r.dtype) * coarse
        return x + polynomial(*smoothers[k], roots, cycle._residual(B, r, x))

    return down


def learned_cycle(w: Weights, levels, A: DarcyOperator, dtype=jnp.float32):
    """The V-cycle with these weights, as a preconditioner."""
    unit = jnp.max(A.diagonal)
    T, sink, diagonal = ((x / unit).astype(dtype) for x in (A.transmissibility, A.sink, A.diagonal))
    operators = [DarcyOperator(T, A.neighbor, sink, diagonal)]
    for k, level in enumerate(levels):
        operators.append(coarse_operator(w, operators[-1], level, k))
    bottom = jnp.linalg.inv(cycle._dense(operators[-1])).astype(dtype)
    smoothers = [
        smoothing_operator(w, B, level.aggregate, k)
        for k, (B, level) in enumerate(zip(operators[:-1], levels, strict=True))
    ]
    down = coarse_cycle(w, levels, operators, smoothers, bottom)
    return lambda r: down(0, r.astype(dtype)).astype(r.dtype) / unit


class HalfSweeps(eqx.Module):
    """Weights of half-sweeps; at the start Gauss-Seidel in two colors."""

    omega: Array
    roots: Array
    correction: Array

    @classmethod
    def of(cls, count: int) -> "HalfSweeps":
        return cls(jnp.zeros(count), jnp.log(jnp.tile(jnp.asarray(chebyshev_roots(2)), (3, 1))), jnp.zeros(3))


class Halves(eqx.Module):
    """The finest mesh in two halves, no two volumes of one beside each other."""

    volumes: tuple[Array, Array]
    place: Array
    """of each volume, in the first half and then the second"""
    neighbor: tuple[Array, Array]
    """(sides, half): place of the neighbors in the other half; 0 where there is none"""
    members: Array
    """places of the members of each coarse cell"""

    @classmethod
    def of(cls, A: DarcyOperator, members) -> "Halves":
        """By the parity of the number of faces on the way to a first volume (host)."""
        matrix = A.to_scipy()
        _, first = np.unique(connected_components(matrix, directed=False)[1], return_index=True)
        odd = dijkstra(matrix != 0, unweighted=True, indices=first, min_only=True) % 2 == 1
        row, column = matrix.nonzero()
        assert np.all((odd[row] != odd[column]) | (row == column)), "the mesh does not fall into two halves"
        volumes = np.flatnonzero(~odd), np.flatnonzero(odd)
        place = np.empty(len(odd), int)
        place[np.concatenate(volumes)] = np.arange(len(odd))
        at, there = place[np.asarray(A.neighbor)], np.asarray(A.transmissibility) > 0
        offset = len(volumes[0]), 0
        beside = tuple(np.where(there, at - o, 0)[:, v] for o, v in zip(offset, volumes, strict=True))
        places = cls(volumes, place, beside, np.append(place, len(place))[np.asarray(members)])
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), places)  # half as much to read as with 64 bits


def half_sweeping_cycle(w: HalfSweeps, levels, A: DarcyOperator, halves: Halves, dtype=jnp.float32):
    """The V-cycle with half-sweeps on the finest mesh: over one half, the other, ..., and back after the correction."""
    cells = Multigrid.of(levels, A, dtype=dtype)
    finest, omega, order = cells.operators[0], jnp.exp(w.omega).astype(dtype), range(len(w.omega))
    T = [[take(side, v) for side in finest.transmissibility] for v in halves.volumes]
    diagonal = [take(finest.diagonal, v) for v in halves.volumes]
    where = jnp.concatenate(halves.volumes)
    size, aggregate = len(halves.volumes[0]), take(levels[0].aggregate, where)
    smoothers = [(B, 1.0 / B.diagonal) for B in cells.operators[:-1]]
    down = coarse_cycle(w, levels, cells.operators, smoothers, cells.bottom)

    def pushed(r, x, k):
        """Right-hand side of half k and what the other half pushes into it."""

        def total(_):
            return r[k] + sum(t * take(x[1 - k], j) for t, j in zip(T[k], halves.neighbor[k], strict=True))

        return materialize(total, x[k])

    def swept(r, x, order):
        """(x, what the last half is pushed by)."""
        for k in order:
            g = pushed(r, x, k % 2)
            moved = x[k % 2] + omega[k] * (g / diagonal[k % 2] - x[k % 2])
            x = (moved, x[1]) if k % 2 == 0 else (x[0], moved)
        return x, g

    def finest_down(r):
        r = take(r, halves.volumes[0]), take(r, halves.volumes[1])
        x, g = swept(r, (omega[0] * r[0] / diagonal[0], jnp.zeros_like(r[1])), order[1:])
        given = [g, pushed(r, x, 1)] if order[-1] % 2 == 0 else [pushed(r, x, 0), g]
        left = jnp.concatenate([b - d * y for b, d, y in zip(given, diagonal, x, strict=True)])
        coarse = jnp.exp(w.correction[0]).astype(dtype) * take(down(1, sum_slots(left, halves.members)), aggregate)
        x, _ = swept(r, (x[0] + coarse[:size], x[1] + coarse[size:]), reversed(order))
        return take(jnp.concatenate(x), halves.place)

    return lambda r: finest_down(r.astype(dtype)).astype(r.dtype) / cells.unit


def case(seed: int, volumes: int, *, tets: bool = False, spread: float = 0.5, scar: bool = False):
    """(coarser meshes, operator, halves): a wall or a block with random mobility and sinks, ℓ from 0.6 to 18 mm."""
    rng = np.random.default_rng(seed)
    if tets:
        mesh, _ = mesh_cells(*tetrahedra_in_box(6e-2, round((volumes / 6) ** (1 / 3))))
    else:
        mass = rng.uniform(0.09, 0.16)
        mesh, _ = cut_cells(EllipsoidWall(mass), float(np.cbrt(1.4 * mass / 1050 / volumes)))
    x = np.asarray(mesh.center) / 15e-3
    field = sum(np.cos(x @ rng.normal(size=3) + rng.uniform(0, 6)) for _ in range(4)) / 2
    K = 10.0 ** (2.0 * rng.uniform(-3.2, -1.75)) * CONDUCTANCE * np.exp(spread * field)
    sink = CONDUCTANCE * np.asarray(mesh.volume) * np.exp(spread * np.roll(field, 7))
    if scar:
        sink = np.where(x[:, 2] < np.quantile(x[:, 2], 0.2), 0.0, sink)
    mesh = eqx.tree_at(lambda m: m.faces, mesh, None, is_leaf=lambda x: x is None)
    A = operator(mesh, transmissibility(mesh, jnp.asarray(K)), jnp.asarray(sink))
    return mesh.levels, A, Halves.of(A, mesh.levels[0].members)


def loss(w: Weights | HalfSweeps, levels, A: DarcyOperator, halves, error):
    inverse = cycle_of(w)(levels, A, halves, error.dtype)
    b = A(error)
    x, r, d, rz = jnp.zeros_like(b), b, jnp.zeros_like(b), jnp.ones(())
    for k in range(STEPS_IN_LOSS):
        z = inverse(r)
        new = r @ z
        d = z + (new / rz if k else 0.0) * d
        step = new / (d @ A(d))
        x, r, rz = x + step * d, r - step * A(d), new
    return jnp.log((error - x) @ A(error - x) / (error @ b)) / STEPS_IN_LOSS


def cycle_of(w: Weights | HalfSweeps):
    """(coarser meshes, operator, halves) -> preconditioner."""
    if isinstance(w, HalfSweeps):
        return functools.partial(half_sweeping_cycle, w)
    return lambda levels, A, _, dtype=jnp.float32: learned_cycle(w, levels, A, dtype)


@eqx.filter_jit
def steps_needed(inverse_of, levels, A: DarcyOperator, halves, b):
    return conjugate_gradients(A, inverse_of(levels, A, halves), b, ACCURACY, MOST)[1]


def trained(w, seen, steps: int):
    """The weights after so many steps on these cases and random errors."""
    rule = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(2e-2, steps)))
    state, rng = rule.init(eqx.filter(w, eqx.is_inexact_array)), np.random.default_rng(0)
    slope = eqx.filter_jit(eqx.filter_grad(loss))
    for _ in range(steps):
        levels, A, halves = seen[rng.integers(len(seen))]
        g = slope(w, levels, A, halves, jnp.asarray(rng.normal(size=len(A.sink))))
        update, state = rule.update(g, state)
        w = eqx.apply_updates(w, update)
    return w


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--degrees", type=int, nargs="*", default=[1, 2, 3], help="of the smoothing polynomial")
    parser.add_argument("--half-sweeps", type=int, nargs="*", default=[3, 4], help="before and after the correction")
    parser.add_argument("--json", action="store_true", help="one JSON object only")
    arguments = parser.parse_args()
    seen = [case(0, 2500, spread=1.0), case(2, 4000, scar=True), case(3, 2500, tets=True), case(4, 5000, tets=True)]
    unseen = {
        "wall 2500": case(100, 2500, spread=1.0),
        "wall 10000": case(105, 10_000, spread=1.0),
        "wall 10000, scar": case(103, 10_000, scar=True),
        "wall 10000, rough": case(107, 10_000, spread=1.5),
        "tets 10000": case(108, 10_000, tets=True, spread=1.0),
        "tets 10000, rough": case(109, 10_000, tets=True, spread=1.5),
        "tets 40000": case(110, 40_000, tets=True),
    }
    sides = {n: jnp.asarray(np.random.default_rng(0).normal(size=len(A.sink))) for n, (_, A, _) in unseen.items()}

    def counted(inverse_of):
        return {n: int(steps_needed(inverse_of, *unseen[n], b)) for n, b in sides.items()}

    starts = {}
    for k in sorted({2, *arguments.degrees}):  # 2 is the solver's
        starts[f"degree {k}"] = 2 * k + 1, {"bounds": Weights.of(False, k), "edges": Weights.of(True, k)}
    for k in arguments.half_sweeps:
        starts[f"{k} half-sweeps"] = k + 1, {"weights": HalfSweeps.of(k)}
    found: dict[str, dict] = {}
    by_the_clock = {
        "degree 2": lambda levels, A, _: Multigrid.of(levels, A, degree=2),
        "degree 3": lambda levels, A, _: Multigrid.of(levels, A, degree=3),
    }
    for smoothing, (products, kinds) in starts.items():
        rows = {"unlearned": counted(cycle_of(next(iter(kinds.values()))))}
        for kind, w in kinds.items():
            started = time.perf_counter()
            learned = cycle_of(trained(w, seen, arguments.steps))
            rows[kind] = counted(learned)
            if isinstance(w, HalfSweeps):
                by_the_clock[smoothing] = learned
            jax.clear_caches()  # of programs that nobody calls again
            if not arguments.json:
                print(f"{smoothing}, {kind}: trained in {time.perf_counter() - started:.0f} s", flush=True)
        found[smoothing] = {
            kind: {"steps": sum(row.values()), "products": products * sum(row.values()), "by_case": row}
            for kind, row in rows.items()
        }
    if not arguments.json:
        for smoothing, kinds in found.items():
            for kind, row in kinds.items():
                print(f"{smoothing}, {kind:>9}: {row['steps']} steps, {row['products']} products, {row['by_case']}")
    clock = {name: milliseconds(by_the_clock, unseen[name], sides[name]) for name in ("wall 10000", "tets 40000")}
    print(json.dumps(found | against_the_solver(found) | {"milliseconds": clock}))


def milliseconds(methods: dict, case, b) -> dict[str, float]:
    """Medians of solves in turn."""
    taken: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(26):
        for name, inverse_of in methods.items():
            started = time.perf_counter()
            steps_needed(inverse_of, *case, b).block_until_ready()
            taken[name].append(1e3 * (time.perf_counter() - started))
    return {name: round(statistics.median(times[1:]), 2) for name, times in taken.items()}


def against_the_solver(found: dict) -> dict:
    """Steps of the solver's cycle, and the fewest with learned weights at no more products in each."""
    before = found["degree 2"]["unlearned"]
    learned = [row for kinds in found.values() for kind, row in kinds.items() if kind != "unlearned"]
    best = min(
        (row for row in learned if row["products"] / row["steps"] <= before["products"] / before["steps"]),
        key=lambda row: row["steps"],
    )
    every = [k for kinds in found.values() for row in kinds.values() for k in row["by_case"].values()]
    return {
        "iterations_before": before["steps"],
        "iterations_after": best["steps"],
        "saved": round(1.0 - best["steps"] / before["steps"], 3),
        "diverged": sum(k >= MOST for k in every),
    }


if __name__ == "__main__":
    main()
