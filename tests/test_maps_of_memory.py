"""A process that compiles many programs forgets them before it has no memory maps left."""

import subprocess
import sys

from perfsim import _maps
from perfsim.coupling import simulate

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytestmark = pytest.mark.skipif(not _maps.MAPS.exists(), reason="counts the memory maps that Linux shows")


def program(size: int):
    """A program of many kernels, and what it is called with."""

    def function(x):
        for k in range(40):
            x = jnp.cumsum(jnp.sin(x) * k)[::-1] @ jnp.ones((size, size)) * 1e-3
        return x

    return jax.jit(function), jnp.ones(size)


@pytest.mark.programs(80)
def test_programs_are_forgotten_in_time():
    """With a limit of 300 maps more than there are, some of 12 programs fit, and results stay the same."""
    _maps.make_room(0)
    most = _maps.count_maps() + 300
    kept, x = program(5)
    before = np.asarray(kept(x))
    forgotten, counts = 0, []
    for size in range(10, 22):
        forgotten += _maps.make_room(most)
        function, argument = program(size)
        function(argument)
        counts.append(_maps.count_maps())
    assert forgotten >= 2 and max(counts) < most + 300
    np.testing.assert_array_equal(kept(x), before)


def test_programs_may_be_forgotten_while_one_is_traced_or_runs(small_heart, small_solution):
    """Also between the parts of a gradient."""

    @jax.jit
    def slow(x):
        return jax.lax.fori_loop(0, 2000, lambda i, v: jnp.cos(v @ v / len(v)), x)

    def loss(x):
        y = jax.jit(jnp.sin)(x)
        _maps.make_room(0)
        return jnp.sum(y * y)

    x = jnp.full((100, 100), 0.1)
    running = slow(x)
    assert _maps.make_room(0)
    np.testing.assert_array_equal(running, slow(x))
    for gradient in (jax.grad(loss), jax.jit(jax.grad(loss))):
        np.testing.assert_allclose(gradient(x), np.sin(0.2), rtol=1e-14)
    again = simulate(small_heart.sim)
    np.testing.assert_array_equal(again.hyperemia.mbf, small_solution.hyperemia.mbf)


def test_nothing_is_forgotten_while_there_is_room():
    function, x = program(6)
    function(x)
    made = _maps._compiled
    assert not any(_maps.make_room() for _ in range(20))
    function(x)
    assert _maps._compiled == made


@pytest.mark.slow
def test_sixty_hearts_one_after_the_other():
    """Sixty sizes, value and gradient of each: twice as many maps as a process may have."""
    script = """
from perfsim import _maps, _runtime
_runtime.enable_compile_cache()
import equinox as eqx, jax, jax.numpy as jnp
from perfsim.cohorts import reference_heart
from perfsim.coupling import simulate

def mean(tone, sim):
    return jnp.mean(simulate(eqx.tree_at(lambda s: s.tissue.tone, sim, tone), states=("hyperemia",)).hyperemia.mbf)

for terminals in range(60, 120):
    sim = reference_heart(terminals=terminals, spacing=8e-3).sim
    print(mean(sim.tissue.tone, sim), eqx.filter_jit(jax.grad(mean))(sim.tissue.tone, sim).sum(), _maps.count_maps(), flush=True)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-300:] + run.stderr[-2000:]
    assert len(run.stdout.splitlines()) == 60 and "nan" not in run.stdout
