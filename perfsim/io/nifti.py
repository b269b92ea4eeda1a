"""NIfTI images of MBF maps."""

from pathlib import Path

from perfsim.coupling import Solution
from perfsim.darcy import Samples

import nibabel as nib
import numpy as np


def write_mbf(path: Path, solution: Solution, samples: Samples) -> None:
    """MBF [mL/min/g] on the mesh's grid, one volume per state along the fourth axis, NaN outside the wall.

    NIfTI's world is RAS in mm, perfsim's is LPS in m: the affine flips the first two axes.
    """
    volumes = [samples.on_grid(np.asarray(state.mbf)) for _, state in solution.in_order()]
    affine = np.diag([1e3 * samples.spacing] * 3 + [1.0])
    affine[:3, 3] = samples.origin * 1e3
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    image = nib.Nifti1Image(np.stack(volumes, -1).astype(np.float32), affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = ("MBF mL/min/g; " + ", ".join(name for name, _ in solution.in_order())).encode()[:79]
    nib.save(image, path)
