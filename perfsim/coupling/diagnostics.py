"""What a solution says about itself: how far tissue shares flow, and where what comes in goes."""

from perfsim.coupling.simulation import Simulation
from perfsim.coupling.solution import Perfusion
from perfsim.network import vessel_into
from perfsim.units import ML_MIN

import numpy as np


def screening_length(sim: Simulation) -> np.ndarray:
    """ℓ = √(K/(g_a + g_v)) of every volume [m], K along its best direction: how far tissue shares flow.

    NaN where nothing is supplied or drained. Raises `InputError` for a network without a wall.
    """
    volumes, _, tissue = sim.parts()
    K = np.asarray(tissue.mobility)
    best = np.linalg.eigvalsh(K)[..., -1] if K.ndim == 3 else K
    g = np.asarray((tissue.supply + tissue.drainage) * tissue.transmural)
    return np.sqrt(np.broadcast_to(best, volumes.volume.shape) / np.where(g > 0, g, np.nan))


def balance(sim: Simulation, state: Perfusion) -> dict[str, dict[str, dict[str, float]]]:
    """Flow by tree and by territory [mL/min].

    A tree's inflow is what its terminals and lumped outlets pass on. A territory's supply and drainage differ by what
    crosses its borders in the tissue: behind an occlusion drainage is more, and comes from the neighbors. Raises
    `InputError` for a network without a wall.
    """
    volumes, links, tissue = sim.parts()
    network, density = sim.network, float(tissue.density)
    root = np.asarray(network.root)[vessel_into(network)]
    ends = np.concatenate([network.terminals, network.outlets]).astype(int)
    passed = np.bincount(root[ends], np.concatenate([state.terminal_flow, state.outlet_flow]), len(network.inlet_names))
    inflow = np.asarray(state.inlet_flow)
    trees = {
        name: {"inflow": float(inflow[k]) / ML_MIN, "passed_on": float(passed[k]) / ML_MIN}
        for k, name in enumerate(network.inlet_names)
    }
    drained = np.asarray(state.drainage) * np.asarray(volumes.volume) * density * 1e3
    supplies, weight = np.asarray(state.supplies) / ML_MIN, np.asarray(links.weight)
    share = weight / np.maximum(weight.sum(0), 1e-300)
    territory = np.append(np.asarray(tissue.territory), -1)[np.asarray(links.terminal)]
    return {
        "trees": trees,
        "territories": {
            name: {
                "supply": float(supplies[territory == k].sum()),
                "drainage": float((share * drained)[territory == k].sum()),
            }
            for k, name in enumerate(tissue.territory_names)
        },
    }
