"""Steps in time: Radau's collocation, whose linear part is inverted once.

Within a step of length h the solution is a polynomial that meets the equations at its stages c_i; with A the integrals
of the stages' basis and W = A⁻¹,

    E Σ_j W_ij (y_j - y_0)/h + (F + D k Q) y_i = -D (drop(q_i) - k q_i) - G given_i,

q = Q y being the flows of lossy elements and k their slopes in a reference state. The last stage is the step's end, and
fast decays are damped as they should be; a flow that only its derivative determines (a capacitance at a prescribed
pressure) is found as well. Source: Hairer & Wanner (1996), Solving ordinary differential equations II, IV.5, VII.4.

Since the left side is the same in all steps, a step is one product with a matrix that maps state, drops and prescribed
values to the stages, plus Newton's iteration for the few flows that drops depend on.
"""

from typing import NamedTuple

from perfsim.flow.lumped.assembly import Matrices, drop_at, given_at, layout, wanted_unknowns
from perfsim.flow.lumped.network import LumpedCycle, LumpedNetwork

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

STAGE = np.array([(4.0 - 6.0**0.5) / 10.0, (4.0 + 6.0**0.5) / 10.0, 1.0])
"""of order 5"""
STAGES = len(STAGE)
_POWER = np.arange(STAGES)
W = np.linalg.inv(STAGE[:, None] ** (_POWER + 1) / (_POWER + 1) @ np.linalg.inv(STAGE[:, None] ** _POWER))
FLOW_TOLERANCE, MAX_ITERATIONS = 1e-11, 50
"""of the flows that drops depend on, relative to their greatest"""
RATE = 0.1
"""repetition that gains less than this factor gives way to Newton's steps"""


class Stepper(eqx.Module):
    """One step of a network, as a matrix."""

    network: LumpedNetwork
    slope: Float[Array, " lossy"]
    """reference slopes k of the drops"""
    from_state: Float[Array, "stages unknowns state"]
    from_drop: Float[Array, "stages unknowns stages lossy"]
    from_given: Float[Array, "stages unknowns stages values"]
    times: Float[Array, "steps stages"]
    given: Float[Array, "steps stages values"]

    @classmethod
    def of(cls, network: LumpedNetwork, steps: int, slope: Float[Array, " lossy"]) -> "Stepper":
        """Assemble the network and invert a step's equations."""
        where = layout(network)
        m = Matrices.of(network, where)
        h, n, one = network.period / steps, where.unknowns, jnp.eye(STAGES)
        whole = jnp.kron(W, m.E) / h + jnp.kron(one, m.F.at[:, where.lossy].add(m.D * slope))
        times = (jnp.arange(steps)[:, None] + STAGE) * h
        given = jax.vmap(jax.vmap(lambda t: given_at(network, t)))(times)
        start = jnp.kron(W.sum(axis=1)[:, None], m.E[:, where.stored]) / h
        right = jnp.concatenate([start, -jnp.kron(one, m.D), -jnp.kron(one, m.G)], axis=1)
        found = _balanced_solve(whole, right).reshape(STAGES, n, -1)
        state, drop, prescribed = jnp.split(found, np.cumsum([len(where.stored), STAGES * len(where.lossy)]), axis=2)
        drop, prescribed = (x.reshape(STAGES, n, STAGES, -1) for x in (drop, prescribed))
        return cls(network, slope, state, drop, prescribed, times, given)

    def linear_step(self) -> Float[Array, "state state"]:
        """How a step carries the state while the drops keep their reference slopes."""
        return self.from_state[-1][layout(self.network).stored]

    def march(self, x: Float[Array, " state"]) -> "tuple[Float[Array, ' state'], Trace]":
        """The state after a cycle, and what it takes to know everything in between."""
        where = layout(self.network)
        driven = jnp.einsum(
            "iujk,njk->niu", self.from_given[:, np.concatenate([where.stored, where.lossy])], self.given
        )
        last, lossy = self.from_state[-1][where.stored], self.from_state[:, where.lossy]
        by_drop, between = self.from_drop[-1][where.stored], self.from_drop[:, where.lossy]

        def step(carry, at):
            x, before = carry
            t, forced = at
            q = self._flows(forced[:, len(where.stored) :] + lossy @ x, between, before, t)
            rest = self._rest(q, t)
            ahead = last @ x + forced[-1, : len(where.stored)] + jnp.einsum("ujk,jk->u", by_drop, rest)
            return (ahead, jax.lax.stop_gradient(q[-1])), Trace(x, rest, q)

        (x, _), trace = jax.lax.scan(step, (x, jnp.zeros(len(where.lossy))), (self.times, driven))
        return x, trace

    def _rest(self, q, t):
        """What drops exceed k q by, at each stage."""
        return jax.vmap(lambda q, t: drop_at(self.network, q, t))(q, t) - self.slope * q

    def _flows(self, linear, between, before, t):
        """The flows q = linear + between (drop(q) - k q) at the stages, from the flow before the step.

        They are found by repetition, which costs nothing and is fast where k is about right, then by Newton's steps.
        """
        if not linear.size:
            return linear
        shape, size = linear.shape, linear.size
        between = between.reshape(size, size)

        def off(q):
            return q - linear.ravel() - between @ self._rest(q.reshape(shape), t).ravel()

        def newton(q):
            q = q.reshape(shape)
            slope = jax.jvp(lambda q: self._rest(q, t), (q,), (jnp.ones_like(q),))[1].ravel()
            return q.ravel() - jnp.linalg.solve(jnp.eye(size) - between * slope, off(q.ravel()))

        def unfinished(state):
            q, change, _, count = state
            return (count < MAX_ITERATIONS) & ~(change <= FLOW_TOLERANCE * jnp.max(jnp.abs(q)))

        def body(state):
            q, change, slow, count = state
            ahead = jax.lax.cond(slow, newton, lambda q: q - off(q), q)
            moved = jnp.max(jnp.abs(ahead - q))
            return ahead, moved, slow | ~(moved <= RATE * change), count + 1

        def solve(_, q):
            return jax.lax.while_loop(unfinished, body, (q, jnp.asarray(jnp.inf), jnp.asarray(False), 0))[0]

        def tangent_solve(linearized, right):
            return jnp.linalg.solve(jax.jacobian(linearized)(right), right)

        start = jnp.broadcast_to(before, shape).ravel()
        return jax.lax.custom_root(off, start, solve, tangent_solve).reshape(shape)

    def cycle(self, trace: "Trace") -> LumpedCycle:
        """Pressures and flows of the wanted vessels at the steps, the first at the start of the cycle."""
        at = wanted_unknowns(self.network)
        rows = at.reshape(-1)
        y = trace.state @ self.from_state[-1][rows].T
        y += jnp.einsum("ujk,njk->nu", self.from_drop[-1][rows], trace.rest)
        y += jnp.einsum("ujk,njk->nu", self.from_given[-1][rows], self.given)
        y = jnp.roll(y, 1, axis=0).reshape(len(y), 2, 2, -1)  # the last step ends where the cycle starts
        time = jnp.arange(len(y)) * (self.network.period / len(y))
        return LumpedCycle(time, self.network.period, y[:, 0], y[:, 1])


class Trace(NamedTuple):
    """What determines all unknowns in every step."""

    state: Float[Array, "steps state"]
    """at the step's start"""
    rest: Float[Array, "steps stages lossy"]
    """what drops exceed k q by"""
    flow: Float[Array, "steps stages lossy"]
    """of lossy elements"""


def _balanced_solve(matrix, right):
    """matrix⁻¹ right, with rows and columns scaled: pressures, flows and rates differ by decades."""
    row = 1.0 / jnp.max(jnp.abs(jax.lax.stop_gradient(matrix)), axis=1, keepdims=True)
    column = 1.0 / jnp.max(jnp.abs(jax.lax.stop_gradient(matrix) * row), axis=0, keepdims=True)
    return column.T * jnp.linalg.solve(row * matrix * column, row * right)
