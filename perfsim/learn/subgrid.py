"""What a coarse mesh does not resolve: factors on its conductances that make it say what a fine one would.

In a volume as large as the distance of terminals several of them feed the same pressure, and share flow through it as
no tissue of a short screening length would; across a border of two territories, where pressure bends over 2ℓ, two
points a cell apart conduct too little. Both are local, so that a network which sees who feeds a volume and how far
flow spreads in it can learn them: factors on g_a, g_v and faces, positive, so that the mesh's equations stay symmetric
and positive definite. The fine meshes have 10⁵ volumes, the coarse ones are those merged twice (`coupling.coarsened`).
"""

from perfsim.cohorts import synthetic_patient
from perfsim.coupling import GraphNetwork, Simulation, coarsened, pad, simulate
from perfsim.darcy.padding import filled
from perfsim.learn.closures import Closures
from perfsim.learn.pressure import drawn_screening, with_screening

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

STATE = "hyperemia"
MERGED = 2
"""times that the fine mesh is merged"""


class Pair(eqx.Module):
    """A coarse heart and what the fine one says about it."""

    sim: Simulation
    """merged and padded"""
    mbf: Float[Array, " volumes"]
    """mean hyperemic MBF of the fine volumes in each coarse one [mL/min/g]"""
    weight: Float[Array, " volumes"]
    """part of the wall, 0 where padded"""


def pair(index: int, seed: int = 0, *, volumes: int = 100_000, draws: int = 1) -> list[Pair]:
    """A patient of the cohort with so many screening lengths, as those of `random_wall`."""
    rng = np.random.default_rng([seed, index, 5])
    fine = synthetic_patient(index, stenosed=index % 2 == 0, volumes=volumes, seed=seed).truth
    return [compared(with_screening(fine, drawn_screening(rng))) for _ in range(draws)]


def compared(fine: Simulation) -> Pair:
    """The fine heart merged and padded, with its own MBF averaged (host)."""
    coarse, merging = coarsened(fine, MERGED)
    volume = np.asarray(fine.volumes.volume)
    mean = merging.mean(simulate(fine, states=(STATE,))[STATE].mbf, volume)
    padded = pad(coarse)
    count = len(padded.volumes.volume)
    weight = coarse.volumes.volume / volume.sum()
    return Pair(padded, filled(jnp.asarray(mean), count, 1.0), filled(weight, count, 0.0))


def loss(model: Closures, pair: Pair) -> Float[Array, ""]:
    """Error of the coarse MBF [%]: between its mean size and its root mean square, as a smooth |x|."""
    off = 100.0 * _off(model, pair)
    return jnp.sum(pair.weight * (jnp.sqrt(off**2 + 0.01) - 0.1))


def _off(model: Closures | None, pair: Pair):
    tissue = None if model is None else GraphNetwork(model)
    return simulate(pair.sim, tissue=tissue, states=(STATE,))[STATE].mbf / pair.mbf - 1.0


@eqx.filter_jit
def _error(model: Closures | None, pair: Pair):
    return jnp.sum(pair.weight * jnp.abs(_off(model, pair)))


def score(model: Closures, pair: Pair) -> dict[str, float]:
    """Mean relative error of a coarse volume's MBF against the fine mesh, without and with the network."""
    return {"coarse_error": float(_error(None, pair)), "corrected_error": float(_error(model, pair))}
