"""Porcine coronary arteries as Kassab, Rider, Tang and Fung (1993), Am J Physiol 265:H350, measured them."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class KassabTable:
    """Elements of diameter-defined Strahler orders 1, 2, ... of one artery."""

    diameter: np.ndarray
    """mean over elements [m]"""
    diameter_sd: np.ndarray
    """[m]; 0 for the one stem"""
    length: np.ndarray
    """mean over elements [m]; NaN where not given"""
    count: np.ndarray
    """number of elements"""

    @property
    def bounds(self) -> np.ndarray:
        """Diameters [m] between order n and n + 1: halfway between D_n + sd_n and D_{n+1} - sd_{n+1}."""
        d, sd = self.diameter, self.diameter_sd
        return 0.5 * (d[:-1] + sd[:-1] + d[1:] - sd[1:])


def _table(diameter, sd, length, count) -> KassabTable:
    return KassabTable(np.array(diameter) * 1e-6, np.array(sd) * 1e-6, np.array(length) * 1e-3, np.array(count, float))


KASSAB = {
    "LAD": _table(
        [9.0, 12.3, 17.7, 30.5, 66.2, 139, 308, 462, 714, 1573, 3176],
        [0.73, 1.3, 2.2, 6.0, 13.6, 24.1, 56.6, 40.9, 81.8, 361, 0],
        [0.115, 0.136, 0.149, 0.353, 0.502, 1.31, 3.54, 4.99, 9.03, 20.3, 47.9],
        [368554, 140293, 44456, 17985, 6386, 1385, 348, 113, 37, 7, 1],
    ),
    "LCx": _table(
        [9.0, 12.3, 17.7, 27.5, 73.9, 139, 279, 462, 961, 2603],
        [0.73, 1.3, 2.2, 6.1, 14.2, 26.2, 38.4, 56.1, 193, 0],
        [0.115, 0.136, 0.149, 0.405, 0.908, 1.83, 4.22, 6.98, 21.0, 49.6],
        [149380, 56915, 17820, 7554, 2148, 638, 144, 51, 10, 1],
    ),
    "RCA": _table(
        [9.3, 12.8, 17.7, 28.6, 63.1, 132, 256, 428, 706, 1302, 3218],
        [0.84, 1.4, 2.1, 5.4, 11.3, 22.2, 30.1, 47.5, 75.2, 239, 0],
        [0.125, 0.141, 0.178, 0.253, 0.545, 1.64, 3.13, 5.39, 9.06, 16.1, np.nan],
        [393294, 138050, 51915, 20074, 7354, 1458, 403, 114, 35, 10, 1],
    ),
}
"""Tables 1-3 of the paper: LAD and its branches, LCx, RCA"""
