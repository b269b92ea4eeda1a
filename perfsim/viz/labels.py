"""Names in a picture that do not lie on each other."""

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox

_AWAY = [(0.0, 0.0)] + [
    (r * np.cos(a), r * np.sin(a)) for r in (14.0, 26.0, 40.0) for a in np.arange(0.0, 2.0 * np.pi, np.pi / 6.0)
]
"""where a name may stand, from its place [points], the nearest first"""


def place_labels(axes, labels: Sequence[tuple[str, float, float]], fontsize: float = 9.0) -> None:
    """Write names at places (name, x, y), each moved as little as frees it of those before, with a line to its place.

    A name that fits nowhere near its place is left out.
    """
    canvas = FigureCanvasAgg(axes.figure)
    taken: list[Bbox] = []
    canvas.draw()  # sizes and places are those of the finished layout
    renderer = canvas.get_renderer()
    box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8}
    inside = axes.get_window_extent(renderer)
    for name, x, y in labels:
        for away in _AWAY:
            text = axes.annotate(
                name, (x, y), away, textcoords="offset points", fontsize=fontsize, ha="center", va="center", bbox=box,
                zorder=6, arrowprops={"arrowstyle": "-", "lw": 0.6, "color": "#555"} if any(away) else None,
                parse_math=False,
            )  # fmt: skip
            text.update_positions(renderer)
            extent = Text.get_window_extent(text, renderer).padded(2.0)  # without its line
            within = (
                inside.x0 <= extent.x0 and extent.x1 <= inside.x1 and inside.y0 <= extent.y0 and extent.y1 <= inside.y1
            )
            if within and not any(extent.overlaps(other) for other in taken):
                taken.append(extent)
                break
            text.remove()
