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
from perfsim.darcy.coarsening import coarsen

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

    def transmissibility(self, one: ControlVolumes, transmural) -> Float[Array, "sides 3volumes"]:
        """Of faces within each compartment, then of the exchange with the next one and the one before."""
        n = len(one.volume)
        K = jnp.broadcast_to(self.mobility.reshape(COUNT, -1), (COUNT, n))
        within = jnp.concatenate([transmissibility(one, k) for k in K], axis=1)
        beta = self.exchanged(one, transmural)
        none = jnp.zeros((1, n))
        up, down = jnp.concatenate([beta, none]).ravel(), jnp.concatenate([none, beta]).ravel()
        return jnp.concatenate([within, up[None], down[None]])

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
    """Three copies of a mesh, each volume joined to itself in the next."""
    n, neighbor = len(one.volume), np.asarray(one.neighbor, np.int64)
    own = np.arange(n)
    low, high = np.minimum(neighbor, own), np.maximum(neighbor, own)
    key, face = np.unique(np.where(neighbor == own, n * n, low * n + high), return_inverse=True)
    face, pairs = face.reshape(neighbor.shape), np.stack(np.divmod(key[key < n * n], n), 1)
    count = len(pairs)
    exchange = COUNT * count + np.arange((COUNT - 1) * n).reshape(COUNT - 1, n)
    total = COUNT * count + exchange.size
    none = np.full((1, n), total)
    sides = np.concatenate([np.where(face == count, total, face + k * count) for k in range(COUNT)], axis=1)
    sides = np.concatenate(
        [sides, np.append(exchange, none, 0).reshape(1, -1), np.append(none, exchange, 0).reshape(1, -1)]
    )
    joined = [pairs + k * n for k in range(COUNT)] + [np.stack([own, own + n], 1) + k * n for k in range(COUNT - 1)]
    self_ = np.arange(COUNT * n)
    next_, before = np.where(self_ + n < COUNT * n, self_ + n, self_), np.where(self_ >= n, self_ - n, self_)
    rows = np.concatenate([neighbor + k * n for k in range(COUNT)], axis=1)
    center, volume = (np.concatenate([np.asarray(x)] * COUNT) for x in (one.center, one.volume))
    code = _codes(one)
    apart = int(code.max()).bit_length() // 3 * 3 + 3  # compartments are merged last
    return ControlVolumes(
        center=jnp.asarray(center),
        volume=jnp.asarray(volume),
        depth=jnp.concatenate([one.depth] * COUNT),
        neighbor=jnp.asarray(np.concatenate([rows, next_[None], before[None]]).astype(np.int32)),
        conductor=jnp.concatenate([jnp.concatenate([one.conductor] * COUNT, axis=1), jnp.zeros((2, COUNT * n))]),
        levels=coarsen(
            center, volume, np.concatenate(joined), sides, np.concatenate([code + (k << apart) for k in range(COUNT)])
        ),
    )


def _codes(one: ControlVolumes) -> np.ndarray:
    """Codes that bin the volumes as the coarser meshes do: see `coarsening.morton_codes`."""
    sizes = [len(level.aggregate) for level in one.levels]
    last = int(one.levels[-1].aggregate[-1]) + 1 if sizes else len(one.volume)
    code = np.arange(last)
    for level in reversed(one.levels):
        parent = np.asarray(level.aggregate)
        first = np.searchsorted(parent, np.arange(parent[-1] + 1))
        code = 8 * code[parent] + np.arange(len(parent)) - first[parent]
    return code


def _padded(links: Couplings, n: int) -> Couplings:
    """Couplings of the first compartment, none of the others."""
    feeders = links.terminal.shape[1]
    none = jnp.full(((COUNT - 1) * n, feeders), links.slot.shape[0], links.terminal.dtype)
    slot = jnp.where(links.slot == links.terminal.size, COUNT * links.terminal.size, links.slot)
    weight = jnp.concatenate([links.weight, jnp.zeros(((COUNT - 1) * n, feeders))])
    return Couplings(jnp.concatenate([links.terminal, none]), weight, slot)
