"""Pull-back curves: FFR along each named branch, as a wire drawn back would read it."""

from perfsim.coupling import Perfusion, Simulation
from perfsim.coupling.system import vessel_laws
from perfsim.network import GROWN
from perfsim.observe import ffr
from perfsim.viz.lesions import marks

import numpy as np
import plotly.graph_objects as go

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#7F7F7F")
"""colors that the color-blind tell apart (Okabe and Ito 2008)"""


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


def pullback_figure(
    sim: Simulation,
    state: Perfusion,
    shown: tuple[str, ...] = ("LAD", "LCx", "RCA"),
    treated: tuple[Simulation, Perfusion] | None = None,
) -> go.Figure:
    """FFR against distance, one line a branch; those not in `shown` are there to be chosen.

    A band marks each stenosis. `treated` adds the same after treatments, dashed.
    """
    curves = pullback(sim, state)
    if not any(name in curves for name in shown):
        shown = tuple(curves)
    after = {} if treated is None else pullback(*treated)
    figure = go.Figure()
    for k, name in enumerate(sorted(curves, key=lambda n: n not in shown)):  # colors repeat after eight lines
        for label, found, dash in ((name, curves, "solid"), (f"{name}, treated", after, "dash")):
            if name in found:
                curve = found[name]
                figure.add_scatter(
                    x=np.round(curve["distance_mm"], 2), y=np.round(curve["ffr"], 4), name=label, mode="lines",
                    customdata=np.round(curve["diameter_mm"], 2), visible=True if name in shown else "legendonly",
                    showlegend=name in shown, legendgroup=name,
                    line={"color": OKABE_ITO[k % len(OKABE_ITO)], "dash": dash, "width": 2.5},
                    hovertemplate="%{x:.0f} mm, FFR %{y:.3f}, lumen %{customdata:.2f} mm",
                )  # fmt: skip
    for mark in marks(sim):
        ends = [1e3 * (mark.center + side * 0.5 * mark.length) for side in (-1, 1)]
        figure.add_vrect(*ends, fillcolor="#000", opacity=0.08, line_width=0, annotation_text=mark.name)
    figure.add_hline(y=0.8, line_dash="dot", line_color="#555", annotation_text="0.80")
    figure.update_layout(
        margin={"l": 55, "r": 10, "t": 20, "b": 45}, template="plotly_white",
        legend={"orientation": "h", "y": -0.22}, xaxis_title="distance from the branch's origin [mm]",
        yaxis_title="FFR (static Pd/Pa in hyperemia)",
    )  # fmt: skip
    return figure
