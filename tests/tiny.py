"""A heart that fits on a sheet of paper, and flow fields written down by hand: nothing here is solved for."""

from perfsim.coupling import Perfusion, Simulation, Solution, assemble
from perfsim.darcy import box
from perfsim.flow import Counters
from perfsim.network import VesselNetwork, join, stenosis

import jax.numpy as jnp
import numpy as np

MM = 1e-3


def tiny_heart() -> Simulation:
    """Eight cubes of 1 cm, six vessels: LM, LAD (two terminals), LCx (one). Lesions: LAD at 10 mm, LCx at 4 mm.

    The proximal radii of LM, LAD and LCx are 2.0, 1.5 and 1.0 mm; branches run straight, the LAD 20, the LCx 10 mm.
    """
    position = MM * np.array(
        [[-50, 10, 10], [-40, 10, 10], [-20, 10, 10], [-40, 20, 10], [-15, 10, 10], [2, 2, 4], [2, 4, 16], [3, 16, 10]]
    )
    network = VesselNetwork.build(
        position, [0, 1, 2, 1, 4, 4, 3], [1, 2, 4, 3, 5, 6, 7], MM * np.array([2.0, 1.5, 1.2, 1.0, 0.3, 0.3, 0.4]),
        inlets=[0], terminals=[5, 6, 7], branch=[0, 1, 1, 2, 3, 3, 3], branch_names=("LM", "LAD", "LCx", "grown"),
        measured=[True] * 4 + [False] * 3,
    )  # fmt: skip
    lesions = join(stenosis(network, "LAD", 10 * MM, 0.55, 6 * MM), stenosis(network, "LCx", 4 * MM, 0.4, 2 * MM))
    return assemble(network, *box([0.02] * 3, [2, 2, 2]), lesions=lesions)


def perfusion(sim: Simulation, **known) -> Perfusion:
    """A state of which some fields are given and all others are zero."""
    network, (volumes, links, _) = sim.network, sim.parts()
    none = {
        "total_pressure": len(network.position), "static_pressure": len(network.tail), "flow": len(network.tail),
        "inlet_flow": len(network.inlets), "outlet_flow": 0, "bridge_flow": 0, "aortic_pressure": (),
        "terminal_flow": len(network.terminals), "terminal_pressure": len(network.terminals),
        "tissue_pressure": len(volumes.volume), "compartment_pressure": (1, len(volumes.volume)),
        "mbf": len(volumes.volume), "drainage": len(volumes.volume), "supplies": links.terminal.shape,
        "mass_defect": (),
    }  # fmt: skip
    fields = {name: jnp.zeros(shape) for name, shape in none.items()} | {k: jnp.asarray(v) for k, v in known.items()}
    integer = jnp.zeros((), int)
    return Perfusion(**fields, counters=Counters(integer, integer, integer, jnp.zeros(())))


def solution(sim: Simulation, **states: dict) -> Solution:
    """A solution of states made by `perfusion`."""
    return Solution({name: perfusion(sim, **known) for name, known in states.items()})
