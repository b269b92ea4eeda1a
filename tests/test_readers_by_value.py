"""Readers against files written here by hand: every number that is read is one that can be seen in the text.

Fuzzing proves that a file is read or refused; this proves that what is read is what the file says.
"""

import json

import perfsim
from perfsim.flow.pulsatile import Absorbing, Coronary, Resistance, Windkessel
from perfsim.io import (
    dilated_radius,
    parse_case,
    read_centerlines,
    read_curve,
    read_one_dimensional,
    read_pressure_wire,
    read_segments,
    read_svzerod,
    read_swc,
    resolved,
)
from perfsim.io.flow_files import read_flow
from perfsim.io.guide_points import frame_from_guide_points, read_guide_points
from perfsim.io.labelmap import wall_from_labels
from perfsim.io.segments import check_mbf
from perfsim.io.surfaces import read_surface
from perfsim.io.trees import read_tree
from perfsim.units import ML_MIN_G, MMHG

import jax.numpy as jnp
import numpy as np
import pytest
import pyvista as pv

MM = 1e-3


@pytest.fixture
def write(tmp_path):
    """A file of this name with this text."""

    def written(name: str, text: str):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return written


# Trees -----------------------------------------------------------------------------------------------------------

SWC = """# id type x y z radius parent
7 2 0 0 0 2.0 -1
9 2 10 0 0 1.8 7
3 2 20 5 0 1.1 9
4 2 20 -5 1 0.9 9   # a comment
"""


def test_swc(write):
    """Points in mm by id and parent; every unbranched run is a branch, leaves are outlets."""
    tree = read_swc(write("t.swc", SWC))
    np.testing.assert_allclose(tree.position, MM * np.array([[0, 0, 0], [10, 0, 0], [20, 5, 0], [20, -5, 1]]))
    assert tree.tail.tolist() == [0, 1, 1] and tree.head.tolist() == [1, 2, 3]
    np.testing.assert_allclose(tree.lumen, MM * np.array([[2.0, 1.8], [1.8, 1.1], [1.8, 0.9]]))
    assert tree.inlets.tolist() == [0] and tree.outlets.tolist() == [2, 3]
    assert tree.branch_names == ("b0", "b1", "b2") and tree.branch.tolist() == [0, 1, 2]
    np.testing.assert_allclose(read_swc(write("t.swc", SWC), unit=1e-2).position, 10 * tree.position)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 0 0 0 1 -1\n2 2 1 0 0 1", "line 2: .*6 columns instead of 7"),
        ("1 2 0 0 0 1 -1\n2 2 1 0 nan 1 1", "point row 2 .* finite"),
        ("1 2 0 0 0 1 -1\n1 2 1 0 0 1 1", "same id"),
        ("1 2 0 0 0 1 -1\n2 2 1 0 0 1 5", "point 2 has the parent 5"),
        ("1 2 0 0 0 1 -1\n2 2 1 0 0 0 1", "point 2 has the radius 0"),
        ("1 2 0 0 0 1 2\n2 2 1 0 0 1 1", "none is a root"),
        ("1 2 0 0 0 1 -1\n2 2 1 0 0 1 -1", "no point is the parent"),
        ("1 2 0 0 0 1 -1\n", "1 points; a tree needs at least two"),
    ],
)
def test_swc_that_is_no_tree(write, text, words):
    with pytest.raises(perfsim.InputError, match=rf"t\.swc.*{words}"):
        read_swc(write("t.swc", text))


ABSENT = {
    "a.swc": read_swc, "a.vtp": read_centerlines, "a.in": read_one_dimensional, "a.json": read_svzerod,
    "w.csv": read_pressure_wire, "s.csv": lambda p: read_segments(p, 0.2), "g.txt": read_guide_points,
    "a.stl": read_surface, "c.csv": read_curve, "flow.toml": read_flow, "flow.yaml": read_flow, "flow.json": read_flow,
    "l.nii": lambda p: wall_from_labels(p, wall=1, cavity=2, right_ventricle=3), "c.toml": perfsim.io.read_case,
}  # fmt: skip


@pytest.mark.parametrize("name", ABSENT)
def test_an_absent_file_is_named(tmp_path, name):
    with pytest.raises(perfsim.InputError, match=rf"{name.replace('.', '[.]')}: no such file"):
        ABSENT[name](tmp_path / name)


def test_vtp_paths_from_inlet_to_outlets(tmp_path):
    """Two polylines that share their first two points, as VMTK writes them, in mm."""
    points = np.array([[0, 0, 0], [10, 0, 0], [20, 5, 0], [0, 0, 0], [10, 0, 0], [20, -5, 1], [30, -9, 1]], float)
    mesh = pv.PolyData(points, lines=[3, 0, 1, 2, 4, 3, 4, 5, 6])
    mesh.point_data["MaximumInscribedSphereRadius"] = np.array([2.0, 1.8, 1.1, 2.0, 1.8, 0.9, 0.7])
    mesh.save(tmp_path / "t.vtp")
    tree = read_centerlines(tmp_path / "t.vtp")
    at = {tuple(np.round(x / MM, 6)): n for n, x in enumerate(tree.position)}
    edges = {(int(t), int(h)) for t, h in zip(tree.tail, tree.head, strict=True)}
    a, b, c, d, e = (at[x] for x in [(0, 0, 0), (10, 0, 0), (20, 5, 0), (20, -5, 1), (30, -9, 1)])
    assert edges == {(a, b), (b, c), (b, d), (d, e)} and tree.inlets.tolist() == [a]
    assert sorted(tree.outlets.tolist()) == sorted([c, e])
    lumen = {(int(t), int(h)): r.tolist() for t, h, r in zip(tree.tail, tree.head, tree.lumen / MM, strict=True)}
    assert lumen[b, d] == pytest.approx([1.8, 0.9]) and lumen[d, e] == pytest.approx([0.9, 0.7])
    # without repeated starts blood enters at the thickest end
    single = pv.PolyData(points[[6, 5, 4, 3]], lines=[4, 0, 1, 2, 3])
    single.point_data["CenterlineSectionArea"] = np.pi * np.array([0.7, 0.9, 1.8, 2.0]) ** 2
    single.save(tmp_path / "one.vtp")
    one = read_centerlines(tmp_path / "one.vtp")
    np.testing.assert_allclose(one.position[one.inlets[0]], 0.0)
    np.testing.assert_allclose(one.lumen[0], MM * np.array([2.0, 1.8]), rtol=1e-6)


def test_vtp_that_holds_no_tree(tmp_path):
    line = pv.PolyData(np.array([[0, 0, 0], [10, 0, 0], [5, 9, 0]], float), lines=[4, 0, 1, 2, 0])
    line.save(tmp_path / "t.vtp")
    with pytest.raises(perfsim.InputError, match=r"no radius at its points.*has the arrays: none"):
        read_centerlines(tmp_path / "t.vtp")
    line.point_data["Radius"] = [1.0, 1.0, 1.0]
    line.save(tmp_path / "t.vtp")
    with pytest.raises(perfsim.InputError, match="no free end"):
        read_centerlines(tmp_path / "t.vtp")
    line.point_data["Radius"] = [1.0, 0.0, 1.0]
    line.save(tmp_path / "t.vtp")
    with pytest.raises(perfsim.InputError, match="point 1 has the radius 0"):
        read_centerlines(tmp_path / "t.vtp")
    pv.Sphere().save(tmp_path / "t.vtp")
    with pytest.raises(perfsim.InputError, match="holds no lines"):
        read_centerlines(tmp_path / "t.vtp")


def test_trees_are_noticed(write):
    """A unit that fits is said, one that cannot fit is refused; a narrow throat and a jump are remarked on."""
    far = SWC.replace("20 5 0 1.1", "60 5 0 1.1").replace("20 -5 1 0.9", "60 -5 1 0.2")
    tree, notes = read_tree(write("t.swc", far))
    np.testing.assert_allclose(tree.position[1], [10 * MM, 0, 0])
    assert any("in mm: the tree is 60 mm across" in n for n in notes)
    assert any("least radius is 0.200 mm" in n for n in notes) and any("factor 9.0" in n for n in notes)
    in_metres, _ = read_tree(write("t.swc", far), "m")
    np.testing.assert_allclose(in_metres.position[1], [10.0, 0, 0])
    with pytest.raises(perfsim.InputError, match="the unit 'inch' is not one of m, cm, mm"):
        read_tree(write("t.swc", far), "inch")
    with pytest.raises(perfsim.InputError, match=r"[.]xyz is not a tree format"):
        read_tree(write("t.xyz", far))


ONE_D = """MODEL m
NODE 0 0.0 0.0 0.0
NODE 1 0.0 0.0 1.0
NODE 4 0.0 0.0 1.0
NODE 2 0.0 1.0 2.0
NODE 3 0.0 -1.0 2.0
JOINT J0 1 IN0 OUT0
JOINTINLET IN0 1 0
JOINTOUTLET OUT0 2 1 2
SEGMENT LM_0 0 1.0 5 0 1 0.1 0.09 0.0 MAT1 NONE 0.0 0 0 NOBOUND NONE
SEGMENT LAD_0 1 1.4142 5 4 2 0.05 0.04 0.0 MAT1 STENOSIS 0.0 0 0 RESISTANCE T1
SEGMENT LCx_0 2 1.4142 5 4 3 0.03 0.02 0.0 MAT1 NONE 0.0 0 0 RESISTANCE T2
DATATABLE T1 LIST
0.0 100.0
ENDDATATABLE
DATATABLE T2 LIST
0.0 200.0
0.5 300.0
ENDDATATABLE
DATATABLE IN LIST
0.0 1.0
1.0 2.5
ENDDATATABLE
SOLVEROPTIONS 0.001 10 10 2 IN FLOW 1e-8 1 1
MATERIAL MAT1 OLUFSEN 1.06 0.04 0 2.0 1e7 -20 2e6
"""


def test_simvascular_one_dimensional(write):
    """Nodes and areas in cm, joints that rename a segment's start, tables by segment, the wall's constants."""
    model = read_one_dimensional(write("m.in", ONE_D))
    lines = model.lines
    np.testing.assert_allclose(lines.position, 1e-2 * np.array([[0, 0, 0], [0, 0, 1], [0, 1, 2], [0, -1, 2]]))
    radius = {n: lines.lumen[k] for k, n in enumerate(model.segment_names)}
    np.testing.assert_allclose(np.pi * radius["LM_0"] ** 2, 1e-4 * np.array([0.1, 0.09]))
    np.testing.assert_allclose(np.pi * radius["LCx_0"] ** 2, 1e-4 * np.array([0.03, 0.02]))
    assert lines.branch_names == ("LM", "LAD", "LCx") and set(lines.outlet_names) == {"LAD_0", "LCx_0"}
    ends = {n: (int(lines.tail[k]), int(lines.head[k])) for k, n in enumerate(model.segment_names)}
    assert ends == {"LM_0": (0, 1), "LAD_0": (1, 2), "LCx_0": (1, 3)}
    assert [model.segment_names[k] for k in model.stenoses] == ["LAD_0"]
    np.testing.assert_allclose(model.outlet_tables["LCx_0"], [[0.0, 200.0], [0.5, 300.0]])
    np.testing.assert_allclose(model.inlet_table, [[0.0, 1.0], [1.0, 2.5]])
    assert model.material == (1.06, 0.04, 0.0, 2.0, 1e7, -20.0, 2e6)


def test_olufsens_law_by_hand():
    """p = 4/3 (k1 e^(k2 r) + k3)(1 - r/R) in cgs: at that pressure the radius is R."""
    r, R = 0.15, 0.16  # [cm]
    dyn = 4 / 3 * (1e7 * np.exp(-20 * r) + 2e6) * (1 - r / R)
    assert dilated_radius(np.array(r * 1e-2), 0.1 * dyn, 1e7, -20.0, 2e6) == pytest.approx(R * 1e-2, rel=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("4 3 0.03", "7 9 0.03", "names node 9"),
        ("RESISTANCE T2", "RESISTANCE T9", "table T9"),
        ("LCx_0 2 1.4142", "LCx_0 2 5.0", "LCx_0 says 50 mm, its nodes lie 14.14 mm apart"),
        ("0.03 0.02", "0.03 0", "line 12"),
        ("JOINTOUTLET OUT0 2 1 2", "JOINTOUTLET OUT0 2 1 8", "segment 8, which has no SEGMENT card"),
        ("JOINTINLET IN0 1 0", "JOINTINLET IN1 1 0", "inlet list IN0"),
    ],
)
def test_simvascular_files_that_contradict_themselves(write, old, new, words):
    assert old in ONE_D
    with pytest.raises(perfsim.InputError, match=rf"m\.in.*{words}"):
        read_one_dimensional(write("m.in", ONE_D.replace(old, new)))


# Zero-dimensional networks ---------------------------------------------------------------------------------------


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
            "inlet_vessels": [0], "outlet_vessels": [1, 2], "junction_name": "J", "junction_type": "N",
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
    case["vessels"][2]["zero_d_element_values"] = {"R_poiseuille": 6.0, "stenosis_coefficient": 30.0}
    pressure, flow = read_svzerod(write("z.json", json.dumps(case))).solve()
    assert flow["v1"] + flow["v2"] == pytest.approx(5.0, rel=1e-9)
    assert 100 + 100 * flow["v1"] == pytest.approx(50 + 6 * flow["v2"] + 30 * flow["v2"] ** 2, rel=1e-5)
    assert pressure["v0"] == pytest.approx(100 + 100 * flow["v1"] + 45.0, rel=1e-5)


def test_svzerod_in_time(write):
    """Every 0D vessel is a throat with its R, L and S; outlets keep their numbers, inlets their waveform."""
    coronary = {
        "Ra1": 1.0,
        "Ra2": 2.0,
        "Rv1": 3.0,
        "Ca": 4.0,
        "Cc": 5.0,
        "P_v": 6.0,
        "Pim": [7.0, 9.0, 7.0],
        "t": [0.0, 0.5, 1.0],
    }
    case = zero_d(bc_name="B", bc_type="CORONARY", bc_values=coronary)
    case["vessels"][1]["zero_d_element_values"] |= {"L": 0.25, "stenosis_coefficient": 0.5, "C": 2e-3}
    a = read_flow(write("z.json", json.dumps(case))).arteries
    np.testing.assert_allclose(a.throats.R, [9.0, 20.0, 6.0])
    np.testing.assert_allclose(a.throats.L, [0.0, 0.25, 0.0])
    np.testing.assert_allclose(a.throats.S, [0.0, 0.5, 0.0])
    resistance, muscle = a.outlets
    assert isinstance(resistance, Resistance) and isinstance(muscle, Coronary)
    assert (resistance.R.item(), resistance.P_out.item()) == (80.0, 100.0)
    assert [float(getattr(muscle, k)[0]) for k in ("R_a", "R_am", "R_v", "C_a", "C_im", "P_v")] == [1, 2, 3, 4, 5, 6]
    assert float(muscle.P_im(jnp.asarray(0.25))[0]) == pytest.approx(8.0)
    assert float(a.flow_inlets.waveform(jnp.asarray(0.25))[0]) == pytest.approx(5.0)
    assert float(a.period) == 1.0 and not bool(a.total.any())
    # the tube behind a vessel holds its compliance: dV/dp = 3/2 · A L / (E h / r) of the square-root law
    area = np.pi * np.asarray(a.radius[:, 0]) ** 2
    stored = area * np.asarray(a.length) * 1.5 * np.asarray(a.radius[:, 0]) / np.asarray(a.elasticity[:, 0])
    assert stored[4] == pytest.approx(2e-3, rel=1e-9)
    others = np.delete(np.arange(6), 4)
    impedance = np.sqrt(np.asarray(a.elasticity)[others, 0] / (1.5 * np.asarray(a.radius)[others, 0])) / area[others]
    np.testing.assert_allclose(impedance, impedance[0], rtol=1e-9)  # all others are of one impedance


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["vessels"][1].update(zero_d_element_type="BloodVesselCRL"), "v1 is a BloodVesselCRL"),
        (lambda c: c.update(closed_loop_blocks=[]), "unknown key 'closed_loop_blocks'"),
        (lambda c: c["vessels"][1]["zero_d_element_values"].update(Q=1.0), "v1: unknown key 'Q'"),
        (lambda c: c["boundary_conditions"].pop(1), "'A' is not defined"),
        (lambda c: c["boundary_conditions"][1].update(bc_type="CORONARY_VAR_RES"), "CORONARY_VAR_RES"),
        (lambda c: c["boundary_conditions"][1]["bc_values"].update(R=[1.0, 2.0], t=[0, 1]), "R varies in time"),
        (lambda c: c["vessels"][0].pop("boundary_conditions"), "nothing is prescribed at an inlet"),
        (lambda c: c["vessels"][1].update(vessel_id=0), "vessel_id must be there and differ"),
    ],
)
def test_zero_dimensional_files_that_say_more_are_refused(write, change, words):
    case = zero_d()
    change(case)
    with pytest.raises(perfsim.InputError, match=rf"z\.json: .*{words}"):
        read_flow(write("z.json", json.dumps(case)))


# Networks in time ------------------------------------------------------------------------------------------------

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
    np.testing.assert_allclose(a.momentum_factor, 4 / 3)
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


# Measurements ----------------------------------------------------------------------------------------------------


def trace(seconds: float = 40.0, step: float = 0.02):
    """Pulsing pressures: Pd/Pa 0.95, and 0.75 between 20 and 33 s."""
    t = np.arange(0.0, seconds, step)
    aortic = 95 + 20 * np.sin(2 * np.pi * t)
    return t, aortic, aortic * np.where((t > 20) & (t < 33), 0.75, 0.95)


def wire(write, t, aortic, distal):
    rows = "\n".join(f"{a:.3f},{b:.4f},{c:.4f}" for a, b, c in zip(t, aortic, distal, strict=True))
    return read_pressure_wire(write("w.csv", "t_s,Pa_mmHg,Pd_mmHg\n" + rows))


def test_pressure_wire_by_columns(write):
    t, aortic, distal = trace()
    found = wire(write, t, aortic, distal)
    np.testing.assert_allclose(found.time, t, atol=1e-3)
    np.testing.assert_allclose(found.aortic, aortic, atol=1e-4)
    np.testing.assert_allclose(found.distal, distal, atol=1e-4)
    assert found.valid.all()
    assert found.ffr == pytest.approx(0.75, abs=1e-4) and 21.5 <= found.hyperemia <= 31.5
    assert found.rest_ratio == pytest.approx(0.95, abs=1e-4)
    assert found.rest[0] < 1.5 and found.rest[0] + 10 < found.rest[1] <= found.rest[0] + 15.0
    middle = np.flatnonzero((t > 5) & (t < 15))
    np.testing.assert_allclose(found.ratio[middle], 0.95, atol=1e-3)
    early = wire(write, t, aortic, np.where(t > 8, 0.75, 0.95) * aortic)
    assert 6.0 < early.rest[1] <= 8.6 and early.rest_ratio == pytest.approx(
        0.95, abs=2e-3
    )  # the drug works from 8 s on


@pytest.mark.parametrize("level", [5.0, 251.0])
def test_pressures_that_no_artery_has_are_left_out(write, level):
    t, aortic, distal = trace()
    off = (t > 10) & (t < 14)
    found = wire(write, t, aortic, np.where(off, level, distal))
    assert not found.valid[off].any() and found.valid[~off].all() and found.ffr == pytest.approx(0.75, abs=1e-3)
    assert np.isnan(found.ratio[(t > 11.6) & (t < 12.4)]).all()


def test_a_recording_of_too_little_is_refused(write):
    """Less than two windows of 3 s that can be used, in a long recording or a short one."""
    t, aortic, distal = trace()
    with pytest.raises(perfsim.InputError, match=r"w\.csv: .* of 2000 samples are usable, too few"):
        wire(write, t, np.where(t > 5.0, 90.0, aortic), distal)  # flat, as a flushed catheter
    with pytest.raises(perfsim.InputError, match="at least 50 samples"):
        wire(write, t[:49], aortic[:49], distal[:49])
    with pytest.raises(perfsim.InputError, match="rising times"):
        wire(write, t[::-1], aortic, distal)
    with pytest.raises(perfsim.InputError, match="no column 'Pd_mmHg'; it has t_s, Pa_mmHg"):
        read_pressure_wire(write("w.csv", "t_s,Pa_mmHg\n0,90\n"))


def test_segments(write):
    """Values and deviations by segment, a comma with spaces, what is missing is NaN; 0 is a flow."""
    value, sd = read_segments(write("s.csv", "segment, mbf_mL_min_g ,sd\n3,1.5,0.3\n17,0,\n1,2.5,\n"), 0.2)
    assert (value[2], value[16], value[0], sd[2], sd[16], sd[0]) == (1.5, 0.0, 2.5, 0.3, 0.2, 0.2)
    assert np.isnan(value[[1, *range(3, 16)]]).all() and (sd[3:16] == 0.2).all()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("1,-0.1,", "line 2: an MBF of -0.1"), ("1,20.1,", "too high"), ("18,1,", "'18' is not an AHA segment"),
        ("0,1,", "'0' is not"), ("1.5,1,", "'1.5' is not"), ("1,1,\n1,2,", "line 3: segment 1 appears twice"),
        ("1,x,", "'x' is not a number"), ("1,1,0", "sd '0' must be positive"), ("", "no rows"), ("1,nan,", "no flow"),
        ("1,0.05,", "mL/s/g"),
    ],
)  # fmt: skip
def test_segments_that_are_none(write, rows, words):
    with pytest.raises(perfsim.InputError, match=rf"s\.csv.*{words}"):
        read_segments(write("s.csv", "segment,mbf_mL_min_g,sd\n" + rows), 0.2)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, np.nan], "1 values inside the wall are NaN"), ([1.0, -0.5, -0.7], "2 values are negative, the least is -0.7"),
        ([21.0] * 3, "mL/min/100g"), ([0.09] * 3, "mL/s/g"),
    ],
)  # fmt: skip
def test_what_is_no_mbf(values, words):
    with pytest.raises(perfsim.InputError, match=rf"here: .*{words}"):
        check_mbf("here", np.array(values))
    for fine in ([0.1] * 3, [20.0] * 3, [0.0, 0.0, 5.0]):
        check_mbf("here", np.array(fine))


# Anatomy ---------------------------------------------------------------------------------------------------------


def test_guide_points_give_the_frame(write):
    """Base at (1, 2, 3) mm, apex 80 mm along -z, inserts at 30 mm: the angles are those that were put in."""
    base, angles = np.array([1.0, 2.0, 3.0]), {"anterior": 130.0, "inferior": 230.0}
    axis, lateral = np.array([0.0, 0.0, -1.0]), np.array([1.0, 0.0, 0.0])
    anterior = np.cross(axis, lateral)

    def at(angle, radius, below):
        t = np.radians(angle)
        return base + radius * (np.cos(t) * lateral + np.sin(t) * anterior) + below * axis

    points = [(at(a, 25, 0), "MITRAL_VALVE") for a in np.arange(0, 360, 30)] + [(base + 80 * axis, "APEX_POINT")]
    points += [(at(a, 30, 40), "RV_INSERT") for a in angles.values()]
    text = "x\ty\tz\tcontour type\n" + "\n".join("\t".join([*(f"{c:.6f}" for c in x), kind]) for x, kind in points)
    found = read_guide_points(write("g.txt", text))
    assert {k: len(v) for k, v in found.items()} == {"MITRAL_VALVE": 12, "APEX_POINT": 1, "RV_INSERT": 2}
    np.testing.assert_allclose(found["APEX_POINT"], MM * np.array([[1.0, 2.0, -77.0]]))
    frame = frame_from_guide_points(found, "g.txt")
    np.testing.assert_allclose(frame.base, MM * base, atol=1e-9)
    np.testing.assert_allclose(frame.axis, axis, atol=1e-9)
    np.testing.assert_allclose(frame.lateral, lateral, atol=1e-6)
    assert frame.length == pytest.approx(0.08) and frame.anterior_insert == pytest.approx(130.0, abs=1e-3)
    assert frame.inferior_insert == pytest.approx(230.0, abs=1e-3)
    for name in ("MITRAL_VALVE", "APEX_POINT", "RV_INSERT"):
        with pytest.raises(perfsim.InputError, match=f"g.txt: the guide points have no {name}"):
            frame_from_guide_points({k: v for k, v in found.items() if k != name}, "g.txt")
    with pytest.raises(perfsim.InputError, match="the apex lies at the base"):
        frame_from_guide_points(found | {"APEX_POINT": found["MITRAL_VALVE"].mean(0)[None]}, "g.txt")
    with pytest.raises(perfsim.InputError, match="both sides of the septum"):
        frame_from_guide_points(found | {"RV_INSERT": found["RV_INSERT"][:1]}, "g.txt")


def test_labels_by_value(tmp_path):
    """A cup of known size in voxels of 1.5 mm: its volume, its frame; NIfTI's x and y are turned."""
    import nibabel as nib

    shape, h = (60, 56, 50), 1.5
    grid = np.indices(shape).transpose(1, 2, 3, 0) * h
    center, low = np.array([45.0, 42.0]), 6.0
    across, z = np.linalg.norm(grid[..., :2] - center, axis=-1), grid[..., 2]
    cavity = (across < 15) & (z > low + 9) & (z < 66)
    wall = (across < 24) & (z > low) & (z < 66) & ~cavity
    right = (across < 32) & ~wall & ~cavity & (grid[..., 0] < center[0] - 12) & (z > 20) & (z < 60)
    labels = (1 * wall + 2 * cavity + 3 * right).astype(np.int16)
    nib.save(nib.Nifti1Image(labels, np.diag([h, h, h, 1.0])), tmp_path / "l.nii")
    found = wall_from_labels(tmp_path / "l.nii", wall=1, cavity=2, right_ventricle=3)
    assert found.mask.sum() * 1.5**3 == pytest.approx(np.pi * (24**2 * 60 - 15**2 * 51), rel=0.03)
    frame = found.frame
    np.testing.assert_allclose(frame.axis, [0, 0, -1], atol=0.05)
    np.testing.assert_allclose(frame.base * 1e3, [-45, -42, 65], atol=2.0)
    np.testing.assert_allclose(frame.lateral, [-1, 0, 0], atol=0.05)  # away from the right ventricle, in LPS
    assert frame.cavity_length * 1e3 == pytest.approx(50, abs=3)
    for scale in (0.1, 10.0):  # an affine in cm, or in tenths of a millimetre
        nib.save(nib.Nifti1Image(labels, np.diag([h * scale] * 3 + [1.0])), tmp_path / "l.nii")
        with pytest.raises(perfsim.InputError, match=r"l\.nii: the labels are .* mm across: no heart"):
            wall_from_labels(tmp_path / "l.nii", wall=1, cavity=2, right_ventricle=3)


def test_surfaces_by_value(write):
    """A cube of 60 in an OBJ, one face left open: its volume and its opening."""
    corners = [(x, y, z) for x in (0, 60) for y in (0, 60) for z in (0, 60)]
    faces = [
        (1, 2, 4),
        (1, 4, 3),
        (5, 7, 8),
        (5, 8, 6),
        (1, 5, 6),
        (1, 6, 2),
        (3, 4, 8),
        (3, 8, 7),
        (1, 3, 7),
        (1, 7, 5),
    ]
    text = "".join(f"v {x} {y} {z}\n" for x, y, z in corners) + "".join(f"f {a} {b} {c}\n" for a, b, c in faces)
    cube = read_surface(write("c.obj", text))
    assert cube.volume() == pytest.approx(60.0**3, rel=1e-6) and cube.extent.tolist() == [60, 60, 60]
    assert cube.openings == (pytest.approx(60 * np.sqrt(2)),) and cube.pieces == 1 and cube.inconsistent == 0
    assert cube.inside(np.array([[30.0, 30, 30], [30, 30, 5], [70, 30, 30]])).tolist() == [True, True, False]
    assert cube.plausible_units() == ["mm"]
    cube.check_unit(1e-3)
    lone = read_surface(write("d.obj", text + "".join(f"v {x + 200} {y} {z}\n" for x, y, z in corners) + "".join(
        f"f {a + 8} {b + 8} {c + 8}\n" for a, b, c in faces)))  # fmt: skip
    assert lone.pieces == 2 and any("2 loose pieces" in p for p in lone.problems())


# Case files ------------------------------------------------------------------------------------------------------

CASE = """
name = "all"
[anatomy]
mass = "150 g"
dominance = "left"
[tree]
terminals = 321
seed = 4
exponent = 2.5
shares = { LM = 0.7, RCA = 0.3 }
reference_diameter = "80 um"
[mesh]
spacing = "2.5 mm"
[[stenosis]]
branch = "LAD"
position = "2 cm"
diameter_reduction = 0.55
length = "8 mm"
[rest]
aortic_pressure = "12 kPa"
back_pressure_epi = "4 mmHg"
back_pressure_endo = "20 mmHg"
demand = "95 mL/min/100g"
[hyperemia]
aortic_pressure = "80 mmHg"
[tissue]
supply = "1e-5 1/(Pa·s)"
drainage = "4e-5 1/(Pa·s)"
mobility = "2e-5 mm2/(Pa·s)"
tone = { LAD = 0.5 }
[blood]
plasma_viscosity = "1.3 cP"
hematocrit = 0.4
[fit]
parameters = ["tone", "throat"]
sd = "0.3 mL/min/g"
fwhm = "6 mm"
noise = 0.2
[learn]
task = "subgrid"
volumes = 5000
"""


def test_case_by_value_and_again():
    """Quantities in SI; the case that `resolved` writes out is the same case."""
    case = parse_case(CASE)
    assert (case.anatomy.mass, case.mesh.spacing, case.tree.reference_diameter) == pytest.approx((0.15, 2.5e-3, 80e-6))
    assert case.rest.aortic_pressure == 12e3 and case.rest.demand == pytest.approx(0.95 * ML_MIN_G)
    assert case.hyperemia.aortic_pressure == pytest.approx(80 * MMHG)
    assert case.hyperemia.back_pressure_endo == pytest.approx(25 * MMHG)
    assert case.stenosis[0].position == pytest.approx(0.02) and case.tissue.mobility == pytest.approx(2e-11)
    assert case.blood.plasma_viscosity == pytest.approx(1.3e-3) and case.fit.sd == pytest.approx(0.3 * ML_MIN_G)
    again = parse_case(resolved(case))

    def flat(value, name=""):
        if isinstance(value, dict):
            return {k: v for key, x in value.items() for k, v in flat(x, f"{name}.{key}").items()}
        if isinstance(value, list):
            return {k: v for key, x in enumerate(value) for k, v in flat(x, f"{name}.{key}").items()}
        return {name: value}

    one, two = flat(case.model_dump()), flat(again.model_dump())
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert two[name] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[mesh]\nspacing = "0.4 mm"', "not between 0.5 and 6 mm"), ('[mesh]\nspacing = "6.1 mm"', "not between"),
        ('[rest]\naortic_pressure = "25 mmHg"', "must exceed the back pressures"),
        ('[anatomy]\nepicardium = "a.stl"', "missing"), ('[anatomy]\nmesh = "a.vtu"', "needs guide_points"),
        ('[anatomy]\nlabels = "a.nii"\nlabel_values = { wall = 1 }', "labels need label_values"),
        ('[vessels]\nleft = "a.swc"', 'missing = ."RCA".'), ('[tissue]\ntone_map = "no.nii"', "there is no file"),
        ("[fit]\nnoise = 0.0", "noise"), ("[tree]\nexponent = 3.6", "exponent"), ("[tree]\nterminal = 5", "terminals"),
        ('[anatomy]\ndominance = "both"', "'both' is not one of right, left, co"),
        ("[tree]\nshares = { LM = 1.2 }", "shares"), ("[[stenosis]]\nbranch = 'LAD'", "missing"),
    ],
)  # fmt: skip
def test_cases_that_cannot_be(text, words):
    with pytest.raises(perfsim.InputError, match=words):
        parse_case(text)
