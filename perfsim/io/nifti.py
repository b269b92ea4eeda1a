"""NIfTI images of MBF maps."""

from pathlib import Path
from typing import Any

from perfsim.coupling import Solution
from perfsim.darcy import Samples
from perfsim.io.images import TO_RAS

import nibabel as nib
import numpy as np


def write_mbf(path: Path, solution: Solution, samples: Samples, like: Path | None = None) -> None:
    """MBF [mL/min/g], one volume per state along the fourth axis, NaN outside the wall.

    The grid is the mesh's; with `like` it is that of another image, of any orientation and voxel size, so that the map
    lies on it voxel by voxel. A voxel takes the value of the volume that holds its center.
    """
    grids = [samples.on_grid(np.asarray(state.mbf)) for _, state in solution.in_order()]
    affine = TO_RAS @ np.vstack([np.column_stack([samples.spacing * np.eye(3), samples.origin]), [0.0, 0.0, 0.0, 1.0]])
    if like is not None:
        target: Any = nib.load(like)
        back = np.linalg.inv(affine) @ target.affine
        grids = [_sampled(grid, back, target.shape[:3]) for grid in grids]
        affine = target.affine
    image = nib.Nifti1Image(np.stack(grids, -1).astype(np.float32), affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = ("MBF mL/min/g; " + ", ".join(name for name, _ in solution.in_order())).encode()[:79]
    nib.save(image, path)


def _sampled(grid: np.ndarray, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Values of a grid at the voxels of another one, whose indices `affine` takes to the grid's; NaN beyond it."""
    index = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    nearest = np.rint(index).astype(int)
    within = ((nearest >= 0) & (nearest < grid.shape)).all(-1)
    out = np.full(shape, np.nan)
    out[within] = grid[tuple(nearest[within].T)]
    return out
