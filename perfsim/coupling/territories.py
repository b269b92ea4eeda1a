"""Which terminal feeds which control volume, and which branch a terminal hangs on."""

from perfsim._arrays import on_device
from perfsim.darcy import CellSamples, ControlVolumes, Samples
from perfsim.darcy.columns import take
from perfsim.network import GROWN, VesselNetwork, padded_rows, vessel_into
from perfsim.network.topology import padded_columns

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float, Int

TERRITORIES = ("LAD", "LCx", "RCA")


class Couplings(eqx.Module):
    """Terminals and the volumes they feed, as padded lists both ways."""

    terminal: Int[Array, "feeders volumes"]
    """terminals of each volume, padded with the number of terminals"""
    weight: Float[Array, "feeders volumes"]
    """w_tc V_c: the part of the volume that each terminal feeds [m³], 0 where padded"""
    slot: Int[Array, "terminals fed"]
    """flat positions in the two arrays above of each terminal's volumes, padded with their size"""

    def at_feeders(self, at_terminals: Float[Array, " terminals"], padding=0.0) -> Float[Array, "feeders volumes"]:
        """What each feeder of a volume has."""
        padded = jnp.append(at_terminals, padding)
        return jnp.stack([take(padded, t) for t in self.terminal])

    def drops(self, p_terminal: Float[Array, " terminals"], p: Float[Array, " volumes"]):
        """Pressure difference over each coupling (feeders, volumes); slot by slot, for the sake of its transpose."""
        padded = jnp.append(p_terminal, 0.0)
        return jnp.stack([take(padded, t) - p for t in self.terminal])

    def to_volumes(
        self, on_couplings: Float[Array, "feeders volumes"], at_terminals: Float[Array, " terminals"]
    ) -> Float[Array, " volumes"]:
        """Σ over the feeders of each volume of what the coupling has times what the terminal has."""
        padded = jnp.append(at_terminals, 0.0)
        parts = [link * take(padded, t) for link, t in zip(on_couplings, self.terminal, strict=True)]
        return sum(parts[1:], parts[0])

    def to_terminals(self, on_couplings: Float[Array, "feeders volumes"]) -> Float[Array, " terminals"]:
        """Sum over the volumes of each terminal."""
        return jnp.sum(take(jnp.append(on_couplings.ravel(), 0.0), self.slot), axis=1)


def nearest_terminals(network: VesselNetwork, volumes: ControlVolumes, samples: Samples | CellSamples) -> Couplings:
    """Every subcell is fed by its nearest terminal; weights are the volumes of the subcells.

    Sub-cell sampling makes the territories independent of the mesh, and lets a volume be shared by several terminals
    where there are more terminals than volumes.
    """
    where = np.asarray(network.position)[np.asarray(network.terminals)]
    tree, cells, terminals = scipy.spatial.cKDTree(where), len(volumes.volume), len(where)
    found = []
    for cell, point in samples.points():
        _, feeder = tree.query(point, workers=-1)
        found.append(np.unique(cell * terminals + feeder, return_counts=True))
    pair, count = (np.concatenate(part) for part in zip(*found, strict=True))
    cell = pair // terminals
    return couplings(cell, pair % terminals, count * samples.weight(cell), cells, terminals)


def couplings(cell, terminal, weight, cells: int, terminals: int) -> Couplings:
    """Padded lists from (cell, terminal, weight) triples sorted by cell."""
    columns = padded_columns(cell, np.arange(len(cell)), cells, len(cell))
    padded_terminal = np.append(terminal, terminals)[columns]
    flat = np.zeros(len(cell), int)
    real = columns < len(cell)
    flat[columns[real]] = np.flatnonzero(real.ravel())
    slot = padded_rows(terminal, flat, terminals, fill=columns.size)
    return Couplings(on_device(padded_terminal), on_device(np.append(weight, 0.0)[columns]), on_device(slot))


def volumes_fed(links: Couplings) -> np.ndarray:
    """Tissue volume that each terminal feeds [m³]."""
    return np.asarray(links.to_terminals(links.weight))


def trunk_branch(network: VesselNetwork) -> np.ndarray:
    """For every vessel the named branch it belongs to or, if grown, hangs on (index into `branch_names`)."""
    branch = np.asarray(network.branch).copy()
    if GROWN not in network.branch_names:
        return branch
    grown = network.branch_names.index(GROWN)
    tail, vessel_to = np.asarray(network.tail), vessel_into(network)
    for v in np.flatnonzero(branch == grown):  # depth first: the vessel above comes first
        above = vessel_to[tail[v]]
        branch[v] = branch[above] if above >= 0 else grown
    return branch


def territory_of_branches(network: VesselNetwork) -> tuple[np.ndarray, tuple[str, ...]]:
    """For every named branch the territory (LAD, LCx or RCA) that it hangs on, and the territory names.

    A branch with none of these above it, as in a tree whose file names no branches, belongs to its inlet.
    """
    tail, root = np.asarray(network.tail), np.asarray(network.root)
    branch, vessel_to = trunk_branch(network), vessel_into(network)
    label = {}
    for v in range(len(tail)):
        name = network.branch_names[branch[v]]
        if name in label:
            continue
        above = vessel_to[tail[v]]
        if name in TERRITORIES:
            label[name] = name
        elif above >= 0 and label[network.branch_names[branch[above]]] is not None:
            label[name] = label[network.branch_names[branch[above]]]
        else:
            label[name] = network.inlet_names[root[v]]
    names = tuple(t for t in dict.fromkeys([*TERRITORIES, *label.values()]) if t in set(label.values()))
    index = np.array([names.index(label[n]) if n in label else 0 for n in network.branch_names])
    return index, names


def territory_of_terminals(network: VesselNetwork) -> tuple[np.ndarray, tuple[str, ...]]:
    """Territory index of every terminal, and the territory names that feed the wall."""
    of_branch, names = territory_of_branches(network)
    branch = trunk_branch(network)
    index = of_branch[branch[vessel_into(network)[np.asarray(network.terminals)]]]
    used = np.unique(index)
    return np.searchsorted(used, index), tuple(names[i] for i in used)
