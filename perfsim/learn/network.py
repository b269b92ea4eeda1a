"""What every learned network can do: be made anew from its size, so that a file need hold no code."""

import abc
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array


class Network(eqx.Module):
    """A network that can be trained, saved and loaded."""

    @classmethod
    @abc.abstractmethod
    def of(cls, key: Array, *args: Any, **size: Any) -> Self:
        """Random parameters for an untrained network of this size."""

    @property
    @abc.abstractmethod
    def size(self) -> dict[str, int]:
        """The arguments of `of` that made it."""


def silent(mlp: eqx.nn.MLP) -> eqx.nn.MLP:
    """The same with a last layer of zeros: it says nothing until it is trained."""
    return eqx.tree_at(lambda m: m.layers[-1], mlp, replace_fn=lambda x: jax.tree.map(jnp.zeros_like, x))
