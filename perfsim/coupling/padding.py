"""Simulations of different hearts brought to common shapes, so that they share one compiled program."""

import dataclasses

from perfsim._arrays import on_device
from perfsim._results import InputError
from perfsim.coupling.simulation import Simulation
from perfsim.coupling.territories import Couplings
from perfsim.darcy.padding import filled, pad_volumes, rung
from perfsim.network import GROWN, Forest, contract, vessel_into
from perfsim.network.divide import divide

import jax.numpy as jnp
import numpy as np

CHAINS, LEVELS, WIDTH, STEPS = 32, 24, 64, 64
"""numbers of chains, of levels of the forest, of nodes on a level, and of vessels of a branch, are rounded up to
multiples of these"""


def pad(sim: Simulation) -> Simulation:
    """The same heart in arrays of the next standard sizes (host).

    Every vessel, volume and parameter keeps its value and its number. What is added changes no flow: some terminal
    vessels are cut into pieces, and volumes come after the others that are a billionth of the mean one and connected
    to nothing. Two hearts whose sizes are close, with the same branch names, then run the same compiled code.

    Raises `InputError` for a network without a wall or grown vessels, for three compartments, and for a mesh with
    faces.
    """
    volumes, links, tissue = sim.parts()
    if tissue.compartments is not None or volumes.faces is not None or len(sim.bridges.nodes):
        raise InputError("a heart with three compartments, bridges, or a mesh with faces cannot be padded")
    network, keep = _more_vessels(sim)
    count = rung(len(volumes.volume) + 1)
    per_volume = {
        k: _with(getattr(tissue, k), len(volumes.volume), count, 1.0) for k in ("supply", "drainage", "mobility")
    }
    vessel_to = vessel_into(network)
    return dataclasses.replace(
        sim,
        network=network,
        forest=_round_up(contract(network, keep)),
        table=_pad_table(sim, network),
        volumes=pad_volumes(volumes, count),
        couplings=_pad_couplings(links, count),
        tissue=dataclasses.replace(tissue, transmural=filled(tissue.transmural, count, 1.0), **per_volume),
        states=tuple(
            dataclasses.replace(
                s,
                back_pressure_epi=_with(s.back_pressure_epi, len(volumes.volume), count, 0.0),
                back_pressure_endo=_with(s.back_pressure_endo, len(volumes.volume), count, 0.0),
            )
            for s in sim.states
        ),
        terminal_vessel=on_device(vessel_to[np.asarray(network.terminals)]),
        outlet_vessel=on_device(vessel_to[np.asarray(network.outlets)]),
    )


def _up(n: int, step: int) -> int:
    return -(-n // step) * step


def _with(x, n: int, count: int, value: float):
    """A field per volume with its added volumes; one number as it is."""
    return filled(x, count, value) if x.shape[:1] == (n,) else x


def _more_vessels(sim: Simulation):
    """(the network with a standard number of vessels, the nodes between pieces that end a chain)."""
    network, chains = sim.network, sim.forest.chains
    at = np.asarray(sim.terminal_vessel)
    grown = network.branch_names.index(GROWN) if GROWN in network.branch_names else -1
    at = at[np.asarray(network.branch)[at] == grown]
    more_chains, more = _up(chains, CHAINS) - chains, rung(len(network.tail) + CHAINS) - len(network.tail)
    if len(at) < more_chains + 1:
        raise InputError(f"only {len(at)} grown terminal vessels can be divided: {more_chains + 1} are needed")
    pieces = np.ones(len(network.tail), int)
    pieces[at[:more_chains]] += 1
    pieces[at[more_chains]] += more - more_chains
    divided = divide(network, pieces)
    near = np.asarray(divided.near)
    start = np.cumsum(pieces) - pieces
    return divided, near[start[at[:more_chains]] + 1]


def _round_up(forest: Forest) -> Forest:
    """The forest's padded lists in standard sizes."""

    def grown(x, shape):
        return jnp.pad(x, [(0, n - m) for n, m in zip(shape, x.shape, strict=True)], constant_values=forest.chains)

    depth, width = forest.levels.shape
    nodes, children = forest.children.shape
    return dataclasses.replace(
        forest,
        levels=grown(forest.levels, (_up(depth, LEVELS), _up(width, WIDTH))),
        children=grown(forest.children, (nodes, max(3, children))),
    )


def _pad_table(sim: Simulation, network):
    """Named vessels keep their order, not their numbers."""
    start = np.flatnonzero(np.asarray(network.near) < len(sim.network.position))  # first pieces begin at an old node
    table, last = np.asarray(sim.table), len(sim.network.tail)
    moved = np.where(table == last, len(network.tail), np.append(start, 0)[np.minimum(table, last)])
    rows = _up(len(table), STEPS) - len(table)
    return jnp.pad(jnp.asarray(moved), ((0, rows), (0, 0)), constant_values=len(network.tail))


def _pad_couplings(links: Couplings, count: int) -> Couplings:
    """Lists of feeders and of fed volumes, wider and longer."""
    feeders, n = links.terminal.shape
    terminals, fed = links.slot.shape
    wide, long = max(8, rung(feeders)), max(96, rung(fed))
    terminal = jnp.pad(links.terminal, ((0, wide - feeders), (0, count - n)), constant_values=terminals)
    moved = links.slot // n * count + links.slot % n
    slot = jnp.where(links.slot == n * feeders, count * wide, moved)
    return Couplings(
        terminal=terminal,
        weight=jnp.pad(links.weight, ((0, wide - feeders), (0, count - n))),
        slot=jnp.pad(slot, ((0, 0), (0, long - fed)), constant_values=count * wide),
    )
