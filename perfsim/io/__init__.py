"""Files in and out: cases, tables, trees, VTK, NIfTI."""

from perfsim.io.build import couple_case, grow_case
from perfsim.io.case import Case, parse_case, read_case
from perfsim.io.centerlines import read_centerlines
from perfsim.io.nifti import write_mbf
from perfsim.io.pressure_wire import PressureTrace, read_pressure_wire
from perfsim.io.provenance import provenance
from perfsim.io.segments import read_segments, write_segments
from perfsim.io.simvascular import dilated_radius, read_one_dimensional
from perfsim.io.summary import segments, summarize, vessel_ends
from perfsim.io.svzerod import ZeroDimensionalModel, read_svzerod
from perfsim.io.swc import read_swc, write_swc
from perfsim.io.template import DEMO, resolved
from perfsim.io.vtk import write_centerlines, write_network, write_tissue

__all__ = [
    "DEMO",
    "Case",
    "PressureTrace",
    "ZeroDimensionalModel",
    "couple_case",
    "dilated_radius",
    "grow_case",
    "parse_case",
    "provenance",
    "read_case",
    "read_centerlines",
    "read_one_dimensional",
    "read_pressure_wire",
    "read_segments",
    "read_svzerod",
    "read_swc",
    "resolved",
    "segments",
    "summarize",
    "vessel_ends",
    "write_centerlines",
    "write_mbf",
    "write_network",
    "write_segments",
    "write_swc",
    "write_tissue",
]
