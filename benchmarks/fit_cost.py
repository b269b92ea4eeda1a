"""What the fit of a field costs: 10⁴ parameters to a voxel map of rest and hyperemia with 15 % correlated noise.

The reference heart with a field of tone (sd 0.2, 15 mm) is seen through 7 mm in 4 mm voxels; tone of every territory
and a field on all volumes are fitted, to a tenth of the posterior's standard deviation. Counted in values with
gradients: two solves of all states make one. `gradient` is the time of one value with its gradient over a value's.
"""

import argparse
import json
import time

import perfsim
from perfsim.cohorts import reference_heart
from perfsim.coupling import simulate
from perfsim.inverse import Free, ToneField, fit, problem
from perfsim.observe import LongAxis, Noise, Scan, Voxels, correlation_factor

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

perfsim.enable_x64()

STATES = ("rest", "hyperemia")
FREE = (Free("tone", spread=0.35), ToneField(0.2, 15e-3))


@eqx.filter_jit
def value(posed, xi):
    return posed.cost(xi, posed.residual(xi))


@eqx.filter_jit
def value_and_gradient(posed, xi):
    return jax.value_and_grad(lambda z: posed.cost(z, posed.residual(z)))(xi)


def seconds(function, *arguments, repeats: int) -> float:
    """Median time of a compiled call."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spacing", type=float, default=2.55, help="of the mesh [mm]")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    arguments = parser.parse_args()
    heart = reference_heart(terminals=1000, spacing=1e-3 * arguments.spacing)
    sim, axis = heart.sim, LongAxis.of(heart.wall.frame)
    view = Voxels.grid(sim.volumes, axis, 7e-3, 4e-3)
    noise = Noise(0.15, 0.02, correlation_factor(np.asarray(view.point), 7e-3))
    empty = Scan(STATES, jnp.zeros((2, len(view.point))), noise, view)
    posed, _ = problem(sim, [empty], FREE)
    rng = np.random.default_rng(0)
    truth = posed.at(jnp.asarray(rng.normal(size=posed.size)))
    maps = np.asarray(empty.predict(truth.sim, simulate(truth.sim)))
    scan = eqx.tree_at(lambda s: s.value, empty, jnp.asarray(np.stack([noise.draw(rng, m) for m in maps])))
    runs = []
    for _ in range(2):
        started = time.perf_counter()
        found = fit(sim, [scan], FREE)
        runs.append(time.perf_counter() - started)
    assert found.converged
    at = found.problem, jnp.asarray(found.xi)
    forward, both = (seconds(f, *at, repeats=arguments.repeats) for f in (value, value_and_gradient))
    row = {
        "parameters": found.problem.size,
        "data": scan.value.size,
        "iterations": found.iterations,
        "values_with_gradient": found.work.solves / 2,
        "seconds": round(runs[0], 1),
        "seconds_compiled": round(runs[1], 1),
        "gradient": round(both / forward, 2),
    }
    print(json.dumps(row, indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
