"""From a checked case to a heart."""

import dataclasses
import difflib
from collections.abc import Callable

from perfsim._results import InputError
from perfsim.anatomy import EllipsoidWall, coronary_trunks
from perfsim.blood import PriesInVivo
from perfsim.cohorts import GrownHeart, Heart, Stenosis, couple, grow_heart, lesions
from perfsim.coupling import State
from perfsim.io.case import Case

import equinox as eqx
import jax.numpy as jnp


def grow_case(case: Case, progress: Callable[[int, int], None] | None = None) -> GrownHeart:
    """Grow the trees of a case. Raises `InputError` for a branch that does not exist."""
    wall = EllipsoidWall(case.anatomy.mass)
    trunks = coronary_trunks(wall, case.anatomy.dominance)
    lesions(trunks, _stenoses(case))  # complain before the work, not after it
    return grow_heart(
        wall, trunks, terminals=case.tree.terminals, seed=case.tree.seed, exponent=case.tree.exponent, progress=progress
    )


def couple_case(case: Case, grown: GrownHeart) -> Heart:
    """Mesh and couple a grown case. Raises `InputError` for a territory that does not exist."""
    r, h = case.rest, case.hyperemia
    states = (
        State("rest", r.aortic_pressure, r.back_pressure_epi, r.back_pressure_endo, jnp.asarray(r.demand)),
        State("hyperemia", h.aortic_pressure, h.back_pressure_epi, h.back_pressure_endo, None),
    )
    heart = couple(grown, spacing=case.mesh.spacing, stenoses=_stenoses(case), states=states)
    sim = heart.sim
    names = sim.parts()[2].territory_names
    for territory in case.tissue.tone:
        if territory not in names:
            close = difflib.get_close_matches(territory, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"this heart has {', '.join(names)}"
            raise InputError(f"tissue.tone: there is no territory {territory!r}: {hint}")
    sim = eqx.tree_at(
        lambda s: (s.tissue.supply, s.tissue.drainage, s.tissue.mobility, s.tissue.tone, s.viscosity),
        sim,
        (
            jnp.asarray(case.tissue.supply),
            jnp.asarray(case.tissue.drainage),
            jnp.asarray(case.tissue.mobility),
            jnp.asarray([case.tissue.tone.get(n, 1.0) for n in names]),
            PriesInVivo(case.blood.plasma_viscosity, case.blood.hematocrit),
        ),
    )
    return dataclasses.replace(heart, sim=sim)


def _stenoses(case: Case) -> tuple[Stenosis, ...]:
    return tuple(Stenosis(s.branch, s.position, s.diameter_reduction, s.length) for s in case.stenosis)
