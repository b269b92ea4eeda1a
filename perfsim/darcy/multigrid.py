"""Multigrid by geometric aggregation: one V-cycle as a preconditioner, however far flow goes."""

from functools import partial

from perfsim._fences import materialize
from perfsim.darcy.coarsening import Coarsening
from perfsim.darcy.columns import sum_rows, sum_slots, take
from perfsim.darcy.operator import DarcyOperator

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LOWEST, HIGHEST = 0.5, 1.95
"""eigenvalues of D⁻¹A, which lie in (0, 2), that smoothing is made for; coarser meshes see the lower ones"""


class Multigrid(eqx.Module):
    """An approximate inverse of a `DarcyOperator`: symmetric, positive definite, made anew as coefficients change.

    A coarse face carries Σ T d/D of its faces, d the distance of the cells beside each and D that of the coarse cells:
    the two-point operator of the coarse mesh. (The Galerkin operator PᵀAP of constant prolongation lacks d/D, is twice
    as stiff, and corrects half as much.) Chebyshev smoothing before and after, a direct solve at the bottom; single
    precision suffices.
    """

    operators: tuple[DarcyOperator, ...]
    levels: tuple[Coarsening, ...]
    bottom: Float[Array, "n n"]
    unit: Float[Array, ""]
    """coefficients are in units of the largest diagonal entry, for single precision ends at 1e-38"""
    degree: int = eqx.field(static=True)

    @classmethod
    def of(cls, levels: tuple[Coarsening, ...], A: DarcyOperator, *, degree: int = 2, dtype=jnp.float32) -> "Multigrid":
        """For an operator A on a mesh with the coarser `levels`; `degree` of the smoothing polynomial."""
        unit = jnp.max(A.diagonal)
        T, sink, diagonal = ((x / unit).astype(dtype) for x in (A.transmissibility, A.sink, A.diagonal))
        operators = [DarcyOperator(T, A.neighbor, sink, diagonal)]
        for level in levels:
            operators.append(coarser(operators[-1], level))
        bottom = jnp.linalg.inv(_dense(operators[-1])).astype(dtype)
        return cls(tuple(operators), levels, bottom, unit, degree)

    def __call__(self, rhs: Float[Array, " volumes"]) -> Float[Array, " volumes"]:
        """About A⁻¹ rhs."""
        x = self._cycle(0, rhs.astype(self.bottom.dtype))
        return x.astype(rhs.dtype) / self.unit

    def _cycle(self, k: int, rhs):
        if k == len(self.levels):
            return self.bottom @ rhs
        A, level = self.operators[k], self.levels[k]
        x = smooth(A, rhs, None, self.degree)
        coarse = self._cycle(k + 1, sum_slots(_residual(A, rhs, x), level.members))
        return smooth(A, rhs, x + take(coarse, level.aggregate), self.degree)


def coarser(A: DarcyOperator, level: Coarsening) -> DarcyOperator:
    """The operator one level up."""
    fine, stretch = A.transmissibility.ravel(), level.stretch.astype(A.sink.dtype)
    T = jnp.zeros(level.bundle.shape[1], A.sink.dtype)
    for weight, side in zip(stretch, level.bundle, strict=True):
        T = T + weight * take(fine, side)
    T = jnp.append(T, jnp.zeros(1, T.dtype))
    sides, sink = jnp.stack([take(T, f) for f in level.face]), sum_slots(A.sink, level.members)
    return DarcyOperator(sides, level.neighbor, sink, sum_rows(sides) + sink)


@partial(jax.jit, static_argnames="degree")  # traced once a mesh, not once for each place it stands in a program
def smooth(A: DarcyOperator, rhs, x, degree: int):
    """Improve x (None: zero) for A x = rhs by the Chebyshev polynomial in D⁻¹A for [LOWEST, HIGHEST]."""
    middle, half = 0.5 * (HIGHEST + LOWEST), 0.5 * (HIGHEST - LOWEST)
    empty = A.diagonal == 0  # a coarse cell without members, of a padded mesh
    inverse = jnp.where(empty, 0.0, 1.0 / jnp.where(empty, 1.0, A.diagonal))
    step = inverse * (rhs if x is None else _residual(A, rhs, x)) / middle
    x = step if x is None else x + step
    rho = half / middle
    for _ in range(degree - 1):
        following = 1.0 / (2.0 * middle / half - rho)
        step = following * rho * step + 2.0 * following / half * inverse * _residual(A, rhs, x)
        x, rho = x + step, following
    return x


@jax.jit
def _residual(A: DarcyOperator, rhs, x):
    """rhs - A x, once: each neighbor gathers from it, and theirs again."""
    return materialize(lambda y: rhs - A(y), x)


def _dense(A: DarcyOperator):
    """The matrix, in double precision where there is one; what drains nowhere is held by a billionth."""
    n = A.diagonal.shape[0]
    row = jnp.arange(n)
    M = jnp.diag(jnp.where(A.diagonal == 0, 1.0, A.diagonal.astype(float) * (1.0 + 1e-9)))
    for T, j in zip(A.transmissibility, A.neighbor, strict=True):
        M = M.at[row, j].add(-T.astype(float))
    return M
