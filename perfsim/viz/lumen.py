"""Where a millimetre of lumen matters, along the way from the ostium to where an FFR is read."""

from perfsim.coupling import Simulation
from perfsim.coupling.system import vessel_laws
from perfsim.network import vessel_above

import numpy as np
import plotly.graph_objects as go


def upstream(sim: Simulation, vessel: int) -> np.ndarray:
    """Vessels from the inlet to a vessel, in order."""
    above = vessel_above(sim.network)
    way = [vessel]
    while above[way[-1]] >= 0:
        way.append(int(above[way[-1]]))
    return np.array(way[::-1])


def lumen_figure(sim: Simulation, vessel: int, gain: np.ndarray) -> go.Figure:
    """Gain of FFR (see `study.lumen_gain`) and lumen diameter against the distance from the ostium [mm]."""
    way = upstream(sim, vessel)
    end = np.cumsum(np.asarray(sim.network.length)[way]) * 1e3
    name = np.array(sim.network.branch_names)[np.asarray(sim.network.branch)[way]]
    x, diameter = np.round(end, 2), np.round(2e3 * np.asarray(vessel_laws(sim).radius)[way, 1], 3)
    figure = go.Figure()
    figure.add_scatter(
        x=x, y=diameter, name="lumen diameter [mm]", yaxis="y2", line={"color": "#bbb"}, fill="tozeroy",
        fillcolor="rgba(0,0,0,0.06)", hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=np.round(gain[way], 5), name="gain of FFR", customdata=name, line={"color": "#D55E00"},
        hovertemplate="%{customdata}, %{x:.0f} mm from the ostium: FFR %{y:+.4f}",
    )  # fmt: skip
    right = {
        "title": "lumen diameter [mm]",
        "overlaying": "y",
        "side": "right",
        "rangemode": "tozero",
        "tickmode": "auto",
    }
    figure.update_layout(
        margin={"l": 55, "r": 55, "t": 20, "b": 45}, template="plotly_white", legend={"orientation": "h", "y": -0.22},
        xaxis_title="distance from the ostium [mm]", yaxis_title="gain of FFR",
        yaxis2=right | {"showgrid": False},
    )  # fmt: skip
    return figure
