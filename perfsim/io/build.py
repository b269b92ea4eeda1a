"""From a checked case to a heart."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from perfsim._notes import collect_notes
from perfsim._results import InputError, meant
from perfsim.anatomy import EllipsoidWall, Wall, coronary_trunks, label_left_tree, place_left_tree
from perfsim.blood import PriesInVivo
from perfsim.cohorts import GrownHeart, Heart, Stenosis, couple, grow_heart, lesions
from perfsim.coupling import State
from perfsim.coupling.territories import territory_of_branches
from perfsim.io.case import Case
from perfsim.io.guide_points import frame_from_guide_points, read_guide_points
from perfsim.io.labelmap import wall_from_labels
from perfsim.io.nifti import read_tone
from perfsim.io.simvascular import OneDimensionalModel
from perfsim.io.surfaces import read_surface
from perfsim.io.trees import UNITS, read_one_dimensional_tree, read_tree
from perfsim.io.walls import volume_mesh_with_notes, wall_from_mesh, wall_from_surfaces
from perfsim.network import VesselNetwork, relabel, resample, union
from perfsim.units import MMHG

import equinox as eqx
import jax.numpy as jnp
import numpy as np

TRUNK_STEP = 0.8e-3  # [m] between centerline nodes of a tree from a file
FRAME_TOLERANCE = 12e-3  # [m], median distance of a tree from the wall that it belongs to


class FrameMismatch(InputError):
    """A tree that does not lie on its wall; both are at hand for a picture."""

    def __init__(self, message: str, tree: VesselNetwork, wall: Wall):
        super().__init__(message)
        self.tree, self.wall = tree, wall


def grow_case(case: Case, progress: Callable[[int, int], None] | None = None) -> GrownHeart:
    """Make wall and trunks of a case and grow its trees. Raises `InputError` as `read_anatomy` does."""
    wall, trunks, notes = read_anatomy(case)
    stems = {"LM", "RCA", "PLV", *trunks.outlet_names}
    attach = None if case.vessels.left is None else tuple(b for b in trunks.branch_names if b not in stems)
    tree = case.tree
    grown = grow_heart(
        wall,
        trunks,
        terminals=tree.terminals,
        seed=tree.seed,
        exponent=tree.exponent,
        shares=tree.shares or None,
        reference_diameter=tree.reference_diameter,
        attach=attach,
        progress=progress,
    )
    return dataclasses.replace(grown, warnings=(*notes, *grown.warnings))


def read_anatomy(case: Case) -> tuple[Wall, VesselNetwork, list[str]]:
    """Read all the files that a case's wall and trunks come from, and check what the case says of them.

    Returns: the wall, the trunks on it, and what a reader should know about them.

    Raises: `InputError` for files that cannot be used, and for a branch, a place on one, or a territory that does not
    exist: before anything is computed.
    """
    wall, seen = _wall(case)
    trunks, notes = _trunks(case, wall)
    lesions(trunks, _stenoses(case))
    for k, t in enumerate(case.treatment):
        for place in (t.start, t.end, t.position):
            if place is not None:
                _check_place(trunks, t.branch, place, f"treatment[{k}]")
    _check_territories(case, territory_of_branches(trunks)[1])
    for inlet in case.tree.shares:
        if inlet not in trunks.inlet_names:
            hint = meant(inlet, trunks.inlet_names, f"this tree has {', '.join(trunks.inlet_names)}")
            raise InputError(f"tree.shares: there is no inlet {inlet!r}: {hint}")
    return wall, trunks, seen + notes


def _check_place(trunks: VesselNetwork, branch: str, place: float, what: str) -> None:
    names = trunks.branch_names
    if branch not in names:
        hint = meant(branch, names, f"this tree has {', '.join(names)}")
        raise InputError(f"{what}: there is no branch {branch!r}: {hint}")
    end = float(np.asarray(trunks.coordinate)[np.asarray(trunks.branch) == names.index(branch)].max())
    if place > end:
        raise InputError(f"{what}: {place * 1e3:.4g} mm does not lie on {branch}, which is {end * 1e3:.4g} mm long")


def _check_territories(case: Case, names: tuple[str, ...]) -> None:
    for territory in case.tissue.tone:
        if territory not in names:
            hint = meant(territory, names, f"this heart has {', '.join(names)}")
            raise InputError(f"tissue.tone: there is no territory {territory!r}: {hint}")


def _wall(case: Case) -> tuple[Wall, list[str]]:
    """The wall of a case, and what a reader should know about it."""
    a = case.anatomy
    if a.labels is not None:
        with collect_notes() as notes:
            wall = wall_from_labels(a.labels, **a.label_values, trust=a.orientation)
        return wall, notes
    if a.guide_points is None:
        return EllipsoidWall(a.mass), []
    unit = UNITS[a.unit]
    frame = frame_from_guide_points(read_guide_points(a.guide_points, unit), a.guide_points)
    if a.mesh is not None:
        notes = [f"{a.mesh.name}: {note}" for note in volume_mesh_with_notes(a.mesh)[1]]
        return wall_from_mesh(a.mesh, frame, unit=unit), notes
    surfaces = outer, left, right = [read_surface(p) for p in (a.epicardium, a.endocardium, a.right_ventricle)]
    notes = [f"{Path(s.source).name}: {note}" for s in surfaces for note in s.problems()]
    return wall_from_surfaces(outer, left, right, frame, unit=unit), notes


def _trunks(case: Case, wall: Wall) -> tuple[VesselNetwork, list[str]]:
    """The trunks on the wall, and what a reader should know about them."""
    v = case.vessels
    if v.left is None:
        return coronary_trunks(wall, case.anatomy.dominance), []
    if v.left.suffix.lower() == ".in":
        model, notes = read_one_dimensional_tree(v.left, v.unit)
        tree = at_arterial_pressure(model)
        notes.append(
            f"{v.left.name}: lumens are taken at 93 mmHg; its inflow, its outlets and its blood are not used: the "
            "wall drains the tree at the pressures of the case"
        )
    else:
        lines, notes = read_tree(v.left, v.unit)
        tree = VesselNetwork.of(lines)
    if v.names:
        tree = renamed(tree, v.names)
    else:
        tree, sure = label_left_tree(tree, wall)
        notes.append(
            f"branches named from geometry: LAD and LCx lie {sure.misfit * 1e3:.0f} mm from their grooves, exchanged "
            f"{sure.swapped_misfit * 1e3:.0f} mm"
        )
    tree = relabel(tree, np.asarray(tree.branch), tree.branch_names, outlets=[], outlet_names=(), outlet_demand=[])
    tree = resample(tree, TRUNK_STEP)
    if v.place:
        tree, how = place_left_tree(tree, wall)
        notes.append(
            f"the left tree was laid on the wall: scale {how.scale:.2f}, {how.rms * 1e3:.0f} mm from the grooves, then "
            f"moved {how.moved * 1e3:.0f} mm onto the epicardium; the RCA is the embedded one. Lumens left and right "
            "are not of one person, so do not compare the MBF of their territories"
        )
    else:
        notes.append(same_frame(tree, wall, str(v.left)))
    return union(tree, coronary_trunks(wall, "right", only=("RCA",))), notes


def same_frame(tree: VesselNetwork, wall: Wall, source: str) -> str:
    """How far a tree lies from the wall's surface, in words. Raises `FrameMismatch` where their frames differ."""
    distance = np.abs(wall.signed_distance(np.asarray(tree.position))) * 1e3
    middle, far = np.median(distance), np.quantile(distance, 0.95)
    said = f"its nodes lie {middle:.0f} mm from the wall's surface (median; 95th percentile {far:.0f} mm)"
    if middle > FRAME_TOLERANCE * 1e3:
        message = f"{source}: {said}: tree and wall are in different frames or units; try place = true"
        raise FrameMismatch(message, tree, wall)
    return f"the left tree was taken as it lies: {said}"


def at_arterial_pressure(model: OneDimensionalModel) -> VesselNetwork:
    """Lumens of an svOneDSolver tree at 93 mmHg, by the file's own wall laws and reference pressures."""
    tree, radius = model.network, model.radius_at(93.0 * MMHG)
    branch, root = np.asarray(tree.branch), [radius[0].mean()]
    return relabel(tree, branch, tree.branch_names, lumen=radius, root_radius=root, inlet_names=("LM",))


def renamed(tree: VesselNetwork, names: dict[str, str]) -> VesselNetwork:
    """A left tree with its file's branch names replaced; what lies before the first bifurcation becomes the LM."""
    unknown = sorted(set(names) - set(tree.branch_names))
    if unknown:
        raise InputError(f"vessels.names: the file has no branch {unknown[0]!r}; it has {', '.join(tree.branch_names)}")
    degree = np.bincount(np.asarray(tree.tail), minlength=len(tree.position))
    stem = int(np.argmax(degree[np.asarray(tree.head)] > 1))
    branch = np.asarray(tree.branch) + 1
    branch[: stem + 1] = 0
    new = ["LM", *(names.get(n, n) for n in tree.branch_names)]
    twice = sorted({n for n in new if new.count(n) > 1})
    if twice:
        raise InputError(f"vessels.names: {new.count(twice[0])} branches would be called {twice[0]}; names must differ")
    for needed in ("LAD", "LCx"):
        if needed not in new:
            raise InputError(
                f"vessels.names: no branch is called {needed}; leave names out to have them found by geometry"
            )
    return relabel(tree, branch, new, inlet_names=("LM",))


def couple_case(case: Case, grown: GrownHeart) -> Heart:
    """Mesh and couple a grown case. Raises `InputError` for a territory that does not exist."""
    r, h = case.rest, case.hyperemia
    states = (
        State("rest", r.aortic_pressure, r.back_pressure_epi, r.back_pressure_endo, jnp.asarray(r.demand)),
        State("hyperemia", h.aortic_pressure, h.back_pressure_epi, h.back_pressure_endo, None),
    )
    heart = couple(
        grown,
        spacing=case.mesh.spacing,
        stenoses=_stenoses(case),
        states=states,
        viscosity=PriesInVivo(case.blood.plasma_viscosity, case.blood.hematocrit),
        supply=case.tissue.supply,
    )
    sim = heart.sim
    names = sim.parts()[2].territory_names
    _check_territories(case, names)
    factor = jnp.ones(())
    if case.tissue.tone_map is not None:
        factor = jnp.asarray(read_tone(case.tissue.tone_map, np.asarray(sim.volumes.center), case.tissue.orientation))
    sim = eqx.tree_at(
        lambda s: (s.tissue.supply, s.tissue.drainage, s.tissue.mobility, s.tissue.tone),
        sim,
        (
            sim.tissue.supply * factor,
            jnp.asarray(case.tissue.drainage),
            jnp.asarray(case.tissue.mobility),
            jnp.asarray([case.tissue.tone.get(n, 1.0) for n in names]),
        ),
    )
    return dataclasses.replace(heart, sim=sim)


def _stenoses(case: Case) -> tuple[Stenosis, ...]:
    return tuple(Stenosis(s.branch, s.position, s.diameter_reduction, s.length) for s in case.stenosis)
