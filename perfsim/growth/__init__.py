"""Synthetic trees: forests of arterioles from segmented trunks into the wall."""

from perfsim.growth.grow import GrowthReport, grow
from perfsim.growth.terminals import sampled_volume

__all__ = ["GrowthReport", "grow", "sampled_volume"]
