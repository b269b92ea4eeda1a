"""Learned coefficients inside the verified scheme."""

from perfsim.learn.closures import Closures

__all__ = ["Closures"]
