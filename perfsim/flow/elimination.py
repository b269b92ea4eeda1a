"""Exact solution of symmetric systems on a forest, leaf to root and back.

The matrix is the graph Laplacian of the chains (conductance g) plus a diagonal d ≥ 0, with some nodes held fixed.
Eliminating the far node n of chain c, whose own diagonal and children sum to s, leaves at its near node the
series conductance g s/(g + s); the ratio r = g/(g + s) carries right-hand sides up and solutions down. No fill
appears, no subtraction either, so every pivot is accurate to round-off.
"""

from perfsim.network import Forest

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Factor(eqx.Module):
    """Pivots of one elimination. The last entry of each per-chain array stands for the padding chain."""

    ratio: Float[Array, " entries"]
    inverse: Float[Array, "..."]
    root_inverse: Float[Array, " roots"]


def factor(
    forest: Forest,
    conductance: Float[Array, " chains"],
    diagonal: Float[Array, " contracted"],
    fixed: Bool[Array, " contracted"],
) -> Factor:
    """Eliminate from the leaves to the roots; `fixed` nodes have zero correction."""
    g = jnp.append(conductance, 0.0)
    chains, roots = forest.chains, forest.roots

    def level(carry, c):
        ratio, inverse, series = carry
        node = jnp.minimum(roots + c, roots + chains - 1)
        below = forest.children[node]
        s = diagonal[node] + jnp.sum(series[below], axis=1)
        real = c < chains
        pivot = jnp.where(real, g[c] + s, 1.0)
        free = real & ~fixed[node]
        ratio = ratio.at[c].set(jnp.where(free, g[c] / pivot, 0.0))
        inverse = inverse.at[c].set(jnp.where(free, 1.0 / pivot, 0.0))
        series = series.at[c].set(jnp.where(free, g[c] * s / pivot, g[c]))
        return (ratio, inverse, series), None

    empty = jnp.zeros(chains + 1, g.dtype)
    (ratio, inverse, series), _ = jax.lax.scan(level, (empty, empty, empty), forest.levels, reverse=True)
    s = diagonal[:roots] + jnp.sum(series[forest.children[:roots]], axis=1)
    return Factor(ratio, inverse, jnp.where(fixed[:roots], 0.0, 1.0 / jnp.where(fixed[:roots], 1.0, s)))


def gather(forest: Forest, up: Factor, rhs: Float[Array, " contracted"]) -> tuple[Array, Array]:
    """Carry a right-hand side to the roots: its eliminated values at the chains' far nodes (padded), and the roots."""
    roots, chains = forest.roots, forest.chains

    def level(y, c):
        node = jnp.minimum(roots + c, roots + chains - 1)
        below = forest.children[node]
        return y.at[c].set(jnp.where(c < chains, rhs[node] + jnp.sum(up.ratio[below] * y[below], axis=1), 0.0)), None

    y, _ = jax.lax.scan(level, jnp.zeros(chains + 1, rhs.dtype), forest.levels, reverse=True)
    below = forest.children[:roots]
    return y, rhs[:roots] + jnp.sum(up.ratio[below] * y[below], axis=1)


def solve(forest: Forest, up: Factor, rhs: Float[Array, " contracted"]) -> Float[Array, " contracted"]:
    """Solve the factored system for one right-hand side."""
    y, at_root = gather(forest, up, rhs)
    return _descend(forest, at_root * up.root_inverse, up.ratio, up.inverse * y)


def subtree_sum(forest: Forest, at_node: Float[Array, " contracted"]) -> tuple[Array, Array]:
    """Sum of a nodal quantity over everything at and below each chain's far node, and below each root."""
    dtype = at_node.dtype
    ones = jnp.ones(forest.chains + 1, dtype).at[-1].set(0.0)
    one = Factor(ones, jnp.zeros(0, dtype), jnp.zeros(forest.roots, dtype))
    y, at_root = gather(forest, one, at_node)
    return y[:-1], at_root


def path_sum(
    forest: Forest, at_root: Float[Array, " roots"], along: Float[Array, " chains"]
) -> Float[Array, " contracted"]:
    """At every node the value at its root plus the sum of a chain quantity along the path from there."""
    return _descend(forest, at_root, jnp.ones(forest.chains + 1, along.dtype), jnp.append(along, 0.0))


def _descend(forest: Forest, at_root, ratio, more) -> Float[Array, " contracted"]:
    """x at every node: as given at the roots, ratio · x above + more at the far end of each chain (both padded)."""
    roots = forest.roots
    x, parent = jnp.concatenate([at_root, jnp.zeros(forest.chains + 1, at_root.dtype)]), jnp.append(forest.parent, 0)

    def level(x, c):
        return x.at[roots + c].set(more[c] + ratio[c] * x[parent[c]]), None

    x, _ = jax.lax.scan(level, x, forest.levels)
    return x[:-1]
