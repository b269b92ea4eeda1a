"""Solves until a fit is done, by our method and by those that peers use, on one problem in one run.

8 parameters: tone of three territories, severity of three lesions, lumen scale, the program's scale; data are 17
segments at rest and in hyperemia. From 300 on: the tone of as many terminals; data are 5 mm voxels. A method is done
when it evaluates a misfit within 0.1 % of the way to the optimum; `in_all` is what our fit spends until it knows that
it has converged. A value of all states is one solve, a value with its gradient two, a tangent one. Needs
`pip install cma DFO-LS optax`.
"""

import argparse
import contextlib
import json
import time

import perfsim
from perfsim.cohorts import Stenosis, reference_heart
from perfsim.coupling import pad, simulate
from perfsim.inverse import fit, problem
from perfsim.observe import LongAxis, Noise, Scan, Segments, Voxels

import cma
import dfols
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.optimize import least_squares, minimize

perfsim.enable_x64()

STATES = ("rest", "hyperemia")
DONE = 1e-3
LEARNING_RATE, EPOCHS = 1e-2, 5000  # jaxFlowSim's, for four resistances


class Finished(Exception):
    """A method has reached the goal, or spent what it may."""


class Counter:
    """Values and gradients of a problem, counted, until the goal is reached."""

    def __init__(self, posed, goal: float, most: int):
        self.residual = eqx.filter_jit(posed.residual)
        self.slope = eqx.filter_jit(jax.value_and_grad(lambda xi: posed.cost(xi, posed.residual(xi))))
        self.goal, self.most, self.solves, self.converged = goal, most, 0, False

    def whole(self, xi) -> np.ndarray:
        """All residuals, those of the prior included."""
        value = np.concatenate([np.asarray(self.residual(jnp.asarray(xi))), np.asarray(xi)])
        self._count(1, 0.5 * float(value @ value))
        return np.nan_to_num(value, nan=1e6, posinf=1e6, neginf=-1e6)

    def cost(self, xi) -> float:
        value = self.whole(xi)
        return 0.5 * float(value @ value)

    def gradient(self, xi):
        value, slope = self.slope(xi)
        self._count(2, float(value))
        return slope

    def _count(self, solves: int, cost: float) -> None:
        self.solves += solves
        self.converged = self.converged or cost <= self.goal
        if self.converged or self.solves >= self.most:
            raise Finished


def adafactor(counter: Counter, n: int) -> None:
    rule = optax.adafactor(LEARNING_RATE)
    xi = jnp.zeros(n)
    state = rule.init(xi)
    for _ in range(EPOCHS):
        update, state = rule.update(counter.gradient(xi), state, xi)
        xi = optax.apply_updates(xi, update)


METHODS = {
    "DFO-LS": lambda c, n: dfols.solve(c.whole, np.zeros(n), rhobeg=0.3, maxfun=c.most),
    "LM, finite differences": lambda c, n: least_squares(c.whole, np.zeros(n), method="lm", max_nfev=c.most),
    "Nelder-Mead": lambda c, n: minimize(
        c.cost, np.zeros(n), method="Nelder-Mead", options={"maxfev": c.most, "adaptive": True, "fatol": 0, "xatol": 0}
    ),
    "CMA-ES": lambda c, n: cma.fmin2(c.cost, np.zeros(n), 0.3, {"maxfevals": c.most, "verbose": -9, "seed": 1}),
    "Adafactor": adafactor,
}


def posed_problem(parameters: int):
    """(simulation to start from, data, what is free)."""
    many = parameters >= 300
    lesions = tuple(
        Stenosis(b, x, d, 0.01) for b, x, d in (("LAD", 0.025, 0.55), ("LCx", 0.02, 0.3), ("RCA", 0.04, 0.2))
    )
    heart = reference_heart(terminals=parameters if many else 300, spacing=3.2e-3, stenoses=lesions)
    sim, axis = pad(heart.sim), LongAxis.of(heart.wall.frame)
    rng = np.random.default_rng(0)
    free = ("terminal_tone",) if many else ("tone", "severity", "lumen", "scale")
    view = Voxels.grid(sim.volumes, axis, 7e-3, 5e-3) if many else Segments(axis)
    size = len(view.point) if many else 17
    scan = Scan(STATES, jnp.zeros((2, size)), Noise(0.10, 0.02), view)
    posed, _ = problem(sim, [scan], free)
    truth = posed.at(jnp.asarray(0.7 * rng.normal(size=posed.size)))
    seen = truth.data[0].predict(truth.sim, simulate(truth.sim))
    value = np.stack([scan.noise.draw(rng, v) for v in np.asarray(seen)])
    return sim, [eqx.tree_at(lambda s: s.value, scan, jnp.asarray(value))], free


def reached(ours, goal: float) -> tuple[int, bool]:
    """(solves when the goal was first seen, whether it was); tangents there are for the next step."""
    tangents = ours.problem.size if ours.work.tangents % ours.problem.size == 0 and not ours.work.gradients else 0
    for solves, cost in ours.history:
        if cost <= goal:
            return solves - tangents, True
    return ours.work.solves, ours.cost_after <= goal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, default=8)
    parser.add_argument("--most", type=int, default=6000, help="solves that a method may spend")
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sim, data, free = posed_problem(arguments.parameters)
    best = fit(sim, data, free, tolerance=1e-3)
    goal = best.cost_after + DONE * (best.cost_before - best.cost_after)
    ours = fit(sim, data, free, tolerance=0.3)
    rows = [("perfsim", *reached(ours, goal), 0.0)]
    if not arguments.json:
        print(rows[0], f"{ours.work.solves} in all", flush=True)
    for name in arguments.methods:
        counter = Counter(best.problem, goal, arguments.most)
        started = time.perf_counter()
        with contextlib.suppress(Finished):
            METHODS[name](counter, best.problem.size)
        rows.append((name, counter.solves, counter.converged, time.perf_counter() - started))
        if not arguments.json:
            print(rows[-1], flush=True)
    out = [{"method": m, "parameters": best.problem.size, "solves": s, "converged": bool(c)} for m, s, c, _ in rows]
    out[0]["in_all"] = ours.work.solves
    print(json.dumps(out))


if __name__ == "__main__":
    main()
