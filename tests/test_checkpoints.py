"""What a checkpoint keeps and what it belongs to."""

from perfsim._fingerprint import fingerprint
from perfsim.inverse.checkpoint import Checkpoint, Progress
from perfsim.inverse.gauss_newton import Trust

import jax.numpy as jnp
import numpy as np


def test_a_checkpoint_remembers_that_the_last_step_was_rejected(tmp_path):
    """Without it a fit that stands still after a rejected step would pass for one that has converged."""
    at = Checkpoint(tmp_path / "c", {"parameters": "a", "vessels": "b", "volumes": "c", "data": "d", "start": "e"})
    at.write(Progress(np.array([1.0, 2.0]), 3, 4.0, True, Trust(0.5, 4, True)))
    found = at.read()
    assert found.rejected and found.trust == Trust(0.5, 4, True) and (found.iteration, found.before) == (3, 4.0)
    np.testing.assert_array_equal(found.xi, [1.0, 2.0])
    full = Checkpoint(tmp_path / "no such folder" / "c", at.owner)
    full.write(found)  # a disk that cannot be written ends no fit
    assert full.read() is None


def test_a_fingerprint_is_of_the_numbers():
    """To seven digits, whatever holds them."""
    x = np.array([1.0, -2.5, 0.0])
    assert fingerprint(x) == fingerprint(jnp.asarray(x) * (1 + 1e-12)) == fingerprint({"a": -0.0 + x})
    assert len({fingerprint(y) for y in (x, x * 1.00001, x[::-1], x[:2], x.reshape(3, 1), [x, x])}) == 6
