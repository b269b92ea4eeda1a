"""One color scale per quantity, the same in every picture of a run; all are told apart by the color-blind."""

import dataclasses
from typing import Any

from perfsim.coupling import Solution
from perfsim.observe import ffr

import matplotlib
import numpy as np
from matplotlib.colors import Colormap, ListedColormap, Normalize, to_hex

# dark where all is well, bright orange where pressure is lost; plasma's yellow end would vanish on white
_LOSS = ListedColormap(matplotlib.colormaps["plasma"](np.linspace(0.80, 0.0, 256)), "loss")


@dataclasses.dataclass(frozen=True)
class Scale:
    """Colors of one quantity from `low` to `high`."""

    label: str
    low: float
    high: float
    colors: Colormap

    @property
    def norm(self) -> Normalize:
        return Normalize(self.low, self.high)

    @property
    def mappable(self) -> matplotlib.cm.ScalarMappable:
        """What a colorbar is drawn from."""
        return matplotlib.cm.ScalarMappable(self.norm, self.colors)

    @property
    def plotly(self) -> list[list[Any]]:
        """The same colors as a color scale of plotly."""
        at = np.linspace(0.0, 1.0, 33)
        return [[round(float(x), 5), to_hex(self.colors(x))] for x in at]

    def text_on(self, value: float) -> str:
        """Black or white, whichever is read better on the color of a value (WCAG's relative luminance)."""
        rgb = np.asarray(self.colors(self.norm(value)))[:3]
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return "black" if float(linear @ [0.2126, 0.7152, 0.0722]) > 0.179 else "white"


@dataclasses.dataclass(frozen=True)
class Colors:
    """The scales of a run."""

    mbf: Scale
    mfr: Scale
    ffr: Scale

    @classmethod
    def of(cls, *solutions: Solution) -> "Colors":
        """Scales that hold all of these solutions, in all of their states."""
        states = [state for s in solutions for _, state in s.in_order()]
        mbf = max(float(np.quantile(np.asarray(state.mbf), 0.995)) for state in states)
        mfr = max((float(np.quantile(np.asarray(s.mfr), 0.995)) for s in solutions if "rest" in s.states), default=1.0)
        lost = min(float(np.quantile(np.asarray(ffr(s.hyperemia)), 0.02)) for s in solutions)
        return cls(
            mbf_scale(mbf),
            Scale("MFR", 0.0, max(float(np.ceil(2.0 * mfr)) / 2.0, 0.5), matplotlib.colormaps["cividis"]),
            Scale("FFR (Pd/Pa in hyperemia)", float(np.floor(20.0 * np.clip(lost, 0.3, 0.8))) / 20.0, 1.0, _LOSS),
        )


def mbf_scale(highest: float) -> Scale:
    """The scale of MBF from zero to just above the highest value [mL/min/g]."""
    return Scale("MBF [mL/min/g]", 0.0, max(float(np.ceil(5.0 * highest)) / 5.0, 0.2), matplotlib.colormaps["viridis"])


def spread_scale(label: str, values: np.ndarray, lost: bool = False) -> Scale:
    """A scale from the least to the greatest of some values."""
    low, high = float(np.min(values)), float(np.max(values))
    return Scale(label, low, max(high, low + 1e-9), _LOSS if lost else matplotlib.colormaps["viridis"])
