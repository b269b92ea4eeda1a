"""What instruments see: AHA segments, territories, pressure indices."""

from perfsim.observe.aha import SEGMENT_NAMES, aha17, group_means
from perfsim.observe.pressure import RECOVERY, branch_ends, ffr, lesion_sites, mean_terminal_pressure, vessel_at
from perfsim.observe.territory import behind, endo_epi, mean_mbf, share_of, territory_mbf, territory_shares

__all__ = [
    "RECOVERY",
    "SEGMENT_NAMES",
    "aha17",
    "behind",
    "branch_ends",
    "endo_epi",
    "ffr",
    "group_means",
    "lesion_sites",
    "mean_mbf",
    "mean_terminal_pressure",
    "share_of",
    "territory_mbf",
    "territory_shares",
    "vessel_at",
]
