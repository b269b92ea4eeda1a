"""Synthetic trees: forests of arterioles from segmented trunks into the wall."""

from perfsim.growth.cco import equal_pressure_radii
from perfsim.growth.domain import Ball, Box, Domain, EllipsoidShell
from perfsim.growth.grow import grow
from perfsim.growth.refine import Refinement, refine
from perfsim.growth.report import GrowthReport
from perfsim.growth.roots import stub_roots
from perfsim.growth.terminals import sampled_volume

__all__ = [
    "Ball",
    "Box",
    "Domain",
    "EllipsoidShell",
    "GrowthReport",
    "Refinement",
    "equal_pressure_radii",
    "grow",
    "refine",
    "sampled_volume",
    "stub_roots",
]
