"""The consistent flux for any permeability and any mesh: two points, plus what gradients say about the rest.

Through a face of area vector A, with d from one center to the other,

    F = -A·K∇p = T (p_i - p_j) - (v - T d)·∇p,     v = K A,

exact for linear p whatever T is, and conservative, since both sides see the same numbers. With T = A·KA/(A·d) (the
over-relaxed choice) what is left, v - T d, lies in the face (Jasak 1996, thesis, §3.3.1.3); ∇p there is the mean of
least-squares gradients on both sides. K of a face is the mean of both sides, scaled like its normal component, whose
harmonic mean enters T: two scars exchange nothing.
"""

from perfsim._fences import keep_rows
from perfsim.darcy.columns import rows, take
from perfsim.darcy.operator import DarcyOperator, beside, times
from perfsim.darcy.volumes import ControlVolumes

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Correction(eqx.Module):
    """The part of the flux that two points do not see."""

    tangent: Float[Array, "3 sides volumes"]
    """v - T d [m³/(Pa·s) · m]"""
    volumes: ControlVolumes

    def __call__(self, p: Float[Array, " volumes"]) -> Float[Array, " volumes"]:
        """What it lets out of each volume, to be added to the two-point operator."""
        faces = self.volumes.faces
        gradient = keep_rows(faces.gradient(p))  # else it is made again for every neighbor
        out = jnp.zeros_like(p)
        for g, along in zip(rows(gradient), self.tangent, strict=True):
            for c, share, j in zip(along, faces.share, self.volumes.neighbor, strict=True):
                out = out - c * (share * g + (1.0 - share) * take(g, j))
        return out

    def largest_conductance(self) -> Float[Array, " volumes"]:
        """Σ |coefficient| of each row over both volumes of every difference, halved: a pressure field of size p moves
        a row by at most 2p times this.
        """
        faces = self.volumes.faces
        out = jnp.zeros_like(self.tangent[0, 0])
        size = keep_rows(jnp.stack([jnp.sum(jnp.abs(slopes), axis=0) for slopes in faces.slope]))
        for g, along in zip(rows(size), self.tangent, strict=True):
            for c, share, j in zip(along, faces.share, self.volumes.neighbor, strict=True):
                out = out + jnp.abs(c) * (share * g + (1.0 - share) * take(g, j))
        return out


class CorrectedOperator(eqx.Module):
    """(A + C) p: the two-point M-matrix and the correction. Conservative, consistent; not symmetric, not monotone."""

    two_point: DarcyOperator
    correction: Correction

    def __call__(self, p: Float[Array, " volumes"]) -> Float[Array, " volumes"]:
        return self.two_point(p) + self.correction(p)

    def rounding(self, p: Float[Array, " volumes"]) -> Float[Array, " volumes"]:
        """How far floating point may be off in each entry."""
        terms = len(self.correction.volumes.neighbor) + len(self.correction.volumes.faces.stencil) + 4
        size = 2.0 * jnp.finfo(p.dtype).eps * jnp.max(jnp.abs(p))
        return self.two_point.rounding(p) + terms * size * self.correction.largest_conductance()


def correction(
    volumes: ControlVolumes, K: Float[Array, "volumes 3 3"] | Float[Array, " volumes"], T: Float[Array, "sides volumes"]
) -> Correction:
    """The correction that belongs to transmissibilities T of mobility K [m²/(Pa·s)], a scalar or a tensor."""
    out = []
    for A, t, j in zip(jnp.moveaxis(volumes.faces.area, 1, 0), rows(T), volumes.neighbor, strict=True):
        v = 0.5 * (times(K, A) + times(beside(K, j), A))
        d = beside(volumes.center, j).T - volumes.center.T
        plain = jnp.sum(A * v, axis=0)
        scale = jnp.where(plain > 0, t * jnp.sum(A * d, axis=0) / jnp.where(plain > 0, plain, 1.0), 0.0)
        out.append(scale * v - t * d)
    return Correction(jnp.stack(out, axis=1), volumes)
