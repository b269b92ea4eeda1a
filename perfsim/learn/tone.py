"""End to end: a network reads the tone of every volume from features, and only what a scanner saw of it is trained on.

The same network without physics maps features, and all that the simulator knows as numbers, straight to MBF.
"""

import abc
from typing import Self

from perfsim.cohorts import synthetic_patient
from perfsim.coupling import Factors, FVGraph, GraphNetwork, Simulation, pad, simulate
from perfsim.coupling.graph_network import OWN_FEATURES
from perfsim.coupling.system import vessel_laws
from perfsim.darcy.padding import filled
from perfsim.flow import elimination
from perfsim.learn.closures import positive
from perfsim.learn.network import Network, silent
from perfsim.observe import LongAxis, Pose, Segments

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

STATE = "hyperemia"
FEATURES, KNOWN = 4, 4
"""of the image, and what the simulator knows: see `Example`"""
TYPICAL = 3.5
"""MBF of an untrained network without physics [mL/min/g]"""
NOISE = 0.05
"""of a segment, over its MBF"""


class Example(eqx.Module):
    """A patient to learn from, or to be tested on."""

    sim: Simulation
    """as known: anatomy, lesions, pressures; tone 1"""
    features: Float[Array, "volumes 4"]
    """two image intensities that tone depends on, one that it does not depend on, a number of the patient"""
    known: Float[Array, "volumes 4"]
    """what the simulator makes its flow from: log of the friction and of the losses on the way from the inlet, depth,
    aortic pressure, each about one in size
    """
    view: Segments
    seen: Float[Array, "aha=17"]
    """hyperemic MBF [mL/min/g], with noise"""
    true: Float[Array, "aha=17"]

    def segments(self, mbf: Float[Array, " volumes"]) -> Float[Array, "aha=17"]:
        return self.view(self.sim.volumes, mbf, Pose())


class Reader(Network):
    """What reads MBF from an example."""

    mlp: eqx.nn.MLP

    @classmethod
    def of(cls, key: Array, width: int = 32, rounds: int = 2) -> Self:
        """Random parameters, but for a last layer of zeros; `rounds` hidden layers."""
        return cls(silent(eqx.nn.MLP(cls.inputs(), 1, width, rounds, jax.nn.silu, key=key)))

    @property
    def size(self) -> dict[str, int]:
        return {"width": self.mlp.width_size, "rounds": self.mlp.depth}

    @staticmethod
    @abc.abstractmethod
    def inputs() -> int:
        """Numbers that it reads per volume."""

    @abc.abstractmethod
    def mbf(self, example: Example) -> Float[Array, " volumes"]:
        """Hyperemic MBF of every volume [mL/min/g]."""


class ToneNetwork(Reader):
    """Tone of a volume, a factor on its g_a, from its features: a model for `GraphNetwork`; 1 until it is trained."""

    @staticmethod
    def inputs() -> int:
        return FEATURES

    def __call__(self, graph: FVGraph) -> Factors:
        features = graph.graph.nodes[graph.tree_nodes :, OWN_FEATURES:]
        tone = positive(jax.vmap(self.mlp)(features)[:, 0])
        return Factors(tone, jnp.ones_like(tone), jnp.ones(graph.faces))

    def mbf(self, example):
        found = simulate(example.sim, tissue=GraphNetwork(self, example.features), states=(STATE,))
        return found[STATE].mbf


class Direct(Reader):
    """The same without physics: MBF of a volume from its features and from what the simulator knows of it."""

    @staticmethod
    def inputs() -> int:
        return FEATURES + KNOWN

    def mbf(self, example):
        return TYPICAL * positive(jax.vmap(self.mlp)(jnp.concatenate([example.features, example.known], axis=1))[:, 0])


def loss(model: Reader, example: Example) -> Float[Array, ""]:
    """Mean square of the relative error of what was seen of the segments."""
    return jnp.mean((example.segments(model.mbf(example)) / example.seen - 1.0) ** 2)


@eqx.filter_jit
def _error(model: Reader, example: Example):
    return jnp.mean(jnp.abs(example.segments(model.mbf(example)) / example.true - 1.0))


def score(model: Reader, example: Example) -> dict[str, float]:
    """Mean relative error of the true MBF of a segment."""
    return {"segment_error": float(_error(model, example))}


def law(features: np.ndarray) -> np.ndarray:
    """log of the true tone: a threshold in the first intensity, a slope in the second, more of both together, and the
    patient's number; the third intensity says nothing."""
    a, b, _, number = features.T
    return -0.8 / (1.0 + np.exp(-3.0 * (a - 0.5))) + 0.25 * np.tanh(b) - 0.15 * a * np.maximum(b, 0.0) - 0.25 * number


def example(index: int, seed: int = 0, *, terminals: int = 300, volumes: int = 1500, opened: bool = False) -> Example:
    """A synthetic patient whose tone follows `law`; the truth has a finer mesh and other arterioles.

    `opened` is the same patient with every lesion gone: what an intervention would show.
    """
    rng = np.random.default_rng([seed, index, 3])
    waves, phases = rng.normal(size=(3, 4, 3)) / 18e-3, rng.uniform(0.0, 2.0 * np.pi, (3, 4))
    number = rng.normal()

    def features(sim: Simulation) -> np.ndarray:
        x = np.asarray(sim.volumes.center)
        fields = [np.cos(x @ w.T + p).sum(axis=1) / np.sqrt(2.0) for w, p in zip(waves, phases, strict=True)]
        return np.stack([*fields, np.full(len(x), number)], axis=1)

    def healed(sim: Simulation) -> Simulation:
        sim = eqx.tree_at(lambda s: s.tissue.tone, sim, jnp.ones_like(sim.tissue.tone))
        return eqx.tree_at(lambda s: s.lesions.throat, sim, jnp.ones_like(sim.lesions.throat)) if opened else sim

    made = [
        synthetic_patient(index, stenosed=index % 2 == 0, terminals=terminals, volumes=n, seed=seed, tree=tree)
        for n, tree in ((volumes, 0), (2 * volumes, 1))
    ]
    sim, other = (healed(p.truth) for p in made)
    truth = eqx.tree_at(
        lambda s: s.tissue.supply, other, other.tissue.supply * jnp.exp(jnp.asarray(law(features(other))))
    )
    view = Segments(LongAxis.of(made[0].heart.wall.frame))
    truth = pad(truth)
    true = _seen(truth, view)
    padded = pad(sim)
    count = len(padded.volumes.volume)
    return Example(
        sim=padded,
        features=filled(jnp.asarray(features(sim)), count, 0.0),
        known=filled(jnp.asarray(known(sim)), count, 0.0),
        view=view,
        seen=true * jnp.asarray(1.0 + NOISE * rng.normal(size=17)),
        true=true,
    )


@eqx.filter_jit
def _seen(truth: Simulation, view: Segments):
    return view(truth.volumes, simulate(truth, states=(STATE,))[STATE].mbf, Pose())


def known(sim: Simulation) -> np.ndarray:
    """The simulator's own inputs by volume, as a network without physics would be given them."""
    law, forest = vessel_laws(sim), sim.forest
    start = jnp.zeros(forest.roots)
    way = [elimination.path_sum(forest, start, forest.chain_sum(x)) for x in (law.R, law.S)]
    R, S = (w[forest.contracted[sim.network.terminals]] for w in way)
    friction, loss = (sim.by_terminal(x) for x in (jnp.log(R / 1e10), 0.5 * jnp.log((S + 1e13) / 1e14)))
    pressure = next(float(s.aortic_pressure) for s in sim.states if s.name == STATE)
    depth = np.asarray(sim.volumes.depth)
    return np.stack([friction, loss, depth - 0.5, np.full(len(depth), (pressure - 11.7e3) / 1e3)], axis=1)
