"""Grow a tree of N terminals in a cube, a ball or a ventricular shell, and measure it: time, memory, cost, validity.

γ = 3 throughout, as the peers have it. Cost is C = Σ (k/N)^(2/γ) L, k the terminals below a vessel. With `--peer svv
--peer-python PATH` svVascularize grows in the same domain first, in an environment of its own, and perfsim then gets
its terminals. Murray's and the flow residual are computed from the finished network, not by the grower. Growing loads
no jax; time and memory are those until the tree stands.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

from perfsim import _runtime
from perfsim import network as net
from perfsim.growth import Ball, Box, EllipsoidShell, grow, stub_lines

import numpy as np

GAMMA = 3.0
RIM = 30e-3 * np.sqrt(1.0 - (15.0 / 60.0) ** 2)
DOMAINS = {
    "cube": (Box(np.full(3, -5e-3), np.full(3, 5e-3)), (-5e-3, 0, 0), (-1, 0, 0), 0.46e-3),
    "ball": (Ball(np.zeros(3), 10e-3), (0, 10e-3, 0), (0, 1, 0), 0.52e-3),
    "lv": (
        EllipsoidShell(np.array([21e-3, 21e-3, 51e-3]), np.array([30e-3, 30e-3, 60e-3]), 15e-3),
        (RIM, 0, 15e-3), (0, 0, 1), 0.70e-3,
    ),
}  # fmt: skip
"""domain, root, direction out of it, root radius [m]: those that svv ends with at 10⁴"""


def residuals(network: "net.VesselNetwork") -> tuple[float, float]:
    """Largest relative residual of Murray's law and of the flow at bifurcations of synthetic vessels."""
    radius = np.asarray(net.radii(network, net.no_lesions()))[:, 0]
    flow = np.asarray(network.design_flow()[0])
    tail = np.asarray(network.tail)
    into = net.vessel_into(network)
    below = np.zeros((2, len(network.position)))
    np.add.at(below[0], tail, radius**GAMMA)
    np.add.at(below[1], tail, flow)
    fork = np.flatnonzero((np.bincount(tail, minlength=len(into)) == 2) & (into >= 0))
    v = into[fork]
    return tuple(
        float(np.max(np.abs(below[k][fork] / value[v] - 1.0))) for k, value in enumerate((radius**GAMMA, flow))
    )


def outside_share(network: "net.VesselNetwork", domain) -> float:
    """Vessels of which one of 33 points lies outside by more than a thousandth of the domain's thickness."""
    inside = -domain.signed_distance(np.asarray(network.position)[np.asarray(network.terminals)])
    own = np.asarray(network.branch) == len(network.branch_names) - 1
    a, b = (np.asarray(network.position)[np.asarray(n)[own]] for n in (network.tail, network.head))
    worst = np.full(len(a), -np.inf)
    for s in np.linspace(0.0, 1.0, 33):
        worst = np.maximum(worst, domain.signed_distance((1.0 - s) * a + s * b))
    return float(np.mean(worst > 2e-3 * inside.max()))


def peer_tree(python: str, domain: str, terminals: int, seed: int) -> tuple[np.ndarray, dict]:
    """svv's terminals, and its time and cost."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tree.npz"
        script = Path(__file__).parent / "svv_peer.py"
        run = subprocess.run(
            [python, script, "--domain", domain, "--terminals", str(terminals), "--seed", str(seed), "--out", out],
            capture_output=True, text=True,
        )  # fmt: skip
        if run.returncode:
            raise SystemExit(f"svv failed on the {domain}: {run.stderr.strip().splitlines()[-1]}")
        times = json.loads(run.stdout.strip().splitlines()[-1])
        tree = dict(np.load(out))
    flow, length = tree["flow"], np.linalg.norm(tree["end"] - tree["start"], axis=1)
    cost = float(np.sum((flow / flow.max()) ** (2.0 / GAMMA) * length))
    return tree["end"][tree["leaf"]], {
        "peer_cpu_s": times["grow_cpu_s"], "peer_build_cpu_s": times["build_cpu_s"], "peer_cost": cost,
        "peer_root_radius_mm": round(1e3 * float(tree["radius"].max()), 3),
        "peer_short_share": round(float(np.mean(length < 2.0 * tree["radius"])), 4),
    }  # fmt: skip


def afterwards(network: "net.VesselNetwork", repeats: int = 9) -> dict:
    """CPU time of value and gradient of the lumen volume w.r.t. every position, demand, γ and r₀; of networkx."""
    import equinox as eqx
    import jax

    def leaves(n):
        return n.position, n.demand, n.exponent, n.root_radius

    @jax.jit
    @jax.value_and_grad
    def objective(values):
        return net.lumen_volume(eqx.tree_at(leaves, network, values))

    jax.block_until_ready(objective(leaves(network)))
    times = []
    for _ in range(repeats):
        started = time.process_time()
        jax.block_until_ready(objective(leaves(network)))
        times.append(time.process_time() - started)
    started = time.process_time()
    same = eqx.tree_equal(net.from_networkx(net.to_networkx(network)), network)
    return {
        "value_and_gradient_cpu_ms": round(1e3 * sorted(times)[repeats // 2], 2),
        "networkx_cpu_s": round(time.process_time() - started, 3), "networkx_lossless": bool(same),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domain", choices=tuple(DOMAINS), default="lv")
    parser.add_argument("--terminals", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", choices=("svv",))
    parser.add_argument("--peer-python", default="python3", help="an interpreter that has the peer installed")
    parser.add_argument("--after", action="store_true", help="time gradients and the networkx round trip, too")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is always JSON")
    arguments = parser.parse_args()
    domain, root, direction, radius = DOMAINS[arguments.domain]
    points, peer = None, {}
    if arguments.peer:
        points, peer = peer_tree(arguments.peer_python, arguments.domain, arguments.terminals, arguments.seed)
        points = points[domain.signed_distance(points) < 0.0]
    trunks = stub_lines([root], [direction], [radius])
    started = time.process_time()
    lines, report = grow(domain, trunks, arguments.terminals, exponent=GAMMA, points=points, seed=arguments.seed)
    cpu, memory = time.process_time() - started, _runtime.peak_memory_mb()
    network = net.VesselNetwork.of(lines)
    murray, flow = residuals(network)
    wanted = arguments.terminals if points is None else len(points)
    found = {
        "domain": arguments.domain, "terminals": wanted, "cpu_s": round(cpu, 3),
        "peak_rss_mb": round(memory, 1), "cost": report.cost,
        "far_overlaps": report.far_overlaps, "near_overlaps": report.near_overlaps, "short_share": report.short_share,
        "placed_share": report.terminals / wanted, "murray_residual": murray, "flow_residual": flow,
        "outside_share": outside_share(network, domain), "max_depth": report.depth,
        "stages_s": {k: round(v, 3) for k, v in report.seconds.items()},
    }  # fmt: skip
    if peer:
        peer["cost_ratio"] = round(report.cost / peer["peer_cost"], 4)
    print(json.dumps(found | peer | (afterwards(network) if arguments.after else {})))


if __name__ == "__main__":
    main()
