"""The two-point finite-volume operator -∇·(K∇p) + σp on control volumes."""

from perfsim.darcy.columns import take
from perfsim.darcy.volumes import ControlVolumes

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int


class FiniteVolumes(eqx.Module):
    """The numerical tissue solver: two-point fluxes, multigrid with Chebyshev smoothing of a given degree."""

    degree: int = eqx.field(static=True, default=2)
    single: bool = eqx.field(static=True, default=True)
    """the preconditioner works in single precision; the solution does not"""


class DarcyOperator(eqx.Module):
    """(A p)_i = Σ_j T_ij (p_i - p_j) + σ_i p_i with T_ij ≥ 0: symmetric, and an M-matrix where σ > 0 somewhere."""

    transmissibility: Float[Array, "sides volumes"]
    neighbor: Int[Array, "sides volumes"]
    sink: Float[Array, " volumes"]
    diagonal: Float[Array, " volumes"]

    def __call__(self, p: Float[Array, " volumes"]) -> Float[Array, " volumes"]:
        out = self.diagonal * p
        for T, j in zip(self.transmissibility, self.neighbor, strict=True):
            out = out - T * take(p, j)
        return out

    def to_scipy(self) -> sp.csr_matrix:
        """The matrix, for other solvers (host)."""
        T, j, n = np.asarray(self.transmissibility), np.asarray(self.neighbor), len(self.sink)
        there = T > 0
        row = np.broadcast_to(np.arange(n), T.shape)
        off = sp.coo_matrix((-T[there], (row[there], j[there])), (n, n)).tocsr()
        return (off + sp.diags(np.asarray(self.sink) - np.asarray(off.sum(1)).ravel())).tocsr()


def transmissibility(volumes: ControlVolumes, K: Float[Array, " volumes"]) -> Float[Array, "sides volumes"]:
    """T = (area/distance) · harmonic mean of the mobilities K [m²/(Pa·s)] → [m³/(Pa·s)], the same from both sides."""
    beside = jnp.stack([take(K, j) for j in volumes.neighbor])
    total = K + beside
    return volumes.conductor * 2.0 * (K * beside) / jnp.where(total == 0, 1.0, total)  # two scars exchange nothing


def operator(
    volumes: ControlVolumes, T: Float[Array, "sides volumes"], sink: Float[Array, " volumes"]
) -> DarcyOperator:
    """The operator with coefficients T and drainage `sink` per volume, in one unit of conductance."""
    return DarcyOperator(T, volumes.neighbor, sink, jnp.sum(T, axis=0) + sink)
