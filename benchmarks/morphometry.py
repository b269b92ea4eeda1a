"""A crown like the LAD's beside Kassab's (1993) measurements: 60 cm³ of wall, 9,000 terminals, γ = 7/3, a trunk.

The domain is a sector of a ventricular shell, the trunk runs down its middle on the epicardium; its lumen, 3.18 mm at
the root, follows the radius law like all others. A tenth of the terminals is laid first, in the outer fifth of the wall
(`--epicardial 0` for none). Prints one JSON object: elements by order beside the table, crown
exponents, and the spread of total length and volume over seeds.
"""

import argparse
import json

import perfsim
from perfsim.growth import EllipsoidShell, grow
from perfsim.network import (
    VesselNetwork,
    asymmetry,
    compare_kassab,
    crown_exponents,
    lumen_volume,
    no_lesions,
    radii,
)

import numpy as np

perfsim.enable_x64()

SCALE, HALF_ANGLE, ROOT_RADIUS = 1.15, 1.43, 1.59e-3
SHELL = EllipsoidShell(SCALE * np.array([21e-3, 21e-3, 51e-3]), SCALE * np.array([30e-3, 30e-3, 60e-3]), SCALE * 15e-3)


class Sector:
    """The part of the shell within an angle of the x axis: 60 cm³."""

    def bounds(self):
        return SHELL.bounds()

    def depth(self, x):
        return SHELL.depth(np.asarray(x))

    def signed_distance(self, x):
        x = np.asarray(x)
        beyond = np.abs(np.arctan2(x[..., 1], x[..., 0])) - HALF_ANGLE
        side = np.hypot(x[..., 0], x[..., 1]) * np.sin(np.clip(beyond, -np.pi / 2, np.pi / 2))
        return np.maximum(SHELL.signed_distance(x), side)


def trunk() -> VesselNetwork:
    """From the base to near the apex along the middle of the sector's outer surface."""
    z = np.linspace(SHELL.top, -0.93 * SHELL.outer[2], 120)
    rho = SHELL.outer[0] * np.sqrt(1.0 - (z / SHELL.outer[2]) ** 2)
    on = np.stack([rho, 0.0 * z, z], 1)
    position = np.concatenate([[on[0] + [0.0, 0.0, 2.0 * ROOT_RADIUS]], on])
    n = len(position)
    return VesselNetwork.build(
        position, np.arange(n - 1), np.arange(1, n), np.full(n - 1, ROOT_RADIUS), inlets=[0], branch_names=("LAD",),
        measured=np.zeros(n - 1, bool), root_radius=[ROOT_RADIUS],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--terminals", type=int, default=9000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epicardial", type=float, default=0.1, help="share of the terminals laid first, outside")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is always JSON")
    arguments = parser.parse_args()
    totals, table = [], []
    for seed in range(arguments.seeds):
        network, report = grow(Sector(), trunk(), arguments.terminals, seed=seed, epicardial=arguments.epicardial)
        totals.append([float(network.length.sum()), float(lumen_volume(network))])
        diameter = 2.0 * np.asarray(radii(network, no_lesions())).mean(1)
        if seed == 0:
            table = [
                {
                    "order": r.order, "count": r.count, "count_ratio": round(r.count / r.measured_count, 2),
                    "diameter_um": round(1e6 * r.diameter, 1),
                    "diameter_ratio": round(r.diameter / r.measured_diameter, 3),
                    "length_mm": round(1e3 * r.length, 2), "measured_length_mm": round(1e3 * r.measured_length, 2),
                }
                for r in compare_kassab(network, diameter, "LAD")
            ]  # fmt: skip
            exponents = crown_exponents(network, diameter, np.asarray(network.design_flow()[0]))
            ratio = float(np.median(asymmetry(network, diameter)))
    spread = np.std(totals, axis=0, ddof=1) / np.mean(totals, axis=0) if len(totals) > 1 else [0.0, 0.0]
    print(
        json.dumps(
            {
                "orders": table,
                "crown_exponents": {k: round(v, 4) for k, v in exponents.items()},
                "median_daughter_ratio": round(ratio, 3),
                "length_cv": round(float(spread[0]), 4),
                "volume_cv": round(float(spread[1]), 4),
                "overlaps": [report.far_overlaps, report.near_overlaps],
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
