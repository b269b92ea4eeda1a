"""NIfTI images: their world is RAS in mm, perfsim's is LPS in metres."""

from pathlib import Path
from typing import Any

from perfsim._extras import needed
from perfsim._results import InputError

import numpy as np

with needed("io"):
    import nibabel as nib

TO_RAS = np.diag([-1e3, -1e3, 1e3, 1.0])
"""from perfsim's world to NIfTI's"""
TO_LPS = np.diag([-1e-3, -1e-3, 1e-3, 1.0])
"""and back"""


def read_image(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(values, affine from indices to perfsim's world [m]). Raises `InputError` for what is no image with a place."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        image: Any = nib.load(path)
        _check_length(path, image)
        values, affine = np.asanyarray(image.dataobj), np.asarray(image.affine, float)
    except Exception as error:
        raise InputError(f"{path}: nibabel cannot read it ({error})") from None
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError(f"{path}: its affine is singular, so voxels have no place in space")
    return values, TO_LPS @ affine


def _check_length(path: Path, image: Any) -> None:
    """A damaged header may ask for terabytes, which would be reserved before the file is found to be shorter."""
    name = path.name.lower()
    packing = 1100 if name.endswith(".nii.gz") else 1 if name.endswith(".nii") else np.inf  # deflate: 1,032 at most
    asked = np.dtype(image.get_data_dtype()).itemsize * float(np.prod(np.asarray(image.shape, float)))
    if asked > packing * path.stat().st_size:
        raise ValueError(f"its header promises {asked:.3g} bytes, the file holds less")
