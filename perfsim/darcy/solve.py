"""The tissue alone: pressures that balance given sources."""

from perfsim._outcome import is_traced, poison, worst_of
from perfsim._results import RESULTS, SimulationError
from perfsim.darcy.corrected import CorrectedOperator, correction
from perfsim.darcy.krylov import LinearSolve, conjugate_gradients, gmres
from perfsim.darcy.multigrid import Multigrid
from perfsim.darcy.operator import FiniteVolumes, operator, transmissibility
from perfsim.darcy.volumes import ControlVolumes

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class SolveInfo(eqx.Module):
    """What a tissue solve did."""

    result: Int[Array, ""]
    """a value of `RESULTS`"""
    steps: Int[Array, ""]
    """number of Krylov steps"""
    imbalance: Float[Array, ""]
    """Σ|r| over Σ|f|, as far as it exceeds the rounding of each volume"""


def solve(
    volumes: ControlVolumes,
    K: Float[Array, " volumes"] | Float[Array, "volumes 3 3"],
    sink: Float[Array, " volumes"],
    load: Float[Array, " volumes"],
    *,
    method: FiniteVolumes | None = None,
    rtol: float = 1e-12,
    max_steps: int = 500,
    throw: bool = True,
) -> tuple[Float[Array, " volumes"], SolveInfo]:
    """Solve -∇·K∇p V + σ p = f for the pressure, without flux through the surface.

    Differentiable in K, sink and load in both modes: the derivative is one more solve with the same operator, and to
    the same tolerance. On a mesh with `faces` the flux is the corrected one unless `method` says otherwise, and the
    derivative is a solve with the transposed operator.

    Arguments: mobility K [m²/(Pa·s)], a scalar or a tensor per volume; `sink` σ of each volume [m³/(Pa·s)], none
    negative, one positive; `load` f of each volume [m³/s]; `rtol` relative flow imbalance Σ|r|/Σ|f| to reach, beyond
    what rounding does; `max_steps` maximum number of Krylov steps; `throw=False` returns the last iterate of a solve
    that fails.

    Returns (pressure [Pa], `SolveInfo`). Raises `SimulationError` for a solve that fails; under jit, grad and vmap its
    pressures and derivatives are NaN instead.
    """
    method = FiniteVolumes() if method is None else method
    p, info = _solve(volumes, K, sink, load, method, jnp.asarray(rtol), jnp.asarray(max_steps), throw)
    if throw and not is_traced((p, info)):
        result = RESULTS(int(info.result))
        if result is not RESULTS.successful:
            detail = f"flow imbalance {float(info.imbalance):.1e} after {int(info.steps)} steps"
            raise SimulationError(f"{result.message} ({detail})", (p, info))
    return p, info


@eqx.filter_jit
def _solve(volumes, K, sink, load, method: FiniteVolumes, rtol, max_steps, throw: bool):
    T = transmissibility(volumes, K)
    A = operator(volumes, T, sink)
    frozen = jax.lax.stop_gradient(A)
    dtype = jnp.float32 if method.single else load.dtype
    inverse = Multigrid.of(volumes.levels, frozen, degree=method.smoothing(volumes), dtype=dtype)
    drained = jnp.all(sink >= 0) & jnp.any(sink > 0)
    whole = CorrectedOperator(A, correction(volumes, K, T)) if method.corrects(volumes) else A
    fixed = jax.lax.stop_gradient(whole)

    def checked(matvec, b, krylov):
        """(x, what the solve did), for the value and for every derivative."""
        found: LinearSolve = krylov(matvec, inverse, b, rtol, max_steps)
        asked = jnp.sum(jnp.abs(b))
        left, rounding = jnp.abs(b - matvec(found.x)), fixed.rounding(found.x) + _ulp(b)
        beyond = jnp.where(left <= rounding, 0.0, left - rounding)
        imbalance = jnp.sum(beyond) / jnp.where(asked == 0, 1.0, asked)
        ended = jnp.where(imbalance <= rtol, RESULTS.successful, RESULTS.linear_not_converged)
        ended = jnp.where(jnp.isfinite(imbalance), ended, RESULTS.not_finite)
        info = SolveInfo(worst_of(ended, jnp.where(drained, 0, RESULTS.not_drained)), found.steps, imbalance)
        return (poison(found.x, info.result != RESULTS.successful) if throw else found.x), info

    if whole is A:
        return jax.lax.custom_linear_solve(
            A, load, lambda _, b: checked(frozen, b, conjugate_gradients), symmetric=True, has_aux=True
        )

    def krylov(matvec, b):
        return checked(matvec, b, gmres)

    return jax.lax.custom_linear_solve(whole, load, krylov, krylov, has_aux=True)


def _ulp(b):
    return 4.0 * jnp.finfo(b.dtype).eps * jnp.abs(b)
