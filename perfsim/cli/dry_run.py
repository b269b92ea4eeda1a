"""What a case would compute, without computing it."""

from pathlib import Path

from perfsim import io
from perfsim.cli.cost import cost_of
from perfsim.cli.fit import check_parameters
from perfsim.cli.measured import Image, read_measured
from perfsim.io.images import read_image

import numpy as np


def describe(case: io.Case, stress: Path | None = None, rest: Path | None = None) -> None:
    """Read all that the run would read, then print the resolved case with its units and what it would take.

    Raises `InputError` for what the run would refuse in its files: wall, tree, branches, tone, maps of MBF.
    """
    wall, trunks, notes = io.read_anatomy(case)
    if case.tissue.tone_map is not None:
        rings, angles, depths = np.meshgrid(np.linspace(0.05, 0.95, 10), np.arange(0.0, 360.0, 20.0), [0.25, 0.75])
        io.read_tone(case.tissue.tone_map, wall.point(rings, angles, depths).reshape(-1, 3))
    if stress is not None:
        check_parameters(case)
    for state, path in (("rest", rest), ("hyperemia", stress)):
        if path is not None:
            measured = read_measured(case, path, state)
            if isinstance(measured, Image):
                read_image(measured.path)
    cost = cost_of(case)
    print(io.resolved(case))
    for note in notes:
        print(f"# note: {note}")
    print(f"# branches: {', '.join(trunks.branch_names)}")
    print(
        f"# would grow {case.tree.terminals} terminals ({cost.vessels:.0f} vessels), mesh about {cost.volumes:.0f} "
        f"volumes, need about {cost.memory:.1f} GB, {cost.seconds:.0f} s on two cores and "
        f"{cost.disk / 1e6:.0f} MB of disk"
    )
