"""Pictures and reports."""

from perfsim._extras import needed

with needed("viz"):
    from perfsim.viz.colors import Colors
    from perfsim.viz.fit_report import outcome, parameter_rows, quantity_rows, write_fit_report
    from perfsim.viz.frames import frames_picture
    from perfsim.viz.polar import polar_grid, polar_maps
    from perfsim.viz.pullback import pullback, pullback_figure
    from perfsim.viz.report import answers, tables, write_report
    from perfsim.viz.tree import tree_picture

__all__ = [
    "Colors",
    "answers",
    "frames_picture",
    "outcome",
    "parameter_rows",
    "polar_grid",
    "polar_maps",
    "pullback",
    "pullback_figure",
    "quantity_rows",
    "tables",
    "tree_picture",
    "write_fit_report",
    "write_report",
]
