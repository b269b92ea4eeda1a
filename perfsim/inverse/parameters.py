"""Free parameters: leaves of a simulation by name, in coordinates where every value is allowed."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

from perfsim._results import InputError
from perfsim.coupling import Simulation

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Coordinate(abc.ABC):
    """A smooth map from all real numbers onto the values that a parameter may take."""

    @abc.abstractmethod
    def to_free(self, x):
        """The fit's coordinate of a physical value."""

    @abc.abstractmethod
    def to_physical(self, z):
        """The physical value of a fit's coordinate."""


class Logarithm(Coordinate):
    """x = e^z, positive."""

    def to_free(self, x):
        return jnp.log(x)

    def to_physical(self, z):
        return jnp.exp(z)


@dataclasses.dataclass(frozen=True)
class Interval(Coordinate):
    """x = low + (high - low)·sigmoid(z)."""

    low: float
    high: float

    def to_free(self, x):
        t = (x - self.low) / (self.high - self.low)
        return jnp.log(t) - jnp.log1p(-t)

    def to_physical(self, z):
        return self.low + (self.high - self.low) * jax.nn.sigmoid(z)


@dataclasses.dataclass(frozen=True)
class Narrowing(Coordinate):
    """1/x = 1/most + softplus(4z)/4, for throats d/D: hyperemic flow falls nearly linearly with D/d.

    In d itself a mild lesion hardly matters and a severe one matters much, so that a Gauss-Newton step from a mild
    start overshoots.
    """

    most: float

    def to_free(self, x):
        y = 4.0 * (1.0 / x - 1.0 / self.most)
        return (y + jnp.log(-jnp.expm1(-y))) / 4.0

    def to_physical(self, z):
        return 1.0 / (1.0 / self.most + jax.nn.softplus(4.0 * z) / 4.0)


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A kind of parameter: where it lives, the coordinate it is fitted in, and its population."""

    where: Callable[[Any], Array]
    unit: str
    coordinate: Coordinate = dataclasses.field(default_factory=Logarithm)
    spread: float = 0.5
    """standard deviation of the population in the fit's coordinate, around the simulation's own value"""
    scale: float = 1.0
    """SI value of one `unit`"""


PARAMETERS: dict[str, Parameter] = {
    "tone": Parameter(lambda s: s.tissue.tone, "", spread=0.5),
    "throat": Parameter(lambda s: s.lesions.throat, "", Narrowing(1.2), spread=0.8),
    "supply": Parameter(lambda s: s.tissue.supply, "1/(Pa·s)"),
    "drainage": Parameter(lambda s: s.tissue.drainage, "1/(Pa·s)"),
    "mobility": Parameter(lambda s: s.tissue.mobility, "m²/(Pa·s)"),
    "root_lumen": Parameter(lambda s: s.network.root_radius, "mm radius", spread=0.15, scale=1e-3),
    "exponent": Parameter(lambda s: s.network.exponent, "", Interval(1.5, 4.0)),
    "hematocrit": Parameter(lambda s: s.viscosity.hematocrit, "", Interval(0.1, 0.7), spread=0.3),
}


def names(sim: Simulation, chosen: tuple[str, ...]) -> list[str]:
    """A name for every scalar: `tone[LAD]`, `throat[LAD@20mm]`, ... Raises `InputError` for an unknown parameter."""
    out = []
    for name in chosen:
        if name not in PARAMETERS:
            raise InputError(f"there is no parameter {name!r} to fit: choose among {', '.join(PARAMETERS)}")
        size = np.size(PARAMETERS[name].where(sim))
        if size == 0:
            raise InputError(f"parameter {name!r} has nothing to fit: the case lists no stenosis")
        if name == "tone":
            labels = list(sim.tissue.territory_names) if sim.tissue is not None else []
        elif name == "throat":
            branches = [sim.network.branch_names[int(b)] for b in sim.lesions.branch]
            labels = [f"{b}@{float(c) * 1e3:.0f}mm" for b, c in zip(branches, sim.lesions.center, strict=True)]
        elif name == "root_lumen":
            labels = list(sim.network.inlet_names)
        else:
            labels = []
        out += [f"{name}[{label}]" for label in labels] or [name]
    return out


def gather(sim: Simulation, chosen: tuple[str, ...]) -> Float[Array, " parameters"]:
    """The chosen leaves as one vector in the fit's coordinates."""
    return jnp.concatenate([jnp.ravel(PARAMETERS[n].coordinate.to_free(PARAMETERS[n].where(sim))) for n in chosen])


def scatter(sim: Simulation, chosen: tuple[str, ...], z: Float[Array, " parameters"]) -> Simulation:
    """The simulation with the chosen leaves replaced."""
    start = 0
    for name in chosen:
        parameter = PARAMETERS[name]
        old = parameter.where(sim)
        new = parameter.coordinate.to_physical(z[start : start + old.size]).reshape(old.shape)
        start += old.size
        sim = eqx.tree_at(parameter.where, sim, new)
    return sim


def values(sim: Simulation, chosen: tuple[str, ...]) -> Float[Array, " parameters"]:
    """The chosen leaves in their display units, as one vector."""
    return jnp.concatenate([jnp.ravel(PARAMETERS[n].where(sim)) / PARAMETERS[n].scale for n in chosen])


def spreads(sim: Simulation, chosen: tuple[str, ...]) -> Float[Array, " parameters"]:
    """Population standard deviations in the fit's coordinates."""
    return jnp.concatenate([jnp.full(np.size(PARAMETERS[n].where(sim)), PARAMETERS[n].spread) for n in chosen])
