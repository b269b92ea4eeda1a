"""The process: precision and the compile cache, asked for by name."""

import os
from pathlib import Path

import perfsim
from perfsim import InputError, _runtime
from perfsim.darcy import box
from perfsim.darcy.coarsening import coarsen
from perfsim.darcy.padding import pad_volumes
from perfsim.precision import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest


def test_single_precision_on_purpose(small_heart):
    """Everything that comes out is float32, and right to what float32 can tell; so is the gradient."""
    sim = small_heart.sim
    exact, found = perfsim.simulate(sim), perfsim.simulate(sim, precision="f32")
    for leaf in jax.tree.leaves(eqx.filter(found, eqx.is_inexact_array)):
        assert leaf.dtype == jnp.float32
    for name, state in found.states.items():
        assert int(state.counters.result) == perfsim.RESULTS.successful
        np.testing.assert_allclose(state.mbf, exact[name].mbf, rtol=1e-4)
        assert float(state.mass_defect) < 1e-5

    def value(tone, precision):
        changed = eqx.tree_at(lambda s: s.tissue.tone, sim, tone)
        return jnp.mean(perfsim.simulate(changed, precision=precision).hyperemia.mbf)

    tone, way, h = sim.tissue.tone, jnp.array([1.0, -0.5, 0.3]), 1e-3
    difference = (value(tone + h * way, "f64") - value(tone - h * way, "f64")) / (2.0 * h)
    assert float(jax.grad(value)(tone, "f32") @ way) == pytest.approx(float(difference), rel=1e-3)


def test_single_precision_holds_no_double(small_heart):
    """But for the direct solve of the coarsest mesh, whose matrix is small: a stray float64 would make all else so."""
    import re

    arrays, static = eqx.partition(cast(small_heart.sim, "f32"), eqx.is_inexact_array)
    program = jax.jit(lambda a: perfsim.simulate(eqx.combine(a, static), precision="f32").hyperemia.mbf).lower(arrays)
    shapes = re.findall(r"tensor<([0-9x]*)xf64>", program.as_text())
    assert max(np.prod([int(n) for n in shape.split("x")]) for shape in shapes) <= 100**2


def test_an_unknown_precision_is_named(small_heart):
    with pytest.raises(InputError, match="f16"):
        perfsim.simulate(small_heart.sim, precision="f16")


@pytest.fixture
def cache_settings():
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: jax.config.values[name] for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_cache_goes_where_it_may(tmp_path, monkeypatch, cache_settings):
    """As asked, as the environment says, off, and nowhere without a word where the folder cannot be made."""
    assert perfsim.enable_compile_cache(tmp_path / "asked") == tmp_path / "asked"
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "asked")
    monkeypatch.setenv("PERFSIM_CACHE", str(tmp_path / "named"))
    assert perfsim.enable_compile_cache() == tmp_path / "named" and (tmp_path / "named").is_dir()
    monkeypatch.setenv("PERFSIM_CACHE", "off")
    assert perfsim.enable_compile_cache() is None
    (tmp_path / "file").write_text("")
    assert perfsim.enable_compile_cache(tmp_path / "file" / "below") is None
    monkeypatch.delenv("PERFSIM_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("nobody")))
    assert perfsim.enable_compile_cache() is None


def test_a_folder_that_is_read_only_keeps_nothing(tmp_path, monkeypatch, cache_settings):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    assert perfsim.enable_compile_cache(tmp_path) is None


def test_peak_memory_counts_what_is_held():
    """A hundred megabytes more, if they are touched."""
    before = _runtime.peak_memory_mb()
    held = np.ones(int(3e8) // 8)
    after = _runtime.peak_memory_mb()
    assert after >= held.nbytes / 1e6 and after >= before


def test_meshes_refuse_what_they_cannot_do():
    volumes, _ = box([0.02, 0.02, 0.02], [4, 4, 4])
    with pytest.raises(InputError, match="at least 64"):
        pad_volumes(volumes, 10)
    with pytest.raises(InputError, match="cannot be padded"):
        pad_volumes(box([0.02, 0.02, 0.02], [4, 4, 4], faces=True)[0], 100)
    with pytest.raises(InputError, match="volume 2 comes before volume 1"):
        coarsen(np.zeros((3, 3)), np.ones(3), np.array([[0, 1], [1, 2]]), np.zeros((2, 3), int), np.array([0, 5, 3]))


def test_waves_in_single_precision():
    """A march of float32 vessels is float32, and agrees: 200 steps of a pulse in a fork."""
    from perfsim.flow.pulsatile import (
        Arteries,
        Fourier,
        Inlets,
        Resistance,
        discretize,
        march,
        olufsen_elasticity,
        scheme,
        steady_start,
    )  # fmt: skip

    radius = np.array([3e-3, 2.2e-3, 2.2e-3])
    arteries = Arteries.build(
        np.array([0, 1, 1]), np.array([1, 2, 3]), np.array([0.1, 0.08, 0.08]), radius,
        np.asarray(olufsen_elasticity(radius)), period=1.0,
        flow_inlets=Inlets(0, Fourier(5e-6, [[3e-6]], [[0.0]], 1.0)),
        outlets=(Resistance([2, 3], [5e9, 5e9], [0.0, 0.0]),), reference_pressure=1e4,
    )  # fmt: skip
    grid = discretize(arteries, 5e-3, samples=10)
    start = steady_start(arteries, scheme(arteries, grid), grid)
    found = {}
    for precision in ("f64", "f32"):
        a, g, wave = cast((arteries, grid, start), precision)
        found[precision] = march(scheme(a, g), a, g, wave)[1]
    assert {x.dtype for x in jax.tree.leaves(eqx.filter(found["f32"], eqx.is_inexact_array))} == {jnp.dtype("float32")}
    exact = found["f64"].pressure
    assert float(jnp.abs(found["f32"].pressure - exact).max()) < 1e-4 * float(jnp.abs(exact).max())
