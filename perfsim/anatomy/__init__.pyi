from .ellipsoid import MYOCARDIUM, EllipsoidWall
from .frame import Frame, frame_from_points
from .labels import Labelling, label_left_tree
from .mask import MaskWall
from .placement import Placement, place_left_tree
from .trunks import coronary_trunks
from .wall import Wall

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
