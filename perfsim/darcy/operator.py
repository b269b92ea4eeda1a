"""The two-point finite-volume operator -∇·(K∇p) + σp on control volumes."""

from perfsim._results import InputError
from perfsim.darcy.columns import across, rows, sum_rows, take
from perfsim.darcy.volumes import ControlVolumes

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float, Int


class FiniteVolumes(eqx.Module):
    """The numerical tissue solver: which fluxes, and the multigrid that preconditions."""

    corrected: bool | None = eqx.field(static=True, default=None)
    """add to the two-point flux what it misses (see `corrected`). None: wherever the mesh has `faces`"""
    degree: int | None = eqx.field(static=True, default=None)
    """of the Chebyshev smoothing. None: 2 on grids, 3 on other meshes, 6 under the dearer corrected flux"""
    single: bool = eqx.field(static=True, default=True)
    """the preconditioner works in single precision; the solution does not"""

    def corrects(self, volumes: ControlVolumes) -> bool:
        """Whether fluxes on this mesh are corrected. Raises `InputError` where they cannot be."""
        if self.corrected and volumes.faces is None:
            raise InputError(
                "this mesh has no faces to correct fluxes on: build it with faces=True, or by `mesh_cells`"
            )
        return volumes.faces is not None if self.corrected is None else self.corrected

    def smoothing(self, volumes: ControlVolumes) -> int:
        """The degree on this mesh."""
        on_faces = 6 if self.corrects(volumes) else 3
        return self.degree or (2 if volumes.faces is None else on_faces)


class DarcyOperator(eqx.Module):
    """(A p)_i = Σ_j T_ij (p_i - p_j) + σ_i p_i with T_ij ≥ 0: symmetric, and an M-matrix where σ > 0 somewhere."""

    transmissibility: Float[Array, "sides volumes"]
    neighbor: Int[Array, "sides volumes"]
    sink: Float[Array, " volumes"]
    diagonal: Float[Array, " volumes"]

    def __call__(self, p: Float[Array, " volumes"]) -> Float[Array, " volumes"]:
        out = self.diagonal * p
        for T, j in zip(rows(self.transmissibility), self.neighbor, strict=True):
            out = out - T * take(p, j)
        return out

    def rounding(self, p: Float[Array, " volumes"]) -> Float[Array, " volumes"]:
        """How far floating point may be off in each entry of A p: (sides + 4) round-offs of Σ_j T_ij (|p_i| + |p_j|) +
        σ_i |p_i|.
        """
        size = jnp.abs(p)
        terms = self.neighbor.shape[0] + 4
        return terms * jnp.finfo(p.dtype).eps * (2.0 * self.diagonal * size - self(size))

    def to_scipy(self) -> "scipy.sparse.csr_matrix":
        """The matrix, for other solvers (host)."""
        T, j, n = np.asarray(self.transmissibility), np.asarray(self.neighbor), len(self.sink)
        there = T > 0
        row = np.broadcast_to(np.arange(n), T.shape)
        off = scipy.sparse.coo_matrix((-T[there], (row[there], j[there])), (n, n)).tocsr()
        return (off + scipy.sparse.diags(np.asarray(self.sink) - np.asarray(off.sum(1)).ravel())).tocsr()


def transmissibility(
    volumes: ControlVolumes, K: Float[Array, " volumes"] | Float[Array, "volumes 3 3"]
) -> Float[Array, "sides volumes"]:
    """T = (area/distance) · harmonic mean of the mobilities along the normal [m²/(Pa·s)] → [m³/(Pa·s)], the same from
    both sides. Raises `InputError` for a tensor on a mesh without `faces`.
    """
    if K.ndim == 1:
        own = jnp.stack([K] * volumes.neighbor.shape[0])  # unlike a broadcast's, its transpose is a sum of rows
    elif volumes.faces is None:
        raise InputError("a permeability tensor needs a mesh with faces: build it with faces=True, or by `mesh_cells`")
    else:
        own = _along_normals(volumes, K)
    return volumes.conductor * _harmonic_mean(own, volumes.twin)


@jax.custom_jvp
def _harmonic_mean(own: Float[Array, "sides volumes"], twin: Int[Array, "sides volumes"]):
    """m = 2ab/(a + b) of both sides of each face, 0 where both are: two scars exchange nothing.

    The derivative dm = w da + Pw da with w = 2b²/(a + b)², P as in `across`, says what the rules for products and
    quotients do not know: what comes from the other side is the same term seen from there. Backward, P thus takes what
    m was weighted by before anything else is multiplied.
    """
    other = across(own, twin)
    return 2.0 * own * other / _or_one(own + other)


@_harmonic_mean.defjvp
def _(x, dx):
    own, twin = x
    other = across(own, twin)
    per_total = 1.0 / _or_one(own + other)
    half = 2.0 * (other * per_total) ** 2 * dx[0]
    return 2.0 * own * other * per_total, half + across(half, twin)


def _or_one(total):
    return jnp.where(total == 0, 1.0, total)


def _along_normals(volumes: ControlVolumes, K) -> Float[Array, "sides volumes"]:
    """n·Kn of each volume at each of its faces."""
    out = []
    for A in jnp.moveaxis(volumes.faces.area, 1, 0):
        square = jnp.sum(A**2, axis=0)
        unit = A / jnp.sqrt(jnp.where(square == 0, 1.0, square))
        out.append(jnp.sum(unit * times(K, unit), axis=0))
    return jnp.stack(out)


def beside(x: Float[Array, "volumes ..."], j: Int[Array, " volumes"]) -> Float[Array, "volumes ..."]:
    """Rows of the neighbors, one column at a time."""
    columns = x.reshape(x.shape[0], -1).T
    return jnp.stack([take(c, j) for c in columns], axis=1).reshape(x.shape)


def times(K: Float[Array, " volumes"] | Float[Array, "volumes 3 3"], A: Float[Array, "3 volumes"]):
    """K A by volume, K a scalar or a tensor."""
    return K * A if K.ndim == 1 else jnp.einsum("nab,bn->an", K, A)


def operator(
    volumes: ControlVolumes, T: Float[Array, "sides volumes"], sink: Float[Array, " volumes"]
) -> DarcyOperator:
    """The operator with coefficients T and drainage `sink` per volume, in one unit of conductance."""
    return DarcyOperator(T, volumes.neighbor, sink, sum_rows(T) + sink)
