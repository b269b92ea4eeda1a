"""Flow shares that a forest must meet: a price per root, found by dual ascent."""

from collections.abc import Callable, Mapping

from perfsim._results import InputError

import numpy as np

COARSE = 2000
"""terminals of the trial forests: shares at a price hardly depend on how many there are"""
TRIALS = 9
CLOSE = 0.004
RESPONSE = 1.0
"""share that a root loses per unit of price, in mean costs of a terminal, measured on a shell with three roots"""


def goal_of(shares: Mapping[str, float], names: tuple[str, ...]) -> np.ndarray:
    """Wanted shares by root. Raises `InputError` for an unknown inlet, a negative share or a sum other than 1."""
    unknown = sorted(set(shares) - set(names))
    if unknown:
        raise InputError(f"shares names {unknown[0]!r}, but the inlets are {', '.join(names)}")
    goal = np.array([shares.get(n, 0.0) for n in names], float)
    if (goal < 0).any() or abs(goal.sum() - 1.0) > 1e-6:
        raise InputError(f"shares must not be negative and sum to 1: they sum to {goal.sum():.4g}")
    return goal


def find_price(grown_share: Callable[[np.ndarray], np.ndarray], goal: np.ndarray) -> np.ndarray:
    """Prices at which trial forests have the wanted shares.

    The Murray cost of the cheapest forest with given shares is convex in them to good approximation, and the price is
    its multiplier: λ ← λ + (share - goal)/response, the response of each root corrected by what the last step did.
    Returns the best price tried.
    """
    price, response = np.zeros(len(goal)), np.full(len(goal), RESPONSE)
    best, least = price, np.inf
    last = None
    for _ in range(TRIALS):
        error = grown_share(price) - goal
        if np.abs(error).max() < least:
            best, least = price, float(np.abs(error).max())
        if least < CLOSE:
            break
        if last is not None:
            step, change = price - last[0], error - last[1]
            felt = -(change - change.mean()) / np.where(np.abs(step) > 1e-3, step, np.inf)
            response = np.where(felt > 0, np.clip(0.5 * (response + felt), 0.3, 4.0), response)
        last = price, error
        price = price + error / response
        price = price - price.mean()
    return best
