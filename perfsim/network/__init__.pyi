from .centerlines import Centerlines
from .compose import relabel, resample, union
from .forest import Forest, branch_table, contract, padded_rows
from .graph import from_networkx, to_networkx
from .lumen import Lesions, join, no_lesions, radii, stenosis
from .topology import depths, unbranched_runs
from .vessels import GROWN, VesselNetwork, vessel_into

__all__ = [
    "GROWN",
    "Centerlines",
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
