"""Free parameters: standard normal numbers that move the leaves of a model."""

import dataclasses

from perfsim._results import InputError
from perfsim.inverse.groups import groups
from perfsim.inverse.model import Model
from perfsim.inverse.parameters import Parameter, parameter_named

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


@dataclasses.dataclass(frozen=True)
class Free:
    """A parameter to fit, in groups and with a population of one's own.

    `name` is one of `PARAMETERS`, or the path of any floating-point leaf of a simulation ("tissue.drainage",
    "hyperemia.back_pressure_endo") or of the tracer ("tracer.partition", "tracer.extraction.b"). Entries change by one
    factor per group: `by` "vessel", "branch", "territory", "terminal", "all", or None for every entry by itself.
    `spread` replaces the population's standard deviation in the parameter's coordinate: one number, or one per group.
    """

    name: str
    by: str | None = None
    spread: float | tuple[float, ...] | None = None


class Block(eqx.Module):
    """Free numbers ξ ~ N(0, 1) that move some leaves: x = coordinate(coordinate⁻¹(x₀) + spread·ξ[group])."""

    parameter: Parameter = eqx.field(static=True)
    group: tuple[Array, ...]
    """of each entry of each leaf, in one numbering"""
    spread: Array

    @property
    def size(self) -> int:
        return self.spread.shape[0]

    @property
    def unit(self) -> str:
        return self.parameter.unit

    def apply(self, model: Model, xi: Array) -> Model:
        """The model with these leaves moved."""
        where, coordinate = self.parameter.where, self.parameter.coordinate
        step = self.spread * xi
        moved = [
            coordinate.to_physical(coordinate.to_free(x) + step[g].reshape(jnp.shape(x)))
            for x, g in zip(_leaves(where(model)), self.group, strict=True)
        ]
        return eqx.tree_at(lambda m: _leaves(where(m)), model, moved)

    def values(self, model: Model) -> Array:
        """The first entry of every group, in the display unit."""
        flat = jnp.concatenate([jnp.ravel(x) for x in _leaves(self.parameter.where(model))])
        first = np.unique(np.concatenate([np.asarray(g) for g in self.group]), return_index=True)[1]
        return flat[first] / self.parameter.scale


def _leaves(found) -> tuple:
    return found if isinstance(found, tuple) else (found,)


LACKING = {
    "throat": "the case lists no stenosis",
    "severity": "the case lists no stenosis",
    "demand": "no state is autoregulated",
    "delay": "the data hold no dynamic scan",
    "arterial": "the data hold no dynamic scan",
}
"""why a parameter may have nothing to fit"""


def _check_bounds(name: str, parameter: Parameter, leaves) -> None:
    """Refuse starting values that the fit's coordinate cannot hold."""
    low, high = parameter.coordinate.bounds
    for x in leaves:
        values = np.ravel(np.asarray(x))
        wrong = values[~((values > low) & (values < high))]
        if len(wrong):
            limits = f"between {low:g} and {high:g}" if np.isfinite(high) else f"above {low:g}"
            raise InputError(
                f"parameter {name!r} starts at {wrong[0]:.4g}, but a fit needs a value {limits}: change it, or leave "
                f"{name!r} out of the free parameters"
            )


def block(model: Model, free: Free) -> tuple[Block, list[str]]:
    """The free numbers of one parameter and their names. Raises `InputError` for what cannot be fitted or grouped."""
    name, parameter = free.name, parameter_named(free.name, model)
    leaves = _leaves(parameter.where(model))
    if sum(np.size(x) for x in leaves) == 0:
        raise InputError(f"parameter {name!r} has nothing to fit: {LACKING.get(name, 'the data hold no scan')}")
    _check_bounds(name, parameter, leaves)
    by = free.by or ("all" if parameter.together else None)
    group, labels = groups(model, name, leaves, by, parameter.shared_by)
    asked = parameter.spread if free.spread is None else free.spread
    spread = jnp.broadcast_to(jnp.asarray(asked(model) if callable(asked) else asked, float), (len(labels),))
    return Block(parameter, group, spread), [f"{name}[{label}]" if label else name for label in labels]
