"""From NumPy to JAX."""

import jax
import numpy as np


def on_device(x) -> jax.Array:
    """Return a copy of a NumPy array (or of a list of numbers) as a JAX array, without compiling anything.

    `jnp.asarray` compiles a program for every shape that it meets, and may share the memory of its argument.

    Arguments: x: any array or nested list of numbers; a JAX array is returned as it is.
    Returns: the array, in JAX's own number formats.
    """
    return x if isinstance(x, jax.Array) else jax.device_put(np.array(x))
