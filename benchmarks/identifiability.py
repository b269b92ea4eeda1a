"""Does the fit say truly what the data cannot tell, and what to measure next? Against brute force.

Brute force draws widely around the optimum, sends every draw through the model, and weights it by the posterior: no
linearization enters. Correlations come from the weighted draws; the gain of a candidate is the mean over hypothetical
readings of how much the entropy of the weighted draws (of a normal with their covariance) falls.
"""

import argparse
import json

import perfsim
from perfsim.cohorts import Stenosis, reference_heart
from perfsim.coupling import pad, simulate
from perfsim.inverse import Free, fit, identifiability, next_measurement, posterior
from perfsim.observe import Cuff, LongAxis, Noise, PolarMap, Pose, Scan, Segments, Voxels, Wire, lesion_sites

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

perfsim.enable_x64()

WIDER = 1.4
READINGS = 60


def heart(position: float):
    """A heart with an LAD stenosis: (simulation, long axis)."""
    made = reference_heart(terminals=300, spacing=4e-3, stenoses=(Stenosis("LAD", position, 0.55, 0.008),))
    return pad(made.sim), LongAxis.of(made.wall.frame)


def seen(scan: Scan, sim) -> Scan:
    """The scan, noise-free."""
    return eqx.tree_at(lambda s: s.value, scan, scan.predict(sim, simulate(sim, states=scan.states)))


class Draws:
    """Weighted draws of a posterior, and what candidates would read of each."""

    def __init__(self, known, candidates, count: int):
        posed, self.n = known.fit.problem, len(known.fit.xi)
        rng = np.random.default_rng(0)
        L = np.linalg.cholesky(known.covariance(np.arange(self.n)))
        unit = rng.normal(size=(count, self.n))
        self.xi = known.fit.xi + WIDER * unit @ L.T
        self.readings = {name: [] for name in candidates}

        @eqx.filter_jit
        def through(posed, candidates, xi):
            model, solution = posed.solved(xi, every_state=True)
            pose, scale = model.scans[0].pose, model.scans[0].log_scale
            moved = {
                k: eqx.tree_at(lambda s: (s.pose, s.log_scale), m, (pose, scale)) if isinstance(m, Scan) else m
                for k, m in candidates.items()
            }
            return posed.cost(xi, posed.misfit(model, solution)), {
                k: jnp.ravel(m.predict(model.sim, solution)) for k, m in moved.items()
            }

        log = np.empty(count)
        for k, xi in enumerate(jnp.asarray(self.xi)):
            cost, found = through(posed, candidates, xi)
            log[k] = -float(cost) + 0.5 * unit[k] @ unit[k]
            for name, value in found.items():
                self.readings[name].append(np.asarray(value))
        self.log = log - log.max()

    def covariance(self, more=0.0) -> np.ndarray:
        log = self.log + more
        w = np.exp(log - log.max())
        w /= w.sum()
        off = self.xi - w @ self.xi
        return (off * w[:, None]).T @ off

    def bits(self, name: str, noise: Noise) -> float:
        """Mean fall of entropy over hypothetical readings."""
        values = np.stack(self.readings[name])
        w = np.exp(self.log)
        rng = np.random.default_rng(1)
        before = np.linalg.slogdet(self.covariance())[1]
        falls = []
        for k in rng.choice(len(w), READINGS, p=w / w.sum()):
            y = noise.draw(rng, values[k])
            r = np.asarray(jax.vmap(lambda m, y=y: noise.residual(m, jnp.asarray(y)))(jnp.asarray(values)))
            falls.append(before - np.linalg.slogdet(self.covariance(-0.5 * np.sum(r**2, axis=1)))[1])
        return float(np.mean(falls) / (2.0 * np.log(2.0)))


def pair(draws: int) -> dict:
    """A stenosis in front of the whole LAD, one stress map: which pair cannot be told apart?"""
    sim, axis = heart(0.008)
    scan = seen(Scan(("hyperemia",), jnp.zeros((1, 17)), Noise(0.05, 0.02), Segments(axis)), sim)
    known = posterior(fit(sim, [scan], ("tone", "severity")))
    worst = identifiability(known).confounded[0]
    C = Draws(known, {}, draws).covariance()
    R = C / np.sqrt(np.outer(np.diag(C), np.diag(C)))
    i, j = np.unravel_index(np.argmax(np.abs(R - np.eye(len(R)))), R.shape)
    names = known.fit.names
    return {
        "named": sorted([worst.first, worst.second]),
        "brute_force": sorted([names[i], names[j]]),
        "correlation": worst.correlation,
        "brute_force_correlation": float(R[i, j]),
    }


def ranking(draws: int) -> dict:
    """One stress map with a scale of its own: which of four measurements tells most?"""
    sim, axis = heart(0.03)
    stress = Scan(("hyperemia",), jnp.zeros((1, 17)), Noise(0.12, 0.02), Segments(axis))
    free = (Free("tone", spread=0.35), "throat", "scale", Free("pressure", spread=1000.0))
    known = posterior(fit(sim, [seen(stress, sim)], free))
    fine = Voxels.grid(sim.volumes, axis, 7e-3, 8e-3)
    candidates = {
        "resting map": Scan(("rest",), jnp.zeros((1, 17)), Noise(0.12, 0.02), Segments(axis)),
        "cuff": Cuff(0.0),
        "wire": Wire(0.0, lesion_sites(sim)[0], Noise(0.0, 0.01)),
        "finer map": Scan(("hyperemia",), jnp.zeros((1, len(fine.point))), Noise(0.15, 0.02), fine),
    }
    told = {v.name: v.bits for v in next_measurement(known, candidates)}
    brute = Draws(known, candidates, draws)
    true = {name: brute.bits(name, m.noise) for name, m in candidates.items()}
    return {
        "bits": told,
        "brute_force_bits": true,
        "ranked_alike": sorted(told, key=told.get) == sorted(true, key=true.get),
    }


def pose() -> dict:
    """A polar map turned by 10°, noise-free, against a prior of 5°."""
    sim, axis = heart(0.03)
    view, noise = PolarMap(axis), Noise(0.02, 0.02)
    empty = jnp.zeros((1, view.rings * view.sectors))
    turned = seen(Scan(("hyperemia",), empty, noise, view, Pose(np.radians(10.0))), sim)
    data = Scan(("hyperemia",), turned.value, noise, view)
    fitted = fit(sim, [data], ("rotation", "tilt", "shift", "tone", "throat", "scale"))
    return {"pose_degrees": float(fitted.after[0]), "pose_error_degrees": abs(float(fitted.after[0]) - 10.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=3000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = {"pair": pair(arguments.draws), "next": ranking(arguments.draws), "pose": pose()}
    print(json.dumps(found, indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
