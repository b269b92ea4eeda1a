"""`Solution`: what a simulation computed, in SI units except MBF."""

from perfsim._results import RESULTS, InputError, SimulationError
from perfsim.flow import Counters
from perfsim.network import Forest
from perfsim.units import MMHG

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

_ORDER = {"rest": 0, "hyperemia": 1}


class Beat(eqx.Module):
    """The periodic beat of the trunks; places along a chain are its start, middle and end."""

    time: Float[Array, " times"]
    """[s] from the start of the beat"""
    pressure: Float[Array, "times places=3 chains"]
    """static [Pa]"""
    flow: Float[Array, "times places=3 chains"]
    """[m³/s]"""
    names: tuple[str, ...] = eqx.field(static=True)
    """of the chains: branch, and where along it the chain ends"""
    period: Float[Array, ""]
    """[s]"""
    change: Float[Array, " cuts"]
    """mean flow into each subtree over that of the steady solve, less 1: 0 where no loss is quadratic"""
    cycles: Int[Array, ""]
    """it took to become periodic"""
    defect: Float[Array, ""]
    """greatest change over the last cycle, of a lumen over A_d or a flow over A_d c"""
    residual: Float[Array, ""]
    """greatest pressure that a node left unmatched, over ρc²"""


class Perfusion(eqx.Module):
    """One state's flow field; of a beating heart, its mean. Arrays over terminals and volumes may be empty: no wall."""

    total_pressure: Float[Array, " nodes"]
    """p0 [Pa] at the network's nodes"""
    static_pressure: Float[Array, " vessels"]
    """p = p0 - ½ρα(Qu)² at the far end of each vessel [Pa], u = 1/A or that of a jet's core"""
    flow: Float[Array, " vessels"]
    """[m³/s], positive from tail to head"""
    inlet_flow: Float[Array, " inlets"]
    """[m³/s], accumulated from the leaves to the root"""
    outlet_flow: Float[Array, " outlets"]
    """[m³/s] through lumped outlets"""
    bridge_flow: Float[Array, " bridges"]
    """[m³/s] through grafts and collaterals, from their first end to their second"""
    aortic_pressure: Float[Array, ""]
    """[Pa]"""
    terminal_flow: Float[Array, " terminals"]
    """[m³/s]"""
    terminal_pressure: Float[Array, " terminals"]
    """[Pa] at D_ref, below the crown"""
    tissue_pressure: Float[Array, " volumes"]
    """capillary pressure [Pa]"""
    compartment_pressure: Float[Array, "compartments volumes"]
    """[Pa], of the only compartment or of all three"""
    mbf: Float[Array, " volumes"]
    """myocardial blood flow [mL/min/g]: supply per gram or, of three compartments, what enters the capillaries"""
    drainage: Float[Array, " volumes"]
    """venous drainage per gram [mL/min/g]"""
    supplies: Float[Array, "feeders volumes"]
    """flow from each feeding terminal into each volume [m³/s], arranged as `Couplings.terminal`"""
    mass_defect: Float[Array, ""]
    """|inflow - venous outflow - lumped outlets| over the inflow"""
    counters: Counters
    beat: Beat | None = None
    """of pulsatile flow"""

    def unknowns(
        self, forest: Forest, terminal_node: Int[Array, " terminals"]
    ) -> Float[Array, " contracted_and_volumes"]:
        """What a solve finds [mmHg]: total pressures at contracted nodes, behind the crown at terminals, and those in
        the wall's compartments.
        """
        at_nodes = self.total_pressure[forest.node].at[terminal_node].set(self.terminal_pressure)
        return jnp.concatenate([at_nodes, self.compartment_pressure.ravel()]) / MMHG


class Solution(eqx.Module):
    """The states of one simulation, by name: `solution["rest"]`, or `solution.rest`, `solution.hyperemia`."""

    states: dict[str, Perfusion]

    def in_order(self) -> list[tuple[str, Perfusion]]:
        """States by name, rest first, hyperemia next. (A dict that went through jax comes back sorted by key.)"""
        return sorted(self.states.items(), key=lambda item: _ORDER.get(item[0], len(_ORDER)))

    def __getitem__(self, name: str) -> Perfusion:
        if name not in self.states:
            raise InputError(
                f"this solution holds {' and '.join(n for n, _ in self.in_order())}, not {name!r}: ask `simulate` for "
                f"that state as well (leave out `states`, or name it there)"
            )
        return self.states[name]

    @property
    def rest(self) -> Perfusion:
        return self["rest"]

    @property
    def hyperemia(self) -> Perfusion:
        return self["hyperemia"]

    @property
    def mfr(self) -> Float[Array, " volumes"]:
        """Myocardial flow reserve of every volume: hyperemic over resting MBF."""
        return self.hyperemia.mbf / jnp.where(self.rest.mbf == 0, 1.0, self.rest.mbf)

    @property
    def results(self) -> dict[str, Int[Array, "..."]]:
        """The outcome of each state, a value of `RESULTS` (an array of them for a batch)."""
        return {name: state.counters.result for name, state in self.in_order()}


def check(solution: Solution) -> Solution:
    """Return the solution if every state converged, else raise `SimulationError` with cause and remedy (host only).

    Of a batch, made by `jax.vmap`, the message counts the members that failed and names the first.
    """
    for name, state in solution.in_order():
        results = np.atleast_1d(np.asarray(state.counters.result))
        failed = np.flatnonzero(results != RESULTS.successful)
        if len(failed) == 0:
            continue
        first = int(failed[0])
        result = RESULTS(int(results.ravel()[first]))
        detail = f"flow imbalance {float(np.ravel(state.counters.imbalance)[first]):.1e}"
        if state.beat is not None and result in (RESULTS.not_periodic, RESULTS.wave_not_finite):
            detail = f"change over the last cycle {float(np.ravel(state.beat.defect)[first]):.1e}"
        who = ""
        if np.ndim(state.counters.result):
            who = f"{len(failed)} of {results.size} members failed: the first is {first}, {result.name}. "
        raise SimulationError(f"state {name!r}: {who}{result.message} ({detail})", solution)
    return solution
