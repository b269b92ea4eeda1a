"""Pictures and reports."""

from perfsim.viz.polar import polar_maps
from perfsim.viz.report import tables, write_report
from perfsim.viz.tree import tree_picture

__all__ = ["polar_maps", "tables", "tree_picture", "write_report"]
