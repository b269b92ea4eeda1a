"""The grid: cells of all vessels in one flat array."""

from perfsim._arrays import on_device
from perfsim._outcome import is_traced
from perfsim._results import InputError
from perfsim.flow.pulsatile.arteries import Arteries
from perfsim.precision import require_float64

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

SMOOTH = 1e-3
"""of the resting lumen, and of the flow through it at the wave speed: smaller differences are not limited"""


class Places(eqx.Module):
    """Places along vessels, as positions between two knots."""

    vessel: Int[Array, " places"]
    knot: Int[Array, " places"]
    fraction: Float[Array, " places"]

    @classmethod
    def at(cls, vessel: np.ndarray, position: np.ndarray, knots: int) -> "Places":
        """`position` is the arc length over the vessel's length."""
        scaled = position * (knots - 1)
        knot = np.clip(scaled.astype(int), 0, knots - 2)
        return cls(on_device(vessel), on_device(knot), on_device(scaled - knot))

    def of(self, values: Float[Array, "vessels knots"]) -> Float[Array, " places"]:
        """Linear interpolation."""
        low, high = values[self.vessel, self.knot], values[self.vessel, self.knot + 1]
        return low + self.fraction * (high - low)


class Grid(eqx.Module):
    """What a run is computed on; holds no physical parameter. See `discretize`."""

    cells: Int[Array, " vessels"]
    """number of cells of each vessel"""
    first: Int[Array, " vessels"]
    """its first cell"""
    last: Int[Array, " vessels"]
    is_first: Bool[Array, " cells"]
    is_last: Bool[Array, " cells"]
    vessel: Int[Array, " cells"]
    centers: Places
    faces: Places
    """the far face of each cell"""
    starts: Places
    """the near face of each vessel"""
    middle: Int[Array, "2 vessels"]
    """the cells around each vessel's middle"""
    ends_at: Int[Array, "nodes degree"]
    """vessel ends at each node: v where vessel v begins, vessels + v where it ends, 2·vessels for none"""
    small_P: Float[Array, " cells"]
    """differences of pressure [Pa] and flow [m³/s] below which the limiter is a plain mean"""
    small_Q: Float[Array, " cells"]
    steps: int = eqx.field(static=True)
    """per sample"""
    samples: int = eqx.field(static=True)
    """per cycle"""


def cells(arteries: Arteries, dx: float | np.ndarray, samples: int) -> Grid:
    """Cells of at most `dx` [m], one number or one per vessel, two a vessel at least, and one step per sample (host).

    Raises `InputError` where the arteries hold no numbers, or for a `dx` that is not positive.
    """
    if is_traced(arteries.length):
        raise InputError("discretize works on numbers: call it before jax.jit or jax.grad, and pass the grid on")
    require_float64()
    if not np.min(dx) > 0:
        raise InputError(f"dx is {np.min(dx):.4g} m: it must be positive")
    count = np.maximum(np.ceil(np.asarray(arteries.length) / dx - 1e-9).astype(int), 2)
    n, knots = len(count), arteries.radius.shape[1]
    vessel = np.repeat(np.arange(n), count)
    first = np.cumsum(count) - count
    index = np.arange(len(vessel)) - first[vessel]
    ends = np.concatenate([np.asarray(arteries.tail), np.asarray(arteries.head)])
    centers = Places.at(vessel, (index + 0.5) / count[vessel], knots)
    small_P, small_Q = _small(arteries, centers)
    return Grid(
        cells=on_device(count), first=on_device(first), last=on_device(first + count - 1),
        is_first=on_device(index == 0), is_last=on_device(index == count[vessel] - 1), vessel=on_device(vessel),
        centers=centers, faces=Places.at(vessel, (index + 1.0) / count[vessel], knots),
        starts=Places.at(np.arange(n), np.zeros(n), knots),
        middle=on_device(np.stack([first + (count - 1) // 2, first + count // 2])),
        ends_at=on_device(_padded(ends, arteries.nodes)), small_P=small_P, small_Q=small_Q, steps=1, samples=samples,
    )  # fmt: skip


def _small(arteries: Arteries, centers: Places):
    """1e-3·A dP/dA and 1e-3·A_d c at rest, as numbers of the grid: a parameter's change does not move them."""
    radius = centers.of(arteries.radius)
    wall = arteries.wall.of(radius, centers.of(arteries.elasticity), jnp.zeros(len(radius)))
    slope = wall.slope(jnp.sqrt(jnp.pi) * radius)
    return SMOOTH * slope, SMOOTH * jnp.pi * radius**2 * jnp.sqrt(slope / arteries.density)


def _padded(ends: np.ndarray, nodes: int) -> np.ndarray:
    order = np.argsort(ends, kind="stable")
    degree = np.bincount(ends, minlength=nodes)
    start = np.cumsum(degree) - degree
    table = np.full((nodes, degree.max()), len(ends))
    column = np.arange(len(ends)) - start[ends[order]]
    table[ends[order], column] = order
    return table
