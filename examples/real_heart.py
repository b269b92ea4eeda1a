"""A real left ventricle with a real left coronary tree: rest, hyperemia, maps and FFR.

The wall is patient 1 of biv-me (surfaces, guide points), the left tree is SimVascular's left coronary example, and the
right coronary artery is the embedded one, fitted on. Two people's anatomy: the result shows that the chain runs on
real geometry, and is no patient's physiology.

    python examples/real_heart.py DATA [--out real-heart]

DATA is the folder that holds `lv/bivme_patient1` and `coronary/simvascular_left`. The same as a case file, for
`perfsim run`, is `examples/real_heart.toml`; this script adds two checks.
"""

import argparse
import json
from pathlib import Path

import perfsim
from perfsim import io
from perfsim.cli.run import run_case
from perfsim.cohorts import Heart

import numpy as np
from scipy.spatial import cKDTree

perfsim.enable_x64()

CASE = Path(__file__).with_suffix(".toml")


def case(data: Path, terminals: int = 3000, spacing: str = "2 mm") -> io.Case:
    """The case file with its data in another place, or another size."""
    text = CASE.read_text().replace('"data/', f'"{data.absolute().as_posix()}/')
    text = text.replace("terminals = 3000", f"terminals = {terminals}").replace(
        'spacing = "2 mm"', f'spacing = "{spacing}"'
    )
    return io.parse_case(text, CASE.name)


def real_heart(data: Path, terminals: int = 3000, spacing: str = "2 mm") -> Heart:
    """Wall, placed trunks, growth, mesh."""
    checked = case(data, terminals, spacing)
    return io.couple_case(checked, io.grow_case(checked))


def compare_mask(heart: Heart, data: Path) -> dict[str, float]:
    """The wall made of the surfaces beside the 2 mm mask that comes with them [mL]."""
    given = np.load(data / "lv" / "bivme_patient1" / "lv_mask_2mm.npz")
    mask, step = given["mask"], float(given["spacing_mm"]) * 1e-3
    at = given["origin"] * 1e-3 + step * np.argwhere(np.ones(mask.shape, bool))
    inside = heart.wall.inside(at).reshape(mask.shape)
    unit = step**3 * 1e6
    return {
        "surfaces_mL": round(inside.sum() * unit, 1),
        "mask_mL": round(mask.sum() * unit, 1),
        "both_mL": round((inside & mask).sum() * unit, 1),
    }


def septal_clearance(heart: Heart) -> float:
    """Least distance [m] of the left tree's trunks from the middle of the septum's right side."""
    frame, network = heart.wall.frame, heart.sim.network
    u = np.linspace(0.15, 0.85, 30)
    septum = heart.wall.point(u, np.full(30, 0.5 * (frame.anterior_insert + frame.inferior_insert)))
    left = [i for i, name in enumerate(network.branch_names) if name.startswith(("LAD", "LCx"))]
    on = np.isin(np.asarray(network.branch), left)
    return float(cKDTree(np.asarray(network.position)[np.asarray(network.head)[on]]).query(septum)[0].min())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("real-heart"))
    parser.add_argument("--terminals", type=int, default=3000)
    parser.add_argument("--overwrite", action="store_true")
    arguments = parser.parse_args()
    run_case(case(arguments.data, arguments.terminals), arguments.out, overwrite=arguments.overwrite)
    heart = real_heart(arguments.data, arguments.terminals)
    checks = {"mask_2mm": compare_mask(heart, arguments.data), "septal_clearance_mm": 1e3 * septal_clearance(heart)}
    print(json.dumps(checks))


if __name__ == "__main__":
    main()
