from .build import FrameMismatch, couple_case, grow_case, read_anatomy
from .case import Case, Fit, parse_case, read_case
from .cells import volumes_from_mesh
from .centerlines import read_centerlines, write_centerlines
from .curves import read_curve
from .nifti import read_tone, write_mbf, write_tone
from .pet import read_dynamic, read_dynamic_map, read_frames, read_mbf_map
from .pressure_wire import PressureTrace, read_pressure_wire
from .provenance import provenance
from .segments import read_segments, write_segments
from .simvascular import dilated_radius, read_one_dimensional
from .summary import certified, segment_mbf, summarize, vessel_ends
from .svzerod import ZeroDimensionalModel, read_svzerod
from .swc import read_swc, write_swc
from .template import DEMO, START, resolved
from .tree_case import tree_case
from .trees import read_tree
from .vtk import write_geometry, write_network, write_tissue
from .write_oned import write_one_dimensional
from .write_openbf import write_openbf
from .write_svzerod import write_svzerod

__all__ = [
    "DEMO",
    "START",
    "Case",
    "Fit",
    "FrameMismatch",
    "PressureTrace",
    "ZeroDimensionalModel",
    "certified",
    "couple_case",
    "dilated_radius",
    "grow_case",
    "parse_case",
    "provenance",
    "read_anatomy",
    "read_case",
    "read_centerlines",
    "read_curve",
    "read_dynamic",
    "read_dynamic_map",
    "read_frames",
    "read_mbf_map",
    "read_one_dimensional",
    "read_pressure_wire",
    "read_segments",
    "read_svzerod",
    "read_swc",
    "read_tone",
    "read_tree",
    "resolved",
    "segment_mbf",
    "summarize",
    "tree_case",
    "vessel_ends",
    "volumes_from_mesh",
    "write_centerlines",
    "write_geometry",
    "write_mbf",
    "write_network",
    "write_one_dimensional",
    "write_openbf",
    "write_segments",
    "write_svzerod",
    "write_swc",
    "write_tissue",
    "write_tone",
]
