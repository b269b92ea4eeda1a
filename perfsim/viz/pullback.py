"""Pull-back curves: FFR along each named branch, as a wire drawn back would read it."""

from perfsim.coupling import Perfusion, Simulation
from perfsim.coupling.system import vessel_laws
from perfsim.network import GROWN
from perfsim.observe import ffr

import numpy as np
import plotly.graph_objects as go


def pullback(sim: Simulation, state: Perfusion) -> dict[str, dict[str, np.ndarray]]:
    """For every named branch: distance from its origin [mm], FFR, lumen diameter [mm]."""
    network, value = sim.network, np.asarray(ffr(state))
    radius, branch = np.asarray(vessel_laws(sim).radius), np.asarray(network.branch)
    curves = {}
    for index, name in enumerate(network.branch_names):
        on = np.flatnonzero(branch == index)
        if name != GROWN and len(on):
            curves[name] = {
                "distance_mm": np.asarray(network.coordinate)[on, 1] * 1e3,
                "ffr": value[on],
                "diameter_mm": 2e3 * radius[on, 1],
            }
    return curves


def pullback_figure(sim: Simulation, state: Perfusion, shown: tuple[str, ...] = ("LAD", "LCx", "RCA")) -> go.Figure:
    """FFR against distance, one line a branch; those not in `shown` start hidden in the legend."""
    curves = pullback(sim, state)
    if not any(name in curves for name in shown):
        shown = tuple(curves)
    figure = go.Figure()
    for name in sorted(curves, key=lambda n: n not in shown):  # colours repeat after ten lines
        curve = curves[name]
        figure.add_scatter(
            x=np.round(curve["distance_mm"], 2), y=np.round(curve["ffr"], 4), name=name, mode="lines",
            customdata=np.round(curve["diameter_mm"], 2), visible=True if name in shown else "legendonly",
            hovertemplate="%{x:.0f} mm, FFR %{y:.3f}, lumen %{customdata:.2f} mm",
        )  # fmt: skip
    figure.add_hline(y=0.8, line_dash="dot", line_color="#888", annotation_text="0.80")
    figure.update_layout(
        height=420, margin={"l": 50, "r": 10, "t": 20, "b": 45}, template="plotly_white",
        xaxis_title="distance from the branch's origin [mm]", yaxis_title="static Pd/Pa in hyperemia (FFR)",
    )  # fmt: skip
    return figure
