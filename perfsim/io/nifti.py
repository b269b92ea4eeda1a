"""NIfTI images of maps on the wall: MBF as it comes out, tone as it goes in."""

from pathlib import Path

from perfsim._extras import needed
from perfsim._results import InputError
from perfsim.coupling import Solution
from perfsim.darcy import Samples
from perfsim.io.images import TO_RAS, Trust, open_image, read_image

import numpy as np

with needed("io"):
    import nibabel as nib


def write_mbf(
    path: Path, solution: Solution, samples: Samples, like: Path | None = None, trust: Trust | None = None
) -> None:
    """MBF [mL/min/g], one volume per state along the fourth axis, NaN outside the wall.

    The grid is the mesh's; with `like` it is that of another image, of any orientation and voxel size, so that the map
    lies on it voxel by voxel; `trust` is which of its affines counts (see `open_image`). A voxel takes the value of the
    volume that holds its center.
    """
    grids = [samples.on_grid(np.asarray(state.mbf)) for _, state in solution.in_order()]
    affine = _affine(samples)
    if like is not None:
        target = open_image(like, trust)
        there = TO_RAS @ target.to_world
        back = np.linalg.inv(affine) @ there
        grids = [_sampled(grid, back, target.shape[:3]) for grid in grids]
        affine = there
    _save(path, np.stack(grids, -1), affine, "MBF mL/min/g; " + ", ".join(name for name, _ in solution.in_order()))


def write_tone(path: Path, tone: np.ndarray, samples: Samples) -> None:
    """Factors on the supply conductance of every volume, NaN outside the wall, as `read_tone` reads them."""
    _save(path, samples.on_grid(np.asarray(tone)), _affine(samples), "microvascular tone, factor on supply")


def read_tone(path: Path, center: np.ndarray, trust: Trust | None = None) -> np.ndarray:
    """The factor at these points [m], from the voxel next to each; 1 where it is NaN or the image ends.

    `trust` is which of its affines counts (see `open_image`). Raises `InputError` for values that are not positive, or
    an image that leaves out more than half of the points.
    """
    image, to_world = read_image(path, trust)
    if image.ndim != 3:
        raise InputError(f"{path}: a map of tone has three dimensions, not {image.ndim}")
    there = _sampled_at(np.asarray(image, float), nib.affines.apply_affine(np.linalg.inv(to_world), center))
    known = np.isfinite(there)
    if known.mean() < 0.5:
        raise InputError(f"{path}: the map covers {100 * known.mean():.0f} % of the wall: is it registered to it?")
    if not (there[known] > 0).all():
        raise InputError(f"{path}: tone {there[known].min():.3g} is not positive: it is a factor, 1 where healthy")
    return np.where(known, there, 1.0)


def _affine(samples: Samples) -> np.ndarray:
    """From grid indices to NIfTI's world."""
    return TO_RAS @ np.vstack([np.column_stack([samples.spacing * np.eye(3), samples.origin]), [0.0, 0.0, 0.0, 1.0]])


def _save(path: Path, values: np.ndarray, affine: np.ndarray, description: str) -> None:
    image = nib.Nifti1Image(values.astype(np.float32), affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = description.encode()[:79]
    nib.save(image, path)


def _sampled(grid: np.ndarray, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Values of a grid at the voxels of another one, whose indices `affine` takes to the grid's; NaN beyond it."""
    return _sampled_at(grid, np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3])


def _sampled_at(grid: np.ndarray, index: np.ndarray) -> np.ndarray:
    nearest = np.rint(index).astype(int)
    within = ((nearest >= 0) & (nearest < grid.shape)).all(-1)
    out = np.full(index.shape[:-1], np.nan)
    out[within] = grid[tuple(nearest[within].T)]
    return out
