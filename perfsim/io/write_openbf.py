"""Networks for openBF: its YAML, and the inflow beside it."""

from pathlib import Path
from typing import Any

from perfsim._extras import needed
from perfsim._results import InputError
from perfsim.flow.pulsatile import Absorbing, Arteries, Coronary, Resistance, SquareRoot, Windkessel
from perfsim.io.flow_case import FlowCase
from perfsim.io.write_svzerod import sampled

import numpy as np

STRAIGHT = 1e-9
"""share of a number that rounding may change"""
THICKNESS = 0.1
"""wall thickness over the radius that E·h is divided by: openBF's results depend on the product alone"""


def write_openbf(path: Path, case: FlowCase) -> None:
    """Write a network in openBF's YAML, and its inflow as `NAME_inlet.dat` beside it.

    Reading the file gives the network back. Raises `InputError` for what the format does not have: stenoses, coronary
    outlets, pressure inlets, several inflows, profiles that are no linear taper, walls that are stiffer at one end,
    a reference pressure other than that outside the vessel.
    """
    path = Path(path)
    with needed("io"):
        import yaml

    a = case.arteries
    _refuse(a)
    t, flow = sampled(a.flow_inlets.waveform, 0, float(a.period))
    inlet = f"{path.stem}_inlet.dat"
    found: dict[str, Any] = {
        "project_name": case.name, "inlet_file": inlet, "write_results": ["P", "Q"],
        "blood": {"rho": float(a.density), "mu": float(np.ravel(a.viscosity)[0])},
        "solver": {"Ccfl": float(case.cfl), "cycles": int(case.max_cycles), "jump": int(case.samples),
                   "convergence_tolerance": 0.01, "use_total_pressure": bool(np.asarray(a.total).any())},
        "network": _vessels(a),
    }  # fmt: skip
    path.write_text(yaml.safe_dump(found, sort_keys=False), encoding="utf-8")
    rows = "".join(f"{x!r} {y!r}\n" for x, y in zip(t.tolist(), flow.tolist(), strict=True))
    path.with_name(inlet).write_text(rows, encoding="utf-8")


def _refuse(a: Arteries) -> None:
    """Raise `InputError` for what openBF's format does not have."""
    if a.flow_inlets is None or a.pressure_inlets is not None or len(a.flow_inlets.node) != 1:
        raise InputError("openBF needs one inlet with a prescribed flow, and no pressure inlet")
    if len(a.throats.R):
        raise InputError("openBF has no stenoses: leave them out, or write another format")
    if any(isinstance(o, Coronary) for o in a.outlets):
        raise InputError("openBF has no coronary outlets: write svZeroD's format (.json)")
    if a.wall is not SquareRoot or a.viscous is not None:
        raise InputError("openBF has elastic walls of the square-root law here; this network has others")
    for name, value in (("viscosity", a.viscosity), ("momentum_factor", a.momentum_factor)):
        if np.ptp(np.ravel(value)) > 0:
            raise InputError(f"openBF has one {name} for all vessels")
    if not np.allclose(np.ravel(a.momentum_factor), 1.0):
        raise InputError(
            f"openBF's momentum factor is 1, this network's is {float(np.ravel(a.momentum_factor)[0]):.4g}: set "
            "momentum_factor = 1"
        )
    radius, stiff = np.asarray(a.radius), np.asarray(a.elasticity)
    line = radius[:, :1] + (radius[:, -1:] - radius[:, :1]) * np.linspace(0.0, 1.0, radius.shape[1])
    for what, off in (
        ("radius is no linear taper", np.abs(radius / line - 1)),
        ("wall varies along it", np.abs(stiff / stiff[:, :1] - 1)),
    ):
        if off.max() > STRAIGHT:
            v = int(np.argmax(off.max(axis=1)))
            raise InputError(f"{a.names[v]}: its {what}, which openBF does not have: divide the vessel")
    if float(np.abs(np.asarray(a.reference_pressure)).max()) > 0:
        raise InputError("openBF gives radii at the external pressure: set reference_pressure to 0, with radii there")


def _vessels(a: Arteries) -> list[dict[str, Any]]:
    """Every vessel with its wall, and the outlet at its end; the inlet is node 1."""
    inlet = int(a.flow_inlets.node[0])
    number = {inlet: 1} | {n: k + 2 for k, n in enumerate(n for n in range(a.nodes) if n != inlet)}
    outlets = {int(n): _outlet(o, i) for o in a.outlets for i, n in enumerate(np.asarray(o.node))}
    profile = np.broadcast_to(np.asarray(a.profile), len(a.names))
    found = []
    for v, name in enumerate(a.names):
        near, far = (float(a.radius[v, k]) for k in (0, -1))
        h = THICKNESS * near
        vessel = {
            "label": name, "sn": number[int(a.tail[v])], "tn": number[int(a.head[v])], "L": float(a.length[v]),
            "E": float(a.elasticity[v, 0]) / h, "h0": h, "Rp": near, "Rd": far, "Pext": float(a.external_pressure[v]),
            "gamma_profile": float(profile[v]),
        }  # fmt: skip
        found.append(vessel | outlets.get(int(a.head[v]), {}))
    return found


def _outlet(group, i: int) -> dict[str, Any]:
    if isinstance(group, Absorbing):
        return {"outlet": "reflection", "Rt": float(np.broadcast_to(np.asarray(group.echo), len(group.node))[i])}
    if isinstance(group, Resistance):
        raise InputError("openBF's outlets are windkessels: give the resistance a compliance")
    assert isinstance(group, Windkessel)
    return {"outlet": "wk3", "R1": float(group.R1[i]), "R2": float(group.R2[i]), "Cc": float(group.C[i]),
            "Pout": float(group.P_out[i])}  # fmt: skip
