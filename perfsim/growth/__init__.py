"""Synthetic trees: forests of arterioles from segmented trunks into the wall."""

from perfsim.growth.grow import grow
from perfsim.growth.report import GrowthReport
from perfsim.growth.terminals import sampled_volume

__all__ = ["GrowthReport", "grow", "sampled_volume"]
