"""A short name for arrays: what a checkpoint belongs to."""

import hashlib
from typing import Any

import jax
import numpy as np


def fingerprint(*trees: Any) -> str:
    """The same twelve hexadecimal digits for the same arrays, to seven digits of each number.

    Numbers are compared as float32: the same patient made on another processor differs in the last bits of float64.
    What is no array (names, functions) does not count.
    """
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(trees):
        if not isinstance(leaf, bool | int | float | np.ndarray | np.generic | jax.Array):
            continue
        if isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        value = np.asarray(leaf)
        if np.issubdtype(value.dtype, np.floating):
            value = value.astype(np.float32) + np.float32(0.0)  # no negative zero
        elif not np.issubdtype(value.dtype, np.complexfloating):
            value = value.astype(np.int64)
        digest.update(f"{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()[:12]
