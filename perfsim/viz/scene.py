"""An interactive 3D view of tree and wall for the report, and what it can be colored by."""

from typing import Any

from perfsim.cohorts import Heart
from perfsim.coupling import Simulation, Solution
from perfsim.coupling.system import vessel_laws
from perfsim.darcy import Samples
from perfsim.network import GROWN
from perfsim.observe import ffr
from perfsim.units import ML_MIN, MMHG
from perfsim.viz.colors import Colors, Scale, spread_scale
from perfsim.viz.lesions import marks
from perfsim.viz.polar import maps_of

import numpy as np
import pyvista as pv
import scipy

SIDES = 7  # of a tube
WALL_POINTS, LINES = 5000, 4000
LEAST_PIECE = 1.0  # [mm] of a tube that is drawn straight
BESIDE = 9e-3  # [m]
UNIT = 100.0  # of positions, per mm: they are kept as 16-bit integers
BREAK = -32_768  # instead of a position: where a line is broken


def scene(
    heart: Heart, solution: Solution, colors: Colors, more: dict[str, np.ndarray] | None = None
) -> dict[str, Any]:
    """The view as a figure of plotly, and its choices.

    Trunks are tubes and arterioles lines, colored by FFR, pressure or flow; the wall is colored by MBF or MFR; a
    diamond marks each stenosis. `more` adds colorings of vessels by title, one value per vessel.

    Returns: `data` and `layout` as plotly takes them; `vessel` and `wall`: by title the values that tubes, lines and
    wall are to be colored by, with their scale; `cameras`: by title where to look from.
    """
    sim, state = heart.sim, solution.hyperemia
    pressure = np.asarray(state.static_pressure) / MMHG
    flow = np.log10(np.maximum(np.abs(np.asarray(state.flow)) / ML_MIN, 1e-3))
    vessel = {
        "FFR": (np.asarray(ffr(state)), colors.ffr),
        "pressure": (pressure, spread_scale("pressure [mmHg]", pressure, lost=True)),
        "flow": (flow, spread_scale("log₁₀ of flow [mL/min]", flow)),
    } | {title: (value, spread_scale(title, value)) for title, value in (more or {}).items()}
    wall = maps_of(solution, colors)
    middle = np.asarray(sim.volumes.center).mean(0)
    tubes, of_tube = _tubes(sim, middle)
    lines, of_line = _lines(sim, middle)
    surface, of_surface = _surface(heart.samples, middle)
    first, shown = next(iter(vessel)), next(name for name in wall if "hyperemia" in name)
    bar = {"orientation": "h", "len": 0.44, "thickness": 12, "xanchor": "center", "y": 0.0, "yanchor": "bottom"}
    bar |= {"title": {"side": "top"}}
    data = [
        {"type": "mesh3d", "name": "trunks", "hoverinfo": "skip", **tubes, "colorbar": bar | {"x": 0.25}},
        {"type": "scatter3d", "mode": "lines", "hoverinfo": "skip", "name": "arterioles", **lines,
         "line": {"width": 1.5}},
        {"type": "mesh3d", "name": "wall", "opacity": 0.28, "hoverinfo": "skip", **surface,
         "colorbar": bar | {"x": 0.75}},
        _diamonds(heart, middle),
    ]  # fmt: skip
    hidden: dict[str, Any] = {"visible": False}
    layout = {
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0}, "showlegend": False, "paper_bgcolor": "white",
        "scene": {"aspectmode": "data", "domain": {"y": [0.16, 1.0]}, **{f"{a}axis": hidden for a in "xyz"}},
    }  # fmt: skip
    return {
        "data": data,
        "layout": layout,
        "vessel": {t: _choice(scale, value[of_tube], value[of_line]) for t, (value, scale) in vessel.items()},
        "wall": {t: _choice(scale, value[of_surface]) for t, (value, scale) in wall.items()},
        "shown": {"vessel": first, "wall": shown},
        "cameras": _cameras(heart),
    }


def _choice(scale: Scale, *values: np.ndarray) -> dict[str, Any]:
    """A coloring: 255 steps from the scale's low end to its high end."""
    share = [np.clip((np.asarray(v) - scale.low) / (scale.high - scale.low), 0.0, 1.0) for v in values]
    steps = [np.round(255.0 * s).astype(np.uint8) for s in share]
    return {"values": steps, "title": scale.label, "low": scale.low, "high": scale.high, "colors": scale.plotly}


def _cameras(heart: Heart) -> dict[str, Any]:
    """Where to look from, up towards the base."""
    frame = heart.wall.frame
    angles = {"anterior": frame.anterior_insert - 35.0, "inferior": frame.inferior_insert + 35.0, "lateral": 0.0}
    up = dict(zip("xyz", map(float, -frame.axis), strict=True))
    return {
        name: {"eye": dict(zip("xyz", map(float, 1.7 * frame.radial(np.array([a]))[0]), strict=True)), "up": up}
        for name, a in angles.items()
    }


def _placed(position: np.ndarray, middle: np.ndarray) -> dict[str, np.ndarray]:
    """Positions [m] as integers of 1/100 mm around the heart's middle."""
    steps = np.clip(np.round((position - middle) * 1e3 * UNIT), -32_000, 32_000).astype(np.int16)
    return dict(zip("xyz", np.ascontiguousarray(steps.reshape(-1, 3).T), strict=True))


def _diamonds(heart: Heart, middle: np.ndarray) -> dict[str, Any]:
    """A mark beside each stenosis, where neither its vessel nor the wall hides it."""
    found, frame = marks(heart.sim), heart.wall.frame
    position = np.array([m.position for m in found]).reshape(-1, 3)
    position = position + BESIDE * frame.radial(frame.cylindrical(position)[2])
    return {
        "type": "scatter3d", "mode": "markers+text", "name": "stenoses", "hoverinfo": "skip",
        **_placed(position, middle), "text": [m.name for m in found], "textposition": "top center",
        "textfont": {"size": 14, "color": "black"},
        "marker": {"symbol": "diamond", "size": 7, "color": "white", "line": {"color": "black", "width": 2}},
    }  # fmt: skip


def _pieces(sim: Simulation) -> list[np.ndarray]:
    """Vessels of every named branch in unbroken runs, thinned to pieces of at least `LEAST_PIECE`."""
    network = sim.network
    tail, head, branch = (np.asarray(getattr(network, f)) for f in ("tail", "head", "branch"))
    runs = []
    for index, name in enumerate(network.branch_names):
        on = np.flatnonzero(branch == index)
        if name == GROWN or not len(on):
            continue
        runs += np.split(on, np.flatnonzero(head[on[:-1]] != tail[on[1:]]) + 1)
    return runs


def _tubes(sim: Simulation, middle: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """Named branches as one mesh of triangles, a ring of points at each node; and the vessel of every point."""
    network = sim.network
    radius, position = np.asarray(vessel_laws(sim).radius), np.asarray(network.position)
    tail, head = np.asarray(network.tail), np.asarray(network.head)
    points, of_point, triangles, count = [], [], [], 0
    turn = np.linspace(0.0, 2.0 * np.pi, SIDES, endpoint=False)
    here, after = np.arange(SIDES), (np.arange(SIDES) + 1) % SIDES
    for run in _pieces(sim):
        node = np.concatenate([tail[run[:1]], head[run]])
        r = np.concatenate([radius[run[:1], 0], radius[run, 1]])
        of = np.concatenate([run[:1], run])
        along = np.concatenate([[0.0], np.cumsum(np.asarray(network.length)[run])]) * 1e3
        keep = np.unique(
            np.searchsorted(along, np.append(np.arange(0.0, along[-1], LEAST_PIECE), along[-1])).clip(
                max=len(along) - 1
            )
        )
        x, r, of = position[node[keep]], r[keep], of[keep]
        if len(x) < 2:
            continue
        axis = np.gradient(x, axis=0)
        axis /= np.maximum(np.linalg.norm(axis, axis=1), 1e-12)[:, None]
        helper = np.eye(3)[np.argmin(np.abs(axis).max(0))]
        p = np.cross(axis, helper)
        p /= np.maximum(np.linalg.norm(p, axis=1), 1e-12)[:, None]
        ring = np.cos(turn)[None, :, None] * p[:, None] + np.sin(turn)[None, :, None] * np.cross(axis, p)[:, None]
        points.append((x[:, None] + r[:, None, None] * ring).reshape(-1, 3))
        of_point.append(np.repeat(of, SIDES))
        start = count + SIDES * np.arange(len(x) - 1)[:, None]
        triangles += [
            np.stack([start + here, start + after, start + SIDES + here], -1).reshape(-1, 3),
            np.stack([start + SIDES + here, start + after, start + SIDES + after], -1).reshape(-1, 3),
        ]
        count += SIDES * len(x)
    corner = np.concatenate(triangles).astype(np.int32)
    return _placed(np.concatenate(points), middle) | dict(zip("ijk", corner.T, strict=True)), np.concatenate(of_point)


def _lines(sim: Simulation, middle: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """The widest of the grown vessels as one line, broken after each (`BREAK`); and the vessel of every point."""
    network = sim.network
    grown = np.flatnonzero(np.array([n == GROWN for n in network.branch_names])[np.asarray(network.branch)])
    radius = np.asarray(vessel_laws(sim).radius)[grown].mean(1)
    grown = np.sort(grown[np.argsort(-radius)[:LINES]])
    position = np.asarray(network.position)
    ends = [position[np.asarray(getattr(network, f))[grown]] for f in ("tail", "head", "head")]
    placed = _placed(np.stack(ends, 1), middle)
    for along in placed.values():
        along[2::3] = BREAK
    return placed, np.repeat(grown, 3)


def _surface(samples: Samples, middle: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """The wall's smoothed surface, decimated; and the volume next to every point."""
    inside = np.pad(np.isfinite(samples.on_grid(np.zeros(len(samples.index)))), 1).astype(float)
    image = pv.ImageData(
        dimensions=inside.shape, spacing=(samples.spacing,) * 3, origin=samples.origin - samples.spacing
    )
    image["inside"] = inside.ravel(order="F")
    surface = image.contour([0.5], scalars="inside").smooth_taubin(n_iter=20).triangulate()
    if surface.n_points > WALL_POINTS:
        surface = surface.decimate(1.0 - WALL_POINTS / surface.n_points)
    center = samples.origin + samples.spacing * samples.index
    nearest = scipy.spatial.cKDTree(center).query(surface.points)[1]
    corner = surface.faces.reshape(-1, 4)[:, 1:].astype(np.int32)
    return _placed(np.asarray(surface.points), middle) | dict(zip("ijk", corner.T, strict=True)), nearest
