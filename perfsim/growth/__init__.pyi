from .cco import equal_pressure_radii
from .domain import Ball, Box, Domain, EllipsoidShell
from .grow import grow
from .refine import Refinement, refine
from .report import GrowthReport
from .roots import stub_lines, stub_roots
from .terminals import sampled_volume

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
    "stub_lines",
    "stub_roots",
]
