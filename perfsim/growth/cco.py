"""Radii by constrained constructive optimization: all terminals at one pressure, Murray's law at every fork."""

from perfsim.network import Centerlines, VesselNetwork, vessel_above
from perfsim.network.topology import accumulate, by_depth

import numpy as np


def equal_pressure_radii(network: VesselNetwork) -> VesselNetwork:
    """The same network with grown lumens such that, at design flows, all terminals of a subtree have one pressure.

    Each subtree of grown vessels keeps its first radius r = r₀ (Q/Q₀)^(1/γ). Below it, with the reduced resistance
    R* = R r⁴ of a vessel and all that hangs on it (Schreiner and Buxbaum 1993, IEEE TBME 40:482),

        R*_v = L_v + 1/Σ_k β_k⁴/R*_k,    r_1/r_2 = (Q_1 R*_1 / Q_2 R*_2)^(1/4),    Σ_k β_k^γ = 1,

    β_k the radius of daughter k over its parent's (viscosity cancels). The lumens are then kept like measured ones, and
    no longer follow the exponent or the demands.
    """
    above, grown = vessel_above(network), ~np.asarray(network.measured)
    length, flow = np.asarray(network.length), np.asarray(network.design_flow()[0])
    gamma = float(network.exponent)
    reduced, beta = length.copy(), np.ones(len(length))
    levels = by_depth(accumulate(above, np.ones(len(above), int)))
    for vessels in reversed(levels):
        below = vessels[grown[vessels] & (above[vessels] >= 0)]
        below = below[grown[above[below]]]
        if not len(below):
            continue
        pull = (flow[below] * reduced[below]) ** 0.25
        total = np.zeros(len(length))
        np.add.at(total, above[below], pull**gamma)
        beta[below] = pull / total[above[below]] ** (1.0 / gamma)
        conductance = np.zeros(len(length))
        np.add.at(conductance, above[below], beta[below] ** 4 / reduced[below])
        parents = np.unique(above[below])
        reduced[parents] = length[parents] + 1.0 / conductance[parents]
    lumen, measured = np.array(network.lumen), np.array(network.measured)
    fraction = flow / np.asarray(network.design_flow()[1])[np.asarray(network.root)]
    law = np.asarray(network.root_radius)[np.asarray(network.root)] * fraction ** (1.0 / gamma)
    first = grown & ((above < 0) | ~grown[np.maximum(above, 0)])
    radius = np.where(first, law, 0.0)
    for vessels in levels:
        inner = vessels[grown[vessels] & ~first[vessels]]
        radius[inner] = radius[above[inner]] * beta[inner]
    lumen[grown] = radius[grown][:, None]
    measured[grown] = True
    return _with_lumen(network, lumen, measured)


def _with_lumen(network: VesselNetwork, lumen: np.ndarray, measured: np.ndarray) -> VesselNetwork:
    fields = {name: np.asarray(getattr(network, name)) for name in Centerlines.__dataclass_fields__}
    names = {name: getattr(network, name) for name in ("branch_names", "inlet_names", "outlet_names")}
    return VesselNetwork.of(Centerlines(**(fields | names | {"lumen": lumen, "measured": measured})))
