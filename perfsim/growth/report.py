"""What growth did: cost, reach, and how well the tree keeps the rules."""

import dataclasses

from perfsim._results import RESULTS
from perfsim.growth.forest import GrowingForest
from perfsim.growth.rules import SHORTEST, Rules, overlaps

import numpy as np

INCOMPLETE = 0.01
"""share of terminals without a place from which on a growth has failed"""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


@dataclasses.dataclass(frozen=True)
class GrowthReport:
    """What growth did."""

    terminals: int
    dropped: int
    """terminals without a place"""
    cost: float
    """Murray cost Σ (Q/ΣQ)^(2/γ) L of the grown vessels [m]"""
    volume: float
    """lumen of the grown vessels Σ π r² L [m³]"""
    depth: int
    """bifurcations between a terminal and its trunk at most"""
    shares: dict[str, float]
    """fraction of the demand on each inlet"""
    far_overlaps: int
    """pairs of vessels that run through each other, more than one vessel apart"""
    near_overlaps: int
    """the same, with one vessel between them"""
    short_share: float
    """fraction of the vessels that are shorter than wide"""
    outside_share: float
    """fraction of the vessels that leave the domain by more than a thousandth of its thickness"""
    crown_factor: tuple[float, float]
    """c of L = c V^(1/3), mean and deviation, read off the crowns of 32 to 127 terminals; NaN where there are none"""
    seconds: dict[str, float]
    """time by stage"""

    @property
    def result(self) -> RESULTS:
        """`growth_incomplete` where more than 1 % of the terminals found no place."""
        missed = self.dropped > INCOMPLETE * (self.terminals + self.dropped)
        return RESULTS.growth_incomplete if missed else RESULTS.successful

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in self.shares.items())
        return (
            f"{self.terminals} terminals, {self.dropped} dropped, {self.depth} bifurcations deep, on {shares}; cost "
            f"{self.cost:.4g} m; {self.far_overlaps} far and {self.near_overlaps} near overlaps; "
            f"{sum(self.seconds.values()):.2f} s"
        )


def crown_factor(forest: GrowingForest, volume: float) -> tuple[float, float]:
    """The c for which a symmetric crown, L_k = c V_k^(1/3), dissipates what the grown one does; mean and deviation.

    Below a vessel of diameter D that feeds n terminals the model has log₂ n generations of 2^k vessels, D_k =
    D 2^(-k/γ), each feeding V_k = V/2^k; the sum over generations is taken as an integral from ½ on, as in the ungrown
    crown. Viscosity, taken as constant, cancels. `volume` of the whole domain [m³].
    """
    alike = 1.0 / forest.demand.mean()
    node = forest.grown()
    diameter = np.zeros(forest.size)
    diameter[node] = forest.radius(forest.flow[node], forest.root[node])
    loss, below = np.zeros(forest.size), np.zeros(forest.size)
    loss[node] = forest.length(node) / diameter[node] ** 4 * forest.flow[node] ** 2
    for fork in forest.forks_upwards():
        a, b = forest.child[fork].T
        below[fork] = loss[a] + below[a] + loss[b] + below[b]
    n = alike * forest.flow
    crown = node[(n[node] >= 32) & (n[node] < 128)]
    if not len(crown):
        return np.nan, np.nan
    generations = np.log2(n[crown])
    k = 0.5 + 0.5 * (1.0 + _NODES) * generations[:, None]
    fed = (volume * forest.flow[crown] / forest.root_flow().sum())[:, None]
    thin = diameter[crown][:, None] * 2.0 ** (-k / forest.exponent)
    model = 0.5 * generations * (((fed * 2.0**-k) ** (1 / 3) / thin**4 / 2.0**k) @ _WEIGHTS)
    c = below[crown] / forest.flow[crown] ** 2 / model
    return float(c.mean()), float(c.std())


def measure(forest: GrowingForest, rules: Rules, names, volume: float, dropped: int, seconds) -> GrowthReport:
    """Look at a finished forest; `names` of its roots, `volume` of its domain [m³]."""
    node = forest.grown()
    length, flow = forest.length(node), forest.flow[node]
    radius = forest.radius(flow, forest.root[node])
    found = overlaps(forest)
    tip = forest.terminal[node] >= 0
    share = forest.root_flow()
    return GrowthReport(
        terminals=int(tip.sum()),
        dropped=dropped,
        cost=forest.cost() / share.sum() ** forest.alpha,
        volume=float(np.sum(np.pi * radius**2 * length)),
        depth=int(forest.depth[node].max()) - 1,
        shares=dict(zip(names, (share / share.sum()).tolist(), strict=True)),
        far_overlaps=int((~found.near).sum()),
        near_overlaps=int(found.near.sum()),
        short_share=float(np.mean(length < SHORTEST * radius)),
        outside_share=float(np.mean(rules.outside(forest.position[forest.parent[node]], forest.position[node]))),
        crown_factor=crown_factor(forest, volume),
        seconds=seconds,
    )
