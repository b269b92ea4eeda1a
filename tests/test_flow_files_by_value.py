"""Flow networks from files written here by hand: svZeroD, openBF and TOML, every number by value."""

import json

import perfsim
from perfsim._notes import InputNote
from perfsim.flow import lumped
from perfsim.flow.pulsatile import Absorbing, Arteries, Inlets, Resistance, Steadily, Windkessel, read_waveform
from perfsim.io import (
    read_svzerod,
)
from perfsim.io.flow_files import read_flow
from perfsim.io.svzerod_units import units_of
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


# What files may not say -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("amplitude = [1800, 600]", "amplitude = [1800]", "1 amplitudes and 2 phases"),
        ('node = "in"\npressure = {', 'node = "in"\nflow = "q.dat"\npressure = {', "either flow or pressure"),
        ("R1 = 1.5e9\n", "", "a windkessel outlet needs R1"), ("C = 5e-11", "C = 5e-11\nR = 1e9", "a windkessel outlet has no R"),
        ('start = "x"\nend = "y"\nradius = "1.6 mm"', 'start = "x"\nend = "x"\nradius = "1.6 mm"', "starts and ends at one node"),
        ('node = "out"', 'node = "away"', "node 'away' is no vessel's start or end: the network has in, x, y, out"),
        ('throat = "0.8 mm"', 'throat = "1.6 mm"', "is not narrower than the vessel"),
        ("period = 0.8", "period = 0.0498", "which no heart has"), ("mean = 12400", "mean = nan", "inlet.0.pressure"),
        ('young = "1 MPa"', 'young = "0.99 kPa"', "young"), ('young = "1 MPa"', 'young = "1005 MPa"', "young"),
        ("[[stenosis]]", '[[stenosis]]\nstart = "x"\nend = "y"\nradius = "1.6 mm"\nthroat = "0.8 mm"\nlength = "8 mm"\nK_v = 3\n[[stenosis]]',
         "give K_v for all of them or for none"),
        ('density = "1050 kg/m3"', 'density = "0.4975 g/mL"', "density"), ('density = "1050 kg/m3"', 'density = "2.01 g/mL"', "density"),
        ('thickness = "0.8 mm"', 'thickness = "0.995 um"', "thickness"), ('length = "3 cm"', 'length = "0.0995 mm"', "length"),
        ('radius = ["2.2 mm", "2 mm"]', 'radius = ["9.95 um", "2 mm"]', "radius"), ("R1 = 1.5e9", "R1 = 9.9e3", "R1"),
        ("R1 = 1.5e9", "R1 = 1.005e17", "R1"), ("C = 5e-11", "C = 0.995e-20", "C"), ("C = 5e-11", "C = 1.005e-5", "C"),
        ("cfl = 0.7", "cfl = 1.005", "cfl"),
    ],
)  # fmt: skip
def test_toml_that_cannot_be(write, old, new, words):
    assert old in FLOW
    with pytest.raises(perfsim.InputError, match=rf"f\.toml: .*{words}"):
        read_flow(write("f.toml", FLOW.replace(old, new, 1)))


def test_toml_at_its_limits_and_by_default(write):
    """The least and the most that can be meant; 1060 kg/m³, 4 mPa·s, Poiseuille, total pressure, 200 samples, 1 mm cells."""
    for old, new in (
        ('density = "1050 kg/m3"', 'density = "0.5 g/mL"'), ('young = "1 MPa"', 'young = "1000 MPa"'), ("R1 = 1.5e9", "R1 = 1e4"),
        ("C = 5e-11", "C = 1e-5"), ("cfl = 0.7", "cfl = 1.0"), ('thickness = "0.8 mm"', 'thickness = "1 um"'),
    ):  # fmt: skip
        read_flow(write("f.toml", FLOW.replace(old, new)))
    said = ("dx", "cfl", "samples", "density", "viscosity", "profile", "reference", "junctions", 'pressure = "5')
    text = "\n".join(line for line in FLOW.split("\n") if not line.startswith(said))
    case = read_flow(write("f.toml", text))
    a = case.arteries
    assert (float(a.density), float(a.viscosity), case.dx, case.cfl, case.samples) == (1060.0, 4e-3, 1e-3, 0.9, 200)
    assert np.asarray(a.profile).tolist() in (2.0, [2.0, 2.0]) and float(np.abs(a.reference_pressure).max()) == 0.0
    assert float(a.outlets[0].P_out[0]) == 0.0 and bool(a.total.any()) is False  # no two vessels meet at a node
    closed = text.replace('kind = "windkessel"\nR1 = 1.5e9\nR2 = 4e9\nC = 5e-11', 'kind = "resistance"\nR = 2e9')
    (outlet,) = read_flow(write("f.toml", closed)).arteries.outlets
    assert isinstance(outlet, Resistance) and float(outlet.R[0]) == 2e9
    bed = 'kind = "coronary"\nR_a = 1e9\nR_am = 2e9\nR_v = 3e9\nC_a = 4e-12\nC_im = 5e-11\nP_im = { mean = 5000, amplitude = [1000], phase = [0.5] }'
    (outlet,) = read_flow(
        write("f.toml", text.replace('kind = "windkessel"\nR1 = 1.5e9\nR2 = 4e9\nC = 5e-11', bed))
    ).arteries.outlets
    assert [float(getattr(outlet, k)[0]) for k in ("R_a", "R_am", "R_v", "C_a", "C_im")] == [
        1e9,
        2e9,
        3e9,
        4e-12,
        5e-11,
    ]
    assert float(outlet.P_im(jnp.asarray(0.2))[0]) == pytest.approx(5000 + 1000 * np.sin(np.pi / 2 + 0.5))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("0 1e-6\n", "at least two rows"), ("0 1e-6\n0 2e-6\n", "ascending times"), ("0 1e-6\n0.8 x\n", "line 2: '0.8 x' is not"),
        ("0 1e-6\n0.8 inf\n", "line 2: .* is not finite"), ("0 1e-6 3\n", "is not a time and a value"),
        ("0 1e-6\n0.79 1e-6\n", "spans 0.79 s, the period is 0.8 s"), ("t_ms q\n0 1e-6\n0.8 1e-6\n", "the header says ms"),
        ("0 1e-6\n0.8 3.02e-3\n", "the inflow reaches 0.00302"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::perfsim._notes.InputNote")
def test_waveforms_in_files_that_cannot_be(write, rows, words):
    write("q.dat", rows)
    text = FLOW.replace("pressure = { mean = 12400, amplitude = [1800, 600], phase = [-0.6, 0.4] }", 'flow = "q.dat"')
    with pytest.raises(perfsim.InputError, match=words):
        read_flow(write("f.toml", text))


@pytest.mark.filterwarnings("error")
def test_a_period_whose_ends_differ_is_noted(write):
    """By more than a tenth of its range."""
    with pytest.warns(InputNote, match=r"differs from the first by 1\.01e-07, 10 % of the range"):
        read_waveform(write("q.dat", "0 0\n0.4 1e-6\n0.8 1.005e-7\n"))
    wave = read_waveform(write("q.dat", "# comment\n\n0, 0\n0.4, 1e-6 # peak\n0.8, 0.995e-7\n"))
    np.testing.assert_allclose(wave.values, [[0.0, 1e-6, 0.995e-7]])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("blood: {rho: 1060.0, mu: 4.0e-3}", "blood: 3", "blood is not a section"), ("R2: 2.0e9", "R2: .inf", "R2 is inf; it must be finite"),
        ("  - {label: aorta", "  - 3\n  - {label: aorta", "entry 1 of network is not a vessel"),
        ("outlet: wk3", "outlet: wk9", "outlet is 'wk9'; known are reflection, wk2, wk3"), (", L: 0.1, E: 4.0e5", ", E: 4.0e5", "aorta: L is missing"),
        ("outlet: wk3, R1: 7.0e7, R2: 2.0e9, Cc: 3.0e-10", "Rt: 0.5, initial_flow: 1.0e-6", "Rt is taken about a flow of 0"),
        ("outlet: wk3, R1: 7.0e7, R2: 2.0e9, Cc: 3.0e-10", "Rt: 1.01", "Rt is 1.01"), ("R0: 0.005", "R0: abc", "right: R0 is 'abc', not a number"),
        ("rho: 1060.0", "rho: 796.0", "rho is 796"), ("rho: 1060.0", "rho: 1307.0", "rho is 1307"), ("mu: 4.0e-3", "mu: 4.97e-4", "mu"),
        ("mu: 4.0e-3", "mu: 5.03e-2", "mu"), ("E: 4.0e5", "E: 9.95e3", "E is"), ("E: 4.0e5", "E: 1.005e9", "E is"), ("R0: 0.005", "R0: 0.03015", "R0"),
        ("R0: 0.005", "R0: 0.995e-5", "R0"), (" L: 0.1, E: 4.0e5", " L: 3.02, E: 4.0e5", "L is"), (" L: 0.1, E: 4.0e5", " L: 0.995e-4, E: 4.0e5", "L is"),
        ("R1: 7.0e7", "R1: 9.9e3", "R1"), ("R1: 7.0e7", "R1: 1.005e16", "R1"), ("Cc: 3.0e-10", "Cc: 0.995e-18", "Cc"), ("Cc: 3.0e-10", "Cc: 1.005e-6", "Cc"),
        ("R0: 0.005", "R0: 0.005, h0: 0.0201", "h0"), ("R0: 0.005", "R0: 0.005, h0: 0.995e-6", "h0"), ("tn: 2, L", "tn: 1, L", "starts and ends at node 1"),
        ("network:", "networks:", "list of vessels under `network`"),
    ],
)  # fmt: skip
def test_openbf_that_cannot_be(write, old, new, words):
    assert old in OPENBF
    with pytest.raises(perfsim.InputError, match=rf"small\.yaml: .*{words}"):
        openbf(write, OPENBF.replace(old, new, 1))


def test_openbf_at_its_limits(write):
    for old, new in (
        ("rho: 1060.0", "rho: 804.0"), ("rho: 1060.0", "rho: 1294.0"), ("mu: 4.0e-3", "mu: 5.03e-4"), ("E: 7.0e5, R0: 0.005", "E: 0.995e9, R0: 0.005"),
        ("R0: 0.005", "R0: 0.02985"), ("R0: 0.005", "R0: 1.005e-5"), ("Cc: 3.0e-10", "Cc: 0.995e-6"), ("R0: 0.005", "R0: 0.005, h0: 0.0199"),
        ("R1: 7.0e7, R2: 2.0e9", "R1: 0.995e16, R2: 2.0e9"), ("R0: 0.005", "R0: 0.005, visco-elastic: true"),
    ):  # fmt: skip
        case = openbf(write, OPENBF.replace(old, new))
    np.testing.assert_allclose(case.arteries.viscous[2], 0.6 + 0.00075 / 0.005, rtol=1e-12)
    np.testing.assert_allclose(case.arteries.viscous[:2], 0.0)
    (still,) = (
        o
        for o in openbf(
            write, OPENBF.replace("outlet: wk3, R1: 7.0e7, R2: 2.0e9, Cc: 3.0e-10", "Rt: -1.0")
        ).arteries.outlets
        if isinstance(o, Absorbing)
    )
    assert float(still.echo[0]) == pytest.approx(-1.0 + 1e-6, rel=1e-12)


def test_inflows_of_openbf_that_cannot_be(write):
    for rows, words in (
        ("0 1e-6\n", "at least two rows"),
        ("0 1e-6\n0 2e-6\n", "at least two rows"),
        ("0 1e-6\n0.8 3.02e-3\n", "inflow reaches"),
    ):
        write("small_inlet.dat", rows)
        with pytest.raises(perfsim.InputError, match=words):
            read_flow(write("small.yaml", OPENBF))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["vessels"][1].update(zero_d_element_type="Valve"), "v1 is a Valve; only"),
        (lambda c: c["junctions"][0]["junction_values"].update(R_poiseuille=[2.0]), "J: R_poiseuille has 1 values for 2 vessels"),
        (lambda c: c["junctions"][0].update(junction_type="T"), "J is of the type 'T'; known are"),
        (lambda c: c["boundary_conditions"][1]["bc_values"].update(R=-1.0), "'A': R is -1"),
        (lambda c: c["boundary_conditions"][2]["bc_values"].update(C=float("inf")), "'B': C is inf"),
        (lambda c: c["boundary_conditions"][0]["bc_values"].update(Q=[4.0, 6.0]), "'IN': Q has 2 values and t 3"),
        (lambda c: c["boundary_conditions"][0]["bc_values"].update(Q=[4.0, float("nan"), 4.0]), "'IN': Q is not finite"),
        (lambda c: c["boundary_conditions"][0]["bc_values"].update(t=[0.0, 0.5, 0.5]), "'IN': its times t must ascend"),
        (lambda c: c.update(simulation_parameters={"cardiac_period": 1.002}), "the period is 1 s by 'IN' and 1.002 s by"),
        (lambda c: [c["boundary_conditions"][k].update(bc_type="FLOW", bc_values={"Q": 1.0}) for k in (1, 2)], "all ends prescribe a FLOW"),
        (lambda c: c["vessels"][0].pop("boundary_conditions"), "v0: its inlet has no boundary"),
        (lambda c: c["boundary_conditions"][0].update(bc_name="A"), "bc_name: 'A' is there 2 times"),
        (lambda c: c["boundary_conditions"][2].update(bc_type="CORONARY_VAR_RES", bc_values={
            "Ra1": 1.0, "Ra2_min": 1.0, "Ra2_max": 2.0, "Rv1": 1.0, "Ca": 1.0, "Cc": 1.0, "P_v": 1.0, "Pim": 1.0, "T_vc": 0.3, "T_vr": 0.0}),
         "'B': T_vc and T_vr must be positive"),
    ],
)  # fmt: skip
def test_networks_in_time_that_cannot_be(write, change, words):
    case = zero_d()
    change(case)
    with pytest.raises(perfsim.InputError, match=rf"z\.json: .*{words}"):
        read_flow(write("z.json", json.dumps(case)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"junctions": "both"}, "junctions is 'both'"), ({"viscosity": [1e-3, 1e-3, 1e-3]}, r"viscosity has the shape \[3\]"),
        ({"radius": np.ones((2, 3))}, None), ({"radius": np.ones((3, 2))}, r"radius has the shape \[3, 2\]"), ({"radius": [1e-3, 0.0]}, "vessel 1: radius is 0"),
        ({"length": np.inf}, "length is inf"), ({"outlets": ()}, "node 2 is an open end"), ({"flow_inlets": None, "outlets": (Resistance([0, 2], [1e9, 1e9], [0.0, 0.0]),)}, "nothing enters"),
        ({"outlets": (Resistance(7, 1e9, 0.0),)}, "names node 7: the network has nodes 0 to 2"),
        ({"outlets": (Resistance(2, 1e9, 0.0), Resistance(2, 1e9, 0.0))}, "node 2 has 2 outlets"), ({"names": ("a", "a")}, "2 vessels are called 'a'"),
    ],
)  # fmt: skip
def test_arteries_that_cannot_be(options, words):
    given = {
        "length": 0.1, "radius": 1e-3, "period": 0.8, "flow_inlets": Inlets(0, Steadily(1e-6)), "outlets": (Resistance(2, 1e9, 0.0),),
    } | options  # fmt: skip
    length, radius = given.pop("length"), given.pop("radius")
    if words is None:
        assert Arteries.build([0, 1], [1, 2], length, radius, 100.0, **given).radius.shape == (2, 3)
    else:
        with pytest.raises(perfsim.InputError, match=words):
            Arteries.build([0, 1], [1, 2], length, radius, 100.0, **given)


@pytest.mark.parametrize(
    ("values", "unit", "said"),
    [
        ({"Q": 0.00101}, "cgs", "flows reach 0.00101"), ({"Q": 0.00099}, "SI", "flows reach 0.00099"), ({"P": 3.02e4}, "cgs", "pressures reach"),
        ({"P": 2.98e4, "R": 3.02e7}, "SI", "resistances reach"), ({"P": 2.98e4, "R": 2.98e7}, "cgs", "resistances reach 2.98e"),
    ],
)  # fmt: skip
def test_units_of_zero_dimensional_files(values, unit, said):
    """SI where flows stay below 1e-3, or pressures below 3e4 and resistances exceed 3e7; what was taken is said."""
    kind = "FLOW" if "Q" in values else "PRESSURE"
    case = {
        "boundary_conditions": [{"bc_name": "a", "bc_type": kind, "bc_values": {k: v for k, v in values.items() if k != "R"}}],
        "vessels": [{"zero_d_element_values": {"R_poiseuille": values.get("R", 1.0)}}],
    }  # fmt: skip
    units, sentence = units_of(case)
    assert units.name == unit and said in sentence
    assert (units.pressure, units.flow) == ((0.1, 1e-6) if unit == "cgs" else (1.0, 1.0))
