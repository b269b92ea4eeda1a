"""The two-point finite-volume operator -∇·(K∇p) + σp on control volumes."""

from perfsim.darcy.volumes import ControlVolumes

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class FiniteVolumes(eqx.Module):
    """The numerical tissue solver: two-point fluxes, Chebyshev polynomial of the given degree as preconditioner."""

    degree: int = eqx.field(static=True, default=3)


class DarcyOperator(eqx.Module):
    """(A p)_i = Σ_j T_ij (p_i - p_j) + σ_i p_i with T_ij ≥ 0: symmetric, and an M-matrix where σ > 0 somewhere."""

    transmissibility: Float[Array, "volumes sides"]
    neighbor: Int[Array, "volumes sides"]
    sink: Float[Array, " volumes"]
    diagonal: Float[Array, " volumes"]

    def __call__(self, p: Float[Array, " volumes"]) -> Float[Array, " volumes"]:
        across = jnp.append(p, 0.0)[self.neighbor]
        return self.diagonal * p - jnp.sum(self.transmissibility * across, axis=1)

    def smooth(self, rhs: Float[Array, " volumes"], degree: int) -> Float[Array, " volumes"]:
        """Chebyshev approximation of A⁻¹ rhs: a fixed, symmetric positive definite polynomial in D⁻¹A.

        By Gershgorin the eigenvalues of D⁻¹A lie between θ = min σ_i/D_i and 2 - θ. Where nothing drains (θ = 0)
        the polynomial acts on [0.05, 1.95] and stays positive below.
        """
        theta = jnp.clip(jnp.min(self.sink / self.diagonal), 0.05, 0.999)
        half = 1.0 - theta  # the interval is 1 ± half
        inverse = 1.0 / self.diagonal
        x = inverse * rhs
        direction, rho = x, half
        for _ in range(degree - 1):
            residual = inverse * (rhs - self(x))
            rho_next = 1.0 / (2.0 / half - rho)
            direction = rho_next * rho * direction + 2.0 * rho_next / half * residual
            x, rho = x + direction, rho_next
        return x


def transmissibility(volumes: ControlVolumes, K: Float[Array, " volumes"]) -> Float[Array, " faces"]:
    """Face coefficients T = (area/distance) · harmonic mean of the mobilities K [m²/(Pa·s)] → [m³/(Pa·s)]."""
    a, b = K[volumes.face_cells[:, 0]], K[volumes.face_cells[:, 1]]
    total = a + b
    return volumes.conductor * 2.0 * a * b / jnp.where(total == 0, 1.0, total)  # two scars exchange nothing


def operator(volumes: ControlVolumes, T: Float[Array, " faces"], sink: Float[Array, " volumes"]) -> DarcyOperator:
    """The operator with face coefficients T and drainage `sink` per volume, in one unit of conductance."""
    sides = jnp.append(T, 0.0)[volumes.face]
    return DarcyOperator(sides, volumes.neighbor, sink, jnp.sum(sides, axis=1) + sink)
