"""One door for coronary trees: the reader by the file's ending, the unit by its size, and what looks wrong."""

import re
from pathlib import Path

from perfsim._files import read_text
from perfsim._results import InputError
from perfsim.io.centerlines import read_centerlines
from perfsim.io.simvascular import OneDimensionalModel, read_one_dimensional
from perfsim.io.swc import swc_with_notes
from perfsim.io.vessel_paths import read_vessel_path
from perfsim.network import Centerlines

import numpy as np

ENDINGS = (".swc", ".in", ".vtp", ".pth", ".ctgr")
UNITS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6}
ALIASES = {"µm": "um", "μm": "um", "micron": "um", "microns": "um"}
EXTENT = (20e-3, 220e-3)
"""[m], from the smallest plausible coronary tree's longest side to the largest"""
LUMEN = (0.15e-3, 4e-3)
"""[m], median radius"""
SAID = re.compile(r"(?<![\wµμ])(mm|cm|um|µm|μm|microns?)(?!\w)", re.IGNORECASE)


def read_tree(path: str | Path, unit: str | None = None) -> tuple[Centerlines, list[str]]:
    """Read a tree in SWC, svOneDSolver, VTP or SimVascular's path format; returns it with what was noticed.

    `unit` is the length unit of the file's numbers, one of m, cm, mm, um. Without it, it is the one that the file
    names, else the one that makes the tree the size of a coronary; which was taken is said. `.in` files are in cm by
    definition. Raises `InputError`, also where the unit is in doubt.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(
            f"{path}: {ending or 'no ending'} is not a tree format that perfsim reads: {', '.join(ENDINGS)}"
        )
    unit = ALIASES.get(unit, unit) if unit else None
    if unit is not None and unit not in UNITS:
        raise InputError(f"{path}: the unit {unit!r} is not one of {', '.join(UNITS)}")
    if ending == ".in":
        model, notes = read_one_dimensional_tree(path, unit)
        return model.lines, notes
    lines, notes = READERS[ending](path)
    if unit is None:
        unit, said = _said_unit(path, lines) if ending == ".swc" else guess_unit(lines, str(path))
        notes = notes + said
    lines = lines.scaled(UNITS[unit])
    return lines, notes + noticed(lines)


def _vtp(path: Path) -> tuple[Centerlines, list[str]]:
    return read_centerlines(path, 1.0), []


READERS = {
    ".swc": lambda path: swc_with_notes(path, 1.0), ".vtp": _vtp, ".pth": read_vessel_path,
    ".ctgr": read_vessel_path,
}  # fmt: skip


def read_one_dimensional_tree(path: Path, unit: str | None = None) -> tuple[OneDimensionalModel, list[str]]:
    """Read an svOneDSolver file as a tree, with what was noticed. `unit` as in `read_tree`, cm unless given.

    Raises `InputError` where the tree is no coronary in cm, but one in another unit.
    """
    model = read_one_dimensional(path, UNITS[unit or "cm"])
    if unit is None:
        by_extent, by_lumen = _plausible(model.lines, 1.0 / UNITS["cm"])
        fits = [u for u in by_extent if u in by_lumen]
        if fits and "cm" not in fits and len(model.lines.outlets) > 1:  # a single tube may be of any size
            size = float(np.ptp(model.lines.position, axis=0).max())
            raise InputError(
                f"{path}: in cm, as the format has it, the tree is {size * 1e3:.4g} mm across, which no coronary is; "
                f"in {fits[0]} it would be one: say unit = {fits[0]!r}, or unit = 'cm' if it is as large as that"
            )
    notes = noticed(model.lines)
    bent = len(model.segment_names) - len(set(model.segment_names))
    if bent:
        notes.append(f"{bent} segments are longer than their nodes' distance: they are as long as their cards say")
    if len(model.stenoses):
        names = ", ".join(dict.fromkeys(model.segment_names[v] for v in model.stenoses))
        notes.append(f"marked STENOSIS: {names}; perfsim takes the narrowing as it is drawn, by its areas")
    return model, notes


def _said_unit(path: Path, lines: Centerlines) -> tuple[str, list[str]]:
    """The unit that a comment of the file names, else the one that fits."""
    comments = [line.partition("#")[2] for line in read_text(path).splitlines() if "#" in line]
    found = {u.lower() for comment in comments for u in SAID.findall(comment)}
    units = sorted({ALIASES.get(u, u) for u in found})
    if len(units) != 1:
        return guess_unit(lines, str(path))
    by_extent, by_lumen = _plausible(lines, 1.0)
    fits = [u for u in by_extent if u in by_lumen]
    if fits and units[0] not in fits:
        raise InputError(
            f"{path}: a comment names {units[0]}, in which the tree is no coronary; in {fits[0]} it would be one: name "
            "the unit"
        )
    return units[0], [f"lengths are in {units[0]}, as a comment of the file says"]


def _plausible(lines: Centerlines, scale: float) -> tuple[list[str], list[str]]:
    """Units in which the extent, and the median radius, are those of a coronary tree, for lengths times `scale`."""
    extent = float(np.ptp(lines.position, axis=0).max()) * scale
    radius = float(np.median(lines.lumen)) * scale
    by_extent = [u for u, s in UNITS.items() if EXTENT[0] <= extent * s <= EXTENT[1]]
    return by_extent, [u for u, s in UNITS.items() if LUMEN[0] <= radius * s <= LUMEN[1]]


def guess_unit(lines: Centerlines, source: str) -> tuple[str, list[str]]:
    """The length unit in which a tree is as large as a coronary. Raises `InputError` where none, or two, fit."""
    extent = float(np.ptp(lines.position, axis=0).max())
    radius = float(np.median(lines.lumen))
    by_extent, by_lumen = _plausible(lines, 1.0)
    both = [u for u in by_extent if u in by_lumen]
    if len(both) == 1:
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
