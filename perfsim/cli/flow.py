"""Pulsatile flow in a network: progress by cycle, waveforms as NPZ, CSV and a picture."""

import json
from pathlib import Path
from typing import Any

from perfsim import __version__, _runtime
from perfsim.cli import interrupts
from perfsim.cli.folder import claimed
from perfsim.cli.terminal import open_console
from perfsim.flow.lumped import LumpedCycle
from perfsim.flow.pulsatile import Cycle, Progress, courant, discretize, solve_periodic, time_limit
from perfsim.io.flow_case import FlowCase, LumpedCase
from perfsim.io.waveforms import PLACES, write_csv, write_npz
from perfsim.units import ML, MMHG
from perfsim.viz.waveforms import draw_waveforms

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars


def flow_case(case: FlowCase | LumpedCase, out: Path, overwrite: bool, quiet: bool = False) -> None:
    """Find the periodic state of a network and write its waveforms."""
    console = open_console(quiet)
    with claimed(out, overwrite) as folder:
        _runtime.enable_compile_cache()
        names, cycle, summary = (_lumped if isinstance(case, LumpedCase) else _arteries)(case, console)
        with folder.filled() as scratch:
            write_npz(scratch / "waveforms.npz", names, cycle)
            write_csv(scratch / "waveforms.csv", names, cycle)
            draw_waveforms(scratch / "waveforms.png", names, cycle, case.name)
            (scratch / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    _report(console, summary, out)


def _arteries(case: FlowCase, console: Console) -> tuple[tuple[str, ...], Cycle, dict]:
    """Solve a network of compliant vessels: names of its vessels, the cycle, the summary."""
    grid = discretize(case.arteries, case.dx, cfl=case.cfl, samples=case.samples, steps=case.steps)
    count, names = grid.steps * grid.samples, case.arteries.names
    limit = "" if case.steps else f", limited by {time_limit(case.arteries, grid).where}"
    console.print(f"{case.name}: {len(names)} vessels, {len(grid.vessel)} cells, {count} steps a cycle{limit}")
    for note in case.notes:
        console.print(f"note: {note}")
    cycle, cycles = _solved(case, grid, console)
    speed = courant(case.arteries, grid, cycle)
    n = len(names)
    return names, cycle, {
        "name": case.name, "cells": len(grid.vessel), "steps_per_cycle": count, "cycles": cycles.cycle,
        "change_over_last_cycle": cycles.change, "greatest_cfl": float(speed.max()),
        "junction_residual": float(cycle.residual), "period_s": float(case.arteries.period),
        "vessels": {name: _vessel(cycle, v, n) for v, name in enumerate(names)},
        "nodes": {name: {"mean_pressure_Pa": float(p)} for name, p in
                  zip(case.node_names, np.asarray(cycle.mean_node_pressure), strict=False)},
        "perfsim": __version__,
    }  # fmt: skip


def _lumped(case: LumpedCase, console: Console) -> tuple[tuple[str, ...], LumpedCycle, dict]:
    """Solve a network of lumped elements: names of its vessels, the cycle, the summary."""
    names = case.network.names
    console.print(f"{case.name}: {len(names)} vessels of lumped elements, {case.steps} steps a cycle")
    for note in case.notes:
        console.print(f"note: {note}")
    cycle, reached = case.solve()
    return names, cycle, {
        "name": case.name, "steps_per_cycle": case.steps, "cycles": int(reached.cycles),
        "error_of_state": float(reached.error), "period_s": float(cycle.period),
        "vessels": {name: _lumped_vessel(cycle, v) for v, name in enumerate(names)}, "perfsim": __version__,
    }  # fmt: skip


def _vessel(cycle: Cycle, v: int, n: int) -> dict[str, float]:
    P, period = np.asarray(cycle.pressure)[:, :, v], float(cycle.period)
    return {
        "mean_inflow_m3_per_s": float(cycle.volume[v]) / period,
        "mean_outflow_m3_per_s": float(cycle.volume[n + v]) / period,
        "systolic_Pa": float(P.max()),
        "diastolic_Pa": float(P.min()),
        "mean_pressure_Pa": float(P[:, 1].mean()),
    }


def _lumped_vessel(cycle: LumpedCycle, v: int) -> dict[str, Any]:
    P, Q = (np.asarray(x)[:, :, v] for x in (cycle.pressure, cycle.flow))
    ends = {
        place: {f"{how}_{what}": float(getattr(np, how)(values[:, k])) for what, values in
                (("pressure_Pa", P), ("flow_m3_per_s", Q)) for how in ("mean", "max", "min")}
        for k, place in enumerate(PLACES[2])
    }  # fmt: skip
    return {
        "mean_inflow_m3_per_s": float(Q[:, 0].mean()), "mean_outflow_m3_per_s": float(Q[:, 1].mean()),
        "systolic_Pa": float(P.max()), "diastolic_Pa": float(P.min()), "mean_pressure_Pa": float(P.mean()), **ends,
    }  # fmt: skip


def _solved(case: FlowCase, grid, console: Console) -> tuple[Cycle, Progress]:
    """The periodic cycle, with a bar that fills as the logarithm of the change falls to the tolerance."""
    last = Progress(0, np.inf, "")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("cycle 1", total=1.0, note="compiling")

        def report(progress: Progress) -> None:
            nonlocal last
            interrupts.check()
            last = progress
            done = np.clip(np.log(max(progress.change, 1e-300)) / np.log(case.tolerance), 0.0, 1.0)
            note = f"{progress.vessel} changes most, by {progress.change:.1e}"
            bars.update(task, description=f"cycle {progress.cycle}", completed=float(done), note=note)
            if not console.is_terminal:
                console.print(f"  cycle {progress.cycle}: {note}")

        cycle = solve_periodic(case.arteries, grid, tolerance=case.tolerance, max_cycles=case.max_cycles, report=report)
    return cycle, last


def _report(console: Console, summary: dict, out: Path) -> None:
    n = len(summary["vessels"])
    width = max(len(name) for name in summary["vessels"])
    console.print(f"  {'vessel':<{width}}  mean flow mL/s  pressure mmHg (mean, range)")
    for name, v in list(summary["vessels"].items())[:20]:
        console.print(
            f"  {name:<{width}}  {v['mean_outflow_m3_per_s'] / ML:14.4g}  {v['mean_pressure_Pa'] / MMHG:7.2f} "
            f"({v['diastolic_Pa'] / MMHG:.1f}-{v['systolic_Pa'] / MMHG:.1f})"
        )
    if n > 20:
        console.print(f"  and {n - 20} more in summary.json")
    cycles = f"{summary['cycles']} cycle{'' if summary['cycles'] == 1 else 's'}"
    if "error_of_state" in summary:
        found = f"periodic state found in {cycles} (error {summary['error_of_state']:.1e})"
    else:
        found = (
            f"periodic after {cycles} (change {summary['change_over_last_cycle']:.1e}), greatest CFL "
            f"number {summary['greatest_cfl']:.2f}"
        )
    console.print(f"{found}; wrote waveforms.npz, .csv, .png and summary.json to {out}")
