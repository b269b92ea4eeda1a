"""The equations of a network in one: F y + E dy/dt + D drop + G given = 0.

The unknowns y are the pressures of the nodes, then the variables of each group of elements; the equations are the
balances of the nodes, then those of the elements. All matrices are derivatives of one residual, which is linear.
"""

from typing import NamedTuple

from perfsim.flow.lumped.elements import Element
from perfsim.flow.lumped.network import LumpedNetwork

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Layout(NamedTuple):
    """Where things stand in the unknowns, from the shape of a network alone (host)."""

    first: tuple[int, ...]
    """of each group's variables, which stand variable by variable"""
    unknowns: int
    stored: np.ndarray
    """unknowns that have a time derivative: the state"""
    lossy: np.ndarray
    """the flows that pressure drops depend on"""
    is_pressure: np.ndarray
    """of each unknown"""


def count(group: Element) -> int:
    """How many elements there are of a kind."""
    return len(group.ports)


def layout(network: LumpedNetwork) -> Layout:
    """Number the unknowns of a network."""
    first, at = [], network.nodes
    stored, lossy, pressures = [np.zeros(0, int)], [np.zeros(0, int)], [np.arange(network.nodes)]
    for group in network.groups:
        n = count(group)
        own = at + np.arange(group.variables * n).reshape(group.variables, n)
        first.append(at)
        stored += [own[k] for k in group.stores]
        lossy += [own[group.lossy]] if group.lossy is not None else []
        pressures += [own[k] for k in group.pressures]
        at += own.size
    is_pressure = np.isin(np.arange(at), np.concatenate(pressures))
    return Layout(tuple(first), at, np.concatenate(stored), np.concatenate(lossy), is_pressure)


def residual(network: LumpedNetwork, y, dy, drop, given) -> Float[Array, " unknowns"]:
    """What must be zero: the flow out of every node, and the equations of the elements."""
    at, lost, told = network.nodes, 0, 0
    balance, found = jnp.zeros(network.nodes), []
    for group in network.groups:
        n = count(group)
        own, rate = (list(x[at : at + group.variables * n].reshape(group.variables, n)) for x in (y, dy))
        loss = jnp.zeros(n)
        if group.lossy is not None:
            loss, lost = drop[lost : lost + n], lost + n
        values, told = list(given[told : told + group.gives * n].reshape(group.gives, n)), told + group.gives * n
        found += group.equations([y[node] for node in group.ports.T], own, rate, loss, values)
        for node, flow in zip(group.ports.T, group.flows(own), strict=True):
            balance = balance.at[node].add(flow)
        at += group.variables * n
    return jnp.concatenate([balance, *found])


def given_at(network: LumpedNetwork, t: Float[Array, ""]) -> Float[Array, " values"]:
    """What is prescribed at a time."""
    return jnp.concatenate([x for group in network.groups for x in group.given(t)] or [jnp.zeros(0)])


def drop_at(network: LumpedNetwork, q: Float[Array, " lossy"], t: Float[Array, ""]) -> Float[Array, " lossy"]:
    """The pressure drops at the flows q."""
    found, at = [jnp.zeros(0)], 0
    for group in network.groups:
        if group.lossy is not None:
            found.append(group.drop(q[at : at + count(group)], t))
            at += count(group)
    return jnp.concatenate(found)


class Matrices(eqx.Module):
    """F, E, D and G of a network."""

    F: Float[Array, "unknowns unknowns"]
    E: Float[Array, "unknowns unknowns"]
    D: Float[Array, "unknowns lossy"]
    G: Float[Array, "unknowns values"]

    @classmethod
    def of(cls, network: LumpedNetwork, where: Layout) -> "Matrices":
        """The derivatives of the residual."""
        zero = (jnp.zeros(where.unknowns), jnp.zeros(where.unknowns), jnp.zeros(len(where.lossy)),
                jnp.zeros_like(given_at(network, jnp.zeros(()))))  # fmt: skip
        return cls(*jax.jacfwd(lambda *a: residual(network, *a), argnums=(0, 1, 2, 3))(*zero))


def wanted_unknowns(network: LumpedNetwork) -> Int[Array, "2 2 wanted"]:
    """The unknowns that are pressure (first) and flow at the start and the end of the wanted vessels."""
    found = []
    for group, first in zip(network.vessels, layout(network).first, strict=False):
        inward, outward = (first + k * count(group) + jnp.arange(count(group)) for k in (1, 2))
        found.append(jnp.stack([group.ports.T, jnp.stack([inward, outward])]))
    return jnp.concatenate(found, axis=2)[:, :, network.wanted]
