"""Can learned weights make the V-cycle converge in fewer steps for the same work? Trained on small meshes and random
fields, tested on others, larger ones, tetrahedra, scars.

Learned are, for each degree of the smoothing polynomial, at the same number of passes over the mesh as the cycle in
`darcy.multigrid` makes:

bounds    the interval of the Chebyshev smoothing and the size of the coarse correction, by level
edges     these; factors on the faces, sinks and diagonals of the operator that smooths, and on coarse faces and sinks,
          by a small network of what is known locally (share of the diagonal, same aggregate, sinks, number of faces)

All of it is linear in the residual and symmetric, so that conjugate gradients stay valid. The loss is the logarithm of
the energy of the error after eight steps of them. A step takes 2·degree + 1 products with the matrix: `products` are
what a method needs of them in all.
"""

import argparse
import itertools
import json
import time

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

    def smoothed(k, r):
        B, inverse = smoothers[k]
        first, *others = 1.0 / jnp.exp(w.roots[min(k, 2)]).astype(dtype)
        x = first * inverse * r
        for a in others:
            x = x + a * inverse * (r - B(x))
        return x

    def down(k, r):
        if k == len(levels):
            return bottom @ r
        x = smoothed(k, r)
        coarse = take(down(k + 1, sum_slots(r - operators[k](x), levels[k].members)), levels[k].aggregate)
        x = x + jnp.exp(w.correction[min(k, 2)]).astype(dtype) * coarse
        return x + smoothed(k, r - operators[k](x))

    return lambda r: down(0, r.astype(dtype)).astype(r.dtype) / unit


def case(seed: int, volumes: int, *, tets: bool = False, spread: float = 0.5, scar: bool = False):
    """(coarser meshes, operator): a wall or a block with random mobility and sinks, ℓ from 0.6 to 18 mm."""
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
    return mesh.levels, operator(mesh, transmissibility(mesh, jnp.asarray(K)), jnp.asarray(sink))


def loss(w: Weights, levels, A: DarcyOperator, error):
    inverse = learned_cycle(w, levels, A, error.dtype)
    b = A(error)
    x, r, d, rz = jnp.zeros_like(b), b, jnp.zeros_like(b), jnp.ones(())
    for k in range(STEPS_IN_LOSS):
        z = inverse(r)
        new = r @ z
        d = z + (new / rz if k else 0.0) * d
        step = new / (d @ A(d))
        x, r, rz = x + step * d, r - step * A(d), new
    return jnp.log((error - x) @ A(error - x) / (error @ b)) / STEPS_IN_LOSS


@eqx.filter_jit
def steps_needed(inverse_of, levels, A: DarcyOperator, b):
    return conjugate_gradients(A, inverse_of(levels, A), b, ACCURACY, MOST)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--degrees", type=int, nargs="*", default=[1, 2, 3], help="of the smoothing polynomial")
    parser.add_argument("--json", action="store_true", help="one JSON object only")
    arguments = parser.parse_args()
    cycle._fenced = lambda f, x, neighbor: f(x)  # a loop of unknown length has no reverse mode
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
    sides = {n: jnp.asarray(np.random.default_rng(0).normal(size=len(A.sink))) for n, (_, A) in unseen.items()}

    def counted(inverse_of):
        return {n: int(steps_needed(inverse_of, *unseen[n], b)) for n, b in sides.items()}

    found = {}
    for degree in arguments.degrees:
        found[degree, "unlearned"] = counted(lambda levels, A, k=degree: Multigrid.of(levels, A, degree=k))
    for degree, (kind, local) in itertools.product(arguments.degrees, (("bounds", False), ("edges", True))):
        started, w = time.perf_counter(), Weights.of(local, degree)
        rule = optax.chain(
            optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(2e-2, arguments.steps))
        )
        state, rng = rule.init(eqx.filter(w, eqx.is_inexact_array)), np.random.default_rng(0)
        slope = eqx.filter_jit(eqx.filter_grad(loss))
        for _ in range(arguments.steps):
            levels, A = seen[rng.integers(len(seen))]
            g = slope(w, levels, A, jnp.asarray(rng.normal(size=len(A.sink))))
            update, state = rule.update(g, state)
            w = eqx.apply_updates(w, update)
        found[degree, kind] = counted(lambda levels, A, w=w: learned_cycle(w, levels, A))
        if not arguments.json:
            print(f"degree {degree}, {kind}: trained in {time.perf_counter() - started:.0f} s", flush=True)
    if not arguments.json:
        for (degree, kind), row in found.items():
            print(f"degree {degree}, {kind:>9}: {row}")
    in_all = {method: sum(row.values()) for method, row in found.items()}
    learned = {method: steps for method, steps in in_all.items() if method[1] != "unlearned"}
    saved = {(k, kind): round(1.0 - steps / in_all[k, "unlearned"], 3) for (k, kind), steps in learned.items()}
    products = {(k, kind): (2 * k + 1) * steps for (k, kind), steps in in_all.items()}

    def by_name(values: dict) -> dict:
        return {f"degree {degree}, {kind}": value for (degree, kind), value in values.items()}

    print(
        json.dumps(
            {
                "iterations_before": {f"degree {k}": in_all[k, "unlearned"] for k in arguments.degrees},
                "iterations_after": by_name(learned),
                "saved": by_name(saved),
                "products": by_name(products),
                "diverged": sum(k >= MOST for row in found.values() for k in row.values()),
                "by_case": by_name(found),
            }
        )
    )


if __name__ == "__main__":
    main()
