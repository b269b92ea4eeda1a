"""Flow networks from files written here by hand: svZeroD, openBF and TOML, every number by value."""

import json

import perfsim
from perfsim.flow import lumped
from perfsim.flow.pulsatile import Absorbing, Windkessel
from perfsim.io import (
    read_svzerod,
)
from perfsim.io.flow_files import read_flow
from perfsim.units import MMHG

import jax.numpy as jnp
import numpy as np
import pytest

MM = 1e-3


@pytest.fixture
def write(tmp_path):
    """A file of this name with this text."""

    def written(name: str, text: str):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return written


# Zero-dimensional networks --------------------------------------------------------------------------------------


def zero_d(**outlet) -> dict:
    """One vessel of 9 that splits into two of 18 (one with 2 more in its junction) and 6, in units of its own."""
    ends = ({"inlet": "IN"}, {"outlet": "A"}, {"outlet": "B"})
    return {
        "boundary_conditions": [
            {"bc_name": "IN", "bc_type": "FLOW", "bc_values": {"Q": [4.0, 6.0, 4.0], "t": [0.0, 0.5, 1.0]}},
            {"bc_name": "A", "bc_type": "RESISTANCE", "bc_values": {"R": 80.0, "Pd": 100.0}},
            outlet or {"bc_name": "B", "bc_type": "RCR", "bc_values": {"Rp": 14.0, "Rd": 80.0, "C": 1e-3, "Pd": 100.0}},
        ],
        "junctions": [{
            "inlet_vessels": [0], "outlet_vessels": [1, 2], "junction_name": "J", "junction_type": "BloodVesselJunction",
            "junction_values": {"R_poiseuille": [2.0, 0.0]},
        }],
        "vessels": [
            {
                "vessel_id": i, "vessel_name": f"v{i}", "boundary_conditions": bc, "zero_d_element_type": "BloodVessel",
                "zero_d_element_values": {"R_poiseuille": R},
            }
            for i, (bc, R) in enumerate(zip(ends, (9.0, 18.0, 6.0), strict=True))
        ],
    }  # fmt: skip


def test_svzerod_steady_by_ohm(write):
    """5 in; both branches have 100 in all to a pressure of 100: 2.5 each, 100 + 2.5·100 at the fork, +5·9 before it."""
    pressure, flow = read_svzerod(write("z.json", json.dumps(zero_d()))).solve()
    assert flow == {"v1": pytest.approx(2.5, rel=1e-9), "v2": pytest.approx(2.5, rel=1e-9)}
    assert pressure == {"v0": pytest.approx(395.0, rel=1e-9)}


def test_svzerod_steady_with_a_stenosis_and_a_pressure(write):
    """R Q + S Q² on one way, a pressure at its end; the flow splits where both ways lose the same."""
    case = zero_d(bc_name="B", bc_type="PRESSURE", bc_values={"P": [50.0, 50.0], "t": [0.0, 1.0]})
    case["vessels"][2]["zero_d_element_values"] = {"R_poiseuille": 6.0, "stenosis_coefficient": 20.0}
    case["junctions"][0]["junction_values"]["stenosis_coefficient"] = [0.0, 10.0]  # the junction's counts too
    with pytest.raises(perfsim.InputError, match="vessel v2 has a stenosis and the inflow varies"):
        read_svzerod(write("z.json", json.dumps(case))).solve()
    case["boundary_conditions"][0]["bc_values"]["Q"] = [5.0, 5.0, 5.0]
    pressure, flow = read_svzerod(write("z.json", json.dumps(case))).solve()
    assert flow["v1"] + flow["v2"] == pytest.approx(5.0, rel=1e-9)
    assert 100 + 100 * flow["v1"] == pytest.approx(50 + 6 * flow["v2"] + 30 * flow["v2"] ** 2, rel=1e-5)
    assert pressure["v0"] == pytest.approx(100 + 100 * flow["v1"] + 45.0, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["vessels"][0].pop("boundary_conditions"), "at least one FLOW inlet"),
        (lambda c: [v.pop("boundary_conditions") for v in c["vessels"][1:]], "one resistive outlet"),
        (lambda c: c["vessels"][2]["zero_d_element_values"].update(R_poiseuille=-1.0), "a finite resistance ≥ 0"),
        (lambda c: c["vessels"][2]["zero_d_element_values"].update(R_poiseuille=0.0), "a finite resistance ≥ 0"),
        (lambda c: c["vessels"][1]["zero_d_element_values"].update(stenosis_coefficient=np.nan), "a finite resistance"),
        (lambda c: c["boundary_conditions"][0]["bc_values"].update(Q=[np.inf, 1.0, 1.0]), "Q has the mean"),
        (
            lambda c: c["boundary_conditions"][0].update(bc_type="PRESSURE", bc_values={"P": 9.0}),
            "'IN' is of type 'PRESSURE'",
        ),
        (lambda c: c.pop("vessels"), "KeyError"),
    ],
)
def test_steady_networks_that_cannot_be(write, change, words):
    case = zero_d()
    change(case)
    with pytest.raises(perfsim.InputError, match=rf"z\.json: .*{words}"):
        read_svzerod(write("z.json", json.dumps(case)))


def test_svzerod_in_time(write):
    """Every number of the file is one of its element's; what a junction puts before a vessel is an element between nodes."""
    coronary = {"Ra1": 1.0, "Ra2": 2.0, "Rv1": 3.0, "Ca": 4.0, "Cc": 5.0, "P_v": 6.0, "Pim": [7.0, 9.0, 7.0],
                "t": [0.0, 0.5, 1.0]}  # fmt: skip
    case = zero_d(bc_name="B", bc_type="CORONARY", bc_values=coronary)
    case["vessels"][1]["zero_d_element_values"] |= {"L": 0.25, "stenosis_coefficient": 0.5, "C": 2e-3}
    case["vessels"][2]["zero_d_element_type"] = "BloodVesselCRL"
    network = read_flow(write("z.json", json.dumps(case))).network
    plain, narrowed, proximal = network.vessels
    assert (
        plain.S is None
        and isinstance(proximal, lumped.ProximalVessel)
        and not isinstance(narrowed, lumped.ProximalVessel)
    )
    np.testing.assert_allclose(plain.R, [9.0, 2.0])  # the trunk, and the junction's
    values = [float(x[0]) for x in (narrowed.R, narrowed.L, narrowed.C, narrowed.S)]
    assert values == [18.0, 0.25, 2e-3, 0.5] and float(proximal.R[0]) == 6.0
    (start, fork), (_, between) = plain.ports.tolist()
    assert plain.ports[1, 0] == fork and narrowed.ports[0, 0] == between and proximal.ports[0, 0] == fork
    assert network.names == ("v0", "v1", "v2") and network.wanted.tolist() == [0, 2, 3] and network.nodes == 5
    inflow, resistance, muscle = network.ends
    assert inflow.ports.tolist() == [[start]] and float(inflow.given(jnp.asarray(0.25))[0][0]) == pytest.approx(5.0)
    assert isinstance(resistance, lumped.Drain) and isinstance(muscle, lumped.Coronary)
    assert (resistance.R.item(), resistance.given(jnp.zeros(()))[0].item()) == (80.0, 100.0)
    assert [getattr(muscle, k).item() for k in ("Ra", "Ram", "Rv", "Ca", "Cim")] == [1, 2, 3, 4, 5]
    assert [x.item() for x in muscle.given(jnp.asarray(0.25))] == pytest.approx([6.0, 8.0])
    assert float(network.period) == 1.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(closed_loop_blocks=[]), "unknown key 'closed_loop_blocks'"),
        (lambda c: c["vessels"][1]["zero_d_element_values"].update(Q=1.0), "v1: unknown key 'Q'"),
        (lambda c: c["boundary_conditions"].pop(1), "'A' is not defined"),
        (lambda c: c["boundary_conditions"][1]["bc_values"].update(R=[1.0, 2.0], t=[0, 1]), "R varies in time"),
        (lambda c: c["vessels"][0].pop("boundary_conditions"), "v0: its inlet has no boundary condition or junction"),
        (lambda c: c["vessels"][1].update(vessel_id=0), "vessel_id must be there and differ"),
    ],
)
def test_zero_dimensional_files_that_say_more_are_refused(write, change, words):
    case = zero_d()
    change(case)
    with pytest.raises(perfsim.InputError, match=rf"z\.json: .*{words}"):
        read_flow(write("z.json", json.dumps(case)))


# Networks in time -----------------------------------------------------------------------------------------------


OPENBF = """
project_name: small
blood: {rho: 1060.0, mu: 4.0e-3}
network:
  - {label: aorta, sn: 1, tn: 2, L: 0.1, E: 4.0e5, R0: 0.01}
  - {label: left, sn: 2, tn: 3, L: 0.0032, E: 7.0e5, R0: 0.006, outlet: wk2, R1: 3.0e9, Cc: 4.0e-10, Pout: 500.0}
  - {label: right, sn: 2, tn: 4, L: 0.1, E: 7.0e5, R0: 0.005, outlet: wk3, R1: 7.0e7, R2: 2.0e9, Cc: 3.0e-10}
"""


def openbf(write, text: str):
    t = np.linspace(0, 0.8, 41)
    write("small_inlet.dat", "\n".join(f"{a} {1e-5 * np.sin(np.pi * a / 0.8) ** 2}" for a in t))
    return read_flow(write("small.yaml", text))


def test_openbf_outlet_of_one_resistance(write):
    """R1 alone, also as R2: 0, becomes the vessel's impedance ρc/A, c² = 2/3 Eh/(ρr), and what is left of it."""
    case = openbf(write, OPENBF)
    (windkessel,) = case.arteries.outlets
    r, rho = 0.006, 1060.0
    h = r * (0.2802 * np.exp(-505.3 * r) + 0.1324 * np.exp(-11.14 * r))
    impedance = rho * np.sqrt(2 / 3 * 7e5 * h / (rho * r)) / (np.pi * r**2)
    np.testing.assert_allclose(windkessel.R1, [impedance, 7e7], rtol=1e-9)
    np.testing.assert_allclose(windkessel.R2, [3e9 - impedance, 2e9], rtol=1e-9)
    np.testing.assert_allclose(windkessel.C, [4e-10, 3e-10])
    np.testing.assert_allclose(windkessel.P_out, [500.0, 0.0])
    (zero,) = openbf(write, OPENBF.replace("R1: 3.0e9", "R1: 3.0e9, R2: 0.0")).arteries.outlets
    np.testing.assert_array_equal(zero.R1, windkessel.R1)
    (matched,) = openbf(
        write, OPENBF.replace("R2: 2.0e9", "R2: 2.0e9, inlet_impedance_matching: true")
    ).arteries.outlets
    np.testing.assert_allclose(matched.R1[1] + matched.R2[1], 2.07e9)
    assert float(matched.R1[1]) != 7e7
    with pytest.raises(perfsim.InputError, match=r"left: the resistance R1 \+ R2 is below the vessel's impedance"):
        openbf(write, OPENBF.replace("R1: 3.0e9", "R1: 3.0e6"))


def test_openbf_defaults(write):
    """Cells of 1 mm and at least five; a parabolic profile; 100 samples and cycles; total pressure at junctions."""
    case = openbf(write, OPENBF)
    np.testing.assert_allclose(case.dx, [0.1 / 100, 0.0032 / 5, 0.1 / 100])
    assert (case.cfl, case.samples, case.max_cycles, case.node_names) == (0.9, 100, 100, ("1", "2", "3", "4"))
    a = case.arteries
    assert (
        a.tail.tolist() == [0, 1, 1]
        and a.head.tolist() == [1, 2, 3]
        and a.total.tolist() == [False, True, False, False]
    )
    assert float(a.period) == pytest.approx(0.8) and float(a.density) == 1060.0
    np.testing.assert_allclose(a.momentum_factor, 1.0)
    assert float(a.flow_inlets.waveform(jnp.asarray(0.4))[0]) == pytest.approx(1e-5)
    still = openbf(write, OPENBF + "solver: {use_total_pressure: false, Ccfl: 0.5, jump: 7, cycles: 3}\n")
    assert not bool(still.arteries.total.any()) and (still.cfl, still.samples, still.max_cycles) == (0.5, 7, 3)
    (absorbing,) = (
        o for o in openbf(write, OPENBF.replace("outlet: wk2, R1: 3.0e9, Cc: 4.0e-10, Pout: 500.0", "Pext: 700.0")).arteries.outlets
        if isinstance(o, Absorbing)
    )  # fmt: skip
    assert absorbing.P_out.tolist() == [700.0] and absorbing.node.tolist() == [2]
    with pytest.raises(perfsim.InputError, match="no vessel starts at node 1"):
        openbf(write, OPENBF.replace("sn: 1,", "sn: 9,"))


FLOW = """
[flow]
period = 0.8
dx = "5 mm"
cfl = 0.7
samples = 20
density = "1050 kg/m3"
viscosity = "3.2 mPa·s"
profile = 9.0
reference_pressure = "90 mmHg"
junctions = "static"

[[vessel]]
name = "a"
start = "in"
end = "x"
length = "20 mm"
radius = ["2.2 mm", "2 mm"]
young = "1 MPa"
thickness = "0.8 mm"

[[vessel]]
name = "b"
start = "y"
end = "out"
length = "3 cm"
radius = ["1.6 mm", "1.3 mm", "1.0 mm"]
young = "900 kPa"
thickness = "0.5 mm"
viscous = 0.4

[[stenosis]]
start = "x"
end = "y"
radius = "1.6 mm"
throat = "0.8 mm"
length = "8 mm"

[[inlet]]
node = "in"
pressure = { mean = 12400, amplitude = [1800, 600], phase = [-0.6, 0.4] }

[[outlet]]
node = "out"
kind = "windkessel"
R1 = 1.5e9
R2 = 4e9
C = 5e-11
pressure = "5 mmHg"
"""


def test_flow_in_toml(write):
    case = read_flow(write("f.toml", FLOW))
    a = case.arteries
    np.testing.assert_allclose(a.length, [0.02, 0.03])
    np.testing.assert_allclose(a.radius, MM * np.array([[2.2, 2.1, 2.0], [1.6, 1.3, 1.0]]))
    np.testing.assert_allclose(a.elasticity, np.array([800.0, 450.0])[:, None] * np.ones(3))
    np.testing.assert_allclose(a.viscous, np.array([0.0, 0.4])[:, None] * np.ones(3))
    np.testing.assert_allclose(a.reference_pressure, 90 * MMHG)
    np.testing.assert_allclose(a.momentum_factor, 11 / 10)
    assert (float(a.density), float(a.viscosity), float(a.period)) == (1050.0, pytest.approx(3.2e-3), 0.8)
    assert case.node_names == ("in", "x", "y", "out") and a.tail.tolist() == [0, 2] and a.head.tolist() == [1, 3]
    assert not bool(a.total.any())
    assert (case.dx, case.cfl, case.samples, case.tolerance, case.max_cycles) == (5e-3, 0.7, 20, 1e-6, 60)
    t = 0.3
    wave = 12400 + 1800 * np.sin(2 * np.pi * t / 0.8 - 0.6) + 600 * np.sin(4 * np.pi * t / 0.8 + 0.4)
    assert float(a.pressure_inlets.waveform(jnp.asarray(t))[0]) == pytest.approx(wave, rel=1e-12)
    (outlet,) = a.outlets
    assert isinstance(outlet, Windkessel)
    assert [float(x[0]) for x in (outlet.R1, outlet.R2, outlet.C, outlet.P_out)] == [1.5e9, 4e9, 5e-11, 5 * MMHG]
    # Young and Tsai: K_v = 32 (0.83 L + 1.64 D_s)/D_0 (A_0/A_s)², R = K_v μ/(A_0 D_0), S = K_t ρ/2 (1/A_s - 1/A_0)²
    A0, As = np.pi * 1.6e-3**2, np.pi * 0.8e-3**2
    K = 32 * (0.83 * 8e-3 + 1.64 * 1.6e-3) / 3.2e-3 * (A0 / As) ** 2
    assert float(a.throats.R[0]) == pytest.approx(K * 3.2e-3 / (A0 * 3.2e-3), rel=1e-9)
    assert float(a.throats.S[0]) == pytest.approx(0.5 * 1.52 * 1050 * (1 / As - 1 / A0) ** 2, rel=1e-9)
    assert float(a.throats.L[0]) == pytest.approx(1.2 * 1050 * 8e-3 / A0, rel=1e-9)
    assert a.throats.node.tolist() == [[1, 2]]
    (given,) = read_flow(
        write("f.toml", FLOW.replace('length = "8 mm"', 'length = "8 mm"\nK_v = 100\nK_t = 2'))
    ).arteries.throats.R
    assert float(given) == pytest.approx(100 * 3.2e-3 / (A0 * 3.2e-3), rel=1e-9)
