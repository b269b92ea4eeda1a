"""Left ventricles and coronary trunks: the embedded reference anatomy, and walls from masks."""

from perfsim.anatomy.ellipsoid import MYOCARDIUM, EllipsoidWall
from perfsim.anatomy.frame import Frame, frame_from_points
from perfsim.anatomy.labels import Labelling, label_left_tree
from perfsim.anatomy.mask import MaskWall
from perfsim.anatomy.placement import Placement, place_left_tree
from perfsim.anatomy.trunks import coronary_trunks
from perfsim.anatomy.wall import Wall

__all__ = [
    "MYOCARDIUM",
    "EllipsoidWall",
    "Frame",
    "Labelling",
    "MaskWall",
    "Placement",
    "Wall",
    "coronary_trunks",
    "frame_from_points",
    "label_left_tree",
    "place_left_tree",
]
