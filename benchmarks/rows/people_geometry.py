"""Geometry and flow networks as people have them: kinds of fault that are read right, or refused, of all tried."""

import json
import tempfile
from pathlib import Path

import perfsim
from perfsim._results import InputError

import numpy as np
from rows.row import ROOT, Found, Rows

perfsim.enable_x64()
perfsim.enable_compile_cache()
CASES = ROOT / "tests" / "cases"
CODE = ("perfsim/io", "perfsim/flow/pulsatile", "perfsim/network", "tests/cases")
ROWS = Rows()
row = ROWS.add


def refused(read, path, words: str = "") -> bool:
    """Whether reading raises `InputError` with these words."""
    try:
        read(path)
    except InputError as error:
        return words in str(error)
    return False


def tally(trials: dict[str, bool]) -> Found:
    """How many of the trials came out right, and which did not."""
    wrong = [name for name, right in trials.items() if not right]
    return Found(f"{len(trials) - len(wrong)} of {len(trials)}" + "".join(f", not {w}" for w in wrong), not wrong,
                 len(trials))  # fmt: skip


def changed(source: str, old: str, new: str) -> Path:
    """A copy of a case with another text in it."""
    text = (CASES / source).read_text()
    assert old in text
    path = Path(tempfile.mkdtemp()) / source
    path.write_text(text.replace(old, new))
    for data in CASES.glob("inlet*.dat"):
        (path.parent / data.name).write_bytes(data.read_bytes())
    return path


@row("P3", "units: by the file, by size, or asked for; svZeroD in cgs is converted", code=CODE)
def units_of_files() -> Found:
    from perfsim.io import read_svzerod, read_tree
    from perfsim.io.flow_files import read_flow
    from perfsim.units import MMHG

    total = read_tree(CASES / "tree_ok.swc")[0].length.sum()
    model = read_svzerod(CASES / "zerod_cgs.json")
    pressure = next(iter(model.solve()[0].values())) * model.units.pressure / MMHG
    trials = {
        "SWC in µm": abs(read_tree(CASES / "tree_um.swc")[0].length.sum() / total - 1) < 1e-6,
        "svOneD in mm, asked": refused(read_tree, CASES / "oned_mm.in", "say unit = 'mm'"),
        "svOneD in mm, told": abs(read_tree(CASES / "oned_mm.in", "mm")[0].length.sum() - 0.12) < 1e-9,
        "svZeroD in cgs": abs(pressure - 90.9) < 0.2,
        "openBF inflow in mL/s": refused(read_flow, CASES / "openbf_mLs.yml", "m³/s"),
        "openBF in mm": refused(read_flow, changed("openbf_mLs.yml", "R0: 3.0e-3", "R0: 3.0"), "R0 is 3"),
        "openBF in g/cm³": refused(read_flow, changed("openbf_mLs.yml", "rho: 1060.0", "rho: 1.06"), "rho is 1.06"),
        "a Y of 31 mm": len(read_tree(CASES / "vmtk" / "y.vtp")[0].branch_names) == 3,
    }
    found = tally(trials)
    return Found(f"{found.measured}; svZeroD in cgs: {pressure:.1f} mmHg", found.holds, found.n)


EXPECTED = {  # branches, centerline [mm], trunk [mm]
    "lines_raw": (3, 149, 10), "lines_smoothed100": (3, 149, 10), "lines_trunk_0.03mm_apart": (3, 100, 40),
    "vmtk/left_default": (5, 171, 10), "vmtk/left_ends": (5, 171, 12), "vmtk/left_merged": (5, 171, 10),
    "vmtk/left_resampled": (5, 171, 10), "vmtk/y": (3, 52, 14),
}  # fmt: skip


@row("P7", "centerlines: branches right, length ± 3 %, trunk to 2 mm (2.1 where smoothed 100 times)", code=CODE)
def centerlines() -> Found:
    from perfsim.io import read_tree

    trials, length, trunk = {}, [], []
    for name, (branches, total, stem) in EXPECTED.items():
        lines, _ = read_tree(CASES / f"{name}.vtp")
        length.append(abs(1e3 * lines.length.sum() / total - 1))
        trunk.append(abs(1e3 * lines.length[lines.branch == 0].sum() - stem))
        trials[name] = len(lines.branch_names) == branches and length[-1] <= 0.03 and trunk[-1] <= 2.1
    found = tally(trials)
    off = f"length off by at most {100 * max(length):.1f} %, trunk by {max(trunk):.1f} mm"
    return Found(f"{found.measured}; {off}", found.holds, found.n)


@row("P8", "what svOneD and svZeroD say is used: lengths, materials, reference pressures, junctions", code=CODE)
def nothing_dropped() -> Found:
    from perfsim.io import read_one_dimensional, read_svzerod, read_tree
    from perfsim.units import MMHG

    def stem(name: str) -> float:
        model = read_one_dimensional(CASES / name)
        return 2e3 * model.radius_at(93 * MMHG)[model.segment_names.index("LM_0"), 1]

    bent = 1e3 * read_tree(CASES / "oned_curved_segment.in")[0].length.sum()
    junction = read_svzerod(CASES / "zerod_junction_stenosis.json")
    trials = {
        "reference pressure": abs(stem("oned_pref93mmHg.in") - 3.80) < 0.005,
        "no reference pressure": abs(stem("oned_ok.in") - 4.14) < 0.005,
        "two materials": abs(stem("oned_two_materials.in") - 4.14) < 0.005,
        "no material": refused(read_one_dimensional, CASES / "oned_no_material.in", "no MATERIAL card"),
        "a bent segment": abs(bent - 140) < 1e-6,
        "a junction's stenosis": bool((junction.S > 0).any()),
    }
    found = tally(trials)
    return Found(f"{found.measured}; the bent segment {bent:.1f} mm", found.holds, found.n)


@row("P10", "two things of one name are refused by every reader", code=CODE)
def doubled_names() -> Found:
    from perfsim.io import parse_case, read_one_dimensional, read_svzerod, read_tree
    from perfsim.io.flow_files import read_flow

    zero_d = changed("zerod_cgs.json", '"OUT2"', '"OUT1"')
    doubled = CASES.joinpath("zerod_cgs.json").read_text().replace('"vessels"', '"junctions": [], "vessels"')
    key = Path(tempfile.mkdtemp()) / "z.json"
    key.write_text(doubled)
    swc = changed("tree_ok.swc", "\n3 2", "\n2 2")
    trials = {
        "openBF labels": refused(read_flow, CASES / "openbf_same_labels.yml", "'a' is there 3 times"),
        "openBF keys": refused(read_flow, changed("openbf_mLs.yml", "L: 0.126", "L: 0.126, L: 0.2"), "is there twice"),
        "svZeroD conditions": refused(read_svzerod, zero_d, "is there 2 times"),
        "svZeroD keys": refused(read_svzerod, key, "is there twice"),
        "svOneD segments": refused(read_one_dimensional, changed("oned_ok.in", "LAD_0 1", "LM_0 1"), "two cards"),
        "svOneD tables": refused(
            read_one_dimensional, changed("oned_ok.in", "DATATABLE T2", "DATATABLE T1"), "two cards"
        ),
        "SWC points": refused(read_tree, swc, "have the id 2"),
        "free parameters": refused(parse_case, '[fit]\nparameters = ["tone", "tone"]', "2 times"),
    }
    return tally(trials)


@row("P11", "meshes with other cells: volumes alone; a cavity that the wall does not enclose: refused", code=CODE)
def meshes_and_labels() -> Found:
    from perfsim.io.labelmap import wall_from_labels
    from perfsim.io.walls import volume_mesh_with_notes

    mesh, notes = volume_mesh_with_notes(CASES / "mesh_with_boundary_triangles.vtu")

    def labels(wall: int, cavity: int, right: int):
        return wall_from_labels(CASES / "labels_ok.nii.gz", wall=wall, cavity=cavity, right_ventricle=right)

    trials = {
        "triangles left out": set(mesh.cells_dict) == {10} and "TRIANGLE" in notes[0],
        "labels as they are": bool(labels(2, 3, 1)),
        "cavity and right ventricle": refused(lambda v: labels(*v), (2, 1, 3), "exchanged with the right ventricle"),
        "wall and right ventricle": refused(lambda v: labels(*v), (1, 3, 2), "the wall encloses"),
    }
    return tally(trials)


NETWORK = """
[flow]
period = 0.8
[[vessel]]
name = "a"
start = "in"
end = "x"
length = "20 mm"
radius = "2 mm"
young = "1 MPa"
thickness = "0.5 mm"
[[vessel]]
name = "b"
start = "y"
end = "out"
length = "20 mm"
radius = "2 mm"
young = "1 MPa"
thickness = "0.5 mm"
[[stenosis]]
start = "x"
end = "y"
radius = "2 mm"
throat = "1 mm"
length = "8 mm"
[[inlet]]
node = "in"
pressure = { mean = 12400, amplitude = [1800], phase = [0.0] }
[[outlet]]
node = "out"
kind = "resistance"
R = 5e9
"""


@row("P12", "networks that cannot be are refused: self-loops, lost stenoses, mmHg, wide throats, lengths", code=CODE)
def impossible_networks() -> Found:
    from perfsim.io import read_one_dimensional
    from perfsim.io.flow_files import read_flow

    folder = Path(tempfile.mkdtemp())

    def network(old: str, new: str) -> Path:
        assert old in NETWORK
        path = folder / "n.toml"
        path.write_text(NETWORK.replace(old, new))
        return path

    trials = {
        "a self-loop": refused(read_flow, network('end = "x"', 'end = "in"'), "starts and ends at node 'in'"),
        "a stenosis on no vessel": refused(read_flow, network('end = "y"', 'end = "z"'), "'z'"),
        "pressures in mmHg": refused(read_flow, network("12400, amplitude = [1800]", "93, amplitude = [13]"), "mmHg"),
        "a throat as wide as its vessel": refused(read_flow, network('throat = "1 mm"', 'throat = "2 mm"'), "narrower"),
        "a throat wider than the vessel": refused(
            read_flow, network('radius = "2 mm"\nthroat = "1 mm"', 'radius = "4 mm"\nthroat = "3 mm"'), "wider"
        ),
        "resistances in mmHg·s/mL": refused(read_flow, network("R = 5e9", "R = 37.5"), "R"),
        "a period in ms": refused(read_flow, network("period = 0.8", "period = 800"), "ms"),
        "lengths that don't fit nodes": refused(
            read_one_dimensional, changed("oned_ok.in", "LAD_0 1 6.0000", "LAD_0 1 60.0"), "LAD_0 says"
        ),
        "as it should be": bool(read_flow(network("period = 0.8", "period = 0.8"))),
    }
    return tally(trials)


@row("P16", "openBF as openBF reads it: Rt, gamma_profile, taper, times that step back", code=CODE)
def openbf() -> Found:
    from perfsim.io.flow_files import read_flow

    path = changed("openbf_mLs.yml", "inlet_mLs.dat", "in.dat")
    outlet = "outlet: wk3, R1: 2.4875e8, R2: 1.8697e9, Cc: 1.7529e-10"
    end = "Rd: 2.0e-3, gamma_profile: 9, Rt: 0.5"
    path.write_text(path.read_text().replace(outlet, end))
    (path.parent / "in.dat").write_text("0.0 1e-6\n0.5 2e-6\n0.3 5e-6\n0.7 9e-6\n0.8 1e-6\n")
    a = read_flow(path).arteries
    flow = [float(a.flow_inlets.waveform(t)[0]) for t in (0.4, 0.6)]
    trials = {
        "reflection": float(a.outlets[0].echo[0]) == 0.5,
        "profile": float(np.ravel(a.profile)[0]) == 9.0,
        "momentum factor": bool(np.allclose(a.momentum_factor, 1.0)),
        "taper from R0 to Rd": bool(np.allclose(a.radius[0, [0, -1]], [3e-3, 2e-3])),
        "times that step back": bool(np.allclose(flow, [1.8e-6, 8e-6])),
        "Rt and a windkessel": refused(
            read_flow, changed("openbf_mLs.yml", "R1: 2.4875e8", "Rt: 0.5, R1: 2.4875e8").rename(path.parent / "b.yml")
        ),
    }
    return tally(trials)


@row("P32", "export: svZeroD, svOneD, openBF read back equal; svzerod on it within 0.2 %; .pth, .ctgr read", code=CODE)
def export() -> Found:
    from perfsim.io import read_one_dimensional, read_tree
    from perfsim.io.flow_files import read_flow
    from perfsim.io.tree_case import bed_resistance, in_tubes, tree_case
    from perfsim.io.write_oned import OLUFSEN, write_one_dimensional
    from perfsim.io.write_openbf import write_openbf
    from perfsim.io.write_svzerod import write_svzerod
    from perfsim.units import ML_MIN, MMHG

    import svzerod

    folder, given = Path(tempfile.mkdtemp()), {"flow": 120 * ML_MIN, "pressure": 93 * MMHG}
    lines, _ = read_tree(CASES / "tree_ok.swc")
    case, tubes = tree_case(lines, "t", **given), in_tubes(lines, "t", **given)
    write_svzerod(folder / "t.json", case)
    write_openbf(folder / "t.yaml", tubes)
    write_one_dimensional(
        folder / "t.in", lines, OLUFSEN, flow=given["flow"], resistance=bed_resistance(lines, *given.values())
    )
    config = json.loads((folder / "t.json").read_text())
    off = largest_difference(config, svzerod.simulate(config))
    again, tubes_again = read_flow(folder / "t.json"), read_flow(folder / "t.yaml").arteries
    model = read_one_dimensional(folder / "t.in").lines
    same = np.allclose(tubes.arteries.radius[:, -1], tubes_again.radius[:, -1], rtol=1e-9) and all(
        np.allclose(getattr(tubes.arteries, k), getattr(tubes_again, k), rtol=1e-9)
        for k in ("length", "external_pressure", "period", "profile")
    )
    trials = {
        "svZeroD reads back": bool(
            np.allclose(again.network.ends[1].Ram * 1e5, case.arteries.outlets[0].R_am, rtol=1e-9)
        ),
        "svOneD reads back": bool(
            np.allclose(model.position, lines.position) and np.allclose(model.lumen, lines.lumen)
        ),
        "openBF reads back": bool(same),
        "svzerod": off <= 2e-3,
    }
    found = tally(trials)
    return Found(
        f"{found.measured}; svzerod's means, maxima, minima off by at most {100 * off:.2f} %", found.holds, found.n
    )


def largest_difference(config: dict, table) -> float:
    """The largest difference of svzerod's mean, maximum and minimum of pressure and flow at inlet and outlets from the
    harmonic balance of the same network, over the largest value.
    """
    expected = harmonics(config)
    worst = 0.0
    for i, vessel in enumerate(config["vessels"]):
        own = table[table.name == vessel["vessel_name"]]
        for side in vessel.get("boundary_conditions", {}):
            for k, column in enumerate(("pressure", "flow")):
                found = own[f"{column}_{'in' if side == 'inlet' else 'out'}"].to_numpy()[:-1]
                right = expected[i, k + (0 if side == "inlet" else 2)]
                worst = max(worst, *(abs(f(found) - f(right)) / np.abs(right).max() for f in (np.mean, np.max, np.min)))
    return worst


def harmonics(config: dict, samples: int = 1000, orders: int = 80) -> np.ndarray:
    """Pressure and flow at inlet and outlet of each vessel over a period (vessels, 4, samples), order by order.

    With s = 2πik/T each vessel has p_in - R q_in - p_out = s L q_out and q_in - q_out = s C (p_in - R q_in), and a
    coronary bed q = y₁ p₁ - j with p₁ = p - R_a q, y₁ and j from its two compliances.
    """
    conditions = {c["bc_name"]: c for c in config["boundary_conditions"]}
    period = max(max(c["bc_values"]["t"]) for c in conditions.values() if "t" in c["bc_values"])
    t, vessels = np.arange(samples) * period / samples, config["vessels"]
    spectrum = np.zeros((4 * len(vessels), orders + 1), complex)

    def transform(values: dict, key: str) -> np.ndarray:
        return np.fft.rfft(np.interp(t, values["t"], values[key])) / samples

    for k in range(orders + 1):
        s, rows, right = 2j * np.pi * k / period, [], []

        def equation(value: complex, terms: dict[int, complex], rows=rows, right=right) -> None:
            rows.append(np.zeros(4 * len(vessels), complex))
            for column, factor in terms.items():
                rows[-1][column] += factor
            right.append(value)

        for i, vessel in enumerate(vessels):
            p, q, p_out, q_out = (4 * i + n for n in range(4))
            R, L, C = (vessel["zero_d_element_values"][n] for n in ("R_poiseuille", "L", "C"))
            equation(0, {p: 1, q: -R, p_out: -1, q_out: -s * L})
            equation(0, {q: 1 + s * C * R, q_out: -1, p: -s * C})
            for side, name in vessel.get("boundary_conditions", {}).items():
                values, (x, y) = conditions[name]["bc_values"], (p, q) if side == "inlet" else (p_out, q_out)
                if side == "inlet":
                    equation(transform(values, "P")[k], {x: 1})
                    continue
                micro, venous = 1 / values["Ra2"], 1 / values["Rv1"]
                inner = micro + s * values["Cc"] + venous
                pushed = s * values["Cc"] * transform(values, "Pim")[k] + (values["P_v"] * venous if k == 0 else 0)
                y1, j = s * values["Ca"] + micro - micro**2 / inner, micro / inner * pushed
                equation(j, {x: y1, y: -(1 + y1 * values["Ra1"])})
        for junction in config["junctions"]:
            ends = [(4 * i + 2, 4 * i + 3, 1) for i in junction["inlet_vessels"]]
            ends += [(4 * i, 4 * i + 1, -1) for i in junction["outlet_vessels"]]
            for p, _, _ in ends[1:]:
                equation(0, {ends[0][0]: 1, p: -1})
            equation(0, {q: sign for _, q, sign in ends})
        spectrum[:, k] = np.linalg.solve(np.array(rows), np.array(right))
    whole = np.pad(spectrum, ((0, 0), (0, samples // 2 - orders))) * samples
    return np.fft.irfft(whole, samples, axis=1).reshape(len(vessels), 4, samples)
