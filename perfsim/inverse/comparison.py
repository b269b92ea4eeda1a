"""Measured beside fitted: MBF and MFR of territories and segments."""

import dataclasses

from perfsim.inverse.fit import Fit
from perfsim.inverse.linearized import evaluate
from perfsim.observe import SEGMENT_NAMES, Pose, Scan, Segments, Voxels, territory_shares

import numpy as np
from jaxtyping import Array, Float

TISSUE = 0.3
"""share of tissue from which a voxel counts: in others most of what is measured is beside the wall"""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One place, measured and fitted."""

    kind: str
    """ "territory" or "segment" """
    place: str
    measured: dict[str, float]
    """MBF by state [mL/min/g]; NaN where nothing was measured"""
    fitted: dict[str, float]
    """what the fitted model predicts of the same measurement"""

    @property
    def mfr(self) -> tuple[float, float]:
        """(measured, fitted) MFR; NaN unless both states were measured."""
        found = [
            values.get("hyperemia", np.nan) / values.get("rest", np.nan) for values in (self.measured, self.fitted)
        ]
        return found[0], found[1]


def comparisons(fitted: Fit) -> list[Comparison]:
    """Compare what was measured with what a fit predicts of it.

    Arguments: `fitted`, a fit to tables of segments or to maps in voxels (other measurements are left out).

    Returns the territories, then the segments that were measured. A territory's mean is that of the places that were
    measured, by the tissue in each and by the share of the territory in its supply, the same for both columns.
    """
    sim = fitted.sim
    solution = evaluate(fitted.problem, fitted.xi, every_state=True).solution
    shares = np.nan_to_num(np.asarray(territory_shares(sim, solution.hyperemia)))
    names = sim.parts()[2].territory_names
    territories = [Comparison("territory", name, {}, {}) for name in names]
    segments = [Comparison("segment", f"{k + 1} {name}", {}, {}) for k, name in enumerate(SEGMENT_NAMES)]
    for scan in fitted.data:
        if not isinstance(scan, Scan) or not isinstance(scan.view, Segments | Voxels):
            continue
        tissue = _tissue(fitted, scan.view, scan.pose)
        by_territory = tissue * np.stack([np.asarray(scan.view(sim.volumes, s, scan.pose)) for s in shares.T])
        predicted = np.asarray(scan.predict(sim, solution))
        for state, value, model in zip(scan.states, np.asarray(scan.value), predicted, strict=True):
            seen = np.isfinite(value) & (tissue > 0)
            for territory, weight in zip(territories, by_territory, strict=True):
                territory.measured[state] = _mean(value, weight, seen)
                territory.fitted[state] = _mean(model, weight, seen)
            if isinstance(scan.view, Segments):
                for segment, m, f, there in zip(segments, value, model, seen, strict=False):
                    segment.measured[state], segment.fitted[state] = (float(m) if there else np.nan), float(f)
    return territories + [s for s in segments if np.isfinite(list(s.measured.values())).any()]


def _tissue(fitted: Fit, view: Segments | Voxels, pose: Pose) -> Float[np.ndarray, " places"]:
    """How much tissue lies in each place that is looked at: the volume of a segment, or a voxel's share."""
    volumes = fitted.sim.volumes
    if isinstance(view, Voxels):
        share = np.asarray(view.fraction(volumes, pose))
        return np.where(share > TISSUE, share, 0.0)
    at: Array = pose.to_image(view.axis, volumes.center)
    return np.asarray(view.membership(at, np.cbrt(volumes.volume)) @ volumes.volume)


def _mean(value, weight, seen) -> float:
    total = float(np.sum(weight[seen]))
    return float(np.sum(weight[seen] * value[seen]) / total) if total > 0 else float("nan")
