"""Where three vessels meet at the least cost: the weighted Fermat point of a triangle, in closed form."""

import numpy as np


def fermat_points(ends: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Points x (n, 3) that minimize Σ_k w_k |x - e_k|; `ends` (n, 3, 3), `weights` (n, 3).

    With fixed flows this is the part of the Murray cost Σ Q^(2/γ) L that a bifurcation can change. At an inner optimum
    the vessels to e_i and e_j meet at π - φ_k, with φ_k the angle that faces w_k in a triangle of sides w. The lines
    from e_k to the tips of such triangles, raised on the opposite sides, meet in it (Jacobi's theorem), so that its
    barycentric coordinates are

        λ_k ∝ 1 / (2A (w_i² + w_j² - w_k²)/2 + 2W (e_i - e_k)·(e_j - e_k)),

    A the area of the triangle of ends, W that of the triangle of weights. Where a denominator is not positive, the
    optimum is that end itself: its weight is so large, or its angle so wide.
    """
    i, j = [1, 2, 0], [2, 0, 1]
    square = weights**2
    lean = 0.5 * (square[:, i] + square[:, j] - square)
    to_i, to_j = ends[:, i] - ends, ends[:, j] - ends
    dot = np.einsum("nkd,nkd->nk", to_i, to_j)
    a, b = to_i[:, 0], to_j[:, 0]
    aa, bb = np.einsum("nd,nd->n", a, a), np.einsum("nd,nd->n", b, b)
    area = np.sqrt(np.maximum(aa * bb - dot[:, 0] ** 2, 0.0))
    total = square.sum(1)
    of_weights = 0.5 * np.sqrt(np.maximum(total**2 - 2.0 * (square**2).sum(1), 0.0))
    denominator = area[:, None] * lean + of_weights[:, None] * dot
    corner = denominator.min(1) <= 1e-12 * np.abs(denominator).max(1)
    share = 1.0 / np.where(corner[:, None], 1.0, denominator)
    x = np.einsum("nk,nkd->nd", share / share.sum(1)[:, None], ends)
    if corner.any():
        x[corner] = ends[corner, np.argmin(denominator[corner], axis=1)]
    return x
