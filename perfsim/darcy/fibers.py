"""Fibers by rule: a helix whose angle turns across the wall, and the permeability along it."""

from perfsim._results import InputError
from perfsim.darcy.operator import FiniteVolumes
from perfsim.darcy.solve import solve
from perfsim.darcy.volumes import ControlVolumes

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

ENDO, EPI = 60.0, -60.0
"""helix angle at both surfaces [°]: Streeter et al. 1969, Circ Res 24:339"""
ACROSS = 0.5
"""cosine between a surface's normal and the transmural direction below which it is the base, not endo- or epicardium"""


@eqx.filter_jit
def fibers(
    volumes: ControlVolumes, axis: Float[Array, "3"], *, endo: float = ENDO, epi: float = EPI
) -> Float[Array, "volumes 3"]:
    """Unit vector along the fibers of each volume, by the rule of Rossi et al. 2014 (Eur J Mech A 48:129).

    φ solves Laplace's equation with 1 on the endocardium and 0 on the epicardium. With the outward direction r along
    -∇φ, the part l of the upward axis across it, and c = l × r around, f = cos α c + sin α l; the helix angle α [°]
    runs from `epi` to `endo` with φ. Arguments: a mesh with `faces` and with the depth of its volumes; the `axis` from
    base to apex. Raises `InputError` for a mesh without faces.
    """
    if volumes.faces is None:
        raise InputError("fibers need a mesh with faces: build it with faces=True, or by `mesh_cells`")
    phi = transmural(volumes)
    r = _unit(-volumes.faces.gradient(phi).T)
    up = -_unit(jnp.asarray(axis, float))
    l = up - jnp.sum(r * up, axis=1, keepdims=True) * r
    sideways = jnp.roll(up, 1) - jnp.sum(r * jnp.roll(up, 1), axis=1, keepdims=True) * r
    l = _unit(jnp.where(jnp.sum(l**2, axis=1, keepdims=True) > 1e-6, l, sideways))  # at the very apex
    alpha = jnp.deg2rad(epi + (endo - epi) * phi)[:, None]
    return _unit(jnp.cos(alpha) * jnp.cross(l, r) + jnp.sin(alpha) * l)


def transmural(volumes: ControlVolumes) -> Float[Array, " volumes"]:
    """φ of `fibers`: 0 on the epicardium, 1 on the endocardium, harmonic between, no flux through the base."""
    faces = volumes.faces
    open_ = -jnp.sum(faces.area, axis=1)  # what closes a volume is the surface
    size = jnp.linalg.norm(open_, axis=0)
    across = _unit(faces.gradient(volumes.depth).T).T
    surface = jnp.abs(jnp.sum(open_ * across, axis=0)) > ACROSS * size
    hold = jnp.where(surface, 2.0 * size**2 / volumes.volume, 0.0)  # area over the half width of the volume
    wanted = jnp.where(volumes.depth > 0.5, 1.0, 0.0)
    p, _ = solve(volumes, jnp.ones(len(size)), hold, hold * wanted, method=FiniteVolumes(corrected=False), rtol=1e-10)
    return p


def along_fibers(
    K: Float[Array, ""] | Float[Array, " volumes"], ratio: Float[Array, ""] | float, f: Float[Array, "volumes 3"]
) -> Float[Array, "volumes 3 3"]:
    """K (I + (r - 1) f f): mobility K [m²/(Pa·s)] across the fibers f and r times as much along them."""
    K = jnp.broadcast_to(K, f.shape[:1])[:, None, None]
    return K * (jnp.eye(3) + (ratio - 1.0) * f[:, :, None] * f[:, None, :])


def _unit(x):
    length = jnp.sqrt(jnp.sum(x**2, axis=-1, keepdims=True))
    return x / jnp.where(length > 0, length, 1.0)
