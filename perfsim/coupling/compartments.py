"""Three compartments: arterioles, capillaries and venules share every volume, each with a pressure and a mobility.

    -∇·(K₁∇p₁) = Σ_t w_tc g_a (p_t - p₁) - β₁₂ (p₁ - p₂)
    -∇·(K₂∇p₂) = β₁₂ (p₁ - p₂) - β₂₃ (p₂ - p₃)
    -∇·(K₃∇p₃) = β₂₃ (p₂ - p₃) - g_v (p₃ - p_b)

(Michler et al. 2013, Int J Numer Meth Biomed Engng 29:217). It is the same graph with three values per volume: exchange
is one more edge, and everything that solves, certifies or differentiates one compartment does so for three.
"""

from perfsim._results import InputError
from perfsim.coupling.simulation import Simulation
from perfsim.coupling.territories import Couplings
from perfsim.darcy import ControlVolumes, transmissibility

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

COUNT = 3


class Compartments(eqx.Module):
    """What three compartments add to a `Tissue`; its own mobility is not used then."""

    mobility: Float[Array, "3"] | Float[Array, "3 volumes"] = eqx.field(converter=jnp.asarray)
    """K₁, K₂, K₃ [m²/(Pa·s)]"""
    exchange: Float[Array, "2"] | Float[Array, "2 volumes"] = eqx.field(converter=jnp.asarray)
    """β₁₂, β₂₃ [1/(Pa·s)], to be multiplied by the tissue's transmural factor"""
    volumes: ControlVolumes
    """the volumes of all three, one compartment after the other"""
    couplings: Couplings
    """terminals feed the first"""

    def transmissibility(self, one: ControlVolumes, transmural) -> Float[Array, "sides stacked"]:
        """Of faces within each compartment, and of the exchange with the next one and the one before."""
        n, beta = len(one.volume), self.exchanged(one, transmural).ravel()
        K = jnp.broadcast_to(self.mobility.reshape(COUNT, -1), (COUNT, n)).ravel()
        none, step = jnp.zeros(n, beta.dtype), self.volumes.neighbor - jnp.arange(COUNT * n)
        exchange = jnp.where(step == n, jnp.append(beta, none), 0.0) + jnp.where(
            step == -n, jnp.append(none, beta), 0.0
        )
        return transmissibility(self.volumes, K) + exchange

    def exchanged(self, one: ControlVolumes, transmural) -> Float[Array, "2 volumes"]:
        """β V of each volume [m³/(Pa·s)]."""
        beta = jnp.broadcast_to(self.exchange.reshape(COUNT - 1, -1), (COUNT - 1, len(one.volume)))
        return beta * transmural * one.volume


def three_compartments(sim: Simulation, mobility=None, exchange=None) -> Simulation:
    """The simulation with its wall as three compartments.

    Arguments: `mobility` K₁, K₂, K₃ [m²/(Pa·s)], each the wall's own if left out; `exchange` β₁₂, β₂₃ [1/(Pa·s)]. If
    that is left out, half of what the wall resists before the capillaries lies before the first compartment and half
    behind it, and so for the veins: without any spread through the tissue hyperemic flow is then what it was. Raises
    `InputError` for a network without a wall, fibers, or a mesh whose fluxes are corrected.
    """
    one, links, tissue = sim.parts()
    if one.faces is not None or tissue.mobility.ndim > 1:
        raise InputError(
            "three compartments have two-point fluxes: use a mesh without faces, and no permeability tensor"
        )
    if mobility is None:
        mobility = jnp.broadcast_to(tissue.mobility, (COUNT, *tissue.mobility.shape))
    if exchange is None:
        supply, drainage = (jnp.broadcast_to(2.0 * g, one.volume.shape) for g in (tissue.supply, tissue.drainage))
        exchange = jnp.stack([supply, drainage])
        tissue = eqx.tree_at(lambda t: (t.supply, t.drainage), tissue, (supply, drainage))
    added = Compartments(mobility, exchange, _stacked(one), _padded(links, len(one.volume)))
    tissue = eqx.tree_at(lambda t: t.compartments, tissue, added, is_leaf=lambda x: x is None)
    return eqx.tree_at(lambda s: s.tissue, sim, tissue)


def _stacked(one: ControlVolumes) -> ControlVolumes:
    """Three copies of a mesh, each volume joined to itself in the next: exchange needs no conductor."""
    n, own = len(one.volume), np.arange(len(one.volume))
    side, at = np.nonzero(np.asarray(one.neighbor) > own)
    faces = np.stack([at, np.asarray(one.neighbor)[side, at]], 1)
    within = [faces + k * n for k in range(COUNT)]
    exchange = [np.stack([own, own + n], 1) + k * n for k in range(COUNT - 1)]
    code = _codes(one)
    apart = int(code.max()).bit_length() // 3 * 3 + 3  # compartments are merged last
    center, volume, depth = (np.concatenate([np.asarray(x)] * COUNT) for x in (one.center, one.volume, one.depth))
    return ControlVolumes.build(
        center,
        volume,
        depth,
        conductor=np.append(np.tile(np.asarray(one.conductor)[side, at], COUNT), np.zeros((COUNT - 1) * n)),
        face_cells=np.concatenate(within + exchange),
        code=np.concatenate([code + (k << apart) for k in range(COUNT)]),
    )


def _codes(one: ControlVolumes) -> np.ndarray:
    """Codes that bin the volumes as the coarser meshes do: see `coarsening.morton_codes`."""
    code = np.arange(int(one.levels[-1].aggregate[-1]) + 1 if one.levels else len(one.volume))
    for level in reversed(one.levels):
        parent = np.asarray(level.aggregate)
        first = np.searchsorted(parent, np.arange(parent[-1] + 1))
        code = 8 * code[parent] + np.arange(len(parent)) - first[parent]
    return code


def _padded(links: Couplings, n: int) -> Couplings:
    """Couplings of the first compartment, none of the others."""
    feeders = len(links.terminal)
    none = jnp.full((feeders, (COUNT - 1) * n), links.slot.shape[0], links.terminal.dtype)
    slot = links.slot // n * (COUNT * n) + links.slot % n  # what points past the end still does
    weight = jnp.concatenate([links.weight, jnp.zeros((feeders, (COUNT - 1) * n))], axis=1)
    return Couplings(jnp.concatenate([links.terminal, none], axis=1), weight, slot)
