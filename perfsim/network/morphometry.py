"""What a tree looks like in numbers: orders, elements, connectivity, asymmetry, scaling of crowns."""

import dataclasses

from perfsim._results import InputError
from perfsim.network.centerlines import Centerlines
from perfsim.network.kassab import KASSAB
from perfsim.network.topology import accumulate, by_depth
from perfsim.network.vessels import VesselNetwork, vessel_above

import numpy as np

Tree = VesselNetwork | Centerlines


@dataclasses.dataclass(frozen=True, eq=False)
class Morphometry:
    """Orders and elements of a tree. An element is a run of vessels of one order in series."""

    order: np.ndarray
    """of every vessel, 1 the least"""
    element: np.ndarray
    """that every vessel belongs to"""
    element_order: np.ndarray
    element_diameter: np.ndarray
    """length-weighted mean [m]"""
    element_length: np.ndarray
    """[m]"""
    connectivity: np.ndarray
    """C[m-1, n-1]: elements of order m that spring from one element of order n, in the mean"""

    def by_order(self) -> dict[int, tuple[int, float, float]]:
        """(number of elements, mean diameter [m], mean length [m]) of each order that occurs."""
        out = {}
        for n in np.unique(self.element_order):
            on = self.element_order == n
            out[int(n)] = int(on.sum()), float(self.element_diameter[on].mean()), float(self.element_length[on].mean())
        return out


def strahler_orders(tree: Tree) -> np.ndarray:
    """Strahler's order of every vessel: 1 at ends, one more than its children where two of the highest meet."""
    above, depth = _links(tree)
    highest, twice = np.zeros(len(above), int), np.zeros(len(above), bool)
    order = np.ones(len(above), int)
    for vessels in reversed(by_depth(depth)):
        order[vessels] = np.maximum(highest[vessels] + twice[vessels], 1)
        inner = vessels[above[vessels] >= 0]
        up = above[inner]
        top = np.zeros(len(above), int)
        np.maximum.at(top, up, order[inner])
        count = np.bincount(up[order[inner] == top[up]], minlength=len(above))
        met = np.unique(up)
        highest[met], twice[met] = top[met], count[met] > 1
    return order


def diameter_defined_orders(tree: Tree, diameter: np.ndarray, rounds: int = 100) -> np.ndarray:
    """Diameter-defined Strahler orders (Jiang, Kassab and Fung 1994, J Appl Physiol 76:882).

    From Strahler's orders on, a vessel's order follows from its diameter: it exceeds n where D is above the middle of
    D_n + sd_n and D_{n+1} - sd_{n+1}, mean and deviation over the vessels of each order, until no vessel changes.
    Arguments: the tree and the mean diameter of every vessel [m].
    """
    order = strahler_orders(tree)
    for _ in range(rounds):
        present = np.unique(order)
        mean = np.array([diameter[order == n].mean() for n in present])
        sd = np.array([diameter[order == n].std() for n in present])
        keep = np.append(True, np.diff(np.maximum.accumulate(mean)) > 0)
        mean, sd = mean[keep], sd[keep]
        bounds = np.maximum.accumulate(0.5 * (mean[:-1] + sd[:-1] + mean[1:] - sd[1:]))
        new = 1 + np.searchsorted(bounds, diameter)
        if np.array_equal(new, order):
            break
        order = new
    return order


def morphometry(tree: Tree, diameter: np.ndarray, order: np.ndarray | None = None) -> Morphometry:
    """Elements and connectivity of a tree. `diameter` of every vessel [m]; `order` (default: diameter-defined)."""
    order = diameter_defined_orders(tree, diameter) if order is None else np.asarray(order)
    above, depth = _links(tree)
    length = np.asarray(tree.length)
    heir = _heirs(above, order, diameter)
    chain = np.where(heir, above, -1)
    first = chain < 0
    number = np.cumsum(first) - 1
    element = np.zeros(len(above), int)
    for vessels in by_depth(depth):
        element[vessels] = np.where(first[vessels], number[vessels], element[np.maximum(chain[vessels], 0)])
    total = np.bincount(element, length)
    mean = np.bincount(element, length * diameter) / total
    of = order[first]
    highest = int(order.max())
    springs = np.zeros((highest, highest))
    branch = np.flatnonzero(first & (above >= 0))
    np.add.at(springs, (order[branch] - 1, order[above[branch]] - 1), 1.0)
    count = np.bincount(of, minlength=highest + 1)[1:]
    return Morphometry(order, element, of, mean, total, springs / np.maximum(count, 1))


def asymmetry(tree: Tree, diameter: np.ndarray) -> np.ndarray:
    """Diameter of the thinner over the thicker daughter at every bifurcation (bifurcations,)."""
    above, _ = _links(tree)
    order = np.lexsort((diameter, above))
    up = above[order]
    pair = np.flatnonzero((up[1:] == up[:-1]) & (up[1:] >= 0))
    return diameter[order[pair]] / diameter[order[pair + 1]]


def crown_exponents(tree: Tree, diameter: np.ndarray, flow: np.ndarray) -> dict[str, float]:
    """Exponents of the scaling laws of crowns, by least squares in logarithms over all stems.

    A stem's crown is all that lies downstream of it: total length Lc, total volume Vc. The laws of Huo and Kassab
    (2009), Biophys J 96:347, have D ~ Lc^(3/7), Vc ~ Lc^(9/7), Vc ~ D³, Q ~ D^(7/3). Stems are weighted by 1/(their
    number in the same octave of Lc), so that the many small crowns do not decide alone. Arguments: diameters [m],
    flows of any unit.
    """
    end = np.asarray(tree.subtree_end)
    length = np.asarray(tree.length)
    crown = [_below(x, end) for x in (length, 0.25 * np.pi * diameter**2 * length)]
    whole = end > np.arange(len(end)) + 1  # a lone vessel is no crown
    Lc, Vc, D, Q = (np.log(x[whole]) for x in (*crown, diameter, flow))
    octave = np.floor(Lc / np.log(2.0)).astype(int)
    weight = 1.0 / np.bincount(octave - octave.min())[octave - octave.min()]

    def slope(x, y):
        x, y = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
        return float(np.sum(weight * x * y) / np.sum(weight * x * x))

    return {"D~Lc": slope(Lc, D), "Vc~Lc": slope(Lc, Vc), "Vc~D": slope(D, Vc), "Q~D": slope(D, Q)}


@dataclasses.dataclass(frozen=True)
class KassabRow:
    """One order of a tree beside the measured one."""

    order: int
    count: int
    measured_count: float
    diameter: float
    """[m]"""
    measured_diameter: float
    """[m]"""
    length: float
    """[m]"""
    measured_length: float
    """[m]"""


def compare_kassab(tree: Tree, diameter: np.ndarray, artery: str) -> list[KassabRow]:
    """A tree's elements beside Kassab's (1993) table of `artery`: LAD, LCx or RCA.

    Orders are given by the table's own diameters, so that order n means the same vessels in both; what is thinner than
    the tree's terminals has no row. Raises `InputError` for another artery.
    """
    if artery not in KASSAB:
        raise InputError(f"there is no table of {artery!r}: choose {', '.join(KASSAB)}")
    table = KASSAB[artery]
    found = morphometry(tree, diameter, 1 + np.searchsorted(table.bounds, diameter))
    rows = []
    for order, (count, mean, length) in found.by_order().items():
        k = order - 1
        rows.append(KassabRow(order, count, table.count[k], mean, table.diameter[k], length, table.length[k]))
    return rows


def _links(tree: Tree) -> tuple[np.ndarray, np.ndarray]:
    """The vessel above each vessel (-1 at inlets), and its depth."""
    above = vessel_above(tree)
    return above, accumulate(above, np.ones(len(above), int))


def _heirs(above: np.ndarray, order: np.ndarray, diameter: np.ndarray) -> np.ndarray:
    """Which vessels continue the element above them: of the same order, and the thickest such daughter."""
    same = np.flatnonzero((above >= 0) & (order == order[np.maximum(above, 0)]))
    rank = same[np.lexsort((-diameter[same], above[same]))]
    first = np.append(True, above[rank][1:] != above[rank][:-1]) if len(rank) else np.zeros(0, bool)
    heir = np.zeros(len(above), bool)
    heir[rank[first]] = True
    return heir


def _below(value: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Sum over each vessel and everything downstream of it (depth-first order)."""
    total = np.concatenate([[0.0], np.cumsum(value)])
    return total[end] - total[:-1]
