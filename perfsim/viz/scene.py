"""An interactive 3D view of tree and wall for the report (plotly: one self-contained file, no server)."""

from perfsim.coupling import Simulation, Solution
from perfsim.coupling.system import vessel_laws
from perfsim.darcy import Samples
from perfsim.network import GROWN
from perfsim.observe import ffr
from perfsim.units import ML_MIN, MMHG

import numpy as np
import plotly.graph_objects as go
import pyvista as pv
import scipy

SIDES = 8  # of a tube
WALL_POINTS = 9000


def scene(
    sim: Simulation, solution: Solution, samples: Samples, more: dict[str, np.ndarray] | None = None
) -> go.Figure:
    """Trunks as tubes and arterioles as lines, colored by FFR, pressure or flow; the wall by MBF or MFR (two menus).

    `more` adds colorings by title, one value per vessel.
    """
    state = solution.hyperemia
    vessel = {
        "FFR": np.asarray(ffr(state)),
        "pressure [mmHg]": np.asarray(state.static_pressure) / MMHG,
        "log₁₀ flow [mL/min]": np.log10(np.maximum(np.abs(np.asarray(state.flow)) / ML_MIN, 1e-3)),
    } | (more or {})
    wall = {"MBF hyperemia": np.asarray(state.mbf)}
    if "rest" in solution.states:
        wall |= {"MBF rest": np.asarray(solution.rest.mbf), "MFR": np.asarray(solution.mfr)}
    tubes, lines = _tubes(sim, vessel), _lines(sim, vessel)
    surface = _surface(samples, wall)
    first, shown = next(iter(vessel)), next(iter(wall))
    figure = go.Figure(
        [
            go.Mesh3d(
                **tubes["mesh"], intensity=tubes[first], colorscale="Turbo", reversescale=True, name="trunks",
                colorbar={"title": first, "x": 1.0, "len": 0.7}, flatshading=False, hoverinfo="skip",
            ),
            go.Scatter3d(
                **lines["path"], mode="lines", name="arterioles", hoverinfo="skip",
                line={"color": lines[first], "colorscale": "Turbo", "reversescale": True, "width": 1.5},
            ),
            go.Mesh3d(
                **surface["mesh"], intensity=surface[shown], colorscale="Viridis", opacity=0.28, name="wall",
                colorbar={"title": shown, "x": -0.12, "len": 0.7}, cmin=0.0, hoverinfo="skip",
            ),
        ]
    )  # fmt: skip
    figure.update_layout(
        height=680, margin={"l": 0, "r": 0, "t": 50, "b": 0},
        scene={"aspectmode": "data", **{f"{a}axis": {"visible": False} for a in "xyz"}},
        scene_camera={"eye": {"x": -0.9, "y": -1.5, "z": 0.35}, "up": {"x": 0, "y": 0, "z": 1}},
        updatemenus=[_vessel_menu(vessel, tubes, lines), _wall_menu(wall, surface)],
    )  # fmt: skip
    return figure


def _vessel_menu(vessel, tubes, lines) -> dict:
    buttons = [
        {
            "label": name,
            "method": "restyle",
            "args": [
                {
                    "intensity": [tubes[name], None],
                    "line.color": [None, lines[name]],
                    "colorbar.title.text": [name, None],
                    "reversescale": [name == "FFR", None],
                    "line.reversescale": [None, name == "FFR"],
                },
                [0, 1],
            ],
        }
        for name in vessel
    ]
    return {"buttons": buttons, "x": 0.02, "xanchor": "left", "y": 1.08, "direction": "down"}


def _wall_menu(wall, surface) -> dict:
    buttons = [
        {
            "label": f"wall: {name}",
            "method": "restyle",
            "args": [{"intensity": [surface[name]], "colorbar.title.text": [name], "visible": [True]}, [2]],
        }
        for name in wall
    ]
    buttons.append({"label": "wall: hidden", "method": "restyle", "args": [{"visible": [False]}, [2]]})
    return {"buttons": buttons, "x": 0.3, "xanchor": "left", "y": 1.08, "direction": "down"}


def _tubes(sim: Simulation, values: dict[str, np.ndarray]) -> dict:
    """Named branches as one triangle mesh of short cones, in mm."""
    network = sim.network
    trunk = np.array([n != GROWN for n in network.branch_names])[np.asarray(network.branch)]
    v = np.flatnonzero(trunk)
    radius = np.asarray(vessel_laws(sim).radius)[v] * 1e3
    position = np.asarray(network.position) * 1e3
    a, b = position[np.asarray(network.tail)[v]], position[np.asarray(network.head)[v]]
    axis = (b - a) / np.linalg.norm(b - a, axis=1)[:, None]
    helper = np.where(np.abs(axis[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    p = np.cross(axis, helper)
    p /= np.linalg.norm(p, axis=1)[:, None]
    q = np.cross(axis, p)
    t = np.linspace(0.0, 2.0 * np.pi, SIDES, endpoint=False)
    ring = np.cos(t)[None, :, None] * p[:, None] + np.sin(t)[None, :, None] * q[:, None]
    points = np.stack([a[:, None] + radius[:, :1, None] * ring, b[:, None] + radius[:, 1:, None] * ring], 1)
    start = 2 * SIDES * np.arange(len(v))[:, None]
    k, after = np.arange(SIDES), (np.arange(SIDES) + 1) % SIDES
    i = np.concatenate([start + k, start + k + SIDES], 1).ravel()
    j = np.concatenate([start + after, start + after], 1).ravel()
    l = np.concatenate([start + k + SIDES, start + after + SIDES], 1).ravel()
    x, y, z = np.round(points.reshape(-1, 3), 2).T
    spread = {name: np.round(np.repeat(value[v], 2 * SIDES), 4) for name, value in values.items()}
    return {"mesh": {"x": x, "y": y, "z": z, "i": i, "j": j, "k": l}, **spread}


def _lines(sim: Simulation, values: dict[str, np.ndarray]) -> dict:
    """Grown vessels as one broken line."""
    network = sim.network
    grown = np.flatnonzero(np.array([n == GROWN for n in network.branch_names])[np.asarray(network.branch)])
    position = np.round(np.asarray(network.position) * 1e3, 2)
    ends = np.full((len(grown), 3, 3), np.nan)
    ends[:, 0], ends[:, 1] = position[np.asarray(network.tail)[grown]], position[np.asarray(network.head)[grown]]
    x, y, z = ends.reshape(-1, 3).T
    spread = {name: np.round(np.repeat(value[grown], 3), 4) for name, value in values.items()}
    return {"path": {"x": x, "y": y, "z": z}, **spread}


def _surface(samples: Samples, values: dict[str, np.ndarray]) -> dict:
    """The wall's smoothed surface, each point with the value of the nearest volume."""
    inside = np.pad(np.isfinite(samples.on_grid(np.zeros(len(samples.index)))), 1).astype(float)
    image = pv.ImageData(
        dimensions=inside.shape, spacing=(samples.spacing * 1e3,) * 3, origin=(samples.origin - samples.spacing) * 1e3
    )
    image["inside"] = inside.ravel(order="F")
    surface = image.contour([0.5], scalars="inside").smooth_taubin(n_iter=20).triangulate()
    if surface.n_points > WALL_POINTS:
        surface = surface.decimate(1.0 - WALL_POINTS / surface.n_points)
    center = (samples.origin + samples.spacing * samples.index) * 1e3
    nearest = scipy.spatial.cKDTree(center).query(surface.points)[1]
    i, j, k = surface.faces.reshape(-1, 4)[:, 1:].T
    x, y, z = np.round(surface.points, 2).T
    return {"mesh": {"x": x, "y": y, "z": z, "i": i, "j": j, "k": k}} | {
        name: np.round(value[nearest], 3) for name, value in values.items()
    }
