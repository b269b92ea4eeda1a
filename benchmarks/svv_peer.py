"""Grow a tree with svVascularize (svv) on a domain of benchmarks/growth.py; runs in an environment that has svv.

Writes start, end [m] and flow of every vessel to an .npz and prints one JSON line. Called by `growth.py --peer svv`.
"""

import argparse
import json
import time

import numpy as np
import pyvista as pv
from svv.domain.domain import Domain
from svv.tree.tree import Tree

CM = 1e-2


def surface(name: str) -> pv.PolyData:
    """Closed triangulated boundary of a domain [cm]."""
    if name == "cube":
        return pv.Cube().triangulate().subdivide(4)
    if name == "ball":
        return pv.Sphere(radius=1.0, theta_resolution=60, phi_resolution=60)
    h = 0.12  # svv's patches turn singular on slivers: a coarse contour, smoothed and thinned, off the axes
    shape = [int(s / h) + 1 for s in (7, 7, 8)]
    grid = pv.ImageData(dimensions=shape, spacing=(h,) * 3, origin=(-3.5037, -3.5071, -6.4053))
    x = np.asarray(grid.points)
    f = [np.sqrt(((x / np.array(axes)) ** 2).sum(1)) - 1.0 for axes in ((2.1, 2.1, 5.1), (3.0, 3.0, 6.0))]
    grid["f"] = np.maximum.reduce([2.1 * -f[0], 3.0 * f[1], x[:, 2] - 1.5])
    return grid.contour([0.0], scalars="f").triangulate().clean().smooth_taubin(n_iter=30).decimate(0.5).clean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domain", choices=("cube", "ball", "lv"), required=True)
    parser.add_argument("--terminals", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    root = {
        "cube": (-0.5, 0.0, 0.0),
        "ball": (0.0, 1.0, 0.0),
        "lv": (2.9, 0.0, 1.2),  # on the rim itself svv finds no place for a root
    }[arguments.domain]
    started = time.process_time()
    domain = Domain(surface(arguments.domain))
    domain.set_random_seed(arguments.seed)
    domain.create()
    domain.solve()
    domain.build()
    built = time.process_time() - started
    tree = Tree()
    tree.set_domain(domain)
    tree.set_root(np.array(root))
    tree.n_add(arguments.terminals - 1)
    grown = time.process_time() - started - built
    data = np.asarray(tree.data)
    np.savez(
        arguments.out, start=data[:, 0:3] * CM, end=data[:, 3:6] * CM, radius=data[:, 21] * CM, flow=data[:, 22],
        leaf=np.isnan(data[:, 15]) & np.isnan(data[:, 16]),
    )  # fmt: skip
    print(json.dumps({"build_cpu_s": round(built, 2), "grow_cpu_s": round(grown, 2), "vessels": len(data)}))


if __name__ == "__main__":
    main()
