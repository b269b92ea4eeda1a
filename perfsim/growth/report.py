"""What growth did: cost, reach, and how well the tree keeps the rules."""

import dataclasses

from perfsim.growth.forest import GrowingForest
from perfsim.growth.rules import SHORTEST, Rules, overlaps

import numpy as np


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
    length_factor: float
    """median of L/V^(1/3) of terminal vessels, V the tissue volume per terminal: c of the ungrown crown"""
    seconds: dict[str, float]
    """time by stage"""

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in self.shares.items())
        return (
            f"{self.terminals} terminals, {self.dropped} dropped, {self.depth} bifurcations deep, on {shares}; cost "
            f"{self.cost:.4g} m; {self.far_overlaps} far and {self.near_overlaps} near overlaps; "
            f"{sum(self.seconds.values()):.2f} s"
        )


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
        length_factor=float(np.median(length[tip]) / (volume / tip.sum()) ** (1 / 3)),
        seconds=seconds,
    )
