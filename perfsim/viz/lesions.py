"""Where the stenoses of a simulation lie, for every picture that marks them."""

import dataclasses

from perfsim.coupling import Simulation

import numpy as np


@dataclasses.dataclass(frozen=True)
class Mark:
    """One stenosis."""

    branch: str
    center: float
    length: float
    """along the branch [m]"""
    vessel: int
    position: np.ndarray
    """[m]"""
    reduction: float

    @property
    def name(self) -> str:
        return f"{100 * self.reduction:.0f} % {self.branch}"


def marks(sim: Simulation) -> list[Mark]:
    """The stenoses that narrow a lumen."""
    network, found = sim.network, []
    branch, along = np.asarray(network.branch), np.asarray(network.coordinate)
    position = np.asarray(network.position)
    tail, head = position[np.asarray(network.tail)], position[np.asarray(network.head)]
    for b, center, length, throat in zip(
        *(np.asarray(getattr(sim.lesions, f)) for f in ("branch", "center", "length", "throat")), strict=True
    ):
        on = np.flatnonzero(branch == b)
        if throat >= 1.0 or not len(on):
            continue
        v = on[np.argmin(np.abs(along[on].mean(1) - center))]
        share = np.clip((center - along[v, 0]) / max(along[v, 1] - along[v, 0], 1e-12), 0.0, 1.0)
        where = tail[v] + share * (head[v] - tail[v])
        name = network.branch_names[int(b)]
        found.append(Mark(name, float(center), float(length), int(v), where, 1.0 - float(throat)))
    return found
