"""The source paper's own test: fit synthetic patients to their MBF maps, noise-free, with the same model.

Half the patients have one or two stenoses (d/D 0.36-0.50), half have none (0.80-0.97). Hidden and free: the tone of
each territory (log-normal, sd 0.35) and the throat of three lesion sites. Data: rest and hyperemic MBF of every
control volume. Start: population nominal. Errors are volume-weighted means of |Δ|/max(truth, 0.1 mL/min/g).
"""

import argparse
import json
import sys
import time

from perfsim.cohorts import synthetic_patient
from perfsim.coupling import simulate
from perfsim.inverse import Observation, fit

import jax
import jax.numpy as jnp
import numpy as np


def relative_error(sim, found, truth) -> float:
    """Volume-weighted mean relative MBF error over both states."""
    weight = sim.volumes.volume / jnp.sum(sim.volumes.volume)
    gaps = [
        jnp.sum(weight * jnp.abs(found[s].mbf - truth[s].mbf) / jnp.maximum(truth[s].mbf, 0.1))
        for s in ("rest", "hyperemia")
    ]
    return float(max(gaps))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--protocol", choices=["same"], default="same")
    parser.add_argument("--terminals", type=int, default=600)
    parser.add_argument("--spacing-mm", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    started = time.perf_counter()
    errors, iterations, solves, converged = [], [], 0, 0
    for index in range(arguments.patients):
        patient = synthetic_patient(
            index, stenosed=index < arguments.patients // 2, terminals=arguments.terminals,
            spacing=arguments.spacing_mm * 1e-3, seed=arguments.seed,
        )  # fmt: skip
        truth = simulate(patient.truth)
        sd = 0.01
        data = [Observation(s, truth[s].mbf, jnp.full(truth[s].mbf.shape, sd)) for s in ("rest", "hyperemia")]
        fitted, report = fit(patient.nominal, data, ("tone", "throat"), prior=False)
        error = relative_error(fitted, simulate(fitted), truth)
        errors.append(error), iterations.append(report.iterations)
        solves += report.solves
        jax.clear_caches()  # every patient has its own shapes: compiled code would pile up
        converged += report.converged and error <= 0.01
        if not arguments.json:
            print(
                f"patient {index:2d}: error {100 * error:.2e} %, {report.iterations} iterations, "
                f"converged {report.converged}"
            )
        sys.stdout.flush()
    print(
        json.dumps(
            {
                "protocol": arguments.protocol,
                "patients": arguments.patients,
                "converged": int(converged),
                "mean_error": float(np.mean(errors)),
                "worst_error": float(np.max(errors)),
                "max_iterations": int(np.max(iterations)),
                "solves": solves,
                "seconds": round(time.perf_counter() - started, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
