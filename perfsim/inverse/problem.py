"""The one function that everything here is made of: residuals in standard deviations, of standard normal numbers."""

from collections.abc import Sequence

from perfsim._results import InputError
from perfsim.coupling import Pulsatile, Simulation, Solution, TissueMethod, check_values, simulate
from perfsim.darcy import FiniteVolumes
from perfsim.flow import Steady
from perfsim.inverse.blocks import Block, Free, block
from perfsim.inverse.fields import FieldBlock, ToneField
from perfsim.inverse.model import Model
from perfsim.observe import Measurement

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Problem(eqx.Module):
    """Data, what is free, and what is known of it before: -log posterior = ½|r(ξ)|² + ½|ξ|² + const.

    ξ are the free parameters, standard normal before the data are seen, whatever their unit; r are the residuals of
    the data in standard deviations. Without a `prior` the second term is left out.
    """

    model: Model
    blocks: tuple[Block | FieldBlock, ...]
    flow: Steady | Pulsatile
    tissue: TissueMethod
    prior: bool = eqx.field(static=True)
    skipped: int = eqx.field(static=True, default=0)
    """measurements, the first ones, whose residuals are left out"""
    held: Float[Array, " parameters"] | None = None
    """values at which some parameters are held, NaN for the others"""

    @property
    def size(self) -> int:
        return sum(b.size for b in self.blocks)

    @property
    def data_size(self) -> int:
        return sum(m.value.size for m in self.model.data[self.skipped :])

    @property
    def states(self) -> tuple[str, ...]:
        needed = {s for m in self.model.data for s in m.needs}
        return tuple(s.name for s in self.model.sim.states if s.name in needed)

    def at(self, xi: Float[Array, " parameters"]) -> Model:
        """The simulation and the instruments with these parameters."""
        model, start = self.model, 0
        if self.held is not None:
            xi = jnp.where(jnp.isnan(self.held), xi, self.held)
        for part in self.blocks:
            model = part.apply(model, xi[start : start + part.size])
            start += part.size
        return model

    def solved(self, xi: Float[Array, " parameters"], every_state: bool = False) -> tuple[Model, Solution]:
        """The model and its flow, in the states that were measured or in all."""
        model, states = self.at(xi), None if every_state else self.states
        return model, simulate(model.sim, flow=self.flow, tissue=self.tissue, states=states)

    def residual(self, xi: Float[Array, " parameters"]) -> Float[Array, " data"]:
        """r(ξ): model minus data in standard deviations. NaN where a solve failed."""
        return self.misfit(*self.solved(xi))

    def misfit(self, model: Model, solution: Solution) -> Float[Array, " data"]:
        """The residuals of a solution."""
        return model.misfit(solution, self.skipped)

    def cost(
        self, xi: Float[Array | np.ndarray, " parameters"], r: Float[Array | np.ndarray, " data"]
    ) -> Float[Array | np.ndarray, ""] | float:
        """½|r|² + ½|ξ|², or without a prior the first alone."""
        return 0.5 * (r @ r) + 0.5 * self.prior * (xi @ xi)

    def values(self, xi: Float[Array, " parameters"]) -> Float[Array, " parameters"]:
        """Parameters in their display units."""
        return self.values_in(self.at(xi))

    def values_in(self, model: Model) -> Float[Array, " parameters"]:
        """The parameters of a model in their display units."""
        return jnp.concatenate([part.values(model) for part in self.blocks])


def problem(
    sim: Simulation,
    data: Sequence[Measurement],
    free: Sequence[str | Free | ToneField],
    *,
    prior: bool = True,
    flow: Steady | Pulsatile | None = None,
    tissue: TissueMethod | None = None,
) -> tuple[Problem, list[str]]:
    """The problem and the names of its parameters. Raises `InputError` for unknown or doubled names, groups, states."""
    if not data:
        raise InputError("there is nothing to fit: give at least one measurement")
    check_values(sim)
    known = [s.name for s in sim.states]
    for measurement in data:
        for state in measurement.needs:
            if state not in known:
                raise InputError(f"a measurement is of the state {state!r}; the simulation has {', '.join(known)}")
        measurement.check(sim)
    _refuse_twice(free)
    model = Model(sim, tuple(data))
    blocks: list[Block | FieldBlock] = []
    names: list[str] = []
    for item in free:
        if isinstance(item, ToneField):
            blocks.append(FieldBlock.of(sim, item))
            names += [f"tone field[{k}]" for k in range(blocks[-1].size)]
        else:
            part, labels = block(model, item if isinstance(item, Free) else Free(item))
            blocks.append(part)
            names += labels
    if not blocks:
        raise InputError("there is nothing free to fit: name at least one parameter")
    return Problem(model, tuple(blocks), flow or Steady(), tissue or FiniteVolumes(), prior), names


def _refuse_twice(free: Sequence[str | Free | ToneField]) -> None:
    """Raise `InputError` for a parameter that is free twice: both would act, and neither would be known."""
    names = [item if isinstance(item, str) else item.name for item in free if not isinstance(item, ToneField)]
    same = ["throat" if name == "severity" else name for name in names]
    for k, name in enumerate(same):
        if name in same[:k]:
            raise InputError(f"{names[k]!r} and {names[same.index(name)]!r} free the same thing: name it once")
