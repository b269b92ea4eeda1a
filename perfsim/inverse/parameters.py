"""Parameters by name: which numbers of a simulation or an instrument, in what coordinate, from what population."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from perfsim._results import InputError, meant
from perfsim.blood import PriesInVivo
from perfsim.coupling import Simulation
from perfsim.inverse.coordinates import Above, Coordinate, Interval, Logarithm, Narrowing, Plain
from perfsim.inverse.model import Model
from perfsim.network import no_lesions, radii
from perfsim.observe import Imaging
from perfsim.physiology import HIGHEST_HEMATOCRIT, LEAST_THROAT
from perfsim.units import ML_MIN_G, MMHG

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A kind of parameter: where it lives, the coordinate it is fitted in, and its population."""

    where: Callable[[Model], Any]
    """the leaf, or several that change together"""
    unit: str = ""
    coordinate: Coordinate = dataclasses.field(default_factory=Logarithm)
    spread: float | Callable[[Model], Any] = 0.5
    """standard deviation of the population in the fit's coordinate, around the simulation's own value"""
    scale: float = 1.0
    """SI value of one `unit`"""
    together: bool = False
    """one number for all entries, unless they are grouped"""
    shared_by: Callable[[Model], Sequence[Imaging]] | None = None
    """the measurements that have it, of which those by one instrument share it"""


def _hematocrit(model: Model):
    if not isinstance(model.sim.viscosity, PriesInVivo):
        raise InputError("this blood has a constant viscosity: it has no hematocrit to fit")
    return model.sim.viscosity.hematocrit


def throat_errors(sim: Simulation) -> np.ndarray:
    """Standard deviation of each throat as CT angiography reads it: 0.2 mm over the healthy diameter at the lesion."""
    return THROAT_SD / (2.0 * _healthy_radius(sim))


def _throat_spread(model: Model):
    return throat_errors(model.sim)


def _healthy_radius(sim: Simulation) -> np.ndarray:
    radius, lesions = np.asarray(radii(sim.network, no_lesions())).mean(1), sim.lesions
    branch, at = np.asarray(sim.network.branch), np.asarray(sim.network.coordinate).mean(1)
    off = np.abs(at - np.asarray(lesions.center)[:, None]) + np.where(
        branch == np.asarray(lesions.branch)[:, None], 0, 1
    )
    return radius[np.argmin(off, axis=1)]


THROAT_SD = 0.2e-3  # [m] of a diameter

IMAGES, SCANS = attrgetter("images"), attrgetter("scans")

PARAMETERS: dict[str, Parameter] = {
    # "throat" is one that was measured on CT, "severity" one of which only the place is known
    "tone": Parameter(lambda m: m.sim.tissue.tone, spread=0.5),
    "terminal_tone": Parameter(lambda m: m.sim.tissue.terminal_tone, spread=0.5),
    "throat": Parameter(lambda m: m.sim.lesions.throat, coordinate=Above(LEAST_THROAT, 0.05), spread=_throat_spread),
    "severity": Parameter(lambda m: m.sim.lesions.throat, coordinate=Narrowing(LEAST_THROAT, 1.2), spread=0.8),
    "lumen": Parameter(lambda m: (m.sim.network.root_radius, m.sim.network.lumen), spread=0.10, together=True),
    "root_lumen": Parameter(lambda m: m.sim.network.root_radius, "mm radius", spread=0.15, scale=1e-3),
    "supply": Parameter(lambda m: m.sim.tissue.supply, "1/(Pa·s)", together=True),
    "drainage": Parameter(lambda m: m.sim.tissue.drainage, "1/(Pa·s)", together=True),
    "mobility": Parameter(lambda m: m.sim.tissue.mobility, "m²/(Pa·s)", spread=1.0, together=True),
    "exponent": Parameter(lambda m: m.sim.network.exponent, coordinate=Interval(1.5, 4.0), spread=0.25),
    "hematocrit": Parameter(_hematocrit, coordinate=Interval(0.0, HIGHEST_HEMATOCRIT), spread=0.25),
    "pressure": Parameter(
        lambda m: tuple(s.aortic_pressure for s in m.sim.states), "mmHg", Plain(), 8.0 * MMHG, scale=MMHG
    ),
    "demand": Parameter(
        lambda m: tuple(s.demand for s in m.sim.states if s.demand is not None), "mL/min/g", spread=0.2, scale=ML_MIN_G
    ),
    "rotation": Parameter(
        lambda m: tuple(s.pose.rotation for s in m.images),
        "°",
        Plain(),
        np.radians(5.0),
        np.radians(1.0),
        shared_by=IMAGES,
    ),
    "tilt": Parameter(
        lambda m: tuple(s.pose.tilt for s in m.images),
        "°",
        Plain(),
        np.radians(5.0),
        np.radians(1.0),
        shared_by=IMAGES,
    ),
    "shift": Parameter(lambda m: tuple(s.pose.shift for s in m.images), "mm", Plain(), 3e-3, 1e-3, shared_by=IMAGES),
    "scale": Parameter(lambda m: tuple(s.log_scale for s in m.scans), "", Plain(), 0.10, shared_by=SCANS),
    "state_scale": Parameter(lambda m: tuple(s.state_log_scale for s in m.scans), "", Plain(), 0.05),
    "delay": Parameter(lambda m: tuple(s.delay for s in m.dynamic), "s", Plain(), 2.0),
    "arterial": Parameter(lambda m: tuple(s.arterial for s in m.dynamic), spread=0.3),
}


def parameter_named(name: str, model: Model) -> Parameter:
    """A kind of parameter by its short name or by the path of a leaf. Raises `InputError` with what was meant."""
    if name in PARAMETERS:
        return PARAMETERS[name]
    paths = leaf_paths(model)
    if name in paths:
        return _of_tracers(name) if name.startswith(TRACER) else _at_path(name)
    hint = meant(name, [*PARAMETERS, *paths], f"choose among {', '.join(PARAMETERS)}", cutoff=0.4)
    raise InputError(f"there is no parameter {name!r} to fit: {hint}")


def leaf_paths(model: Model) -> list[str]:
    """Paths of all floating-point leaves of a simulation, states by their names, and of the tracers."""
    found = _simulation_leaves(model.sim)
    if model.dynamic:
        found |= {TRACER + path: leaf for path, leaf in _spelled(model.dynamic[0].tracer).items()}
    return [path for path, leaf in found.items() if eqx.is_inexact_array(leaf) and jnp.size(leaf)]


TRACER = "tracer."


def _spelled(tree) -> dict[str, Any]:
    """All leaves by their paths."""
    found = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in found}


def _simulation_leaves(sim: Simulation) -> dict[str, Any]:
    out = {}
    for path, leaf in _spelled(sim).items():
        for k, state in enumerate(sim.states):
            path = path.replace(f"states[{k}]", state.name)
        out[path] = leaf
    return out


@functools.cache
def _at_path(name: str) -> Parameter:
    """A positive leaf by its path."""

    def where(model: Model):
        return _simulation_leaves(model.sim)[name]

    return Parameter(where, together=True)


@functools.cache
def _of_tracers(name: str) -> Parameter:
    """A positive constant of the tracer, one number for all scans."""

    def where(model: Model):
        return tuple(_spelled(m.tracer)[name.removeprefix(TRACER)] for m in model.dynamic)

    return Parameter(where, spread=0.1, together=True)
