"""Coordinates in which every real number is allowed, and in which a parameter's population is normal."""

import abc
import dataclasses
import math

import jax
import jax.numpy as jnp


class Coordinate(abc.ABC):
    """A smooth, increasing map from all real numbers onto the values that a parameter may take."""

    @property
    @abc.abstractmethod
    def bounds(self) -> tuple[float, float]:
        """The values lie strictly between these."""

    @abc.abstractmethod
    def to_free(self, x):
        """The coordinate of a physical value."""

    @abc.abstractmethod
    def to_physical(self, z):
        """The physical value of a coordinate."""


@dataclasses.dataclass(frozen=True)
class Plain(Coordinate):
    """x = z."""

    bounds = (-math.inf, math.inf)

    def to_free(self, x):
        return x

    def to_physical(self, z):
        return z


@dataclasses.dataclass(frozen=True)
class Logarithm(Coordinate):
    """x = e^z, positive."""

    bounds = (0.0, math.inf)

    def to_free(self, x):
        return jnp.log(x)

    def to_physical(self, z):
        return jnp.exp(z)


@dataclasses.dataclass(frozen=True)
class Interval(Coordinate):
    """x = low + (high - low)·sigmoid(z)."""

    low: float
    high: float

    @property
    def bounds(self):
        return self.low, self.high

    def to_free(self, x):
        t = (x - self.low) / (self.high - self.low)
        return jnp.log(t) - jnp.log1p(-t)

    def to_physical(self, z):
        return self.low + (self.high - self.low) * jax.nn.sigmoid(z)


@dataclasses.dataclass(frozen=True)
class Above(Coordinate):
    """x = low + w·softplus((z - low)/w): z itself, but bent so as not to fall below `low`."""

    low: float
    width: float

    @property
    def bounds(self):
        return self.low, math.inf

    def to_free(self, x):
        y = (x - self.low) / self.width
        return self.low + self.width * (y + jnp.log(-jnp.expm1(-y)))

    def to_physical(self, z):
        return self.low + self.width * jax.nn.softplus((z - self.low) / self.width)


@dataclasses.dataclass(frozen=True)
class Narrowing(Coordinate):
    """1/(x - least) = 1/(most - least) + softplus(4z)/4, for throats d/D of unknown severity: hyperemic flow is nearly
    linear in D/d.

    In d itself a mild lesion hardly matters and a severe one matters much, so that a Gauss-Newton step from a mild
    start overshoots.
    """

    least: float
    most: float

    @property
    def bounds(self):
        return self.least, self.most

    def to_free(self, x):
        y = 4.0 * (1.0 / (x - self.least) - 1.0 / (self.most - self.least))
        return (y + jnp.log(-jnp.expm1(-y))) / 4.0

    def to_physical(self, z):
        return self.least + 1.0 / (1.0 / (self.most - self.least) + jax.nn.softplus(4.0 * z) / 4.0)
