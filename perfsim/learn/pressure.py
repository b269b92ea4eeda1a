"""The wall's pressures from a graph network that is trained on the equations, not on their solutions.

After the finite-volume-informed graph networks (Li et al. 2025, J Comput Phys; Pfaff et al. 2021, arXiv 2010.03409):
encode, process, decode, with messages along the faces of the finite-volume mesh, and on its coarser meshes so that they
cross the screening length. What is encoded is what a pressure field leaves out of balance, in units of itself: a pass
predicts the correction, and the next pass starts from what is left then. The loss is the energy ½pᵀAp - bᵀp, whose
minimum is the solution: no solution is ever computed for it.
"""

from perfsim.cohorts import synthetic_patient
from perfsim.coupling import (
    FVGraph,
    Predicted,
    Simulation,
    TissueProblem,
    local_field,
    pad,
    simulate,
    tissue_problem,
)
from perfsim.coupling.methods import posed
from perfsim.coupling.system import vessel_laws
from perfsim.darcy import DarcyOperator, FiniteVolumes
from perfsim.darcy.columns import sum_slots, take
from perfsim.flow import Steady
from perfsim.learn.messages import Messages, perceptron
from perfsim.learn.network import Network, silent

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

STATE = "hyperemia"
NODE_FEATURES, EDGE_FEATURES = 4, 1
ELL = (3e-4, 5e-3)
"""range of screening lengths that are trained on [m]"""


class PressureNetwork(Network):
    """A network from a `TissueProblem` to pressures; build one with `PressureNetwork.of`. The same parameters serve
    every mesh and every one of its coarser meshes.
    """

    node_encoder: eqx.nn.MLP
    edge_encoder: eqx.nn.MLP
    down: tuple[Messages, ...]
    up: tuple[Messages, ...]
    decoder: eqx.nn.MLP
    passes: int = eqx.field(static=True)

    @classmethod
    def of(cls, key: Array, width: int = 16, rounds: int = 2, passes: int = 2) -> "PressureNetwork":
        """Random parameters: `rounds` of messages on each mesh on the way down and up, so many passes."""
        keys = iter(jax.random.split(key, 4 * rounds + 3))

        def messages():
            return tuple(Messages.of(keys, width) for _ in range(rounds))

        decoder = silent(perceptron(keys, width, width, outputs=1))
        nodes, edges = perceptron(keys, NODE_FEATURES, width), perceptron(keys, EDGE_FEATURES, width)
        return cls(nodes, edges, messages(), messages(), decoder, passes)

    @property
    def size(self) -> dict[str, int]:
        return {"width": self.node_encoder.width_size, "rounds": len(self.down), "passes": self.passes}

    def __call__(self, problem: TissueProblem) -> Float[Array, " volumes"]:
        p = problem.local
        for _ in range(self.passes):
            p = p + self.correction(problem, problem.residual(p))
        return p

    def correction(self, problem: TissueProblem, r: Float[Array, " volumes"]) -> Float[Array, " volumes"]:
        """About A⁻¹r: what the network makes of r in units of its own size."""
        diagonal = problem.operators[0].diagonal
        unit = jnp.sqrt(jnp.mean((r / diagonal) ** 2)) + 1e-30
        return unit * self._cycle(problem, 0, r / unit, None, problem.depth)

    def _cycle(self, problem: TissueProblem, k: int, r, above, depth):
        A = problem.operators[k]
        empty = A.diagonal == 0  # of padded meshes
        diagonal = jnp.where(empty, 1.0, A.diagonal)
        own = jnp.stack([r / diagonal, A.sink / diagonal, depth, jnp.full(r.shape, float(k > 0))], axis=1)
        h = jax.vmap(self.node_encoder)(own)
        graph = FVGraph.of_mesh(A.neighbor)
        graph = graph.with_features(h if above is None else h + above, self._edges(A, diagonal, graph))
        for messages in self.down:
            graph = messages(graph)
        below = jnp.zeros_like(r)
        if k < len(problem.levels):
            members, own_of = problem.levels[k].members, problem.levels[k].aggregate
            count = jnp.maximum(sum_slots(jnp.ones_like(r), members), 1.0)
            mean = jnp.stack([sum_slots(c, members) / count for c in graph.graph.nodes.T], axis=1)
            coarse = self._cycle(problem, k + 1, sum_slots(r, members), mean, sum_slots(depth, members) / count)
            below = take(coarse, own_of)
            # what the coarser mesh said is a field that is out of balance here: fold it in
            left = (r - A(below)) / diagonal
            h = graph.graph.nodes + jax.vmap(self.node_encoder)(own.at[:, 0].set(left))
            graph = graph.with_features(h, graph.graph.edges)
        for messages in self.up:
            graph = messages(graph)
        return below + jax.vmap(self.decoder)(graph.graph.nodes)[:, 0]

    def _edges(self, A: DarcyOperator, diagonal, graph: FVGraph):
        through = graph.on_faces(A.transmissibility)
        i, j = graph.graph.senders, graph.graph.receivers
        relative = through / jnp.sqrt(take(diagonal, i) * take(diagonal, j))
        return jax.vmap(self.edge_encoder)(relative[:, None])


class RandomWall(eqx.Module):
    """A heart to learn from, or to be tested on."""

    sim: Simulation
    problem: TissueProblem
    """its wall in hyperemia, at the terminals' pressures of a tissue that shares nothing"""


def loss(model: PressureNetwork, wall: RandomWall) -> Float[Array, ""]:
    """The energy of what the network says, 0 where tissue shares nothing, over ½Σr₀²/diagonal of that."""
    problem = wall.problem
    r = problem.residual(problem.local)
    return problem.energy(model(problem)) / (0.5 * jnp.sum(r**2 / problem.operators[0].diagonal))


def with_screening(sim: Simulation, length: float) -> Simulation:
    """The simulation with the mobility that makes ℓ = √(K/(g_a + g_v)) this long [m]."""
    tissue = sim.tissue
    K = length**2 * (tissue.supply + tissue.drainage)
    return eqx.tree_at(lambda s: s.tissue.mobility, sim, K)


def drawn_screening(rng: np.random.Generator) -> float:
    """A screening length [m], log-uniform in `ELL`."""
    return float(np.exp(rng.uniform(*np.log(ELL))))


def random_wall(index: int, seed: int = 0, *, volumes: int = 3000, screening: float | None = None) -> RandomWall:
    """A random heart: patient of the cohort, with a rough field of supply (sd 0.3 in the log) and a screening length
    log-uniform in `ELL` [m], or the given one.
    """
    rng = np.random.default_rng([seed, index, 4])
    sim = synthetic_patient(index, stenosed=index % 2 == 0, terminals=300, volumes=volumes, seed=seed).truth
    x = np.asarray(sim.volumes.center) / 10e-3
    field = sum(np.cos(x @ rng.normal(size=3) + rng.uniform(0.0, 2.0 * np.pi)) for _ in range(4)) / np.sqrt(2.0)
    sim = eqx.tree_at(lambda s: s.tissue.supply, sim, sim.tissue.supply * jnp.exp(jnp.asarray(0.3 * field)))
    length = drawn_screening(rng) if screening is None else screening
    return wall_of(pad(with_screening(sim, length)))


@eqx.filter_jit
def wall_of(sim: Simulation) -> RandomWall:
    """The heart with its wall's equations in hyperemia."""
    state = next(s for s in sim.states if s.name == STATE)
    system, links, _ = posed(sim, vessel_laws(sim), state, FiniteVolumes())
    return RandomWall(sim, tissue_problem(system, links, local_field(system, links)))


def score(model: PressureNetwork, wall: RandomWall) -> dict[str, float]:
    """Mean of |Δ|/max(MBF, 0.1) over the volumes before any solver touches them, and for tissue that shares nothing."""
    exact = simulate(wall.sim, states=(STATE,))[STATE].mbf

    def error(network):
        found = simulate(wall.sim, Steady(given=True), Predicted(network), (STATE,))[STATE].mbf
        return mean_error(wall.sim, found, exact)

    return {"error": error(model), "error_without": error(local)}


def mean_error(sim: Simulation, found, exact) -> float:
    """Mean of |Δ|/max(MBF, 0.1) over the wall."""
    relative = jnp.abs(found - exact) / jnp.maximum(exact, 0.1)
    return float(jnp.average(relative, weights=sim.volumes.volume))


def local(problem: TissueProblem) -> Float[Array, " volumes"]:
    """What a prediction is measured against: the pressures of a tissue that shares nothing."""
    return problem.local
