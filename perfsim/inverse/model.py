"""What a fit may change."""

from perfsim.coupling import Simulation, Solution
from perfsim.observe import Activity, Imaging, Measurement, Scan

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Model(eqx.Module):
    """What a fit may change: the simulation, and the instruments that looked at it."""

    sim: Simulation
    data: tuple[Measurement, ...]

    @property
    def scans(self) -> list[Scan]:
        return [m for m in self.data if isinstance(m, Scan)]

    @property
    def images(self) -> list[Imaging]:
        return [m for m in self.data if isinstance(m, Imaging)]

    @property
    def dynamic(self) -> list[Activity]:
        return [m for m in self.data if isinstance(m, Activity)]

    def misfit(self, solution: Solution, skipped: int = 0) -> Float[Array, " data"]:
        """Model minus data in standard deviations, of all measurements but the first `skipped` ones."""
        return jnp.concatenate([m.residual(self.sim, solution) for m in self.data[skipped:]])
