"""The reference heart: the embedded anatomy, grown, meshed and coupled."""

import dataclasses
from collections.abc import Callable, Mapping

from perfsim import physiology
from perfsim.anatomy import EllipsoidWall, Wall, coronary_trunks
from perfsim.blood import Viscosity
from perfsim.coupling import Simulation, State, assemble
from perfsim.darcy import Samples, cut_cells
from perfsim.growth import GrowthReport, grow, sampled_volume
from perfsim.network import Lesions, VesselNetwork, join, no_lesions, stenosis

import numpy as np


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
    warnings: tuple[str, ...] = ()


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
    reference_diameter: float = physiology.REFERENCE_DIAMETER,
) -> Heart:
    """The embedded heart, ready for `simulate(heart.sim)`.

    Arguments: number of grown `terminals`, mesh `spacing` [m], `seed` of the tree, left-ventricular `mass` [kg],
    `dominance` (right, left or co), `stenoses`, `states` (default rest and hyperemia), radius `exponent` γ, and the
    `reference_diameter` D_ref [m] at which vessels end and tissue begins (what lies between it and 100 µm moves from
    the tissue to the tree).
    """
    wall = EllipsoidWall(mass)
    trunks = coronary_trunks(wall, dominance)
    grown = grow_heart(
        wall, trunks, terminals=terminals, seed=seed, exponent=exponent, reference_diameter=reference_diameter
    )
    return couple(grown, spacing=spacing, stenoses=stenoses, states=states)


@dataclasses.dataclass(frozen=True)
class GrownHeart:
    """A wall with its grown network, before meshing."""

    wall: Wall
    network: VesselNetwork
    growth: GrowthReport
    warnings: tuple[str, ...]
    reference_diameter: float = physiology.REFERENCE_DIAMETER
    """D_ref [m]"""


def grow_heart(
    wall: Wall,
    trunks: VesselNetwork,
    *,
    terminals: int,
    seed: int = 0,
    exponent: float = 7 / 3,
    shares: Mapping[str, float] | None = None,
    reference_diameter: float = physiology.REFERENCE_DIAMETER,
    attach: tuple[str, ...] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> GrownHeart:
    """Grow a forest from any trunks into any wall, no finer than D_ref; arguments as in `growth.grow`."""
    limit = terminal_limit(wall, trunks, exponent, reference_diameter)
    warnings = []
    if terminals > limit:
        finest = reference_diameter * 1e6
        warnings.append(f"growth stops at vessels of {finest:.0f} µm: {limit} terminals instead of {terminals}")
        terminals = limit
    network, report = grow(
        wall, trunks, terminals, exponent=exponent, seed=seed, shares=shares, attach=attach, progress=progress
    )
    return GrownHeart(wall, network, report, tuple(warnings), reference_diameter)


def couple(
    grown: GrownHeart,
    *,
    spacing: float = 1.5e-3,
    stenoses: tuple[Stenosis, ...] = (),
    states: tuple[State, ...] | None = None,
    viscosity: Viscosity | None = None,
    supply: float = physiology.SUPPLY,
) -> Heart:
    """Mesh the wall of a grown heart at `spacing` [m] and couple the two; see `assemble` for the other arguments."""
    made = lesions(grown.network, stenoses)
    volumes, samples = cut_cells(grown.wall, spacing)
    sim = assemble(
        grown.network,
        volumes,
        samples,
        states=states,
        lesions=made,
        viscosity=viscosity,
        supply=supply,
        reference_diameter=grown.reference_diameter,
    )
    return Heart(sim, grown.wall, samples, grown.growth, grown.warnings)


def terminal_limit(
    wall: Wall, trunks: VesselNetwork, exponent: float, reference_diameter: float = physiology.REFERENCE_DIAMETER
) -> int:
    """Number of terminals at which the mean terminal has the diameter D_ref, below which vessels belong to the tissue.

    By the radius law a root of diameter D₀ splits into (D₀/D_ref)^γ terminals, less what its lumped outlets take.
    """
    volume = sampled_volume(wall, 100_000)
    share = volume / (volume + float(np.sum(trunks.outlet_demand)))
    roots = (2.0 * np.asarray(trunks.root_radius) / reference_diameter) ** exponent
    return int(share * roots.sum())


def lesions(network: VesselNetwork, stenoses: tuple[Stenosis, ...]) -> Lesions:
    """The lesion record of a list of stenoses."""
    if not stenoses:
        return no_lesions()
    return join(*(stenosis(network, s.branch, s.position, s.diameter_reduction, s.length) for s in stenoses))
