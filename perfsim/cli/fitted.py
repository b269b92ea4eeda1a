"""The case file of a fitted heart."""

from pathlib import Path
from typing import Any

from perfsim import io
from perfsim.cohorts import Heart
from perfsim.coupling import Simulation
from perfsim.inverse import PARAMETERS, Model

import numpy as np


def fitted_case(case: io.Case, heart: Heart, fitted: Simulation, scratch: Path) -> io.Case:
    """The case with its fitted values written in, a field of tone into a map in the folder `scratch`."""
    found, given = fitted.parts()[2], heart.sim.parts()[2]
    update: dict[str, Any] = {
        "drainage": float(found.drainage),
        "mobility": float(found.mobility),
        "tone": dict(zip(found.territory_names, map(float, found.tone), strict=True)),
    }
    if found.supply.ndim == 0:
        crown = 1.0 / case.tissue.supply - 1.0 / given.supply  # what `assemble` leaves to arterioles below 100 µm
        update["supply"] = float(1.0 / (1.0 / found.supply + crown))
    else:
        before = case.tissue.tone_map
        factor = np.asarray(found.supply / given.supply)
        if before is not None:
            factor = factor * io.read_tone(before, np.asarray(heart.sim.volumes.center), case.tissue.orientation)
        update |= {"tone_map": scratch / "tone.nii.gz", "orientation": None}
        io.write_tone(update["tone_map"], factor, heart.samples)
    tissue = case.tissue.model_copy(update=update)
    lesions = [
        s.model_copy(update={"diameter_reduction": max(0.0, 1.0 - float(t))})
        for s, t in zip(case.stenosis, fitted.lesions.throat, strict=True)
    ]
    states = {}
    for state in fitted.states:
        update = {"aortic_pressure": float(state.aortic_pressure)}
        if state.demand is not None:
            update["demand"] = float(state.demand)
        states[state.name] = getattr(case, state.name).model_copy(update=update)
    tree = case.tree.model_copy(update={"exponent": float(fitted.network.exponent)})
    blood = case.blood.model_copy(update={"hematocrit": float(PARAMETERS["hematocrit"].where(Model(fitted, ())))})
    changed = {"name": f"{case.name} (fitted)", "tissue": tissue, "stenosis": lesions, "tree": tree, "blood": blood}
    return case.model_copy(update=changed | states)
