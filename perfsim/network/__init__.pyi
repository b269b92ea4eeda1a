from .centerlines import GROWN, Centerlines
from .compose import relabel, resample, union
from .forest import Forest, branch_table, contract, padded_rows
from .graph import from_networkx, to_networkx
from .kassab import KASSAB
from .lumen import Lesions, join, no_lesions, radii, stenosis
from .morphometry import (
    KassabRow,
    Morphometry,
    asymmetry,
    compare_kassab,
    crown_exponents,
    diameter_defined_orders,
    morphometry,
    strahler_orders,
)
from .sums import lumen_volume, murray_cost, path_sum, pressure_drop
from .topology import depths, unbranched_runs
from .vessels import VesselNetwork, vessel_above, vessel_into

__all__ = [
    "GROWN",
    "KASSAB",
    "Centerlines",
    "Forest",
    "KassabRow",
    "Lesions",
    "Morphometry",
    "VesselNetwork",
    "asymmetry",
    "branch_table",
    "compare_kassab",
    "contract",
    "crown_exponents",
    "depths",
    "diameter_defined_orders",
    "from_networkx",
    "join",
    "lumen_volume",
    "morphometry",
    "murray_cost",
    "no_lesions",
    "padded_rows",
    "path_sum",
    "pressure_drop",
    "radii",
    "relabel",
    "resample",
    "stenosis",
    "strahler_orders",
    "to_networkx",
    "unbranched_runs",
    "union",
    "vessel_above",
    "vessel_into",
]
