"""Models as files (see `files`) that say their kind and size, and are refused where they do not fit."""

import hashlib
from pathlib import Path
from typing import Any

from perfsim import __version__
from perfsim._results import InputError, meant
from perfsim.learn import files
from perfsim.learn.closures import Closures
from perfsim.learn.network import Network
from perfsim.learn.pressure import PressureNetwork
from perfsim.learn.tone import Direct, ToneNetwork

import equinox as eqx
import jax

FORMAT = 1
"""of the files; raised when what is in them changes"""
KINDS: dict[str, type[Network]] = {k.__name__: k for k in (Closures, PressureNetwork, ToneNetwork, Direct)}
"""what can be saved: each has `of(key, **size)` and says its `size`"""


def save(path: str | Path, model: Network, about: dict[str, Any] | None = None) -> None:
    """Write a model of one of the `KINDS`; `about` is kept with it: what it was trained for, on what, how well."""
    arrays = files.to_bytes(model)
    header = {
        "format": FORMAT,
        "perfsim": __version__,
        "kind": type(model).__name__,
        "size": model.size,
        "sha256": hashlib.sha256(arrays).hexdigest(),
        "about": about or {},
    }
    files.write(Path(path), header, arrays)


def described(path: str | Path) -> dict[str, Any]:
    """The header of a model file: kind, size, versions, and what it was trained for."""
    return _read(Path(path))[0]


def load(path: str | Path) -> Network:
    """Read a model. Raises `InputError` for what is no model, was damaged, or is of another version or kind."""
    path = Path(path)
    header, arrays = _read(path)
    if header["format"] != FORMAT:
        raise InputError(
            f"{path}: a model of format {header['format']}, written by perfsim {header['perfsim']}; this is perfsim "
            f"{__version__} and reads format {FORMAT}: train it anew"
        )
    if header["kind"] not in KINDS:
        raise InputError(f"{path}: unknown kind {header['kind']!r}: {meant(header['kind'], KINDS, ', '.join(KINDS))}")
    if hashlib.sha256(arrays).hexdigest() != header["sha256"]:
        raise InputError(f"{path}: its arrays are not those that were saved (checksum differs): copy the file again")
    kind = KINDS[header["kind"]]
    try:
        like = eqx.filter_eval_shape(lambda: kind.of(jax.random.key(0), **header["size"]))
        return files.from_bytes(arrays, like)
    except (TypeError, RuntimeError, ValueError, EOFError) as error:
        fault = f"its arrays do not fit a {header['kind']} of size {header['size']}"
        raise InputError(f"{path}: {fault}: {error}") from None


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        header, arrays = files.read(path)
        if not {"format", "perfsim", "kind", "size", "sha256"} <= set(header):
            raise ValueError
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; `perfsim learn train CASE.toml` writes models") from None
    except ValueError:
        raise InputError(f"{path}: not a model of perfsim: its first line is no header") from None
    return header, arrays
