"""Networks of lumped elements from svZeroDSolver's files: its own results, units, what is refused."""

import json
from pathlib import Path

from perfsim._results import InputError
from perfsim.cli.flow import flow_case
from perfsim.io.flow_files import read_flow
from perfsim.units import ML, MMHG

import jax.numpy as jnp
import numpy as np
import pytest

CASES = Path(__file__).parent / "cases"


def test_a_file_becomes_waveforms(tmp_path, capsys):
    """A windkessel of five cycles: the mean pressure is 16,010 times the mean flow; waveforms and summary are in SI."""
    case = read_flow(CASES / "zerod_rcr_tau5.json")
    flow_case(case, tmp_path / "out", overwrite=False)
    said = capsys.readouterr().out
    assert "lumped elements" in said and "note: the file's numbers are taken to be in cgs" in said
    arrays = np.load(tmp_path / "out" / "waveforms.npz")
    assert arrays["pressure_Pa"].shape == (1000, 2, 1) and arrays["place"].tolist() == ["start", "end"]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    start = summary["vessels"]["v0"]["start"]
    assert start["mean_pressure_Pa"] == pytest.approx(0.1 * 16010 * 5.0, rel=1e-4)
    assert start["max_pressure_Pa"] == pytest.approx(arrays["pressure_Pa"][:, 0, 0].max(), rel=1e-12)
    assert start["mean_flow_m3_per_s"] == pytest.approx(5.0 * ML, rel=1e-4)
    rows = (tmp_path / "out" / "waveforms.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 1000 and (tmp_path / "out" / "waveforms.png").stat().st_size > 5000


def test_order_of_a_vessels_elements():
    """The greatest and the least pressure at the inlet of the file, as computed by hand."""
    cycle, _ = read_flow(CASES / "zerod_rlc_order.json").solve()
    p = np.asarray(cycle.pressure[:, 0, 0]) * 10
    assert (p.max(), p.min()) == (pytest.approx(824.7, abs=0.1), pytest.approx(228.5, abs=0.1))


def test_units_are_converted():
    """90.9 mmHg, not 909, at 2 mL/s."""
    cycle, _ = read_flow(CASES / "zerod_cgs.json").solve()
    assert float(jnp.mean(cycle.pressure[:, 0, 0])) / MMHG == pytest.approx(90.9, abs=0.1)
    assert float(jnp.mean(cycle.flow[:, 0, 0])) == pytest.approx(2 * ML, rel=1e-3)


def deviation(path: Path, **changes) -> float:
    """Largest difference of mean, maximum and minimum of pressure and flow at inlets and outlets from svzerod's, over the
    largest value. Its steps meet the waveforms' knots, and it damps what it does not resolve.
    """
    svzerod = pytest.importorskip("svzerod", reason="needs svzerod to compare with: pip install svzerod")
    case, config = read_flow(path), json.loads(path.read_text())
    cycle, _ = case.solve()
    said = config["simulation_parameters"]
    config["simulation_parameters"] = {
        "number_of_cardiac_cycles": 40, "number_of_time_pts_per_cardiac_cycle": 2 * case.steps + 1, "rho_infty": 0.0,
        "absolute_tolerance": 1e-8 * 10 ** max(0.0, np.round(np.log10(float(jnp.abs(cycle.pressure).max()) / case.units.pressure))),
    } | {k: said[k] for k in ("cardiac_period",) if k in said}  # fmt: skip
    table, worst = svzerod.simulate(config), 0.0
    for v, vessel in enumerate(config["vessels"]):
        own = table[table.name == vessel["vessel_name"]]
        for k, side in enumerate(("in", "out")):
            if side + "let" not in (vessel.get("boundary_conditions") or {}):
                continue
            jumps = side == "in" and vessel["zero_d_element_type"] == "BloodVesselCRL"
            for name, values, unit in (
                ("pressure", cycle.pressure, case.units.pressure), ("flow", cycle.flow, case.units.flow),
            ):  # fmt: skip
                if jumps and name == "flow":
                    continue  # see test_a_flow_that_jumps_by_hand of test_lumped.py
                mine, theirs = np.asarray(values[:, k, v]) / unit, own[f"{name}_{side}"].to_numpy()[:-1]
                off = max(abs(f(mine) - f(theirs)) for f in (np.mean, np.max, np.min))
                worst = max(worst, off / np.abs(theirs).max())
    return worst


WITHIN = 2e-3
"""what is asked of a lumped network"""


@pytest.mark.parametrize("name", ["zerod_cgs", "zerod_junction_stenosis", "zerod_rcr_tau5", "zerod_rlc_order"])
def test_small_cases_as_svzerod_has_them(name):
    assert deviation(CASES / f"{name}.json") <= WITHIN


def made(kind: str) -> dict:
    """A trunk that forks into a coronary bed and an outlet of a kind; every vessel has R, L, C, the left a stenosis."""
    t = np.linspace(0.0, 0.9, 46)
    beat = np.sin(2 * np.pi * t / 0.9)
    bed = {"Ra1": 3e4, "Ra2": 5e4, "Rv1": 2e4, "Ca": 1e-6, "Cc": 8e-6, "P_v": 5e3,
           "Pim": (4e4 + 3e4 * beat).tolist(), "t": t.tolist()}  # fmt: skip
    outlet = {
        "RCR": {"Rp": 1e4, "Rd": 9e4, "C": 2e-5, "Pd": 5e3}, "RESISTANCE": {"R": 1e5, "Pd": 5e3},
        "PRESSURE": {"P": [5e4, 5e4], "t": [0.0, 0.9]},
        "CORONARY_VAR_RES": {k: v for k, v in bed.items() if k != "Ra2"} | {
            "Ra2_min": 3e4, "Ra2_max": 2e5, "T_vc": 0.3, "T_vr": 0.2,
        },
    }[kind]  # fmt: skip
    given = {"PRESSURE": {"P": (1.2e5 + 2e4 * beat).tolist()}, "FLOW": {"Q": (3.0 + 1.5 * beat).tolist()}}
    inlet = "PRESSURE" if kind in ("RCR", "CORONARY_VAR_RES") else "FLOW"
    values = [{"R_poiseuille": R, "L": 20.0, "C": C, "stenosis_coefficient": S} for R, C, S in
              ((500.0, 1e-6, 0.0), (2e3, 3e-7, 4e3), (3e3, 2e-7, 0.0))]  # fmt: skip
    ends = ({"inlet": "IN"}, {"outlet": "A"}, {"outlet": "B"})
    return {
        "boundary_conditions": [
            {"bc_name": "IN", "bc_type": inlet, "bc_values": given[inlet] | {"t": t.tolist()}},
            {"bc_name": "A", "bc_type": "CORONARY", "bc_values": bed},
            {"bc_name": "B", "bc_type": kind, "bc_values": outlet},
        ],
        "junctions": [{
            "inlet_vessels": [0], "outlet_vessels": [1, 2], "junction_name": "J", "junction_type": "BloodVesselJunction",
            "junction_values": {"R_poiseuille": [400.0, 0.0], "L": [5.0, 0.0], "stenosis_coefficient": [0.0, 500.0]},
        }],
        "simulation_parameters": {},
        "vessels": [
            {"vessel_id": i, "vessel_name": f"v{i}", "boundary_conditions": bc, "zero_d_element_type": "BloodVessel",
             "zero_d_element_values": v} for i, (bc, v) in enumerate(zip(ends, values, strict=True))
        ],
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["RCR", "RESISTANCE", "PRESSURE", "CORONARY_VAR_RES"])
def test_made_networks_as_svzerod_has_them(tmp_path, kind):
    path = tmp_path / "made.json"
    path.write_text(json.dumps(made(kind)))
    assert deviation(path) <= WITHIN


OPEN_LOOPS = [
    "pulsatileFlow_CRL", "pulsatileFlow_CStenosis_steadyPressure", "pulsatileFlow_CStenosis_steadyPressure_definedPeriod",
    "pulsatileFlow_R_RCR", "pulsatileFlow_R_RCR_derivative", "pulsatileFlow_R_RCR_derivative_variable",
    "pulsatileFlow_R_RCR_mean", "pulsatileFlow_R_RCR_mean_derivative", "pulsatileFlow_R_RCR_mean_derivative_variable",
    "pulsatileFlow_R_RCR_mean_variable", "pulsatileFlow_R_RCR_variable", "pulsatileFlow_R_coronary",
    "pulsatileFlow_R_coronary_cycle_error", "pulsatileFlow_R_coronary_varres",
    "pulsatileFlow_bifurcationR_RCR_cycle_error", "steadyFlow_RC_R", "steadyFlow_RLC_R", "steadyFlow_RL_R",
    "steadyFlow_R_R", "steadyFlow_R_RCR", "steadyFlow_R_coronary", "steadyFlow_R_steadyPressure",
    "steadyFlow_bifurcationR_R1", "steadyFlow_bifurcationR_R1_blockNames", "steadyFlow_bifurcationR_R2",
    "steadyFlow_blood_vessel_junction", "steadyFlow_confluenceR_R", "steadyFlow_stenosis_R",
]  # fmt: skip


@pytest.mark.parametrize("name", OPEN_LOOPS)
def test_svzerods_own_cases(data, name):
    assert deviation(data / "flow1d" / "svzerod_cases" / f"{name}.json") <= WITHIN


@pytest.mark.slow
def test_a_patients_aorta(data):
    """18 vessels with stenoses of both signs and 6 windkessels: half a minute of svzerod's own time."""
    assert deviation(data / "flow1d" / "vmr_0104_0001.json") <= WITHIN


def test_other_problems_are_refused_by_name(data):
    """Closed loops, inputs of a calibration, and two periods in one file."""
    for name, words in (
        ("closedLoopHeart_withCoronaries", "closed_loop_blocks"),
        ("coupledBlock_closedLoopHeart_withCoronaries", "closed_loop_blocks"),
        ("steadyFlow_calibration", "calibration_parameters"),
        ("pulsatileFlow_R_RCR_mismatchPeriod", "the period is 1 s by 'INFLOW' and 1.2 s by 'cardiac_period'"),
    ):
        with pytest.raises(InputError, match=words):
            read_flow(data / "flow1d" / "svzerod_cases" / f"{name}.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["vessels"][2].pop("boundary_conditions"), "vessel v2: its outlet has no boundary condition or junct"),
        (lambda c: c["vessels"][0].update(boundary_conditions={"inlet": "B"}), "'B' is of type 'RCR'; supported are FLOW"),
        (lambda c: c["vessels"][2]["zero_d_element_values"].update(C=-1e-6), "vessel v2: C must be finite, and not neg"),
        (lambda c: c["boundary_conditions"][2]["bc_values"].update(Rd=-1.0), "'B': Rd is -1"),
        (lambda c: c["boundary_conditions"][0]["bc_values"]["P"].pop(), "'IN': P has 45 values and t 46"),
        (lambda c: c["boundary_conditions"][0]["bc_values"]["t"].reverse(), "'IN': its times t must ascend"),
        (lambda c: c["boundary_conditions"][0]["bc_values"]["P"].__setitem__(3, float("nan")), "'IN': P is not finite"),
        (lambda c: c.update(simulation_parameters={"cardiac_period": 0.8}), "period is 0.9 s by 'IN' and 0.8 s by"),
        (lambda c: c["vessels"][0].update(zero_d_element_type="Valve"), "v0 is a Valve; only BloodVessel and BloodVesselC"),
        (
            lambda c: c["boundary_conditions"][2].update(bc_type="CORONARY_VAR_RES", bc_values=made("CORONARY_VAR_RES")[
                "boundary_conditions"][2]["bc_values"] | {"T_vr": 0.0}),
            "'B': T_vc and T_vr must be positive",
        ),
    ],
)  # fmt: skip
def test_networks_that_cannot_be(tmp_path, change, words):
    case = made("RCR")
    change(case)
    (tmp_path / "z.json").write_text(json.dumps(case))
    with pytest.raises(InputError, match=rf"z\.json: .*{words}"):
        read_flow(tmp_path / "z.json")


def test_flows_alone_leave_the_pressure_open(tmp_path):
    case = made("RESISTANCE")
    for k in (1, 2):
        case["boundary_conditions"][k] |= {"bc_type": "FLOW", "bc_values": {"Q": [1.0, 1.0], "t": [0.0, 0.9]}}
    (tmp_path / "z.json").write_text(json.dumps(case))
    with pytest.raises(InputError, match="all ends prescribe a FLOW, which leaves the pressure open"):
        read_flow(tmp_path / "z.json")
