"""What can be learned from the synthetic cohort, by name: a network, patients, a loss, a score."""

import dataclasses
from collections.abc import Callable
from typing import Any

from perfsim.learn import pressure, subgrid, tone
from perfsim.learn.closures import Closures
from perfsim.learn.network import Network
from perfsim.learn.pressure import PressureNetwork
from perfsim.learn.tone import Direct, ToneNetwork
from perfsim.learn.training import Loss

HELD_OUT = 10_000
"""number of the first patient to be tested on: training never gets there"""


@dataclasses.dataclass(frozen=True)
class Task:
    """Something that a network can learn."""

    kind: type[Network]
    """the network; `kind.of(key, width=..., rounds=...)`"""
    patient: Callable[..., list[Any]]
    """samples of one synthetic patient, by (number, seed, volumes)"""
    loss: Loss
    score: Callable[[Any, Any], dict[str, float]]
    """of a model on a sample: named errors, as parts of one"""
    volumes: int
    """of a patient's mesh, unless a case says otherwise"""
    about: str


_TONE = Task(
    ToneNetwork,
    lambda index, seed, volumes: [tone.example(index, seed, volumes=volumes)],
    tone.loss,
    tone.score,
    1500,
    "tone of every volume from features, trained on segments through the simulator",
)
TASKS = {
    "tone": _TONE,
    "direct": dataclasses.replace(
        _TONE, kind=Direct, about="MBF of every volume from the same features, without physics"
    ),
    "subgrid": Task(
        Closures,
        lambda index, seed, volumes: subgrid.pair(index, seed, volumes=volumes),
        subgrid.loss,
        subgrid.score,
        100_000,
        "factors that make a mesh merged twice say what the fine one does",
    ),
    "pressure": Task(
        PressureNetwork,
        lambda index, seed, volumes: [pressure.random_wall(index, seed, volumes=volumes)],
        pressure.loss,
        pressure.score,
        3000,
        "pressures of the wall, trained on the energy of the equations",
    ),
}
