"""How wrong a pressure field can be: a bound on the algebraic error of the two-point system, proved, not estimated.

The operator A is an M-matrix: A⁻¹ ≥ 0 entry by entry. With the residual r = f - A p, the error e = A⁻¹f - p and any
w > 0 with A w > 0,

    |e_i| ≤ (A⁻¹|r|)_i ≤ w_i · max_j |r_j| / (A w)_j.

The best w is A⁻¹|r| itself; a few steps of conjugate gradients come close. One V-cycle on the residual first, δ ≈ A⁻¹r,
leaves only |e - δ| to be bounded. What rounding does to the computed residuals is added: each is a sum of n products,
off by at most n ε times the sum of their magnitudes.
"""

from perfsim.darcy.krylov import conjugate_gradients
from perfsim.darcy.multigrid import Multigrid
from perfsim.darcy.operator import DarcyOperator

import jax.numpy as jnp
from jaxtyping import Array, Float

CLOSE, STEPS = 1e-3, 40
"""to the best w, in the 1-norm; and steps of conjugate gradients at most"""
FLOOR = 0.05
"""of the mean residual per diagonal that is added to each, so that no component of A w is left to chance"""


def error_bound(
    A: DarcyOperator, inverse: Multigrid, p: Float[Array, " volumes"], load: Float[Array, " volumes"]
) -> Float[Array, " volumes"]:
    """A bound on |p - A⁻¹ load| in each volume, whatever p is; infinite where none can be proved.

    `inverse` only makes it sharp: the bound holds for any. Not a statement about the mesh, or the model.
    """
    better = p + inverse(load - A(p))
    left = jnp.abs(load - A(better)) + _rounding(A, better, load)
    w = conjugate_gradients(A, inverse, raised(A, left), CLOSE, STEPS).x
    bounds = jnp.stack([_scaled(A, v, left) for v in (w, jnp.ones_like(w))])
    moved = jnp.abs(better - p)
    return jnp.min(bounds, axis=0) + moved * (1.0 + 4.0 * jnp.finfo(p.dtype).eps)


def raised(A: DarcyOperator, left: Float[Array, " volumes"]) -> Float[Array, " volumes"]:
    """The residual with a little everywhere, for which w = A⁻¹(that) has A w > 0 for certain."""
    return left + FLOOR * A.diagonal * jnp.sum(left) / jnp.sum(A.diagonal)


def _scaled(A: DarcyOperator, w, left):
    """w_i max_j left_j / (A w)_j, or infinity where w or A w is not positive for certain."""
    pushed = A(w) - _rounding(A, w, jnp.zeros_like(w))
    valid = jnp.all(w > 0) & jnp.all(pushed > 0)
    worst = jnp.max(left / jnp.where(pushed > 0, pushed, 1.0))
    return jnp.where(valid, w * worst * (1.0 + 8.0 * jnp.finfo(w.dtype).eps), jnp.inf)


def _rounding(A: DarcyOperator, p, load):
    """What the floating-point value of load - A p may be off by."""
    return A.rounding(p) + (A.neighbor.shape[0] + 4) * jnp.finfo(p.dtype).eps * jnp.abs(load)
