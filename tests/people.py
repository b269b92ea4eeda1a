"""Small files of every kind that the readers of geometry and networks take."""

import json
from pathlib import Path

from perfsim.io import read_one_dimensional, read_svzerod, read_tree
from perfsim.io.flow_files import read_flow

import numpy as np

CASES = Path(__file__).parent / "cases"

SWC = "# größe in mm\n1 2 0 0 0 2 -1\n2 2 30 0 0 1.8 1\n3 2 60 0 0 1.5 2\n4 2 60 0 40 1 2\n"
ONE_D = (CASES / "oned_ok.in").read_text().replace("MODEL m", "# Länge\nMODEL m")
ZERO_D = json.dumps({
    "description": {"Größe": "klein"},
    "boundary_conditions": [
        {"bc_name": "IN", "bc_type": "FLOW", "bc_values": {"Q": [1.0, 2.0, 1.0], "t": [0.0, 0.5, 1.0]}},
        {"bc_name": "OUT", "bc_type": "RCR", "bc_values": {"C": 1e-5, "Pd": 0.0, "Rd": 9e4, "Rp": 1e4}},
    ],
    "vessels": [
        {"vessel_id": 0, "vessel_name": "a", "boundary_conditions": {"inlet": "IN"},
         "zero_d_element_type": "BloodVessel", "zero_d_element_values": {"R_poiseuille": 100.0}},
        {"vessel_id": 1, "vessel_name": "b", "boundary_conditions": {"outlet": "OUT"},
         "zero_d_element_type": "BloodVessel", "zero_d_element_values": {"R_poiseuille": 100.0}},
    ],
    "junctions": [{"junction_name": "J", "junction_type": "NORMAL_JUNCTION", "inlet_vessels": [0], "outlet_vessels": [1]}],
}, ensure_ascii=False)  # fmt: skip
OPENBF = """# Länge in m
project_name: p
inlet_file: in.dat
blood: {rho: 1060.0, mu: 4.0e-3}
network:
  - {label: a, sn: 1, tn: 2, L: 0.1, E: 7.0e5, R0: 3.0e-3, h0: 3.0e-4}
  - {label: b, sn: 2, tn: 3, L: 0.1, E: 7.0e5, R0: 3.0e-3, h0: 3.0e-4, Rt: 0.0}
"""
INFLOW = "0.0 5e-6\n0.4 8e-6\n0.8 5e-6\n"
TOML = """# Länge
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
radius = ["2 mm", "1.5 mm"]
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
kind = "windkessel"
R1 = 1.5e9
R2 = 4e9
C = 5e-11
"""


def ring(z: float) -> str:
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    points = "".join(f'<point id="{k}" x="{2 * np.cos(t)}" y="{2 * np.sin(t)}" z="{z}"/>' for k, t in enumerate(turn))
    return f'<contour id="0"><contour_points>{points}</contour_points></contour>'


CONTOURS = (
    '<?xml version="1.0" encoding="UTF-8" ?>\n<format version="1.0" />\n<contourgroup path_name="Ramus größer" '
    f'path_id="1"><timestep id="0">{"".join(ring(10.0 * z) for z in range(6))}</timestep></contourgroup>'
)

READERS = {
    "swc": ("t.swc", SWC, read_tree, lambda found: len(found[0].tail)),
    "in": ("t.in", ONE_D, read_one_dimensional, lambda found: len(found.lines.tail)),
    "ctgr": ("t.ctgr", CONTOURS, read_tree, lambda found: len(found[0].tail)),
    "steady json": ("t.json", ZERO_D, read_svzerod, lambda found: len(found.R)),
    "json": ("t.json", ZERO_D, read_flow, lambda found: found.units.name),
    "yaml": ("t.yaml", OPENBF, read_flow, lambda found: found.arteries.names),
    "toml": ("t.toml", TOML, read_flow, lambda found: found.arteries.names),
}
