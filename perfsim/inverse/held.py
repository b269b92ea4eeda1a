"""What a fit left as it was, though it could explain the data as well: its uncertainty is in no interval."""

from perfsim.inverse.blocks import Free
from perfsim.inverse.fit import Fit
from perfsim.inverse.parameters import PARAMETERS
from perfsim.physiology import CONFOUNDERS

import numpy as np

INSTEAD = {
    "throat": ("throat", "severity"),
    "tone": ("tone", "terminal_tone", "supply"),
    "scale": ("scale", "state_scale"),
}
"""parameters any of which moves what another name means"""


def left_out(fit: Fit) -> list[str]:
    """Say which confounders a fit held, and at what; and that a heart without stenoses can have no epicardial disease.

    Arguments: `fit`, converged or not.

    Returns sentences, none where nothing was left out.
    """
    free = {item.name if isinstance(item, Free) else item if isinstance(item, str) else "tone" for item in fit.free}
    held, model = [], fit.problem.model
    for name, words in CONFOUNDERS.items():
        if free & set(INSTEAD.get(name, (name,))):
            continue
        found = PARAMETERS[name].where(model)
        leaves = [np.ravel(np.asarray(x)) for x in (found if isinstance(found, tuple) else (found,))]
        values = np.concatenate(leaves) / PARAMETERS[name].scale if leaves else np.zeros(0)
        if name == "scale":
            values = np.exp(values)
        if name == "throat":
            values = 100.0 * (1.0 - values)
        unit = {"throat": "% diameter reduction"}.get(name, PARAMETERS[name].unit)
        if len(values):
            numbers = ", ".join(dict.fromkeys(f"{v:.3g}" for v in values))
            held.append(f"{words} at {numbers} {unit}".rstrip())
    out = [f"Held, so that their uncertainty is in no interval: {'; '.join(held)}."] if held else []
    if len(model.sim.lesions.throat) == 0:
        out.append(
            "Epicardial disease is not in this model: it lists no stenosis, so every defect is microvascular to it. If "
            'there may be one, add it with its reading, e.g. diameter_reduction = "60 % ± 10 %".'
        )
    return out
