"""Trees for svOneDSolver (`.in`, cgs): nodes, segments, joints, a wall, an inflow and resistances."""

import re
from pathlib import Path

from perfsim._results import InputError
from perfsim.io.oned_cards import CM, Material
from perfsim.network import Centerlines

import numpy as np

CGS_RESISTANCE, CGS_FLOW = 1e5, 1e-6  # dyn·s/cm⁵, cm³/s in SI
OLUFSEN = Material(1.06, 0.04, 0.0, 2.0, 2.0e7, -22.53, 8.65e5)
"""blood, a parabolic profile and the wall of Olufsen's fit"""


def write_one_dimensional(
    path: Path, lines: Centerlines, material: Material, *, flow: float, resistance: np.ndarray, name: str = "model"
) -> None:
    """Write a tree: every vessel a segment as long as the distance of its nodes.

    Arguments: the file; the tree [m] with one inlet; its wall and blood [cgs], the lumens being those at the material's
    reference pressure; the steady inflow [m³/s]; the `resistance` of each outlet [Pa·s/m³], to a pressure of 0. Reading
    the file gives the same tree. Raises `InputError` for a tree with several inlets, or with vessels that run towards
    the inlet.
    """
    if len(lines.inlets) != 1 or lines.flipped.any():
        raise InputError("svOneDSolver's format here takes one tree whose vessels all run away from its inlet")
    names = _segment_names(lines)
    outlet = {int(n): k for k, n in enumerate(lines.outlets)}
    cards = [f"MODEL {_word(name)}"]
    cards += [f"NODE {n} {x!r} {y!r} {z!r}" for n, (x, y, z) in enumerate((lines.position / CM).tolist())]
    cards += _joints(lines)
    area = np.pi * (lines.lumen / CM) ** 2
    for v, (a, b) in enumerate(zip(lines.tail.tolist(), lines.head.tolist(), strict=True)):
        end = f"RESISTANCE R{outlet[b]}" if b in outlet else "NOBOUND NONE"
        length = float(lines.length[v]) / CM
        cells = max(2, int(np.ceil(length / 0.1)))
        cards.append(
            f"SEGMENT {names[v]} {v} {length!r} {cells} {a} {b} {float(area[v, 0])!r} {float(area[v, 1])!r} 0.0 MAT1 "
            f"NONE 0.0 0 0 {end}"
        )
    for k, R in enumerate(np.asarray(resistance, float).tolist()):
        cards += [f"DATATABLE R{k} LIST", f"0.0 {R / CGS_RESISTANCE!r}", "ENDDATATABLE"]
    inflow = flow / CGS_FLOW
    cards += ["DATATABLE INFLOW LIST", f"0.0 {inflow!r}", f"1.0 {inflow!r}", "ENDDATATABLE"]
    cards.append("SOLVEROPTIONS 0.001 100 5000 2 INFLOW FLOW 1.0e-6 1 1")
    cards.append("MATERIAL MAT1 OLUFSEN " + " ".join(repr(float(x)) for x in material))
    Path(path).write_text("\n".join([*cards, "OUTPUT TEXT", ""]), encoding="utf-8")


def _segment_names(lines: Centerlines) -> list[str]:
    """BRANCH_k, k counting along the branch; a reader takes what stands before the last underscore as the branch."""
    found, count = [], dict.fromkeys(range(len(lines.branch_names)), 0)
    for b in lines.branch.tolist():
        found.append(f"{_word(lines.branch_names[b])}_{count[b]}")
        count[b] += 1
    return found


def _word(name: str) -> str:
    """A name without what would end a word or a line of a card."""
    return re.sub(r"[\s,#]+", "-", str(name)) or "model"


def _joints(lines: Centerlines) -> list[str]:
    """Three cards for every node where a vessel ends and others begin."""
    cards = []
    for node in range(len(lines.position)):
        entering, leaving = (np.flatnonzero(side == node) for side in (lines.head, lines.tail))
        if len(entering) and len(leaving):
            cards += [f"JOINT J{node} {node} IN{node} OUT{node}"]
            for kind, own in (("INLET IN", entering), ("OUTLET OUT", leaving)):
                cards.append(f"JOINT{kind}{node} {len(own)} {' '.join(map(str, own.tolist()))}")
    return cards
