"""Territories from the flow itself: which branch's blood each volume receives."""

from perfsim.coupling import Perfusion, Simulation
from perfsim.observe.views import Groups
from perfsim.units import ML_MIN_G, MMHG

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


@eqx.filter_jit
def territory_shares(sim: Simulation, state: Perfusion) -> Float[Array, "volumes territories"]:
    """Share of each territory in the arterial supply of each volume; rows sum to one.

    Supply is linear in the flows of the feeding terminals, so the shares superpose exactly.
    """
    _, links, tissue = sim.parts()
    count = len(tissue.territory_names)
    label = jnp.append(tissue.territory, count)[links.terminal]
    shares = jnp.stack([jnp.sum(jnp.where(label == k, state.supplies, 0.0), axis=0) for k in range(count)], axis=1)
    return shares / jnp.sum(shares, axis=1, keepdims=True)


def territories(sim: Simulation, state: Perfusion) -> Groups:
    """A view of means over territories: every volume belongs to the one that most of its supply comes from."""
    shares = territory_shares(sim, state)
    fed = jnp.max(shares, axis=1) > 0  # volumes that only fill up arrays are not
    return Groups(jnp.where(fed, jnp.argmax(shares, axis=1), shares.shape[1]), shares.shape[1])


@eqx.filter_jit
def territory_mbf(sim: Simulation, state: Perfusion) -> Float[Array, " territories"]:
    """Mean MBF [mL/min/g] of the tissue that each territory's terminals feed."""
    tissue = sim.parts()[2]
    count = len(tissue.territory_names)
    flow = jax.ops.segment_sum(state.terminal_flow, tissue.territory, count)
    volume = jax.ops.segment_sum(sim.network.demand, tissue.territory, count)
    return flow / (tissue.density * volume) / ML_MIN_G


@eqx.filter_jit
def mean_mbf(sim: Simulation, state: Perfusion) -> Float[Array, ""]:
    """Volume-weighted mean MBF of the wall [mL/min/g]."""
    volume = sim.parts()[0].volume
    return jnp.sum(state.mbf * volume) / jnp.sum(volume)


@eqx.filter_jit
def share_of(sim: Simulation, state: Perfusion, terminals: Bool[Array, " terminals"]) -> Float[Array, " volumes"]:
    """Share of the marked terminals in the arterial supply of each volume."""
    links = sim.parts()[1]
    marked = jnp.append(terminals, False)[links.terminal]
    return jnp.sum(jnp.where(marked, state.supplies, 0.0), axis=0) / jnp.sum(state.supplies, axis=0)


def behind(sim: Simulation, vessel: int) -> Bool[Array, " terminals"]:
    """The terminals downstream of a vessel, e.g. of a lesion (see `pressure.lesion_sites`)."""
    at = sim.terminal_vessel
    return (at >= vessel) & (at < sim.network.subtree_end[vessel])


@eqx.filter_jit
def endo_epi(sim: Simulation, state: Perfusion, terminals: Bool[Array, " terminals"] | None = None) -> Float[Array, ""]:
    """Mean MBF of the inner third of the wall over that of the outer third, or so in the tissue of some terminals."""
    volumes = sim.parts()[0]
    weight = volumes.volume
    if terminals is not None:
        weight = weight * share_of(sim, state, terminals)

    def mean(mask):
        return jnp.sum(jnp.where(mask, weight * state.mbf, 0.0)) / jnp.sum(jnp.where(mask, weight, 0.0))

    return mean(volumes.depth > 2.0 / 3.0) / mean(volumes.depth < 1.0 / 3.0)


@eqx.filter_jit
def territory_resistance(
    sim: Simulation, state: Perfusion, back_pressure: Array | float
) -> Float[Array, " territories"]:
    """Microvascular resistance of each territory [mmHg/(mL/min/g)]: from 100 µm to the `back_pressure` [Pa].

    In hyperemia it is the minimal resistance, which microvascular disease raises and a stenosis does not; the pressure
    at 100 µm is the mean over the territory's terminals, weighted by flow.
    """
    tissue = sim.parts()[2]
    count = len(tissue.territory_names)
    flow = jax.ops.segment_sum(state.terminal_flow, tissue.territory, count)
    head = jax.ops.segment_sum(state.terminal_flow * state.terminal_pressure, tissue.territory, count) / flow
    return (head - back_pressure) / MMHG / territory_mbf(sim, state)
