"""Synthetic patients with documented distributions.

| quantity | distribution |
| --- | --- |
| left-ventricular mass | uniform 95-160 g |
| dominance | right 82 %, co-dominant 10 %, left 8 % |
| tree seed | uniform |
| aortic pressure at rest | normal 93 ± 8 mmHg, clipped to 70-120; 5 mmHg less in hyperemia |
| lesion sites | LAD 15-40 mm, LCx 15-40 mm, RCA 30-80 mm from their origins (left dominant: OM1 instead of RCA) |
| lesion length | uniform 6-14 mm |
| throat d/D, stenosed | uniform 0.36-0.50 at one or two sites, 0.80-0.97 at the others |
| throat d/D, not stenosed | uniform 0.80-0.97 at all sites |
| tone (factor on g_a) of each territory | log-normal, median 1, sd 0.35 |
"""

import dataclasses

from perfsim.anatomy import MYOCARDIUM
from perfsim.cohorts.heart import Heart, Stenosis, reference_heart
from perfsim.coupling import Simulation, default_states
from perfsim.units import MMHG

import equinox as eqx
import jax.numpy as jnp
import numpy as np

CUT_CELLS = 1.4
"""volumes of a wall of some three cells across over its volume in cells: its surface cuts many"""
NOMINAL_THROAT = 0.75
"""start of a fit at every listed site"""


@dataclasses.dataclass(frozen=True)
class Patient:
    """A synthetic patient: the truth, and what is known before the fit (population values at hidden places)."""

    truth: Simulation
    nominal: Simulation
    heart: Heart
    stenosed: bool
    stenoses: tuple[Stenosis, ...]


def synthetic_patient(
    index: int,
    *,
    stenosed: bool,
    terminals: int = 600,
    volumes: int = 6500,
    spacing: float | None = None,
    seed: int = 0,
    tree: int = 0,
) -> Patient:
    """Draw a patient. The same `index` and `seed` always give the same one.

    The mesh has about as many `volumes`, or the `spacing` [m]. With another `tree` all is the same but for where the
    arterioles grew.
    """
    rng = np.random.default_rng([seed, index])
    mass = rng.uniform(0.095, 0.160)
    dominance = str(rng.choice(["right", "co", "left"], p=[0.82, 0.10, 0.08]))
    pressure = float(np.clip(rng.normal(93.0, 8.0), 70.0, 120.0))
    places = {"LAD": (15e-3, 40e-3), "LCx": (15e-3, 40e-3), "RCA": (30e-3, 80e-3)}
    if dominance == "left":
        del places["RCA"]
        places["OM1"] = (5e-3, 25e-3)
    throat = rng.uniform(0.80, 0.97, 3)
    if stenosed:
        sites = rng.choice(3, size=rng.integers(1, 3), replace=False)
        throat[sites] = rng.uniform(0.36, 0.50, len(sites))
    stenoses = tuple(
        Stenosis(branch, float(rng.uniform(low, high)), float(1 - d), float(rng.uniform(6e-3, 14e-3)))
        for (branch, (low, high)), d in zip(places.items(), throat, strict=True)
    )
    rest, hyperemia = default_states()
    states = (
        eqx.tree_at(lambda s: s.aortic_pressure, rest, jnp.asarray(pressure * MMHG)),
        eqx.tree_at(lambda s: s.aortic_pressure, hyperemia, jnp.asarray((pressure - 5.0) * MMHG)),
    )
    edge = np.cbrt(CUT_CELLS * mass / MYOCARDIUM / volumes) if spacing is None else spacing
    heart = reference_heart(
        terminals=terminals, spacing=float(edge), seed=int(rng.integers(1 << 31)) + tree, mass=mass,
        dominance=dominance, stenoses=stenoses, states=states,
    )  # fmt: skip
    nominal = eqx.tree_at(lambda s: s.lesions.throat, heart.sim, jnp.full(3, NOMINAL_THROAT))
    tone = jnp.asarray(np.exp(rng.normal(0.0, 0.35, len(heart.sim.tissue.tone))))
    return Patient(eqx.tree_at(lambda s: s.tissue.tone, heart.sim, tone), nominal, heart, stenosed, stenoses)
