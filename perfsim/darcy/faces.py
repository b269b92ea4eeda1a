"""What a flux needs where permeability is not along the face's normal: area vectors, and gradients by least squares."""

from perfsim._arrays import on_device
from perfsim.darcy.columns import take
from perfsim.network.topology import padded_columns

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float, Int

ENOUGH = 5
"""neighbors for a gradient; where there are fewer, theirs count as well"""
POWER = 4
"""of the distance, in the weights 1/d⁴ of the least squares"""


class Faces(eqx.Module):
    """Sides as in `ControlVolumes`, seen from each volume."""

    area: Float[Array, "3 sides volumes"]
    """outward normal times area [m²], zero where padded"""
    share: Float[Array, "sides volumes"]
    """weight of the volume's own gradient at the face; the neighbor has the rest"""
    stencil: Int[Array, "slots volumes"]
    """volumes that each gradient is made of; itself where padded"""
    slope: Float[Array, "3 slots volumes"]
    """∇p ≈ Σ slope (p_k - p_i) [1/m]"""

    def gradient(self, p: Float[Array, " volumes"]) -> Float[Array, "3 volumes"]:
        """Least-squares gradient, exact for linear p."""
        parts = []
        for along in self.slope:
            g = jnp.zeros_like(p)
            for k, slope in zip(self.stencil, along, strict=True):
                g = g + slope * (take(p, k) - p)
            parts.append(g)
        return jnp.stack(parts)

    @classmethod
    def build(cls, center, pairs, side_face, area, face_center) -> "Faces":
        """From host arrays by face, `area` from the first of `pairs` to the second; `side_face` as by `neighbors`."""
        count, volumes = len(pairs), len(center)
        first, second = pairs.T
        sign = np.where(np.append(first, -1)[side_face] == np.arange(volumes), 1.0, -1.0)
        to_first, to_second = (np.linalg.norm(face_center - center[c], axis=1) for c in (first, second))
        share = np.append(to_second / (to_first + to_second), 0.0)[side_face]
        stencil, slope = _least_squares(center, pairs)
        return cls(
            area=on_device(np.moveaxis(np.append(area, np.zeros((1, 3)), 0)[side_face] * sign[..., None], -1, 0)),
            share=on_device(np.where(side_face == count, 0.0, np.where(sign > 0, share, 1.0 - share))),
            stencil=on_device(stencil),
            slope=on_device(np.moveaxis(slope, -1, 0)),
        )


def _least_squares(center: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stencils (slots, volumes) and their slopes (slots, volumes, 3)."""
    n = len(center)
    one = scipy.sparse.coo_matrix(
        (np.ones(2 * len(pairs), bool), (pairs.T.ravel(), pairs[:, ::-1].T.ravel())), (n, n)
    ).tocsr()
    few = scipy.sparse.diags((np.diff(one.indptr) < ENOUGH).astype(float)).astype(bool)
    stencil = (one + few @ one @ one).tocoo()
    apart = stencil.row != stencil.col
    i, k = stencil.row[apart], stencil.col[apart]
    d = center[k] - center[i]
    weight = np.sum(d**2, axis=1) ** (-POWER / 2)
    moment = np.stack([np.bincount(i, weight * d[:, a] * d[:, b], n) for a in range(3) for b in range(3)], 1).reshape(
        n, 3, 3
    )
    # a row of volumes says nothing about slopes across it: those are left out
    slope = weight[:, None] * np.einsum("nab,nb->na", np.linalg.pinv(moment, rcond=1e-9, hermitian=True)[i], d)
    order = np.argsort(i, kind="stable")
    i, k, slope = i[order], k[order], slope[order]
    slots = padded_columns(i, np.arange(len(i)), n, len(i))
    return (
        np.where(slots == len(i), np.arange(n), np.append(k, 0)[slots]).astype(np.int32),
        np.append(slope, np.zeros((1, 3)), 0)[slots],
    )
