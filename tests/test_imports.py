"""Importing perfsim changes nothing of other libraries, loads little, and says what is missing."""

import json
import os
import subprocess
import sys

import pytest

OTHERS = ("jax", "equinox", "diffrax", "optimistix")
SCRIPT = """
import gc, importlib, json, logging, os, sys, warnings
before, filters = dict(os.environ), list(warnings.filters)
told = {}
for name in sys.argv[1:]:
    importlib.import_module(name)
    if name == "perfsim":
        from perfsim import simulate, fit, reference_heart
        told["loaded"] = sorted(sys.modules)
        import perfsim
        for public in perfsim.__all__:
            getattr(perfsim, public)
        try:
            perfsim.reference_heart(terminals=10)
        except perfsim.InputError as error:
            told["refused"] = str(error)
import diffrax, jax, optimistix
import jax.numpy as jnp

def outcome(solve):
    try:
        return repr(solve())
    except Exception as error:
        return type(error).__name__

term = diffrax.ODETerm(lambda t, y, args: -y)
told["ode"] = outcome(lambda: diffrax.diffeqsolve(term, diffrax.Tsit5(), 0.0, 1.0, 0.01, jnp.array(1.0), max_steps=3))
newton = optimistix.Newton(rtol=1e-5, atol=1e-5)
told["root"] = outcome(lambda: optimistix.root_find(lambda y, args: y**2 - 2.0, newton, jnp.array(90.0), max_steps=3))
told["environment"] = {k: v for k, v in os.environ.items() if before.get(k) != v} | {k: None for k in before if k not in os.environ}
told["config"] = {k: str(v) for k, v in jax.config.values.items()}
told["process"] = [gc.isenabled(), logging.root.manager.disable, warnings.filters[-len(filters):] == filters]
print(json.dumps(told))
"""
CLEAN = {k: v for k, v in os.environ.items() if k not in ("EQX_ON_ERROR", "JAX_ENABLE_X64")}


def told(*order: str) -> dict:
    """What a fresh process finds after importing these packages one after the other."""
    run = subprocess.run([sys.executable, "-c", SCRIPT, *order], capture_output=True, text=True, env=CLEAN)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def untouched() -> dict:
    return told(*OTHERS)


@pytest.mark.parametrize("order", [("perfsim", *OTHERS), (*OTHERS, "perfsim")], ids=["first", "last"])
def test_importing_changes_nothing_of_others(order, untouched):
    """Environment, jax's configuration, and how a solve of diffrax and of optimistix fails: by raising."""
    found = told(*order)
    assert untouched["ode"].endswith("Error") and untouched["root"].endswith("Error")  # it does fail, and loudly
    for what in untouched:
        assert found[what] == untouched[what], what
    assert found["environment"] == {}
    assert "perfsim.enable_x64()" in found["refused"] and "JAX_ENABLE_X64=1" in found["refused"]
    if order[0] == "perfsim":  # what a simulation and a fit can do without is not loaded with them
        heavy = {"scipy.stats", "scipy.optimize", "scipy.spatial", "diffrax", "networkx", "arviz_stats", "jraph", "optax",
                 "matplotlib", "pyvista", "vtk", "plotly", "nibabel", "pydantic", "typer", "jinja2"}  # fmt: skip
        assert not heavy & set(found["loaded"])


CORE = """
import sys
EXTRA = {"pyvista", "vtkmodules", "plotly", "matplotlib", "nibabel", "pydantic", "typer", "rich", "yaml", "jinja2", "jraph", "optax"}
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRA:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())

import perfsim
perfsim.enable_x64()
perfsim.enable_compile_cache()
import equinox as eqx, jax.numpy as jnp
from perfsim import fit, reference_heart, simulate
from perfsim.cohorts import Stenosis
from perfsim.observe import LongAxis, Noise, Scan, Segments

heart = reference_heart(terminals=150, spacing=5e-3, stenoses=(Stenosis("LAD", 0.03, 0.55, 0.010),))
solution = perfsim.check(simulate(heart.sim))
scan = Scan(("hyperemia",), jnp.zeros((1, 17)), Noise(0.05, 0.02), Segments(LongAxis.of(heart.wall.frame)))
scan = eqx.tree_at(lambda s: s.value, scan, scan.predict(heart.sim, solution))
start = eqx.tree_at(lambda s: s.tissue.tone, heart.sim, jnp.full(3, 0.8))
assert fit(start, [scan], ("tone",)).converged

def said(use):
    try:
        use()
    except ImportError as error:
        print(error)

def read_vtk(): from perfsim.io import read_centerlines
def read_nifti(): from perfsim.io import read_tone
def read_case(): from perfsim.io import read_case
def draw(): import perfsim.viz
def learn(): import perfsim.learn
for use in (read_vtk, read_nifti, read_case, draw, learn):
    said(use)
sys.argv = ["perfsim"]
from perfsim.cli import main
main()
"""


def test_the_core_works_alone():
    """Without any extra: a solve and a fit; what needs one says so, with the line to type; so does the command."""
    run = subprocess.run([sys.executable, "-c", CORE], capture_output=True, text=True)
    assert run.returncode == 2, run.stderr
    lines = run.stdout.splitlines()
    expected = [("pyvista", "io"), ("nibabel", "io"), ("pydantic", "io"), ("matplotlib", "viz"), ("optax", "learn")]
    assert len(lines) == len(expected)
    for line, (package, extra) in zip(lines, expected, strict=True):
        assert package in line and line.endswith(f'pip install "perfsim[{extra}]"')
    (sentence,) = run.stderr.strip().splitlines()
    assert "typer" in sentence and sentence.endswith('pip install "perfsim[cli]"')
