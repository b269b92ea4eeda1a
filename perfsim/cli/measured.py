"""What `perfsim fit` was given: tables of segments, or maps in voxels."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from perfsim import io
from perfsim._results import InputError
from perfsim.cohorts import Heart
from perfsim.coupling import Solution
from perfsim.inverse import Model
from perfsim.io.images import open_image
from perfsim.observe import LongAxis, Noise, Scan, Segments, Voxels, correlation_factor
from perfsim.units import ML_MIN_G
from perfsim.viz import polar_grid

import jax.numpy as jnp
import numpy as np

FLOOR = 0.05
"""σ₀ of a voxel [mL/min/g]"""
VOXELS_ARE_COARSE = 2.0
"""smoothing of a bull's eye made of voxels, whose centers do not lie in every bin"""
MOST_CORRELATED = 4000
"""voxels up to which the correlation of their noise is taken along, as a full matrix"""


@dataclasses.dataclass(frozen=True)
class Table:
    """MBF of the AHA segments in one state."""

    state: str
    value: np.ndarray
    sd: np.ndarray

    def scan(self, heart: Heart) -> Scan:
        return Scan((self.state,), self.value[None], Noise(0.0, self.sd), Segments(LongAxis.of(heart.wall.frame)))


@dataclasses.dataclass(frozen=True)
class Image:
    """A map of MBF in one state."""

    state: str
    path: Path
    how: io.Fit

    def scan(self, heart: Heart) -> Scan:
        how, axis = self.how, LongAxis.of(heart.wall.frame)
        value, view = io.read_mbf_map(
            self.path, heart.sim.volumes, axis, fwhm=how.fwhm, unit=how.unit, per=how.per, state=self.state,
            trust=how.orientation,
        )  # fmt: skip
        few = len(value) <= MOST_CORRELATED
        factor = correlation_factor(np.asarray(view.point), how.fwhm) if few else None
        return Scan((self.state,), value[None], Noise(how.noise, FLOOR, factor), view)


def read_measured(case: io.Case, path: Path, state: str) -> Table | Image:
    """A map (.nii, .nii.gz), or a table of segments (any other file). Raises `InputError` for a table that is none."""
    if path.name.lower().endswith((".nii", ".nii.gz")):
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        open_image(path, case.fit.orientation)
        return Image(state, path, case.fit)
    return Table(state, *io.read_segments(path, case.fit.sd / ML_MIN_G, state, case.fit.unit))


def panels(heart: Heart, fitted: Model, solution: Solution) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """By state: what was measured, what the fit predicts, and the difference in standard deviations.

    17 numbers each for tables, bull's eyes on radius × angle for maps.
    """
    out = {}
    for scan in fitted.scans:
        measured, predicted = np.asarray(scan.value[0]), np.asarray(scan.predict(fitted.sim, solution)[0])
        off = (predicted - measured) / np.asarray(scan.noise.deviation(jnp.asarray(predicted)))
        show = _bulls_eye(heart, scan, scan.view) if isinstance(scan.view, Voxels) else np.asarray
        out[scan.states[0]] = show(measured), show(predicted), show(off)
    return out


def _bulls_eye(heart: Heart, scan: Scan, view: Voxels) -> Callable[[np.ndarray], np.ndarray]:
    """Transmural means of the measured voxels on the bull's eye, weighted by the tissue in each."""
    seen = np.isfinite(np.asarray(scan.value[0]))
    weight = np.where(seen, np.asarray(view.fraction(heart.sim.volumes, scan.pose)), 0.0)
    place = np.asarray(scan.pose.to_heart(view.axis, view.point))

    def show(value: np.ndarray) -> np.ndarray:
        return polar_grid(heart.wall.frame, place, weight, np.where(seen, value, 0.0), smoothing=VOXELS_ARE_COARSE)

    return show
