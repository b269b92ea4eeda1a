"""The same heart on a coarser mesh that keeps the finer one's geometry.

A mesh cut anew from the wall at a larger spacing sees surface and territories with larger subcells, and that, not the
spread of pressure within a cell, is most of its error. Merged volumes keep what the finer ones knew: how much tissue
there is, how much of its conductance hangs on each terminal, and what it drains against.
"""

import dataclasses

from perfsim._arrays import on_device
from perfsim._results import InputError
from perfsim.coupling.simulation import Simulation, State, Tissue
from perfsim.coupling.territories import Couplings, couplings
from perfsim.darcy import ControlVolumes, operator
from perfsim.darcy.coarsening import Coarsening, twins
from perfsim.darcy.multigrid import coarser

import equinox as eqx
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Merging:
    """Which fine volumes make up each coarse one."""

    own: np.ndarray
    """(fine,) the coarse volume of each"""
    count: int
    """of coarse volumes"""

    def mean(self, x, weight) -> np.ndarray:
        """Weighted means of a fine field over the coarse volumes; 0 where nothing weighs."""
        total = np.bincount(self.own, weight, self.count)
        return np.bincount(self.own, weight * np.asarray(x), self.count) / np.where(total > 0, total, 1.0)


def coarsened(sim: Simulation, steps: int = 1) -> tuple[Simulation, Merging]:
    """(the simulation on volumes merged `steps` times, up to eight into one each time; who was merged) (host).

    g_a V is what each terminal conducts to the parts, p_b their mean with the weights g_v V: where tissue mixes freely
    the equations are the finer ones summed up. Where it does not, terminals of one merged volume share more than they
    did (see `learn.subgrid`). A coarse face conducts over the distance of the coarse centers. Raises `InputError` for a
    network without a wall, three compartments, a tensor of permeability, a mesh with faces, or one that cannot be
    merged so often.
    """
    volumes, links, tissue = sim.parts()
    if tissue.compartments is not None or volumes.faces is not None or tissue.mobility.ndim > 1:
        raise InputError("only a wall of one compartment with two-point fluxes can be coarsened")
    if not 0 <= steps <= len(volumes.levels):
        most = f"a mesh of {len(volumes.volume)} volumes can be merged {len(volumes.levels)} times"
        raise InputError(f"{most}, not {steps}")
    own, mesh = np.arange(len(volumes.volume)), volumes
    for level in volumes.levels[:steps]:
        own, mesh = np.asarray(level.aggregate)[own], _merged(mesh, level)
    merging, V = Merging(own, len(mesh.volume)), np.asarray(volumes.volume)
    supply, drainage = (np.asarray(tissue.transmural * g * V) for g in (tissue.supply, tissue.drainage))

    def field(x, weight):
        return x if x.ndim == 0 else on_device(merging.mean(x, weight))

    def against(state: State):
        return state.back_pressure_epi, state.back_pressure_endo

    def conductances(tissue: Tissue):
        return tissue.supply, tissue.drainage, tissue.mobility, tissue.transmural

    states = tuple(eqx.tree_at(against, s, tuple(field(x, drainage) for x in against(s))) for s in sim.states)
    coarse = eqx.tree_at(conductances, tissue, tuple(field(x, V) for x in conductances(tissue)))
    drains = np.bincount(own, drainage, merging.count) > 0  # a scar keeps the depth of its middle
    depth = np.where(drains, merging.mean(volumes.depth, drainage), mesh.depth)
    mesh = eqx.tree_at(lambda m: m.depth, mesh, on_device(depth))
    links = _merged_couplings(links, merging, supply / V, np.asarray(mesh.volume))
    return eqx.tree_at(
        lambda s: (s.volumes, s.couplings, s.tissue, s.states), sim, (mesh, links, coarse, states)
    ), merging


def _merged(mesh: ControlVolumes, level: Coarsening) -> ControlVolumes:
    """The next coarser mesh with its geometry."""
    merging, V = Merging(np.asarray(level.aggregate), level.members.shape[1]), np.asarray(mesh.volume)
    return ControlVolumes(
        center=on_device(np.stack([merging.mean(x, V) for x in np.asarray(mesh.center).T], axis=1)),
        volume=on_device(np.bincount(merging.own, V, merging.count)),
        depth=on_device(merging.mean(mesh.depth, V)),
        neighbor=level.neighbor,
        twin=on_device(twins(np.asarray(level.face), level.bundle.shape[1])),
        conductor=coarser(operator(mesh, mesh.conductor, jnp.zeros(len(V))), level).transmissibility,
        levels=mesh.levels[1:],
    )


def _merged_couplings(links: Couplings, merging: Merging, conductance, volume) -> Couplings:
    """Parts of the merged volumes in proportion to what each terminal conducts to them."""
    terminals = links.slot.shape[0]
    terminal, weight = np.asarray(links.terminal), np.asarray(links.weight)
    there = terminal < terminals
    pair, at = np.unique((merging.own * np.int64(terminals) + terminal)[there], return_inverse=True)
    cell = pair // terminals
    conducts = np.bincount(at, (weight * np.maximum(conductance, 1e-12 * conductance.max()))[there])
    part = conducts / np.bincount(cell, conducts, merging.count)[cell]
    return couplings(cell, pair % terminals, part * volume[cell], merging.count, terminals)
