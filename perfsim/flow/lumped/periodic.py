"""The periodic state of a lumped network, and its derivative.

The linear part of a step, A, repeats: without lossy elements the state x of a cycle that returns to itself is
(I - A^N)⁻¹ times what the prescribed values alone leave, whatever the time constants are. With them the same matrix
turns what a cycle misses, Φ(x) - x, into an estimate of the error of x, which Anderson's acceleration brings to zero in
a few cycles.
"""

from perfsim._outcome import poison
from perfsim._results import RESULTS
from perfsim.flow.lumped.assembly import drop_at, layout
from perfsim.flow.lumped.collocation import Stepper
from perfsim.flow.lumped.elements import Inflow
from perfsim.flow.lumped.network import LumpedCycle, LumpedNetwork
from perfsim.flow.pulsatile.periodic import anderson, attach_derivative

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

TOLERANCE = 1e-9
MAX_CYCLES = 60
SMALLEST = 1e-30
"""a scale where nothing flows"""


class LumpedPeriodicity(eqx.Module):
    """How the periodic state was reached."""

    cycles: Int[Array, ""]
    error: Float[Array, ""]
    """estimate of what the state is off by, pressures over the greatest pressure and flows over the greatest flow"""
    result: Int[Array, ""]
    """a value of `RESULTS`"""


class Return(eqx.Module):
    """The equation of a periodic state, in parts of the greatest pressure and the greatest flow."""

    stepper: Stepper
    correction: Float[Array, "state state"]
    """(I - A^N)⁻¹"""
    unit: Float[Array, " state"]

    @classmethod
    def of(cls, stepper: Stepper) -> "Return":
        """The equation of a network's steps, its unit being one."""
        A = stepper.linear_step()
        one = jnp.eye(len(A))
        power = jnp.linalg.matrix_power(A, len(stepper.times))
        return cls(stepper, jnp.linalg.inv(one - power), jnp.ones(len(A)))

    def missing(self, x: Float[Array, " state"]) -> Float[Array, " state"]:
        """Estimate of what is missing from x."""
        end, _ = self.stepper.march(x * self.unit)
        return (self.correction @ (end - x * self.unit)) / self.unit

    def residual(self, x: Float[Array, " state"]) -> tuple[Float[Array, " state"], Float[Array, "1"]]:
        """What is missing from x, and the greatest of it."""
        f = self.missing(x)
        return f, jnp.max(jnp.abs(f), keepdims=True)

    def scaled(self, cycle: LumpedCycle) -> "Return":
        """The same equation in units of a cycle's greatest pressure and flow."""
        where = layout(self.stepper.network)
        pressure, flow = (jnp.maximum(jnp.max(jnp.abs(x)), SMALLEST) for x in (cycle.pressure, cycle.flow))
        return eqx.tree_at(lambda r: r.unit, self, jnp.where(where.is_pressure[where.stored], pressure, flow))


def periodic_lumped(
    network: LumpedNetwork,
    steps: int,
    tolerance: float = TOLERANCE,
    max_cycles: int = MAX_CYCLES,
    *,
    throw: bool = True,
) -> tuple[LumpedCycle, LumpedPeriodicity]:
    """Find the cycle of a network that returns to its start; differentiable in the network.

    Arguments: the network; the number of equal steps per cycle, of fifth order (kinks of what is prescribed should fall
    on them); the error tolerated in the state, relative to the greatest pressure and flow; the largest number of cycles
    to find it. A cycle that was not found is NaN, with its derivatives, unless `throw` is False.
    """  # fmt: skip
    return _periodic(network, steps, jnp.asarray(tolerance), jnp.asarray(max_cycles), throw)


@eqx.filter_jit
def _periodic(network, steps: int, tolerance, max_cycles, throw: bool) -> tuple[LumpedCycle, LumpedPeriodicity]:
    frozen = jax.lax.stop_gradient(network)
    slope = _first_slope(frozen, steps)
    if slope.size:
        guess = Return.of(Stepper.of(frozen, steps, slope))
        _, trace = guess.stepper.march(guess.missing(jnp.zeros_like(guess.unit)))
        slope = _mean_slope(frozen, trace.flow, guess.stepper.times)
    stepper = Stepper.of(network, steps, slope)
    back = Return.of(jax.lax.stop_gradient(stepper))
    x = back.missing(jnp.zeros_like(back.unit))
    back = back.scaled(back.stepper.cycle(back.stepper.march(x)[1]))
    end = anderson(back.residual, x / back.unit, 1, tolerance, max_cycles)
    error = end.error[0]
    result = jnp.where(error <= tolerance, RESULTS.successful, RESULTS.not_periodic)
    result = jnp.where(jnp.isfinite(error), result, RESULTS.not_finite).astype(int)

    x = attach_derivative(max_cycles, throw, eqx.tree_at(lambda r: r.stepper, back, stepper), end.found)
    cycle = stepper.cycle(stepper.march(x * back.unit)[1])
    if throw:
        cycle = poison(cycle, result != RESULTS.successful)
    return cycle, LumpedPeriodicity(end.steps, error, result)


def _slopes(network: LumpedNetwork, q: Float[Array, " lossy"], t: Float[Array, ""]) -> Float[Array, " lossy"]:
    """The derivative of every drop by its flow."""
    return jax.jvp(lambda q: drop_at(network, q, t), (q,), (jnp.ones_like(q),))[1]


def _mean_slope(network: LumpedNetwork, q: Float[Array, "steps stages lossy"], times) -> Float[Array, " lossy"]:
    return jnp.mean(jax.vmap(jax.vmap(lambda q, t: _slopes(network, q, t)))(q, times), axis=(0, 1))


def _first_slope(network: LumpedNetwork, steps: int) -> Float[Array, " lossy"]:
    """Slopes at the greatest prescribed flow, or at the flow that takes the greatest prescribed pressure."""
    times = jnp.arange(steps) * (network.period / steps)
    flow, pressure = jnp.zeros(()), jnp.zeros(())
    for group in network.ends:
        greatest = jnp.max(jnp.abs(jnp.stack(jax.vmap(group.given)(times))))
        if isinstance(group, Inflow):
            flow = jnp.maximum(flow, greatest)
        else:
            pressure = jnp.maximum(pressure, greatest)
    one = drop_at(network, jnp.ones(len(layout(network).lossy)), times[0])
    q = jnp.where(flow > 0, flow, jnp.sqrt(pressure / jnp.maximum(jnp.abs(one), SMALLEST)))
    return _mean_slope(network, jnp.broadcast_to(q, (steps, 1, len(one))), times[:, None])
