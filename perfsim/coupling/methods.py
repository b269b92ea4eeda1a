"""The ways to solve the wall that `simulate` takes as `tissue`, and the equations that each of them poses."""

from perfsim._results import InputError
from perfsim.coupling.graph_network import GraphNetwork
from perfsim.coupling.newton_krylov import Start
from perfsim.coupling.potential import Graph, graph
from perfsim.coupling.predicted import Predicted
from perfsim.coupling.simulation import Simulation, State
from perfsim.coupling.system import CoupledSystem, VesselFlowLaw, coupled_system
from perfsim.darcy import FiniteVolumes

TissueMethod = FiniteVolumes | GraphNetwork | Predicted


def posed(
    sim: Simulation, law: VesselFlowLaw, state: State, method: TissueMethod
) -> tuple[CoupledSystem, Graph, FiniteVolumes]:
    """(coefficients of one state, who is connected to whom, what solves them).

    Raises `InputError` for a network on three compartments or corrected fluxes.
    """
    mesh, couplings = sim.solved_on()
    links = graph(sim.forest, mesh, couplings, sim.network.terminals)
    solver = method if isinstance(method, FiniteVolumes) else method.solver
    system = coupled_system(sim, law, state, solver)
    if method is not solver:
        _check(sim, system)
    return (method(system, links) if isinstance(method, GraphNetwork) else system), links, solver


def _check(sim: Simulation, system: CoupledSystem) -> None:
    if sim.parts()[2].compartments is not None:
        raise InputError("a network acts on a tissue of one compartment, this one has three")
    if system.correction is not None:
        raise InputError(
            "a network acts on two-point fluxes: give it solver=FiniteVolumes(corrected=False) on this mesh"
        )


def own_start(method: TissueMethod) -> Start | None:
    """The field that a method has of its own to start from, if any."""
    return method.start if isinstance(method, Predicted) else None
