"""What files of trees and networks say is used as their own programs use it; what cannot be is refused."""

import json
from pathlib import Path

import perfsim
from perfsim._results import InputError
from perfsim.flow.pulsatile import Absorbing
from perfsim.io import read_one_dimensional, read_svzerod, read_tree
from perfsim.io.flow_files import network_in, read_flow
from perfsim.units import MMHG

import jax.numpy as jnp
import numpy as np
import pytest
from people import CASES, CONTOURS, INFLOW, OPENBF, TOML


@pytest.fixture
def write(tmp_path):
    """A file of this name with this text, or these bytes."""

    def written(name: str, content: str | bytes) -> Path:
        data = content.encode("utf-8") if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return written


# What a file says is used -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "LM", "LAD"), [("ok", 4.137, 1.637), ("pref93mmHg", 3.80, 1.60), ("two_materials", 4.137, 1.637)]
)
def test_lumens_at_93_mmhg(name, LM, LAD):
    """Diameters [mm] at the far ends, by each segment's material and its own reference pressure."""
    model = read_one_dimensional(CASES / f"oned_{name}.in")
    far = {n: 2e3 * r[1] for n, r in zip(model.segment_names, model.radius_at(93 * MMHG), strict=True)}
    assert far["LM_0"] == pytest.approx(LM, abs=0.001) and far["LAD_0"] == pytest.approx(LAD, abs=0.001)


def test_materials_of_their_own(write):
    """A LINEAR wall has one stiffness: 4/3 Eh/r; a segment takes the material that its card names."""
    text = (CASES / "oned_two_materials.in").read_text().replace("0.02545 0.0 MAT1", "0.02545 0.0 MAT2")
    model = read_one_dimensional(write("m.in", text))
    at = {n: k for k, n in enumerate(model.segment_names)}
    before, after = model.lines.lumen[at["LCx_0"]], model.radius_at(93 * MMHG)[at["LCx_0"]]
    np.testing.assert_allclose(after, before / (1 - 0.75 * 93 * MMHG / 1e6), rtol=1e-12)
    with pytest.raises(InputError, match="different materials"):
        _ = model.material
    with pytest.raises(InputError, match="LM_0 is of the material MAT1: the file has no MATERIAL card"):
        read_one_dimensional(CASES / "oned_no_material.in")


def test_a_segment_is_as_long_as_its_card_says(write):
    """Longer than its nodes' distance: bent. Shorter by the step into a joint: what lies beyond is moved."""
    lines, notes = read_tree(CASES / "oned_curved_segment.in")
    assert lines.length.sum() == pytest.approx(0.14, rel=1e-12) and "as long as their cards say" in notes[-1]
    text = (CASES / "oned_ok.in").read_text().replace("JOINT J0", "NODE 4 1.2 0 0\nJOINT J0").replace(
        "SEGMENT LAD_0 1 6.0000 5 1 2", "SEGMENT LAD_0 1 6.0033 5 4 2")  # fmt: skip
    model = read_one_dimensional(write("m.in", text.replace("NODE 3 1.0000 5.0000", "NODE 3 1.0000 5.0000")))
    by_name = dict(zip(model.segment_names, model.lines.length, strict=True))
    assert by_name["LAD_0"] == pytest.approx(0.060033, rel=1e-3)
    for length in ("5.0", "13.0"):
        with pytest.raises(InputError, match="LAD_0 says"):
            read_one_dimensional(write("m.in", text.replace("LAD_0 1 6.0033", f"LAD_0 1 {length}")))


def test_junctions_of_vessels_count(write):
    """Their stenoses and inertances are the vessels'; other junctions have no values."""
    case = json.loads((CASES / "zerod_junction_stenosis.json").read_text())
    (values,) = [j["junction_values"] for j in case["junctions"] if j.get("junction_values")]
    model = read_svzerod(CASES / "zerod_junction_stenosis.json")
    (narrowed,) = [v for v in read_flow(CASES / "zerod_junction_stenosis.json").network.vessels if v.S is not None]
    for found in (sorted(model.S)[-2:], sorted(np.asarray(narrowed.S))):
        np.testing.assert_allclose(found, sorted(values["stenosis_coefficient"]))
    case["junctions"][0]["junction_type"] = "NORMAL_JUNCTION"
    for read in (read_svzerod, read_flow):
        with pytest.raises(InputError, match=r"junction_values of .*: unknown key"):
            read(write("z.json", json.dumps(case)))


# Networks that cannot be -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('end = "x"', 'end = "in"', "vessel 'a' starts and ends at node 'in'"),
        ('start = "x"\nend = "y"', 'start = "x"\nend = "z"', "no vessel starts or ends at 'z'"),
        ('throat = "1 mm"', 'throat = "2 mm"', "the throat, 0.002 m, is not narrower"),
        ('radius = "2 mm"\nthroat = "1 mm"', 'radius = "4 mm"\nthroat = "3 mm"', "is wider than the vessel at 'x'"),
        ("mean = 12400, amplitude = [1800]", "mean = 93, amplitude = [13]", "reaches 106 Pa, 0.8 mmHg: is it in mmHg"),
        ("R1 = 1.5e9", "R1 = 11.2", "R1"),
        ("C = 5e-11", "C = 6.6e-3", "C"),
        ("period = 0.8", "period = 800", "the period is 800 s, which no heart has: are its times in ms"),
    ],
)
def test_networks_that_cannot_be(write, old, new, words):
    """Refused by `inspect`, which builds nothing, or when the network is built."""
    assert old in TOML
    path = write("t.toml", TOML.replace(old, new))
    with pytest.raises(InputError, match=words):
        network_in(path)
        read_flow(path)


def test_a_vessel_that_ends_where_it_starts_is_refused_everywhere(write):
    write("in.dat", INFLOW)
    with pytest.raises(InputError, match="b: starts and ends at node 2"):
        read_flow(write("t.yaml", OPENBF.replace("tn: 3", "tn: 2")))
    with pytest.raises(InputError, match="starts and ends at node"):
        perfsim.flow.pulsatile.Arteries.build([0, 1], [1, 1], 0.1, 1e-3, 1.0, period=1.0, outlets=())


# OpenBF as openBF reads it -----------------------------------------------------------------------------------


def test_openbf_as_openbf_reads_it(write):
    """Rt sends back a share of a wave, Rp counts before R0, Rd tapers, the momentum factor is 1."""
    write("in.dat", INFLOW)
    text = OPENBF.replace("R0: 3.0e-3, h0: 3.0e-4, Rt: 0.0", "R0: 3.0e-3, Rd: 2.0e-3, gamma_profile: 9, Rt: 0.5")
    a = read_flow(write("t.yaml", text)).arteries
    np.testing.assert_allclose(a.radius[1, [0, -1]], [3e-3, 2e-3])
    np.testing.assert_allclose(a.profile, [2, 9])
    np.testing.assert_allclose(a.momentum_factor, 1.0)
    (end,) = a.outlets
    assert isinstance(end, Absorbing) and float(end.echo[0]) == 0.5
    for share, words in (("1.2", "Rt is 1.2"), ("0.5, R1: 1.0e9, Cc: 1.0e-10", "both Rt")):
        with pytest.raises(InputError, match=words):
            read_flow(write("t.yaml", OPENBF.replace("Rt: 0.0", f"Rt: {share}")))


def test_times_that_step_back(write):
    """The first interval that holds a time counts: 0 to 0.5, then what the second row of intervals adds beyond."""
    write("in.dat", "0.0 1e-6\n0.5 2e-6\n0.3 5e-6\n0.7 9e-6\n0.8 1e-6\n")
    wave = read_flow(write("t.yaml", OPENBF)).arteries.flow_inlets.waveform
    for t, expected in ((0.25, 1.5e-6), (0.4, 1.8e-6), (0.6, 8e-6), (0.75, 5e-6)):
        assert float(wave(jnp.asarray(t))[0]) == pytest.approx(expected, rel=1e-9)


# SimVascular's paths -----------------------------------------------------------------------------------------


def test_simvascular_contours_and_paths(write):
    """Rings of radius 2 every 10 mm: a vessel of 50 mm; a path takes its radii from the contours beside it."""
    lines, _ = read_tree(write("t.ctgr", CONTOURS))
    assert lines.length.sum() == pytest.approx(0.05, rel=1e-9)
    np.testing.assert_allclose(lines.lumen, 2e-3, rtol=5e-3)  # a polygon of 40 corners
    points = "".join(f'<path_point id="{k}"><pos x="0" y="0" z="{k}"/></path_point>' for k in range(51))
    path = (
        '<?xml version="1.0"?><format version="1.0"/><path id="1"><timestep id="0"><path_element><path_points>'
        f"{points}</path_points></path_element></timestep></path>"
    )
    lines, notes = read_tree(write("t.pth", path))
    assert len(lines.tail) == 50 and "6 contours in t.ctgr" in notes[0]
    np.testing.assert_allclose(lines.lumen, 2e-3, rtol=5e-3)
    with pytest.raises(InputError, match="a path has no radii"):
        read_tree(write("other.pth", path))
    with pytest.raises(InputError, match="entities"):
        read_tree(write("t.ctgr", '<!DOCTYPE x [<!ENTITY a "b">]>' + CONTOURS))
