"""Names for the branches of a left coronary tree whose file has none, from geometry."""

import dataclasses

from perfsim._results import InputError
from perfsim.anatomy.placement import groove_misfit
from perfsim.anatomy.wall import Wall
from perfsim.network import VesselNetwork, relabel

import numpy as np


@dataclasses.dataclass(frozen=True)
class Labelling:
    """How sure the names are."""

    misfit: float
    """distance of the two main vessels from their grooves as named [m]"""
    swapped_misfit: float
    """the same with LAD and LCx exchanged: close to `misfit` means that geometry cannot tell"""


def label_left_tree(network: VesselNetwork, wall: Wall) -> tuple[VesselNetwork, Labelling]:
    """Name LM, LAD, LCx and their side branches (LAD-1, LCx-1, ...).

    The LM runs to the first bifurcation; the main vessel of each of its two largest daughters is the longest way to an
    end. Of the two ways to call them LAD and LCx, the one is taken that fits the anterior interventricular and left
    atrioventricular grooves of the wall better under a similarity. Raises `InputError` for a tree that never divides.
    """
    tail, head = np.asarray(network.tail), np.asarray(network.head)
    length = np.asarray(network.length)
    children: dict[int, list[int]] = {}
    for v in range(len(tail)):
        children.setdefault(int(tail[v]), []).append(v)
    reach = np.zeros(len(tail))  # longest way to an end, from the start of each vessel
    for v in range(len(tail) - 1, -1, -1):
        reach[v] = length[v] + max((reach[w] for w in children.get(int(head[v]), [])), default=0.0)
    stem, at = [], int(np.asarray(network.inlets)[0])
    while len(children.get(at, [])) == 1:
        stem.append(children[at][0])
        at = int(head[stem[-1]])
    daughters = sorted(children.get(at, []), key=lambda v: -reach[v])[:2]
    if len(daughters) < 2 or not stem:
        raise InputError("the left tree has no main stem that divides in two: name its branches in the case")
    first, second = (_main_path(v, children, head, reach) for v in daughters)
    position = np.asarray(network.position)
    points = [position[np.append(tail[path[:1]], head[path])] for path in (first, second)]
    straight, swapped = groove_misfit(points[0], points[1], wall), groove_misfit(points[1], points[0], wall)
    paths = {"LAD": first, "LCx": second} if straight <= swapped else {"LAD": second, "LCx": first}
    names, branch = ["LM", "LAD", "LCx"], np.full(len(tail), -1)
    branch[stem] = 0
    for index, name in ((1, "LAD"), (2, "LCx")):
        branch[paths[name]] = index
    _name_side_branches(branch, names, children, head, reach)
    labelled = relabel(network, branch, names, inlet_names=("LM",))
    return labelled, Labelling(float(min(straight, swapped)), float(max(straight, swapped)))


def _main_path(vessel: int, children, head, reach) -> list[int]:
    """The longest way from a vessel to an end."""
    path = [vessel]
    while children.get(int(head[path[-1]])):
        path.append(max(children[int(head[path[-1]])], key=lambda w: reach[w]))
    return path


def _name_side_branches(branch, names, children, head, reach) -> None:
    """Give every vessel still without a name one after the main vessel it hangs on, in order of origin."""
    count: dict[str, int] = {}
    for v in range(len(branch)):  # depth first: the vessel above has its name already
        for w in children.get(int(head[v]), []):
            if branch[w] >= 0:
                continue
            parent = names[branch[v]].split("-")[0]
            count[parent] = count.get(parent, 0) + 1
            names.append(f"{parent}-{count[parent]}")
            branch[_main_path(w, children, head, reach)] = len(names) - 1
