"""Networks of lumped elements as people have them: as right as svZeroDSolver, and as fast."""

import json
import os
import time
from pathlib import Path

import perfsim
from perfsim._results import InputError

import numpy as np
from rows.row import ROOT, Found, Rows

perfsim.enable_x64()
perfsim.enable_compile_cache()
CASES = ROOT / "tests" / "cases"
SHARED = ROOT.parent / "shared" / "data" / "flow1d"
CODE = ("perfsim/flow/lumped", "perfsim/io/svzerod.py", "perfsim/io/svzerod_lumped.py", "perfsim/io/flow_case.py")
REFUSED = ("closed_loop_blocks", "calibration_parameters", "cardiac_period")
"""what a refusal must name: closed loops, inputs of a calibration, two periods in a file (svzerod refuses them too)"""
WITHIN, SECONDS = 2e-3, 3.0
ROWS = Rows()
row = ROWS.add


def files() -> list[Path]:
    """All cases: the small ones, svZeroDSolver's own, and a patient's aorta of 18 vessels."""
    own = sorted((SHARED / "svzerod_cases").glob("*.json"))
    return [*sorted(CASES.glob("zerod_*.json")), *own, *SHARED.glob("vmr_0104_0001.json")]


def deviation(path: Path) -> tuple[float, str, float]:
    """The worst difference from svzerod over the largest value, where it is, and CPU-seconds of a second solve.

    Compared are mean, maximum and minimum of pressure and flow at inlets and outlets. svzerod takes twice our steps,
    which meet the waveforms' knots, for 40 cycles, and damps what it does not resolve (rho_infty = 0). Left out is the
    flow into a compliance at a prescribed pressure with corners, which jumps: svzerod overshoots it by 0.2 to 1 %,
    depending on its step; tests compare it by hand.
    """
    from perfsim.io.flow_files import read_flow

    import jax
    import svzerod

    case, config = read_flow(path), json.loads(path.read_text())
    jax.block_until_ready(case.solve()[0])
    before = time.process_time()
    cycle = jax.block_until_ready(case.solve()[0])
    seconds = time.process_time() - before
    said, units = config["simulation_parameters"], case.units
    largest = float(np.abs(cycle.pressure).max()) / units.pressure
    config["simulation_parameters"] = {
        "number_of_cardiac_cycles": 40, "number_of_time_pts_per_cardiac_cycle": 2 * case.steps + 1, "rho_infty": 0.0,
        "absolute_tolerance": 1e-8 * max(1.0, largest),
    } | {k: said[k] for k in ("cardiac_period",) if k in said}  # fmt: skip
    table, worst = svzerod.simulate(config), (0.0, "")
    for v, vessel in enumerate(config["vessels"]):
        own = table[table.name == vessel["vessel_name"]]
        for side in vessel.get("boundary_conditions") or {}:
            end = side.removesuffix("let")
            for name, values, unit in (
                ("pressure", cycle.pressure, units.pressure), ("flow", cycle.flow, units.flow),
            ):  # fmt: skip
                if (name, end, vessel["zero_d_element_type"]) == ("flow", "in", "BloodVesselCRL"):
                    continue
                mine = np.asarray(values[:, ("in", "out").index(end), v]) / unit
                theirs = own[f"{name}_{end}"].to_numpy()[:-1]
                off = max(abs(f(mine) - f(theirs)) for f in (np.mean, np.max, np.min)) / np.abs(theirs).max()
                worst = max(worst, (off, f"{name}_{end} of {path.stem}"))
    return *worst, seconds


@row(
    "P9", "0D networks within 0.2 % of svzerod at fine steps; at most 3 CPU-s after compilation", costly=True, code=CODE
)
def lumped_networks() -> Found:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    worst, seconds, solved, refused, wrong = (0.0, ""), 0.0, 0, 0, []
    for path in files():
        try:
            off, where, took = deviation(path)
        except InputError as error:
            refused += 1
            wrong += [path.stem] if not any(word in str(error) for word in REFUSED) else []
            continue
        worst, seconds, solved = max(worst, (off, where)), max(seconds, took), solved + 1
    complete = SHARED.exists()
    said = (
        f"{solved} cases, worst {100 * worst[0]:.3f} % ({worst[1]}), at most {seconds:.2f} CPU-s after compilation; "
        f"{refused} refused by name"
        + "".join(f", not {w}" for w in wrong)
        + ("" if complete else "; shared data absent")
    )
    return Found(said, bool(complete and not wrong and worst[0] <= WITHIN and seconds <= SECONDS), solved + refused)


@row("P9b", "windkessels of 5 cycles right to 1e-4, by hand", code=CODE)
def slow_windkessel() -> Found:
    """p_c = R_d (Q + s (t - τ)) + D e^(-t/τ) in each interval, joined over the cycle."""
    from perfsim.io.flow_files import read_flow

    path = CASES / "zerod_rcr_tau5.json"
    case, config = read_flow(path), json.loads(path.read_text())
    given = {c["bc_type"]: c["bc_values"] for c in config["boundary_conditions"]}
    t, Q, (Rp, Rd, C) = (
        np.array(given["FLOW"]["t"]),
        np.array(given["FLOW"]["Q"]),
        (given["RCR"][k] for k in ("Rp", "Rd", "C")),
    )
    h, tau = np.diff(t), Rd * C
    slope, fade = np.diff(Q) / h, np.exp(-h / tau)
    gained = Rd * (Q[1:] - slope * tau) - fade * Rd * (Q[:-1] - slope * tau)
    p = 0.0
    for _ in range(2):  # once for what a cycle adds, once from where it then starts
        p_c = [p]
        for f, g in zip(fade, gained, strict=True):
            p_c.append(f * p_c[-1] + g)
        p = p_c[-1] / (1.0 - np.prod(fade))
    cycle, reached = case.solve()
    every = case.steps // len(h)
    mine = np.asarray(cycle.pressure[::every, 1, 0]) / case.units.pressure
    right = np.array(p_c[:-1]) + Rp * Q[:-1]
    off = float(np.abs(mine - right).max() / np.abs(right).max())
    return Found(f"off by {off:.1e} after {int(reached.cycles)} cycle(s)", off <= 1e-4)


@row("P9c", "1D networks with windkessels of 5 cycles: mean pressures right to 1e-4 of the pulse", code=CODE)
def slow_windkessel_behind_arteries() -> Found:
    """Over a periodic cycle each outlet carries (mean pressure - P_out)/(R1 + R2), whatever its compliance is."""
    from perfsim.flow.pulsatile import Arteries, Inlets, Windkessel, discretize, solve_periodic
    from perfsim.flow.pulsatile.waveform import Sampled

    t, R = np.linspace(0, 1, 41), 1e10
    beat = Sampled(t, 5e-6 * np.sin(np.pi * np.minimum(2 * t, 1))[None] ** 2)
    R1, R2 = np.array([0.1, 0.05]) * R, np.array([2.0, 3.0]) * R
    worst, cycles = 0.0, []
    for periods in ([5.0, 0.5], [5.0, 5.0], [1.0, 2.0]):
        arteries = Arteries.build(
            [0, 1, 1], [1, 2, 3], 0.05, 3e-3, 400.0, period=1.0, reference_pressure=1e4, flow_inlets=Inlets([0], beat),
            outlets=(Windkessel([2, 3], R1, R2, np.array(periods) / R2, 0.0),),
        )  # fmt: skip
        taken = []
        cycle = solve_periodic(arteries, discretize(arteries, 1e-2, samples=20), report=taken.append)
        mean, passed = np.asarray(cycle.mean_node_pressure)[2:], np.asarray(cycle.volume)[4:]
        missed = (mean - (R1 + R2) * passed) / np.ptp(np.asarray(cycle.pressure)[:, 2, 1:], axis=0)
        worst, cycles = max(worst, float(np.abs(missed).max())), [*cycles, len(taken)]
    return Found(f"off by {worst:.1e} after {cycles} cycles", worst <= 1e-4, len(cycles))
