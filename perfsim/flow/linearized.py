"""The vessel equations near a pressure field: a tree that is eliminated exactly, and a few bridges across it.

With the tree's matrix T, bridges of conductance c between the nodes a and b, and B the columns e_a - e_b,

    (T + B c Bᵀ)⁻¹ = T⁻¹ - T⁻¹B (1 + c BᵀT⁻¹B)⁻¹ c (T⁻¹B)ᵀ

(Sherman, Morrison and Woodbury): one more tree solve for each bridge, once per factorization.
"""

from perfsim.flow import elimination
from perfsim.network import Forest

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Linearized(eqx.Module):
    """The Hessian of the vessels' potential."""

    forest: Forest
    conductance: Float[Array, " chains"]
    diagonal: Float[Array, " contracted"]
    fixed: Bool[Array, " contracted"]
    """nodes of given pressure"""
    ends: Int[Array, "2 bridges"]
    bridge: Float[Array, " bridges"]
    """conductance of each bridge"""

    def __call__(self, x: Float[Array, " contracted"]) -> Float[Array, " contracted"]:
        """What leaves each free node at the correction x, whose fixed nodes count as zero; x itself on those."""
        free = jnp.where(self.fixed, 0.0, x)
        forest = self.forest
        flow = self.conductance * (free[forest.parent] - free[forest.roots :])
        out = self.diagonal * free + jnp.sum(jnp.append(flow, 0.0)[forest.children], axis=1)
        out = spread(out.at[forest.roots :].add(-flow), self.ends, self.bridge * across(free, self.ends))
        return jnp.where(self.fixed, x, out)

    def add(self, diagonal: Float[Array, " contracted"]) -> "Linearized":
        """With more on the diagonal."""
        return eqx.tree_at(lambda s: s.diagonal, self, self.diagonal + diagonal)

    def inverse(self) -> "Inverse":
        up = elimination.factor(self.forest, self.conductance, self.diagonal, self.fixed)
        none = jnp.zeros((0, len(self.fixed)), self.diagonal.dtype)
        tree = Inverse(self.forest, up, self.fixed, self.ends, none, none[:, :0])
        count = self.ends.shape[1]
        if count == 0:
            return tree
        columns = jax.vmap(lambda a, b: jnp.zeros_like(self.diagonal).at[a].add(1.0).at[b].add(-1.0))(*self.ends)
        reach = jax.lax.map(tree.without_bridges, columns)
        seen = jax.vmap(lambda y: across(y, self.ends))(reach)
        small = jnp.linalg.solve(jnp.eye(count) + self.bridge[:, None] * seen, jnp.diag(self.bridge))
        return Inverse(self.forest, up, self.fixed, self.ends, reach, small)


class Inverse(eqx.Module):
    """The exact inverse of a `Linearized`, zero on its fixed nodes."""

    forest: Forest
    up: elimination.Factor
    fixed: Bool[Array, " contracted"]
    ends: Int[Array, "2 bridges"]
    reach: Float[Array, "joined contracted"]
    """T⁻¹B, as rows"""
    small: Float[Array, "joined joined"]

    def without_bridges(self, rhs: Float[Array, " contracted"]) -> Float[Array, " contracted"]:
        return elimination.solve(self.forest, self.up, jnp.where(self.fixed, 0.0, rhs))

    def __call__(self, rhs: Float[Array, " contracted"]) -> Float[Array, " contracted"]:
        x = self.without_bridges(rhs)
        return x if self.ends.shape[1] == 0 else x - (self.small @ across(x, self.ends)) @ self.reach


def across(p: Float[Array, " contracted"], ends: Int[Array, "2 bridges"]) -> Float[Array, " bridges"]:
    """Pressure difference along each bridge."""
    return p[ends[0]] - p[ends[1]]


def spread(out: Float[Array, " contracted"], ends: Int[Array, "2 bridges"], flow: Float[Array, " bridges"]):
    """Add what bridges take from their first ends and bring to their second."""
    return out.at[ends[0]].add(flow).at[ends[1]].add(-flow)
