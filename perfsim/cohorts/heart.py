"""The reference heart: the embedded anatomy, grown, meshed and coupled."""

import dataclasses
from collections.abc import Callable

from perfsim.anatomy import EllipsoidWall, Wall, coronary_trunks
from perfsim.coupling import Simulation, State, assemble
from perfsim.darcy import Samples, cut_cells
from perfsim.growth import GrowthReport, grow
from perfsim.network import Lesions, VesselNetwork, join, no_lesions, stenosis


@dataclasses.dataclass(frozen=True)
class Stenosis:
    """A lesion as a user says it: branch, position along it and length [m], diameter reduction in [0, 1)."""

    branch: str
    position: float
    diameter_reduction: float
    length: float


@dataclasses.dataclass(frozen=True)
class Heart:
    """A simulation together with the anatomy it was made from."""

    sim: Simulation
    wall: Wall
    samples: Samples
    growth: GrowthReport


def reference_heart(
    *,
    terminals: int = 2000,
    spacing: float = 1.5e-3,
    seed: int = 0,
    mass: float = 0.140,
    dominance: str = "right",
    stenoses: tuple[Stenosis, ...] = (),
    states: tuple[State, ...] | None = None,
    exponent: float = 7 / 3,
    progress: Callable[[str, int, int], None] | None = None,
) -> Heart:
    """The embedded heart, ready for `simulate(heart.sim)`.

    Arguments: number of grown `terminals`, mesh `spacing` [m], `seed` of the tree, left-ventricular `mass` [kg],
    `dominance` (right, left or co), `stenoses`, `states` (default rest and hyperemia), radius `exponent` γ,
    `progress(stage, done, total)`.
    """
    wall = EllipsoidWall(mass)
    trunks = coronary_trunks(wall, dominance)
    return build_heart(
        wall, trunks, terminals=terminals, spacing=spacing, seed=seed, stenoses=stenoses, states=states,
        exponent=exponent, progress=progress,
    )  # fmt: skip


def build_heart(
    wall: Wall,
    trunks: VesselNetwork,
    *,
    terminals: int,
    spacing: float,
    seed: int = 0,
    stenoses: tuple[Stenosis, ...] = (),
    states: tuple[State, ...] | None = None,
    exponent: float = 7 / 3,
    attach: tuple[str, ...] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Heart:
    """Grow a forest from any trunks into any wall, mesh the wall, and couple the two."""
    tell = progress or (lambda stage, done, total: None)
    network, report = grow(
        wall,
        trunks,
        terminals,
        exponent=exponent,
        seed=seed,
        attach=attach,
        progress=lambda d, t: tell("grow", d, t),
    )
    tell("mesh", 0, 1)
    volumes, samples = cut_cells(wall, spacing)
    sim = assemble(network, volumes, samples, states=states, lesions=lesions(network, stenoses))
    tell("mesh", 1, 1)
    return Heart(sim, wall, samples, report)


def lesions(network: VesselNetwork, stenoses: tuple[Stenosis, ...]) -> Lesions:
    """The lesion record of a list of stenoses."""
    if not stenoses:
        return no_lesions()
    return join(*(stenosis(network, s.branch, s.position, s.diameter_reduction, s.length) for s in stenoses))
