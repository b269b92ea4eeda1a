"""What was measured, and how far a solution is from it."""

from perfsim.coupling import Simulation, Solution
from perfsim.observe import group_means

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Observation(eqx.Module):
    """MBF of one state in groups of volumes (AHA segments), or in every volume where `group` is None.

    Groups with a NaN value were not measured and are left out.
    """

    state: str = eqx.field(static=True)
    value: Float[Array, " data"]
    """[mL/min/g]"""
    sd: Float[Array, " data"]
    """standard deviation of the measurement [mL/min/g]"""
    group: Int[Array, " volumes"] | None = None

    def predict(self, sim: Simulation, solution: Solution) -> Float[Array, " data"]:
        """What the solution says where the data are."""
        mbf = solution[self.state].mbf
        if self.group is None:
            return mbf
        return group_means(mbf, self.group, sim.parts()[0].volume, self.value.shape[0])

    def residual(self, sim: Simulation, solution: Solution) -> Float[Array, " data"]:
        """(prediction - value)/sd, zero where nothing was measured."""
        seen = jnp.isfinite(self.value)
        gap = (self.predict(sim, solution) - jnp.where(seen, self.value, 0.0)) / self.sd
        return jnp.where(seen, gap, 0.0)
