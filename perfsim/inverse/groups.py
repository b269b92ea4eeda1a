"""Which entries of a parameter change together, and what the groups are called."""

from collections.abc import Callable, Sequence

from perfsim._arrays import on_device
from perfsim._results import InputError
from perfsim.coupling import Simulation, trunk_branch
from perfsim.inverse.model import Model
from perfsim.observe import Imaging

import numpy as np
from jaxtyping import Array


def groups(
    model: Model, name: str, leaves: tuple, by: str | None, shared_by: Callable[[Model], Sequence[Imaging]] | None
) -> tuple[tuple[Array, ...], list[str]]:
    """(group of every entry of each leaf, what the groups are called). Without `by` every entry is one by itself, or
    with those of the other measurements by the same instrument where they are `shared_by` measurements.
    """
    sizes = [int(np.size(x)) for x in leaves]
    if by is not None:
        group, labels = _grouped(model, name, leaves, by)
    elif shared_by is not None:
        group, labels = _by_instrument(shared_by(model), sizes, _labels(model, name, sizes[0]))
    else:
        group, labels = np.arange(sum(sizes)), _labels(model, name, sum(sizes))
    return tuple(on_device(g) for g in np.split(group, np.cumsum(sizes)[:-1])), labels


def _grouped(model: Model, name: str, leaves: tuple, by: str) -> tuple[np.ndarray, list[str]]:
    if by == "all":
        return np.zeros(sum(int(np.size(x)) for x in leaves), int), [""]
    parts = [_members(model.sim, name, np.shape(x), by) for x in leaves]
    index, labels = np.concatenate([p[0] for p in parts]), parts[0][1]
    used, group = np.unique(index, return_inverse=True)
    return group, [labels[k] for k in used]


def _by_instrument(images: Sequence[Imaging], sizes: list[int], labels: list[str]) -> tuple[np.ndarray, list[str]]:
    """Entries of all images, those of one instrument together."""
    instruments = list(dict.fromkeys(s.instrument for s in images))
    parts = [
        instruments.index(image.instrument) * size + np.arange(size) for image, size in zip(images, sizes, strict=True)
    ]
    if len(instruments) > 1:
        labels = [f"{i} {label}".strip() for i in instruments for label in labels]
    return np.concatenate(parts), labels


def _labels(model: Model, name: str, total: int) -> list[str]:
    sim = model.sim
    states = [s.name for s in sim.states]
    lesions = lesion_labels(sim)
    known = {
        "tone": list(sim.tissue.territory_names) if sim.tissue is not None else [],
        "throat": lesions,
        "severity": lesions,
        "root_lumen": list(sim.network.inlet_names),
        "pressure": states,
        "demand": [s.name for s in sim.states if s.demand is not None],
        "state_scale": [s for scan in model.scans for s in scan.states],
        "delay": [m.state for m in model.dynamic],
        "tilt": ["lateral", "anterior"] if total == 2 else [],
        "shift": ["lateral", "anterior", "apex"] if total == 3 else [],
    }.get(name, [])
    if len(known) == total:
        return known
    return [""] if total == 1 else [str(k) for k in range(total)]


def lesion_labels(sim: Simulation) -> list[str]:
    """What each stenosis is called in the names of parameters, e.g. "LAD@30mm"."""
    return [
        f"{sim.network.branch_names[int(b)]}@{1e3 * float(c):.0f}mm"
        for b, c in zip(sim.lesions.branch, sim.lesions.center, strict=True)
    ]


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
