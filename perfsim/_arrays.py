"""From NumPy to JAX."""

import jax
import numpy as np


def on_device(x) -> jax.Array:
    """Return a copy of a NumPy array as a JAX array, without compiling anything.

    `jnp.asarray` compiles a program for every shape that it meets, and may share the memory of its argument.

    Arguments: x: an array made on the host; a JAX array is returned as it is. A number of the user's is not for this:
    `jnp.asarray` leaves it weakly typed, so that it takes the precision of what it meets.
    Returns: the array, in JAX's own number formats.
    """
    return x if isinstance(x, jax.Array) else jax.device_put(np.array(x))
