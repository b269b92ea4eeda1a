"""What instruments see: AHA segments, territories, pressure indices."""

from perfsim.observe.activity import Activity
from perfsim.observe.aha import SEGMENT_NAMES, aha17, group_means
from perfsim.observe.measurements import Cuff, Imaging, Measurement, Scan, Wire
from perfsim.observe.noise import Noise, correlation_factor
from perfsim.observe.polar import PolarMap
from perfsim.observe.pose import LongAxis, Pose
from perfsim.observe.pressure import (
    RECOVERY,
    branch_ends,
    check_vessel,
    ffr,
    lesion_sites,
    mean_terminal_pressure,
    vessel_at,
)
from perfsim.observe.segments import Segments
from perfsim.observe.surroundings import BloodPool, fractions
from perfsim.observe.territory import (
    behind,
    endo_epi,
    mean_mbf,
    share_of,
    territories,
    territory_mbf,
    territory_resistance,
    territory_shares,
)
from perfsim.observe.views import EachVolume, Groups, View
from perfsim.observe.voxels import Voxels

__all__ = [
    "RECOVERY",
    "SEGMENT_NAMES",
    "Activity",
    "BloodPool",
    "Cuff",
    "EachVolume",
    "Groups",
    "Imaging",
    "LongAxis",
    "Measurement",
    "Noise",
    "PolarMap",
    "Pose",
    "Scan",
    "Segments",
    "View",
    "Voxels",
    "Wire",
    "aha17",
    "behind",
    "branch_ends",
    "check_vessel",
    "correlation_factor",
    "endo_epi",
    "ffr",
    "fractions",
    "group_means",
    "lesion_sites",
    "mean_mbf",
    "mean_terminal_pressure",
    "share_of",
    "territories",
    "territory_mbf",
    "territory_resistance",
    "territory_shares",
    "vessel_at",
]
