"""NIfTI images: their world is RAS in mm (or as the header says), perfsim's is LPS in metres."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any, Literal

from perfsim._extras import needed
from perfsim._results import InputError

import numpy as np

with needed("io"):
    import nibabel as nib

Trust = Literal["sform", "qform"]
"""which of a header's two affines counts"""
TO_RAS = np.diag([-1e3, -1e3, 1e3, 1.0])
"""from perfsim's world to NIfTI's"""
TO_LPS = np.diag([-1e-3, -1e-3, 1e-3, 1.0])
"""and back"""
LENGTHS = {"mm": 1.0, "unknown": 1.0, "meter": 1e3, "micron": 1e-3}
"""[mm]; a header that names none means mm"""
MOST = 1 << 30
"""values of an image that are held at once [bytes, as float32]"""
NAMES = {0: "unknown", 1: "scanner", 2: "aligned", 3: "talairach", 4: "mni", 5: "template"}
"""of NIfTI's codes"""
APART = 0.5
"""voxels that two affines may lie apart before they contradict each other"""


@dataclasses.dataclass(frozen=True)
class Image:
    """A NIfTI image whose voxels have a place; values are read when they are asked for."""

    path: Path
    shape: tuple[int, ...]
    """without axes of length one beyond the third"""
    to_world: np.ndarray
    """from indices to perfsim's world [m]"""
    description: str
    """free text of the header"""
    _file: Any

    def values(self, box: tuple[slice, ...] | None = None) -> np.ndarray:
        """Values after scaling (float32 if scaled) within a box of indices, all of them by default.

        Raises `InputError` for what cannot be read, or for more than a gigabyte.
        """
        box = tuple(slice(0, n) for n in self.shape[:3]) if box is None else box
        shape = [len(range(*b.indices(n))) for b, n in zip(box, self.shape, strict=False)] + list(self.shape[3:])
        if 4.0 * np.prod(np.array(shape, float)) > MOST:
            raise InputError(
                f"{self.path}: {' × '.join(map(str, shape))} values are more than {MOST >> 30} GB: crop the image to "
                "the heart, or resample it to voxels of 1 mm"
            )
        file, rest = self._file, (0,) * (len(self._file.shape) - len(self.shape))
        index = (*box, *(slice(None),) * (len(self.shape) - 3), *rest)
        try:
            found = file.dataobj.get_unscaled()[index] if self._plain() else file.dataobj[index]
        except Exception as error:
            raise InputError(f"{self.path}: nibabel cannot read it ({error})") from None
        return found.astype(np.float32) if found.dtype == np.float64 and file.get_data_dtype() != np.float64 else found

    def _plain(self) -> bool:
        """Whether values are as stored, so that integers stay integers."""
        slope, inter = self._file.dataobj.slope, self._file.dataobj.inter
        return slope == 1.0 and inter == 0.0 and np.issubdtype(self._file.get_data_dtype(), np.integer)


def open_image(path: Path, trust: Trust | None = None) -> Image:
    """Open a NIfTI image (1 or 2, .nii or .nii.gz), check its header, and find where its voxels lie.

    Arguments: `path`; `trust`: the affine that counts where the header has none that is valid (both codes 0) or two
    that contradict each other.

    Raises: `InputError` for what is no image of numbers, or has no place in space that can be trusted.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file: Any = nib.load(path)
        if not isinstance(file, (nib.Nifti1Pair, nib.Nifti2Pair)):
            raise ValueError(f"it is {type(file).__name__}, not NIfTI")
        _check_length(path, file)
        kind = file.get_data_dtype()
    except Exception as error:
        raise InputError(f"{path}: nibabel cannot read it ({error})") from None
    if kind.fields is not None or np.issubdtype(kind, np.complexfloating):
        raise InputError(f"{path}: its voxels hold {_kind_of(kind)}, not one number each: save one channel")
    shape = file.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) < 3 or min(shape) < 1:
        raise InputError(f"{path}: an image of shape {file.shape} is no volume: three dimensions are needed")
    description = bytes(file.header["descrip"]).split(b"\0")[0].decode("latin-1").strip()
    return Image(path, shape, TO_LPS @ _affine_of(path, file, trust), description, file)


def read_image(path: Path, trust: Trust | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(values, affine from indices to perfsim's world [m]). Arguments and errors as of `open_image`."""
    image = open_image(path, trust)
    return image.values(), image.to_world


def orientation_of(path: Path) -> str:
    """Both affines of a header in words: their codes, and where the axes point."""
    file: Any = nib.load(path)
    words = []
    for name, affine, code in _affines(file):
        known = NAMES.get(code, "an unknown code")
        usable = affine is not None and np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 1e-12
        axes = "".join(map(str, nib.aff2axcodes(affine))) if usable else "empty"
        words.append(f"{name} code {code} ({known}) {axes}")
    return ", ".join(words)


def length_of(file: Any) -> tuple[str, float]:
    """(unit of length that a header names, in mm)."""
    try:
        unit = file.header.get_xyzt_units()[0]
    except KeyError:
        unit = "?"
    return unit, LENGTHS.get(unit, np.nan)


def _affines(file: Any) -> list[tuple[str, np.ndarray | None, int]]:
    header = file.header
    try:
        rotated = header.get_qform()
    except (ValueError, np.linalg.LinAlgError):  # a quaternion that is none
        rotated = None
    return [("sform", header.get_sform(), int(header["sform_code"])), ("qform", rotated, int(header["qform_code"]))]


def _affine_of(path: Path, file: Any, trust: Trust | None) -> np.ndarray:
    """From indices to NIfTI's world, RAS in mm."""
    _, length = length_of(file)
    if not np.isfinite(length):
        raise InputError(f"{path}: its header names no known unit of length (xyzt_units)")
    known = {name: affine for name, affine, code in _affines(file) if code > 0}
    if trust is not None:
        affine = next(affine for name, affine, _ in _affines(file) if name == trust)
    elif not known:
        raise InputError(
            f"{path}: no orientation: sform and qform both have the code 0, so left, front and top are not known; set "
            f'the code, or say which to trust: orientation = "sform" or "qform" ({orientation_of(path)})'
        )
    elif len(known) == 2 and _contradict(file, *known.values()):
        raise InputError(
            f"{path}: sform and qform place the voxels differently ({orientation_of(path)}): say which to trust: "
            'orientation = "sform" or "qform"'
        )
    else:
        affine = next(iter(known.values()))
    if affine is None or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) * length**3 < 1e-9:
        raise InputError(f"{path}: its affine is singular, so voxels have no place in space")
    return np.diag([length, length, length, 1.0]) @ affine


def _contradict(file: Any, a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether two affines put any corner of the image more than half a voxel apart."""
    if a is None or b is None:
        return True
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in file.shape[:3]])).reshape(3, -1)
    apart = np.linalg.norm((a - b)[:3, :3] @ corners + (a - b)[:3, 3:], axis=0).max()
    return not apart <= APART * float(np.min(np.linalg.norm(np.asarray(a)[:3, :3], axis=0)))


def _kind_of(kind: np.dtype) -> str:
    return "colors (RGB)" if kind.fields is not None and "R" in kind.fields else f"values of type {kind}"


def _check_length(path: Path, image: Any) -> None:
    """A damaged header may ask for terabytes, which would be reserved before the file is found to be shorter."""
    name = path.name.lower()
    packing = 1100 if name.endswith(".nii.gz") else 1 if name.endswith(".nii") else np.inf  # deflate: 1,032 at most
    asked = np.dtype(image.get_data_dtype()).itemsize * float(np.prod(np.asarray(image.shape, float)))
    if asked > packing * path.stat().st_size:
        raise ValueError(f"its header promises {asked:.3g} bytes, the file holds less")
