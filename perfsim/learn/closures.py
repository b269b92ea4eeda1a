"""Coefficients from what is known of every volume: encode, pass messages over the coupled graph, decode.

After Pfaff, Fortunato, Sanchez-Gonzalez and Battaglia 2021 (arXiv 2010.03409), with messages that do not depend on
which end of an edge is called the first, and with positive factors as output instead of the solution.
"""

from perfsim._results import InputError
from perfsim.coupling import Factors, FVGraph
from perfsim.coupling.graph_network import EDGE_FEATURES, OWN_FEATURES
from perfsim.learn.messages import Messages, perceptron
from perfsim.learn.network import Network

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

UNITY = float(np.log(np.e - 1.0))
"""softplus of it is 1"""


class Closures(Network):
    """A network from an `FVGraph` to `Factors`: softplus of its last layer, whose zero start makes them ones.

    The same parameters serve any mesh. Build one with `Closures.of`.
    """

    node_encoder: eqx.nn.MLP
    edge_encoder: eqx.nn.MLP
    rounds: tuple[Messages, ...]
    volume_decoder: eqx.nn.Linear
    face_decoder: eqx.nn.Linear
    features: int = eqx.field(static=True)
    """of every volume, besides its own"""

    @classmethod
    def of(cls, key: Array, features: int = 0, width: int = 16, rounds: int = 4) -> "Closures":
        """Random parameters, but for the last layer, which is zero: ones until it is trained."""
        keys = iter(jax.random.split(key, 2 * rounds + 4))

        def nothing(outputs):
            layer = eqx.nn.Linear(width, outputs, key=next(keys))
            return jax.tree.map(jnp.zeros_like, layer)

        return cls(
            node_encoder=perceptron(keys, OWN_FEATURES + features, width),
            edge_encoder=perceptron(keys, EDGE_FEATURES, width),
            rounds=tuple(Messages.of(keys, width) for _ in range(rounds)),
            volume_decoder=nothing(2),
            face_decoder=nothing(1),
            features=features,
        )

    @property
    def size(self) -> dict[str, int]:
        return {"features": self.features, "width": self.node_encoder.width_size, "rounds": len(self.rounds)}

    def __call__(self, graph: FVGraph) -> Factors:
        """Raises `InputError` for another number of features than it was made for."""
        given = graph.graph.nodes.shape[1] - OWN_FEATURES
        if given != self.features:
            raise InputError(f"this network was made for {self.features} features of every volume, not {given}")
        nodes, edges = graph.graph.nodes, graph.graph.edges
        h = graph.with_features(jax.vmap(self.node_encoder)(nodes), jax.vmap(self.edge_encoder)(edges))
        for messages in self.rounds:
            h = messages(h)
        at_volumes = positive(jax.vmap(self.volume_decoder)(h.graph.nodes[graph.tree_nodes :]))
        at_faces = positive(jax.vmap(self.face_decoder)(h.graph.edges[-graph.faces :]))
        return Factors(at_volumes[:, 0], at_volumes[:, 1], at_faces[:, 0])


def positive(z: Array) -> Array:
    """softplus, 1 at z = 0."""
    return jax.nn.softplus(z + UNITY)
