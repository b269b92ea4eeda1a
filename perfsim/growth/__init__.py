"""Synthetic trees: forests of arterioles from segmented trunks into the wall."""

from perfsim.growth.grow import GrowthReport, grow

__all__ = ["GrowthReport", "grow"]
