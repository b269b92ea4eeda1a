"""Fences against XLA's fusion, read in the compiled program: what they keep in memory is computed once."""

import re

from perfsim._fences import hold, keep_rows, materialize
from perfsim.darcy import Multigrid, box, correction, mesh_cells, operator, tetrahedra_in_box, transmissibility

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def compiled(f, *args) -> str:
    return jax.jit(f).lower(*args).compile().as_text()


def most_gathers(program: str) -> int:
    """Of a fused kernel, or of what else stands in one computation."""
    return max(part.count(" gather(") for part in re.split(r"\n\n+", program))


@pytest.fixture(scope="module")
def multigrid():
    volumes, _ = box([1.0] * 3, [8] * 3)
    A = operator(volumes, transmissibility(volumes, jnp.ones(512)), volumes.volume)
    return Multigrid.of(volumes.levels, A)


@pytest.mark.parametrize("members", [None, 2])
def test_residuals_of_the_v_cycle_are_computed_once(multigrid, members):
    """Degree 2 on one level takes one residual before, one to be handed down and two after: four branches."""
    assert len(multigrid.levels) == 1 and multigrid.degree == 2

    def cycle(M, r):
        return M(r) if members is None else jax.vmap(M)(r)

    program = compiled(cycle, multigrid, jnp.ones((512,) if members is None else (members, 512)))
    assert program.count(" conditional(") == 4
    assert most_gathers(program) <= 8  # of one residual, or of one coarse cell's members; two residuals have 12


def test_gradients_of_the_corrected_flux_are_computed_once():
    volumes, _ = mesh_cells(*tetrahedra_in_box(1.0, 2))
    K = jnp.ones(len(volumes.volume))
    flux = correction(volumes, K, transmissibility(volumes, K))
    program = compiled(lambda C, p: C(p), flux, K)
    pressures, gradients = volumes.faces.stencil.shape[0], 3 * volumes.neighbor.shape[0]
    assert most_gathers(program) <= max(pressures, gradients)  # never both at once


def test_roots_are_held_apart_from_what_uses_them():
    """Forward the root, backward the quotient of its derivative, in kernels of their own."""

    def f(x):
        s = hold(jnp.sqrt(x))
        return jnp.tanh(s[1:] - s[:-1])

    def backward(x, w):
        return jax.vjp(f, x)[1](w)[0]

    x = jnp.linspace(1.0, 2.0, 50)
    for program, inner in ((compiled(f, x), " sqrt("), (compiled(backward, x, x[1:]), " divide(")):
        parts = re.split(r"\n\n+", program)
        assert any(inner in part for part in parts)
        assert not any(inner in part and " tanh(" in part for part in parts)


def test_fences_change_nothing():
    def f(x):
        return jnp.sin(x)[::-1]

    x = jnp.linspace(0.0, 1.0, 6).reshape(2, 3).at[0, 0].set(jnp.nan).at[1, 0].set(jnp.inf)
    np.testing.assert_array_equal(jax.jit(lambda x: materialize(f, x))(x[0]), f(x[0]))
    np.testing.assert_array_equal(jax.vmap(lambda x: materialize(f, x))(x), jax.vmap(f)(x))
    y, weight = x[:, 1:], jnp.array([[1.0, 2.0], [3.0, 4.0]])
    for g in (f, lambda x: materialize(f, x), lambda x: keep_rows(f(x))):
        back = jax.vmap(lambda y, w, g=g: jax.vjp(g, y)[1](w)[0])(y, weight)
        np.testing.assert_allclose(back, jnp.cos(y) * weight[:, ::-1], rtol=1e-15)
        np.testing.assert_allclose(jax.jvp(g, (y[0],), (y[0],))[1], (jnp.cos(y[0]) * y[0])[::-1], rtol=1e-15)
