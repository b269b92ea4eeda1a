"""A round of messages along the edges of a graph."""

from perfsim.coupling import FVGraph

import equinox as eqx
import jax.numpy as jnp


class Messages(eqx.Module):
    """Edges learn from their ends, nodes from their edges (see `FVGraph.passed`), added to what was there."""

    edge: eqx.nn.MLP
    node: eqx.nn.MLP

    def __call__(self, graph: FVGraph) -> FVGraph:
        return graph.passed(
            lambda e, total, apart: e + self.edge(jnp.concatenate([e, total, apart])),
            lambda h, message: h + self.node(jnp.concatenate([h, message])),
        )
