"""Vessel networks: arrays on the device, `networkx.DiGraph` on the host."""

from perfsim.network.compose import depths, relabel, resample, unbranched_runs, union
from perfsim.network.forest import Forest, branch_table, contract, padded_rows
from perfsim.network.graph import from_networkx, to_networkx
from perfsim.network.lumen import Lesions, join, no_lesions, radii, stenosis
from perfsim.network.vessels import GROWN, VesselNetwork, vessel_into

__all__ = [
    "GROWN",
    "Forest",
    "Lesions",
    "VesselNetwork",
    "branch_table",
    "contract",
    "depths",
    "from_networkx",
    "join",
    "no_lesions",
    "padded_rows",
    "radii",
    "relabel",
    "resample",
    "stenosis",
    "to_networkx",
    "unbranched_runs",
    "union",
    "vessel_into",
]
