"""The tissue alone: pressures that balance given sources."""

from perfsim.darcy.corrected import CorrectedOperator, correction
from perfsim.darcy.krylov import conjugate_gradients, gmres
from perfsim.darcy.multigrid import Multigrid
from perfsim.darcy.operator import FiniteVolumes, operator, transmissibility
from perfsim.darcy.volumes import ControlVolumes

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


@eqx.filter_jit
def solve(
    volumes: ControlVolumes,
    K: Float[Array, " volumes"] | Float[Array, "volumes 3 3"],
    sink: Float[Array, " volumes"],
    load: Float[Array, " volumes"],
    *,
    method: FiniteVolumes | None = None,
    rtol: float = 1e-12,
    max_steps: int = 500,
) -> tuple[Float[Array, " volumes"], Int[Array, ""]]:
    """(pressure [Pa], iterations) of -∇·K∇p V + σ p = f, no flux through the surface.

    Differentiable in K, sink and load in both modes: the derivative is one more solve with the same operator.
    Arguments: mobility K [m²/(Pa·s)], a scalar or a tensor per volume, `sink` σ and `load` f of each volume
    [m³/(Pa·s)] and [m³/s], the relative flow imbalance Σ|r|/Σ|f| to reach. Somewhere the sink must be positive. On a
    mesh with `faces` the flux is the corrected one unless `method` says otherwise, and the derivative is a solve with
    the transposed operator.
    """
    method = FiniteVolumes() if method is None else method
    T = transmissibility(volumes, K)
    A = operator(volumes, T, sink)
    frozen = jax.lax.stop_gradient(A)
    dtype = jnp.float32 if method.single else load.dtype
    inverse = Multigrid.of(volumes.levels, frozen, degree=method.smoothing(volumes), dtype=dtype)
    if not method.corrects(volumes):
        return jax.lax.custom_linear_solve(
            A, load, lambda _, b: conjugate_gradients(frozen, inverse, b, rtol, max_steps), symmetric=True, has_aux=True
        )

    def krylov(matvec, b):
        return gmres(matvec, inverse, b, rtol, max_steps)

    whole = CorrectedOperator(A, correction(volumes, K, T))
    return jax.lax.custom_linear_solve(whole, load, krylov, krylov, has_aux=True)
