"""How the flow of a state changes with every number of the simulation, by programs that all questions share.

A program that holds the simulator takes a hundred times longer to compile than to run. Derivatives are therefore taken
with respect to all floating-point numbers of a simulation at once, whatever is asked of them: the products of the
flow's derivative at a known solution with tangents and with cotangents are compiled once for hearts of one size, for
each number of them. What a parameter does to those numbers, and what a measurement sees of the flow, are small
programs of their own (see `inverse.linearized`).
"""

from perfsim.coupling.methods import TissueMethod
from perfsim.coupling.pulsatile import Pulsatile
from perfsim.coupling.simulate import solve_states, unknowns, without_states
from perfsim.coupling.simulation import Simulation, State
from perfsim.coupling.solution import Perfusion
from perfsim.flow import Steady
from perfsim.precision import cast

import equinox as eqx
import jax
from jaxtyping import Array, Float


class Linearization(eqx.Module):
    """The derivative of a state's `Perfusion` with respect to (simulation without its states, state).

    Tangents and cotangents are those objects with None in place of all that is not a floating-point array.
    """

    sim: Simulation
    state: State
    flow: Steady | Pulsatile
    tissue: TissueMethod
    start: Float[Array, " unknowns"]
    """the pressures of the solution"""

    @eqx.filter_jit
    def tangents(self, block: tuple[Simulation, State]) -> Perfusion:
        """Push tangents of the numbers forward: arrays have one more axis in front, of the block."""
        at, fields = self._fields()
        return jax.vmap(lambda each: jax.jvp(fields, (at,), (each,))[1])(block)

    @eqx.filter_jit
    def cotangents(self, block: Perfusion) -> tuple[Simulation, State]:
        """Pull cotangents of the flow back, likewise."""
        at, fields = self._fields()
        _, pull = jax.vjp(fields, at)
        return jax.vmap(lambda each: pull(each)[0])(block)

    def _fields(self):
        """(the numbers, the flow's floating-point arrays as a function of them)."""
        at, rest = eqx.partition((self.sim, self.state), eqx.is_inexact_array)

        def fields(at):
            sim, state = eqx.combine(at, rest)
            return numbers(solve_states(sim, (state,), self.flow, self.tissue, (self.start,), True)[0])

        return at, fields


def numbers(tree):
    """A pytree with None in place of all that is not a floating-point array."""
    return eqx.filter(tree, eqx.is_inexact_array)


def linearize(
    sim: Simulation, name: str, found: Perfusion, flow: Steady | Pulsatile, tissue: TissueMethod
) -> Linearization:
    """Linearize the flow of the state `name` at its solution `found` (host).

    With `Steady(given=True)` nothing is solved for again; a beat is marched again.
    """
    sim, flow, tissue, found = cast((sim, flow, tissue, found), "f64")
    state = next(s for s in sim.states if s.name == name).unnamed()
    return Linearization(without_states(sim), state, flow, tissue, unknowns(sim, found))
