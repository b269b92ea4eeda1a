"""One door for coronary trees: the reader by the file's ending, the unit by its size, and what looks wrong."""

from pathlib import Path

from perfsim._results import InputError
from perfsim.io.centerlines import read_centerlines
from perfsim.io.simvascular import read_one_dimensional
from perfsim.io.swc import read_swc
from perfsim.network import Centerlines

import numpy as np

ENDINGS = (".swc", ".in", ".vtp")
UNITS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
EXTENT = (40e-3, 220e-3)
"""[m], from the smallest plausible coronary tree's longest side to the largest"""
LUMEN = (0.15e-3, 4e-3)
"""[m], median radius"""


def read_tree(path: str | Path, unit: str | None = None) -> tuple[Centerlines, list[str]]:
    """Read a tree in SWC, svOneDSolver or VTP format; returns it with what was noticed, in sentences.

    `unit` is the length unit of the file's numbers, one of m, cm, mm; without it the one that makes the tree the size
    of a coronary is taken, and said. `.in` files are in cm by definition. Raises `InputError`.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(
            f"{path}: {ending or 'no ending'} is not a tree format that perfsim reads: {', '.join(ENDINGS)}"
        )
    if unit is not None and unit not in UNITS:
        raise InputError(f"{path}: the unit {unit!r} is not one of {', '.join(UNITS)}")
    if ending == ".in":
        lines = read_one_dimensional(path).lines
        return lines, noticed(lines)
    lines = (read_swc if ending == ".swc" else read_centerlines)(path, 1.0)
    notes: list[str] = []
    if unit is None:
        unit, notes = guess_unit(lines, str(path))
    lines = lines.scaled(UNITS[unit])
    return lines, notes + noticed(lines)


def guess_unit(lines: Centerlines, source: str) -> tuple[str, list[str]]:
    """The length unit in which a tree is as large as a coronary. Raises `InputError` where none or a mixture fits."""
    extent = float(np.ptp(lines.position, axis=0).max())
    radius = float(np.median(lines.lumen))
    by_extent = [u for u, s in UNITS.items() if EXTENT[0] <= extent * s <= EXTENT[1]]
    by_lumen = [u for u, s in UNITS.items() if LUMEN[0] <= radius * s <= LUMEN[1]]
    both = [u for u in by_extent if u in by_lumen]
    if both:
        return both[0], [f"lengths are taken to be in {both[0]}: the tree is {extent:.4g} {both[0]} across"]
    raise InputError(
        f"{source}: is {extent:.4g} across with a median radius of {radius:.4g}: the extent fits "
        f"{by_extent or 'no unit'}, the radius {by_lumen or 'no unit'}; name the unit, or mend the file if it mixes two"
    )


def noticed(lines: Centerlines) -> list[str]:
    """What a careful reader would notice about a tree, in sentences."""
    notes = []
    flipped = int(lines.flipped.sum())
    if flipped:
        notes.append(f"{flipped} vessels pointed towards the inlet: their direction is reversed in what follows")
    if len(lines.inlets) > 1:
        notes.append(
            f"{len(lines.inlets)} separate trees: each has its own inlet; remove loose pieces if they are none"
        )
    radius = lines.lumen
    throat = float(radius.min())
    if throat < 0.25e-3:
        notes.append(f"the least radius is {throat * 1e3:.3f} mm: throats this narrow dominate every pressure")
    jump = np.abs(np.log(radius[:, 1] / radius[:, 0]))
    if jump.max() > np.log(2.0):
        v = int(np.argmax(jump))
        name = lines.branch_names[int(lines.branch[v])]
        notes.append(f"the radius changes by a factor {np.exp(jump[v]):.1f} within one vessel of branch {name}")
    return notes
