"""A minute's answer to "does it work here?": `pytest -m smoke`, which .ci/run also asks of the lowest versions allowed."""

import importlib
import json
import pkgutil
import sys

import perfsim
from perfsim.coupling import Solution, simulate
from perfsim.inverse import fit
from perfsim.observe import LongAxis, Noise, Scan, Segments, mean_mbf

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

pytestmark = pytest.mark.smoke
CASE = """name = "smoke"
[tree]
terminals = 150
[mesh]
spacing = "5 mm"
[[stenosis]]
branch = "LAD"
position = "30 mm"
diameter_reduction = 0.55
length = "10 mm"
"""
"""`small_heart` as a file"""


def test_every_module_is_imported():
    """With the versions that are installed: a name that a package dropped shows here."""
    packages = [
        perfsim,
        *(importlib.import_module(f"perfsim.{name}") for name in ("anatomy", "growth", "io", "network")),
    ]
    for package in packages:  # names first: some are those of their modules, which would take their place
        for name in package.__all__:
            getattr(package, name)
    for module in pkgutil.walk_packages(perfsim.__path__, "perfsim."):
        importlib.import_module(module.name)


@pytest.fixture(scope="module")
def solution(small_heart):
    """One state at a time, as the command line solves: the case below then runs the same programs."""
    states = ("rest", "hyperemia")
    return perfsim.check(Solution({s: simulate(small_heart.sim, states=(s,))[s] for s in states}))


def test_a_solve_balances(small_heart, solution):
    for state in solution.states.values():
        assert float(state.mass_defect) <= 1e-10
    assert 0.5 < float(mean_mbf(small_heart.sim, solution.rest)) < float(mean_mbf(small_heart.sim, solution.hyperemia))


def test_a_gradient_agrees_with_a_difference(small_heart):
    sim = small_heart.sim

    def value(tone):
        return mean_mbf(sim, simulate(eqx.tree_at(lambda s: s.tissue.tone, sim, tone), states=("hyperemia",)).hyperemia)

    tone, way, h = sim.tissue.tone, jnp.array([1.0, -0.5, 0.3]), 1e-4
    difference = (value(tone + h * way) - value(tone - h * way)) / (2.0 * h)
    assert float(jax.grad(value)(tone) @ way) == pytest.approx(float(difference), rel=1e-6)


def test_a_fit_step_lowers_the_misfit(small_heart, solution):
    view = Segments(LongAxis.of(small_heart.wall.frame))
    scan = Scan(("hyperemia",), jnp.zeros((1, 17)), Noise(0.05, 0.02), view)
    scan = eqx.tree_at(lambda s: s.value, scan, scan.predict(small_heart.sim, solution))
    start = eqx.tree_at(lambda s: s.tissue.tone, small_heart.sim, jnp.full(3, 0.8))
    found = fit(start, [scan], ("tone",), max_steps=1, throw=False)
    assert found.cost_after < 0.2 * found.cost_before


def test_a_case_file_runs(tmp_path, monkeypatch):
    """By the command line, with all of its files: TOML, VTK, NIfTI, pictures, the report."""
    from perfsim.cli import main

    (tmp_path / "case.toml").write_text(CASE)
    monkeypatch.setattr(sys, "argv", ["perfsim", "run", str(tmp_path / "case.toml"), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["states"]["rest"]["mass_defect"] <= 1e-10
    assert (tmp_path / "out" / "network.vtp").stat().st_size > 1e4 and (tmp_path / "out" / "report.html").exists()
