"""What a case would cost: numbers fitted to measured runs."""

import dataclasses

from perfsim import io
from perfsim.anatomy import MYOCARDIUM


@dataclasses.dataclass(frozen=True)
class Cost:
    """Size of a run, before it is computed."""

    vessels: float
    volumes: float
    solutions: int = 1
    """two where the heart is also solved after its treatments"""

    @property
    def memory(self) -> float:
        """[GB]; 1.6 of it go into compiling."""
        return 1.6 + 1.8e-6 * self.volumes + 5e-6 * self.vessels

    @property
    def seconds(self) -> float:
        """On two cores, at the first start: 35 go into compiling, a second start takes 12."""
        return 35.0 + 7.5e-5 * self.volumes + 2.5e-4 * self.vessels

    @property
    def disk(self) -> int:
        """Size of all files of a run [bytes]."""
        return int(3.4e6 + self.solutions * (90.0 * self.volumes + 120.0 * self.vessels))

    @property
    def tree_disk(self) -> int:
        """Size of the files of a tree alone [bytes]."""
        return int(0.1e6 + 250.0 * self.vessels)


def cost_of(case: io.Case) -> Cost:
    """The cost of a case, from its wall's mass, its mesh and its terminals."""
    volume = case.anatomy.mass / MYOCARDIUM
    return Cost(
        vessels=2.0 * case.tree.terminals + 1400,
        volumes=1.15 * volume / case.mesh.spacing**3,
        solutions=2 if case.treatment else 1,
    )
