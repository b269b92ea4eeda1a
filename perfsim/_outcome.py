"""Outcomes inside compiled code: how they combine, and how a failed solve is kept from being used.

One contract for the whole package. On the host a solve that fails raises `SimulationError`. Under `jit`, `grad` and
`vmap`, where nothing can be raised, all floating-point results of a failed solve are NaN, and so are their derivatives.
With `throw=False` the last iterate is returned with its result.
"""

from typing import TypeVar

from perfsim._results import RESULTS

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

Tree = TypeVar("Tree")


def worst_of(*results: Int[Array, ""] | RESULTS) -> Int[Array, ""]:
    """Combine outcomes: the largest code counts."""
    worst = jnp.asarray(results[0], int)
    for other in results[1:]:
        worst = jnp.maximum(worst, jnp.asarray(other, int))
    return worst


def poison(tree: Tree, failed: Bool[Array, ""]) -> Tree:
    """Make all floats of a failed solve NaN, and with them every derivative (a product with NaN, no choice)."""
    factor = jnp.where(failed, jnp.nan, 1.0)
    return jax.tree.map(lambda x: x * factor.astype(x.dtype) if eqx.is_inexact_array(x) else x, tree)


def is_traced(tree) -> bool:
    """Whether any array of a pytree is being traced (under jit, grad or vmap) and has no value yet."""
    try:
        for leaf in jax.tree.leaves(tree):
            if isinstance(leaf, jax.Array):
                leaf.devices()
    except jax.errors.ConcretizationTypeError:
        return True
    return False
