"""Free parameters by name: which numbers of a simulation or an instrument, in which groups, from what population."""

import dataclasses
import difflib
import functools
from collections.abc import Callable
from typing import Any

from perfsim._results import InputError
from perfsim.blood import PriesInVivo
from perfsim.coupling import Simulation, trunk_branch
from perfsim.inverse.coordinates import Above, Coordinate, Interval, Logarithm, Narrowing, Plain
from perfsim.network import no_lesions, radii
from perfsim.observe import Activity, Imaging, Measurement, Scan
from perfsim.units import ML_MIN_G, MMHG

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


class Model(eqx.Module):
    """What a fit may change: the simulation, and the instruments that looked at it."""

    sim: Simulation
    data: tuple[Measurement, ...]

    @property
    def scans(self) -> list[Scan]:
        return [m for m in self.data if isinstance(m, Scan)]

    @property
    def images(self) -> list[Imaging]:
        return [m for m in self.data if isinstance(m, Imaging)]

    @property
    def dynamic(self) -> list[Activity]:
        return [m for m in self.data if isinstance(m, Activity)]


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
    shared: bool = False
    """by all measurements of one instrument"""


def _hematocrit(model: Model):
    if not isinstance(model.sim.viscosity, PriesInVivo):
        raise InputError("this blood has a constant viscosity: it has no hematocrit to fit")
    return model.sim.viscosity.hematocrit


def _throat_spread(model: Model):
    """0.2 mm, what CT angiography misjudges a lumen by, over the healthy diameter at the lesion."""
    sim = model.sim
    return THROAT_SD / (2.0 * _healthy_radius(sim))


def _healthy_radius(sim: Simulation) -> np.ndarray:
    radius, lesions = np.asarray(radii(sim.network, no_lesions())).mean(1), sim.lesions
    branch, at = np.asarray(sim.network.branch), np.asarray(sim.network.coordinate).mean(1)
    off = np.abs(at - np.asarray(lesions.center)[:, None]) + np.where(
        branch == np.asarray(lesions.branch)[:, None], 0, 1
    )
    return radius[np.argmin(off, axis=1)]


THROAT_SD = 0.2e-3  # [m] of a diameter

PARAMETERS: dict[str, Parameter] = {
    # "throat" is one that was measured on CT, "severity" one of which only the place is known
    "tone": Parameter(lambda m: m.sim.tissue.tone, spread=0.5),
    "terminal_tone": Parameter(lambda m: m.sim.tissue.terminal_tone, spread=0.5),
    "throat": Parameter(lambda m: m.sim.lesions.throat, coordinate=Above(0.05, 0.05), spread=_throat_spread),
    "severity": Parameter(lambda m: m.sim.lesions.throat, coordinate=Narrowing(1.2), spread=0.8),
    "lumen": Parameter(lambda m: (m.sim.network.root_radius, m.sim.network.lumen), spread=0.10, together=True),
    "root_lumen": Parameter(lambda m: m.sim.network.root_radius, "mm radius", spread=0.15, scale=1e-3),
    "supply": Parameter(lambda m: m.sim.tissue.supply, "1/(Pa·s)", together=True),
    "drainage": Parameter(lambda m: m.sim.tissue.drainage, "1/(Pa·s)", together=True),
    "mobility": Parameter(lambda m: m.sim.tissue.mobility, "m²/(Pa·s)", spread=1.0, together=True),
    "exponent": Parameter(lambda m: m.sim.network.exponent, coordinate=Interval(1.5, 4.0), spread=0.25),
    "hematocrit": Parameter(_hematocrit, coordinate=Interval(0.1, 0.7), spread=0.3),
    "pressure": Parameter(
        lambda m: tuple(s.aortic_pressure for s in m.sim.states), "mmHg", Plain(), 8.0 * MMHG, scale=MMHG
    ),
    "demand": Parameter(
        lambda m: tuple(s.demand for s in m.sim.states if s.demand is not None), "mL/min/g", spread=0.2, scale=ML_MIN_G
    ),
    "rotation": Parameter(
        lambda m: tuple(s.pose.rotation for s in m.images), "°", Plain(), np.radians(5.0), np.radians(1.0), shared=True
    ),
    "tilt": Parameter(
        lambda m: tuple(s.pose.tilt for s in m.images), "°", Plain(), np.radians(5.0), np.radians(1.0), shared=True
    ),
    "shift": Parameter(lambda m: tuple(s.pose.shift for s in m.images), "mm", Plain(), 3e-3, 1e-3, shared=True),
    "scale": Parameter(lambda m: tuple(s.log_scale for s in m.scans), "", Plain(), 0.10, shared=True),
    "state_scale": Parameter(lambda m: tuple(s.state_log_scale for s in m.scans), "", Plain(), 0.05),
    "delay": Parameter(lambda m: tuple(s.delay for s in m.dynamic), "s", Plain(), 2.0),
    "arterial": Parameter(lambda m: tuple(s.arterial for s in m.dynamic), spread=0.3),
}


@dataclasses.dataclass(frozen=True)
class Free:
    """A parameter to fit, in groups and with a population of one's own.

    `name` is one of `PARAMETERS`, or the path of any floating-point leaf of a simulation ("tissue.drainage",
    "hyperemia.back_pressure_endo") or of the tracer ("tracer.partition", "tracer.extraction.b"). Entries change by one
    factor per group: `by` "vessel", "branch", "territory", "terminal", "all", or None for every entry by itself.
    `spread` replaces the population's standard deviation in the parameter's coordinate.
    """

    name: str
    by: str | None = None
    spread: float | None = None


class Block(eqx.Module):
    """Free numbers ξ ~ N(0, 1) that move some leaves: x = coordinate(coordinate⁻¹(x₀) + spread·ξ[group])."""

    parameter: Parameter = eqx.field(static=True)
    group: tuple[Array, ...]
    """of each entry of each leaf, in one numbering"""
    spread: Array

    @property
    def size(self) -> int:
        return self.spread.shape[0]

    @property
    def unit(self) -> str:
        return self.parameter.unit

    def apply(self, model: Model, xi: Array) -> Model:
        """The model with these leaves moved."""
        where, coordinate = self.parameter.where, self.parameter.coordinate
        step = self.spread * xi
        moved = [
            coordinate.to_physical(coordinate.to_free(x) + step[g].reshape(jnp.shape(x)))
            for x, g in zip(_leaves(where(model)), self.group, strict=True)
        ]
        return eqx.tree_at(lambda m: _leaves(where(m)), model, moved)

    def values(self, model: Model) -> Array:
        """The first entry of every group, in the display unit."""
        flat = jnp.concatenate([jnp.ravel(x) for x in _leaves(self.parameter.where(model))])
        first = np.unique(np.concatenate([np.asarray(g) for g in self.group]), return_index=True)[1]
        return flat[first] / self.parameter.scale


def _leaves(found) -> tuple:
    return found if isinstance(found, tuple) else (found,)


def parameter_named(name: str, model: Model) -> Parameter:
    """A kind of parameter by its short name or by the path of a leaf. Raises `InputError` with what was meant."""
    if name in PARAMETERS:
        return PARAMETERS[name]
    paths = leaf_paths(model)
    if name in paths:
        return _of_tracers(name) if name.startswith(TRACER) else _at_path(name)
    known = [*PARAMETERS, *paths]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}?" if close else f"choose among {', '.join(PARAMETERS)}"
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


def block(model: Model, free: Free) -> tuple[Block, list[str]]:
    """The free numbers of one parameter and their names. Raises `InputError` for what cannot be fitted or grouped."""
    name = free.name
    parameter = parameter_named(name, model)
    leaves = _leaves(parameter.where(model))
    sizes = [int(np.size(x)) for x in leaves]
    if sum(sizes) == 0:
        lacking = dict.fromkeys(("throat", "severity"), "the case lists no stenosis") | {
            "demand": "no state is autoregulated",
            "delay": "the data hold no dynamic scan",
            "arterial": "the data hold no dynamic scan",
        }
        raise InputError(f"parameter {name!r} has nothing to fit: {lacking.get(name, 'the data hold no scan')}")
    coordinates = parameter.coordinate
    if isinstance(coordinates, Logarithm) and not all(bool(jnp.all(x > 0)) for x in leaves):
        raise InputError(f"parameter {name!r} is zero or negative somewhere: it has no logarithm to fit")
    by = free.by or ("all" if parameter.together else None)
    if name == "state_scale" and by is None:
        group, labels = np.arange(sum(sizes)), [s for scan in model.scans for s in scan.states]
    elif parameter.shared and by is None:
        group, labels = _by_instrument(model, name, sizes)
    else:
        group, labels = _groups(model, name, leaves, sizes, by)
    asked = parameter.spread if free.spread is None else free.spread
    spread = jnp.broadcast_to(jnp.asarray(asked(model) if callable(asked) else asked, float), (len(labels),))
    names = [f"{name}[{label}]" if label else name for label in labels]
    ends = np.cumsum(sizes)[:-1]
    return Block(parameter, tuple(jnp.asarray(g) for g in np.split(group, ends)), spread), names


def _groups(model: Model, name: str, leaves, sizes, by: str | None) -> tuple[np.ndarray, list[str]]:
    """(group of every entry, their labels)."""
    total = sum(sizes)
    if by == "all":
        return np.zeros(total, int), [""]
    if by is None:
        return np.arange(total), _labels(model, name, total)
    parts = [_members(model.sim, name, np.shape(x), by) for x in leaves]
    index, labels = np.concatenate([p[0] for p in parts]), parts[0][1]
    used, group = np.unique(index, return_inverse=True)
    return group, [labels[k] for k in used]


def _by_instrument(model: Model, name: str, sizes: list[int]) -> tuple[np.ndarray, list[str]]:
    """Entries of all images, those of one instrument together."""
    images = model.scans if name == "scale" else model.images
    instruments = list(dict.fromkeys(s.instrument for s in images))
    parts = [
        instruments.index(image.instrument) * size + np.arange(size) for image, size in zip(images, sizes, strict=True)
    ]
    labels = _labels(model, name, sizes[0])
    if len(instruments) > 1:
        labels = [f"{i} {label}".strip() for i in instruments for label in labels]
    return np.concatenate(parts), labels


def _labels(model: Model, name: str, total: int) -> list[str]:
    sim = model.sim
    states = [s.name for s in sim.states]
    lesions = [
        f"{sim.network.branch_names[int(b)]}@{1e3 * float(c):.0f}mm"
        for b, c in zip(sim.lesions.branch, sim.lesions.center, strict=True)
    ]
    known = {
        "tone": list(sim.tissue.territory_names) if sim.tissue is not None else [],
        "throat": lesions,
        "severity": lesions,
        "root_lumen": list(sim.network.inlet_names),
        "pressure": states,
        "demand": [s.name for s in sim.states if s.demand is not None],
        "delay": [m.state for m in model.dynamic],
        "tilt": ["lateral", "anterior"] if total == 2 else [],
        "shift": ["lateral", "anterior", "apex"] if total == 3 else [],
    }.get(name, [])
    if len(known) == total:
        return known
    return [""] if total == 1 else [str(k) for k in range(total)]


def _members(sim: Simulation, name: str, shape: tuple[int, ...], by: str) -> tuple[np.ndarray, list[str]]:
    """Group index of every entry of a leaf along vessels or terminals, and the labels of the groups."""
    network = sim.network
    vessels, terminals = len(network.tail), len(network.terminals)
    rows = shape[0] if shape else 1
    branch = trunk_branch(network)
    at = np.asarray(sim.terminal_vessel)
    first = np.searchsorted(np.asarray(network.root), np.arange(len(network.inlets)))  # the vessel at each inlet
    tables = {
        ("vessel", len(first)): (first, [str(k) for k in range(vessels)]),
        ("branch", len(first)): (branch[first], list(network.branch_names)),
        ("vessel", vessels): (np.arange(vessels), [str(k) for k in range(vessels)]),
        ("branch", vessels): (branch, list(network.branch_names)),
        ("branch", terminals): (branch[at], list(network.branch_names)),
        ("terminal", terminals): (np.arange(terminals), [str(k) for k in range(terminals)]),
    }
    if sim.tissue is not None:
        tables["territory", terminals] = (np.asarray(sim.tissue.territory), list(sim.tissue.territory_names))
    if (by, rows) not in tables:
        raise InputError(
            f"parameter {name!r} cannot be grouped by {by!r}: lumens go by vessel or branch, what belongs to terminals "
            "by terminal, branch or territory, anything by 'all'"
        )
    index, labels = tables[by, rows]
    return np.repeat(index, int(np.prod(shape[1:], dtype=int))), labels
