"""Optimal bifurcation points: weighted Fermat points by Weiszfeld's iteration, many at once."""

import numpy as np

CORE = 0.02  # of the smallest distance between the ends; keeps the three vessels from collapsing


def fermat_points(ends: np.ndarray, weights: np.ndarray, steps: int = 12) -> np.ndarray:
    """Points x (n, 3) that minimize Σ_k w_k |x - e_k|; `ends` (n, k, 3), `weights` (n, k).

    With fixed flows this is the part of the Murray cost Σ Q^(2/γ) L that a bifurcation can change, and it is convex.
    """
    x = np.einsum("nk,nkd->nd", weights, ends) / weights.sum(1)[:, None]
    core = CORE * np.linalg.norm(ends[:, 1:] - ends[:, :1], axis=2).min(1)[:, None] + 1e-9
    for _ in range(steps):
        pull = weights / np.maximum(np.linalg.norm(x[:, None] - ends, axis=2), core)
        x = np.einsum("nk,nkd->nd", pull, ends) / pull.sum(1)[:, None]
    return x


def keep_apart(x: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Move points that sit on one of their ends a little towards the others, so that no vessel has zero length."""
    middle = ends.mean(1)
    size = np.linalg.norm(ends - middle[:, None], axis=2).max(1)
    close = np.linalg.norm(x[:, None] - ends, axis=2).min(1) < CORE * size
    x[close] += 2.0 * CORE * (middle[close] - x[close])
    return x
