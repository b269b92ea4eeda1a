"""The embedded coronary trunks, laid on any left ventricle that has an anatomical frame.

Courses follow the grooves: LAD in the anterior and PDA in the inferior interventricular groove (at the right
ventricle's insertions), LCx in the left and RCA in the right atrioventricular groove, diagonals and marginals on
the free wall, septals inside the septum. Lumens at rest are those of Dodge et al. (1992), Circulation 86:232:
LM 4.5, LAD 3.7 tapering to 1.9, LCx 3.4 (4.2 if left dominant), RCA 3.9 (2.8 if left dominant) mm, with the mid LAD
at 2.3 mm after Vieweg et al. (1976), Cathet Cardiovasc Diagn 2:269; side branches
follow the radius law from their flow. Conus, right-ventricular and atrial branches end in lumped outlets.
"""

import dataclasses

from perfsim._results import InputError
from perfsim.anatomy.ellipsoid import MYOCARDIUM
from perfsim.anatomy.wall import Wall
from perfsim.network import VesselNetwork

import numpy as np
import scipy

SAMPLING = 0.8e-3  # [m], spacing of centerline nodes
RIGHT_VENTRICLE = 0.047  # [kg], free wall
RIGHT_PERFUSION = 0.65  # of the left ventricle's flow per gram, at rest and in hyperemia
ATRIA = 0.020  # [kg], share of the atrial walls fed by these branches

Path = list[tuple[float, float, float]]  # (u, angle [°], transmural depth) control points


@dataclasses.dataclass
class Course:
    """One branch: its parent, and either control points on the wall or points in space [m]."""

    name: str
    parent: str | None
    on_wall: Path | None = None
    in_space: np.ndarray | None = None
    lumen: tuple[tuple[float, float], ...] | None = None
    """(fraction of its length, diameter [m]) pairs, or None for the radius law"""
    root_diameter: float = 0.0
    """proximal lumen of an inlet [m], the anchor of the radius law"""
    lumped_mass: float = 0.0
    """tissue outside the left ventricle that its end feeds [kg]"""


def coronary_trunks(wall: Wall, dominance: str = "right", only: tuple[str, ...] = ("LM", "RCA")) -> VesselNetwork:
    """The epicardial arteries of `wall`, before any growth.

    Arguments: `dominance` is "right", "left" or "co" (PDA from the RCA, posterolaterals from the LCx); `only` limits
    the roots, e.g. ("RCA",) to complete a left tree that came from an image. Raises `InputError` for another word.
    """
    if dominance not in ("right", "left", "co"):
        raise InputError(f"dominance {dominance!r} is unknown: use right, left or co")
    courses = [*_left(wall, dominance), *_right(wall, dominance)]
    kept: list[Course] = []
    for course in courses:
        if course.name in only or any(course.parent == k.name for k in kept):
            kept.append(course)
    return _assemble(wall, kept, only)


def _left(wall: Wall, dominance: str) -> list[Course]:
    f = wall.frame
    groove = f.anterior_insert
    fork = wall.point(0.0, groove - 5.0)
    ostium = f.base - 6e-3 * f.axis + 0.68 * np.linalg.norm(fork - f.base) * f.radial(groove + 15.0)
    end = {"right": -28.0, "co": -75.0, "left": f.inferior_insert - 360.0}[dominance]
    first, last = (
        (3.4e-3, 1.7e-3) if dominance == "right" else (4.2e-3, 2.4e-3) if dominance == "left" else (3.7e-3, 1.9e-3)
    )
    lad = (
        (0.0, 3.7e-3),
        (0.42, 2.3e-3),
        (0.85, 1.9e-3),
        (1.0, 1.6e-3),
    )  # mid, at the apex, and wrapped around it
    around = np.linspace(groove - 5.0, end, 8)
    courses = [
        Course(
            "LM",
            None,
            in_space=np.array([ostium, 0.5 * (ostium + fork) - 1e-3 * f.axis, fork]),
            lumen=((0.0, 4.5e-3),),
            root_diameter=4.5e-3,
        ),
        Course(
            "LAD",
            "LM",
            [(0.0, groove - 5, 0), (0.08, groove, 0), (0.5, groove, 0), (1.18, groove, 0)],
            lumen=lad,
        ),
        Course(
            "LCx",
            "LM",
            [(0.05 * min(1.0, k / 2), a, 0.0) for k, a in enumerate(around)],
            lumen=((0.0, first), (1.0, last)),
        ),
        Course("D1", "LAD", [(0.36, groove, 0), (0.52, groove - 36, 0), (0.74, groove - 62, 0)]),
        Course("D2", "LAD", [(0.6, groove, 0), (0.72, groove - 30, 0), (0.88, groove - 60, 0)]),
        Course("OM1", "LCx", [(0.05, 52, 0), (0.3, 40, 0), (0.52, 26, 0)]),
        Course("OM2", "LCx", [(0.05, 4, 0), (0.3, -8, 0), (0.52, -22, 0)]),
        Course("LA", "LCx", in_space=_away(wall, 80.0, up=18e-3, out=6e-3), lumped_mass=0.4 * ATRIA),
    ]
    for k, u in enumerate((0.18, 0.34, 0.5, 0.66)):
        path = [
            (u, groove, 0.0),
            (u + 0.03, groove + 9, 0.25),
            (u + 0.05, groove + 34, 0.5),
            (u + 0.07, groove + 66, 0.55),
        ]
        courses.append(Course(f"S{k + 1}", "LAD", path))
    if dominance in ("co", "left"):
        courses += _posterolateral("LCx")
    if dominance == "left":
        courses += _descending(wall, "LCx")
    return courses


def _right(wall: Wall, dominance: str) -> list[Course]:
    f = wall.frame
    crux = f.inferior_insert
    start = f.anterior_insert + 28.0
    radius = float(wall.epicardial_radius(np.array(0.02 * f.length), np.array(crux)))
    bulge = [0.62, 1.35, 1.85, 1.9, 1.55, 1.0]
    down = [-8e-3, -2e-3, 5e-3, 6e-3, 5e-3, 3e-3]
    angle = np.linspace(start, crux, 6)
    points = np.array(
        [f.base + b * radius * f.radial(a) + d * f.axis for b, a, d in zip(bulge, angle, down, strict=True)]
    )
    if dominance != "left":
        points[-1] = wall.point(0.05, crux)
    else:
        points = points[:-1]
    shares = (
        ("conus", 1, 0.1, 10.0),
        ("SAN", 1, 0.6 * ATRIA / RIGHT_VENTRICLE, -18.0),
        ("RV1", 2, 0.45, 30.0),
        ("RV2", 3, 0.45, 25.0),
    )
    courses = [Course("RCA", None, in_space=points, root_diameter=2.8e-3 if dominance == "left" else 3.9e-3)]
    for name, k, share, reach in shares:
        x = points[k]
        outward = x - f.base - ((x - f.base) @ f.axis) * f.axis
        tip = x + 1e-3 * abs(reach) * (0.35 * outward / np.linalg.norm(outward) + np.sign(reach) * f.axis)
        courses.append(Course(name, "RCA", in_space=np.array([x, tip]), lumped_mass=share * RIGHT_VENTRICLE))
    if dominance != "left":
        courses += _descending(wall, "RCA")
    if dominance == "right":
        courses.append(Course("PLV", "RCA", [(0.05, crux, 0), (0.05, crux + 20, 0), (0.05, crux + 36, 0)]))
        courses += _posterolateral("PLV")
    return courses


def _descending(wall: Wall, parent: str) -> list[Course]:
    crux = wall.frame.inferior_insert
    courses = [Course("PDA", parent, [(0.05, crux, 0), (0.3, crux + 1, 0), (0.52, crux + 2, 0)])]
    for k, u in enumerate((0.12, 0.26, 0.4)):
        path = [
            (u, crux, 0.0),
            (u + 0.02, crux - 8, 0.25),
            (u + 0.04, crux - 16, 0.45),
            (u + 0.05, crux - 24, 0.5),
        ]
        courses.append(Course(f"IS{k + 1}", "PDA", path))
    return courses


def _posterolateral(parent: str) -> list[Course]:
    return [
        Course("PL1", parent, [(0.05, 258, 0), (0.3, 260, 0), (0.48, 262, 0)]),
        Course("PL2", parent, [(0.05, 276, 0), (0.3, 280, 0), (0.48, 284, 0)]),
    ]


def _away(wall: Wall, angle: float, up: float, out: float) -> np.ndarray:
    f = wall.frame
    start = wall.point(0.04, angle)
    tip = start - up * f.axis + out * f.radial(angle)
    return np.stack([start, tip])


def _polyline(wall: Wall, course: Course) -> np.ndarray:
    """Evenly sampled centerline of a course."""
    control = np.asarray(course.in_space if course.on_wall is None else course.on_wall, float)
    t = np.linspace(0.0, 1.0, len(control))
    fine = scipy.interpolate.PchipInterpolator(t, control)(np.linspace(0.0, 1.0, 400))
    x = wall.point(fine[:, 0], fine[:, 1], fine[:, 2]) if course.on_wall is not None else fine
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(x, axis=0), axis=1))])
    even = np.linspace(0.0, s[-1], max(2, round(s[-1] / SAMPLING) + 1))
    return np.stack([np.interp(even, s, x[:, k]) for k in range(3)], 1)


def _assemble(wall: Wall, courses: list[Course], only) -> VesselNetwork:
    position: list[np.ndarray] = []
    nodes_of: dict[str, np.ndarray] = {}
    tail, head, lumen, measured, branch = [], [], [], [], []
    outlets, outlet_names, mass, inlets, root_radius = [], [], [], [], []
    size = 0
    for number, course in enumerate(courses):
        x = _polyline(wall, course)
        if course.name in only and (course.parent is None or course.parent not in nodes_of):
            nodes = size + np.arange(len(x))
            inlets.append(nodes[0])
            root_radius.append(0.5 * course.root_diameter)
        else:
            parent = nodes_of[str(course.parent)]
            at = parent[np.argmin(np.linalg.norm(np.concatenate(position)[parent] - x[0], axis=1))]
            x = x[1:]
            nodes = np.concatenate([[at], size + np.arange(len(x))])
        position.append(x)
        size += len(x)
        nodes_of[course.name] = nodes
        tail.append(nodes[:-1])
        head.append(nodes[1:])
        given = np.array(course.lumen or ((0.0, 1e-3),))
        d = np.interp(np.linspace(0.0, 1.0, len(nodes)), given[:, 0], given[:, 1])
        lumen.append(0.5 * np.stack([d[:-1], d[1:]], 1))
        measured.append(np.full(len(nodes) - 1, course.lumen is not None))
        branch.append(np.full(len(nodes) - 1, number))
        if course.lumped_mass:
            outlets.append(nodes[-1])
            outlet_names.append(course.name)
            mass.append(course.lumped_mass)
    return VesselNetwork.build(
        np.concatenate(position),
        np.concatenate(tail),
        np.concatenate(head),
        np.concatenate(lumen),
        inlets=inlets,
        outlets=outlets,
        branch=np.concatenate(branch),
        branch_names=[course.name for course in courses],
        inlet_names=[course.name for course in courses if course.name in only],
        outlet_names=outlet_names,
        measured=np.concatenate(measured),
        root_radius=root_radius,
        outlet_demand=RIGHT_PERFUSION * np.array(mass) / MYOCARDIUM,
    )
