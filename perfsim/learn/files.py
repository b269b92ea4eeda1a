"""A line of JSON that says what follows, then arrays. Nothing is executed when one is read."""

import io
import json
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx

Tree = TypeVar("Tree")


def to_bytes(tree: Any) -> bytes:
    """The arrays of a tree."""
    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, tree)
    return buffer.getvalue()


def from_bytes(arrays: bytes, like: Tree) -> Tree:
    """The tree like this one with the arrays. Raises `RuntimeError`, `ValueError` or `EOFError` if they do not fit."""
    return eqx.tree_deserialise_leaves(io.BytesIO(arrays), like)


def write(path: Path, header: dict[str, Any], arrays: bytes) -> None:
    """Write a file, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(json.dumps(header, ensure_ascii=False).encode() + b"\n" + arrays)
    part.replace(path)


def read(path: Path) -> tuple[dict[str, Any], bytes]:
    """(header, arrays). Raises `ValueError` where the first line is no header, `OSError` where there is no file."""
    first, _, arrays = path.read_bytes().partition(b"\n")
    header = json.loads(first)
    if not isinstance(header, dict):
        raise ValueError("the first line is no header")
    return header, arrays
