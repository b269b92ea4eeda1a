"""A real left ventricle with a real left coronary tree: rest, hyperemia, maps and FFR.

The wall is patient 1 of biv-me (surfaces, guide points), the left tree is SimVascular's left coronary example, and the
right coronary artery is the embedded one, fitted on. Two people's anatomy: the result shows that the chain runs on
real geometry, and is no patient's physiology.

    python examples/real_heart.py DATA [--out real-heart]

DATA is the folder that holds `lv/bivme_patient1` and `coronary/simvascular_left`.
"""

import argparse
import json
import time
from pathlib import Path

from perfsim import io, viz
from perfsim.anatomy import coronary_trunks, place_left_tree
from perfsim.cohorts import Heart, couple, grow_heart
from perfsim.coupling import Solution, check, simulate
from perfsim.io.surfaces import frame_from_guide_points, read_guide_points, wall_from_surfaces
from perfsim.network import VesselNetwork, relabel, resample, union
from perfsim.observe import aha17
from perfsim.units import MMHG

import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

NAMES = {"lc2": "LAD", "lc1": "LCx", "lc1_sub1": "OM1", "lc1_sub2": "OM2", "lc1_sub3": "OM3", "lc2_sub1": "D1"}
"""the file does not say which is which: as LAD, lc2 fits an anterior groove to 7 mm, lc1 only to 16 mm"""
PRESSURE = 93 * MMHG  # at which the lumens are read


def left_tree(path: Path) -> VesselNetwork:
    """The SimVascular left coronary: lumens dilated to arterial pressure, branches named, main stem split off."""
    model = io.read_one_dimensional(path)
    network = model.network
    radius = io.dilated_radius(np.asarray(network.lumen), PRESSURE, *model.material[-3:])
    names = ["LM", *(NAMES[b] for b in network.branch_names)]
    branch = np.asarray(network.branch) + 1
    degree = np.bincount(np.asarray(network.tail), minlength=len(network.position))
    stem = int(np.argmax(degree[np.asarray(network.head)] > 1))  # up to the first bifurcation
    branch[: stem + 1] = 0
    return resample(
        relabel(
            network, branch, names, lumen=radius, outlets=[], outlet_names=(), outlet_demand=[], inlet_names=("LM",),
            root_radius=[radius[: stem + 1].mean()],
        ),
        0.8e-3,
    )  # fmt: skip


def real_heart(data: Path, terminals: int = 3000, spacing: float = 2e-3) -> tuple[Heart, dict]:
    """Wall, placed trunks, growth, mesh. Returns the heart and what was done to make the anatomies one."""
    folder = data / "lv" / "bivme_patient1"
    frame = frame_from_guide_points(read_guide_points(folder / "GPFile_000.txt"))
    surfaces = [folder / f"patient1_{name}_000.obj" for name in ("EPICARDIAL", "LV_ENDOCARDIAL", "RV_ENDOCARDIAL")]
    wall = wall_from_surfaces(*surfaces, frame)
    tree = next((data / "coronary" / "simvascular_left").glob("*.in"))
    placed, placement = place_left_tree(left_tree(tree), wall)
    trunks = union(placed, coronary_trunks(wall, "right", only=("RCA",)))
    attach = tuple(b for b in trunks.branch_names if b not in ("LM", "RCA", "PLV", *trunks.outlet_names))
    grown = grow_heart(wall, trunks, terminals=terminals, attach=attach)
    given = np.load(folder / "lv_mask_2mm.npz")
    notes = {
        "note": "two people's anatomy: the left ventricle of one, the left coronary of another, with the embedded RCA",
        "placement": {k: round(v, 4) for k, v in vars(placement).items()},
        "mask_2mm": compare_mask(wall, given),
    }
    return couple(grown, spacing=spacing), notes


def compare_mask(wall, given) -> dict[str, float]:
    """The wall made of the surfaces beside the 2 mm mask that comes with them [mL]."""
    mask, step = given["mask"], float(given["spacing_mm"]) * 1e-3
    at = given["origin"] * 1e-3 + step * np.argwhere(np.ones(mask.shape, bool))
    inside = wall.inside(at).reshape(mask.shape)
    unit = step**3 * 1e6
    return {
        "surfaces_mL": round(inside.sum() * unit, 1),
        "mask_mL": round(mask.sum() * unit, 1),
        "both_mL": round((inside & mask).sum() * unit, 1),
    }


def septal_side_distance(heart: Heart, data: Path) -> float:
    """Least distance [m] of the left epicardial trunks from the right ventricle's side of the septum's middle."""
    frame, network = heart.wall.frame, heart.sim.network
    u = np.linspace(0.15, 0.85, 30)
    middle = 0.5 * (frame.anterior_insert + frame.inferior_insert)
    septum = heart.wall.point(u, np.full(30, middle))
    left = [network.branch_names.index(n) for n in NAMES.values()]
    on = np.isin(np.asarray(network.branch), left)
    return float(cKDTree(np.asarray(network.position)[np.asarray(network.head)[on]]).query(septum)[0].min())


def main() -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("real-heart"))
    parser.add_argument("--terminals", type=int, default=3000)
    arguments = parser.parse_args()
    started = time.perf_counter()
    heart, notes = real_heart(arguments.data, arguments.terminals)
    solution = check(simulate(heart.sim))
    summary = {"name": "real heart", **io.summarize(heart, solution), **notes}
    summary["warnings"].append(
        f"{notes['note']}: MBF of the left and right territories follows different people's lumens; do not compare it"
    )
    summary["seconds"] = {"all": time.perf_counter() - started}
    summary["septum_clearance_mm"] = round(1e3 * septal_side_distance(heart, arguments.data), 2)
    write(arguments.out, heart, solution, summary)
    for title, header, rows in viz.tables(summary):
        print(f"\n{title}\n" + "\n".join("  ".join(f"{c:>16}" for c in row) for row in [header, *rows]))
    print(
        json.dumps(
            {k: summary[k] for k in ("note", "placement", "mask_2mm", "septum_clearance_mm", "warnings")}, indent=1
        )
    )
    return summary


def write(out: Path, heart: Heart, solution: Solution, summary: dict) -> None:
    """The same files as `perfsim run`."""
    out.mkdir(parents=True, exist_ok=True)
    sim, frame = heart.sim, heart.wall.frame
    label = aha17(frame, sim.volumes.center)
    io.write_network(out / "network.vtp", sim, solution)
    io.write_tissue(out / "tissue.vtu", sim, solution, heart.samples, {"aha_segment": label + 1})
    io.write_mbf(out / "mbf.nii.gz", solution, heart.samples)
    io.write_segments(out / "segments.csv", io.segments(heart, solution))
    maps = {
        "rest": (solution.rest.mbf, "mL/min/g"),
        "hyperemia": (solution.hyperemia.mbf, "mL/min/g"),
        "MFR": (solution.mfr, ""),
    }
    pictures = {"Perfusion": out / "polar.png", "Coronary tree": out / "tree.png"}
    viz.polar_maps(
        pictures["Perfusion"], frame, sim.volumes.center, sim.volumes.volume, maps, "real heart: MBF and MFR"
    )
    viz.tree_picture(pictures["Coronary tree"], sim, solution.hyperemia, frame, "real heart: hyperemia")
    (out / "summary.json").write_text(json.dumps(summary, indent=1))
    viz.write_report(out / "report.html", "real heart", summary, pictures, sim, solution, heart.samples, [])
    assert jnp.isfinite(solution.rest.mbf).all()


if __name__ == "__main__":
    main()
