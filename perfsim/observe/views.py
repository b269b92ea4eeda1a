"""What a map shows of the MBF of every volume: one linear, sparse, differentiable operator per kind of map."""

import abc

from perfsim.darcy import ControlVolumes
from perfsim.observe.aha import group_means
from perfsim.observe.pose import Pose

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class View(eqx.Module):
    """A linear operator from a field on the volumes to the data of a map."""

    @abc.abstractmethod
    def __call__(self, volumes: ControlVolumes, field: Float[Array, " volumes"], pose: Pose) -> Float[Array, " data"]:
        """What the map shows of a field, for a wall that lies in the image by `pose`."""


class EachVolume(View):
    """Every control volume by itself."""

    def __call__(self, volumes, field, pose):
        return field


class Groups(View):
    """Means over groups of volumes that do not depend on the pose, weighted by volume; NaN for an empty group."""

    group: Int[Array, " volumes"]
    """of each volume; `groups` or more: of none"""
    groups: int = eqx.field(static=True)

    def __call__(self, volumes, field, pose):
        return group_means(field, self.group, volumes.volume, self.groups)


def weighted_means(
    membership: Float[Array, "groups points"], weight: Float[Array, " points"], values: Float[Array, " points"]
) -> Float[Array, " groups"]:
    """Σ m w v / Σ m w by group; NaN for an empty group."""
    total = membership @ weight
    return membership @ (weight * values) / jnp.where(total > 0, total, jnp.nan)
