"""A round of messages along the edges of a graph."""

from collections.abc import Iterator

from perfsim.coupling import FVGraph

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array


class Messages(eqx.Module):
    """Edges learn from their ends, nodes from their edges (see `FVGraph.passed`), added to what was there."""

    edge: eqx.nn.MLP
    node: eqx.nn.MLP

    @classmethod
    def of(cls, keys: Iterator[Array], width: int) -> "Messages":
        """Random parameters for features of this width on nodes and edges."""
        return cls(perceptron(keys, 3 * width, width), perceptron(keys, 2 * width, width))

    def __call__(self, graph: FVGraph) -> FVGraph:
        return graph.passed(
            lambda e, total, apart: e + self.edge(jnp.concatenate([e, total, apart])),
            lambda h, message: h + self.node(jnp.concatenate([h, message])),
        )


def perceptron(keys: Iterator[Array], inputs: int, width: int, outputs: int | None = None) -> eqx.nn.MLP:
    """One hidden layer of this width; as many outputs if none are named."""
    return eqx.nn.MLP(inputs, width if outputs is None else outputs, width, 1, jax.nn.silu, key=next(keys))
