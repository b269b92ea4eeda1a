"""Fields of parameters: a smooth unknown on the wall, with a Matérn prior, or one with sharp borders."""

import dataclasses

from perfsim._results import RESULTS, SimulationError
from perfsim.coupling import Simulation
from perfsim.darcy import ControlVolumes, FiniteVolumes, solve
from perfsim.inverse.model import Model

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

PROBES = 128
"""random fields from which the variance of the unscaled prior is measured"""


class Matern(eqx.Module):
    """A Gaussian field on the volumes as the solution of a stochastic differential equation.

    (κ² - Δ)^(α/2) u = W, no flux through the wall's surface (Lindgren, Rue and Lindström 2011, J R Stat Soc B 73:423),
    in three dimensions the Matérn field of smoothness ν = α - 3/2 whose correlation falls to about 0.14 over the length
    √(8ν)/κ. In finite volumes, A the two-point operator of unit mobility and sink κ²V and ξ ~ N(0, I), α = 2 is
    A u = √V ξ, a rough field (ν = ½, correlation e^(-κd)), and α = 4 is A V⁻¹ A u = √V ξ, a smooth one (ν = 5/2). What
    the surface and the size of the cells do to the variance is divided out, so that u has the standard deviation `sd`
    everywhere.
    """

    kappa: Float[Array, ""]
    """κ [1/m]"""
    scale: Float[Array, " volumes"]
    """wanted standard deviation over that of the unscaled field"""
    smooth: bool = eqx.field(static=True)
    """α = 4 instead of 2"""

    @classmethod
    def of(cls, volumes: ControlVolumes, length: float, sd: float, smooth: bool = True) -> "Matern":
        """A field of this correlation `length` [m]."""
        kappa = np.sqrt(20.0 if smooth else 4.0) / length
        field = cls(jnp.asarray(kappa), jnp.ones(len(volumes.volume)), smooth)
        white = np.random.default_rng(0).choice([-1.0, 1.0], (PROBES, len(volumes.volume)))
        square = _mean_square(field, volumes, jnp.asarray(white))
        near = eqx.tree_at(lambda f: f.kappa, field, 4.0 * field.kappa)  # what is left of chance is averaged nearby
        mean = _screened(near, volumes, near.kappa**2 * volumes.volume * square)
        if not bool(jnp.all(jnp.isfinite(mean))):
            raise SimulationError(f"the prior of the field could not be made: {RESULTS.linear_not_converged.message}")
        return eqx.tree_at(lambda f: f.scale, field, sd / jnp.sqrt(mean))

    def __call__(self, volumes: ControlVolumes, xi: Float[Array, " volumes"]) -> Float[Array, " volumes"]:
        """The field of white noise ξ."""
        return self.scale * _unscaled(self, volumes, xi)


@jax.jit
def _screened(field: Matern, volumes: ControlVolumes, load):
    """A⁻¹ load."""
    unit, sink = jnp.ones_like(volumes.volume), field.kappa**2 * volumes.volume
    return solve(volumes, unit, sink, load, method=FiniteVolumes(corrected=False), rtol=1e-11)[0]


@jax.jit
def _unscaled(field: Matern, volumes: ControlVolumes, xi):
    u = _screened(field, volumes, jnp.sqrt(volumes.volume) * xi)
    return _screened(field, volumes, volumes.volume * u) if field.smooth else u


@jax.jit
def _mean_square(field: Matern, volumes: ControlVolumes, white):
    return jnp.mean(jax.lax.map(lambda xi: _unscaled(field, volumes, xi) ** 2, white), axis=0)


@dataclasses.dataclass(frozen=True)
class ToneField:
    """A field of microvascular tone to fit: the factor e^u on the supply conductance.

    u has standard deviation `sd` and is correlated over the `length` [m], smooth or rough (see `Matern`), on the
    volumes, or `on` "terminals", each of which takes its mean over what it feeds. With a `border` b > 0 the tone is 1
    but for regions in which it falls by the factor e^(-b), with sharp edges, for infarcts: u = -b·sigmoid(6 (m - 1)), m
    the Matérn field of unit deviation (a level-set prior: Iglesias, Lu and Stuart 2016, Interfaces Free Bound 18:181).
    """

    sd: float = 0.3
    length: float = 15e-3
    smooth: bool = True
    on: str = "volumes"
    border: float = 0.0


class FieldBlock(eqx.Module):
    """White noise ξ, one number per volume, that makes a field of tone."""

    matern: Matern
    border: Float[Array, ""]
    kind: ToneField = eqx.field(static=True)
    unit: str = eqx.field(static=True, default="")

    @property
    def size(self) -> int:
        return self.matern.scale.shape[0]

    @classmethod
    def of(cls, sim: Simulation, kind: ToneField) -> "FieldBlock":
        volumes = sim.parts()[0]
        sd = 1.0 if kind.border else kind.sd
        return cls(Matern.of(volumes, kind.length, sd, kind.smooth), jnp.asarray(kind.border), kind)

    def field(self, volumes: ControlVolumes, xi: Array) -> Float[Array, " volumes"]:
        """u."""
        m = self.matern(volumes, xi)
        return -self.border * jax.nn.sigmoid(6.0 * (m - 1.0)) if self.kind.border else m

    def apply(self, model: Model, xi: Array) -> Model:
        """The model with its tone changed."""
        volumes, links, tissue = model.sim.parts()
        u = self.field(volumes, xi)
        if self.kind.on == "volumes":
            supply = jnp.broadcast_to(tissue.supply, u.shape) * jnp.exp(u)
            return eqx.tree_at(lambda m: m.sim.tissue.supply, model, supply)
        fed = links.to_terminals(links.weight)
        mean = links.to_terminals(links.weight * u) / jnp.where(fed > 0, fed, 1.0)
        return eqx.tree_at(lambda m: m.sim.tissue.terminal_tone, model, tissue.terminal_tone * jnp.exp(mean))

    def values(self, model: Model) -> Array:
        """The mean factor on supply is 1 before; a field's own numbers have no meaning of their own."""
        return jnp.ones(self.size)
