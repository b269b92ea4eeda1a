"""Microvascular dysfunction without a stenosis: low reserve, clean arteries; does the fit find the right cause?

The truth has half the conductance of all arterioles and open coronaries, of which CT shows one mild plaque. With rest
and stress maps the reserve gives it away; with one stress map the scanner's scale is as good an explanation.
Run: python examples/microvascular.py
"""

import perfsim
from perfsim.cohorts import Stenosis, reference_heart
from perfsim.coupling import pad, simulate
from perfsim.inverse import clinical_table, fit, identifiability, posterior
from perfsim.observe import LongAxis, Noise, Scan, Segments

import equinox as eqx
import jax.numpy as jnp
import numpy as np

perfsim.enable_x64()

FREE = ("tone", "throat", "demand", "scale", "state_scale")


def main(terminals: int = 600, spacing: float = 3e-3, draws: int = 200):
    """Per protocol: (microvascular resistance quantities, FFR, uncertainty left in the tones)."""
    heart = reference_heart(terminals=terminals, spacing=spacing, stenoses=(Stenosis("LAD", 0.03, 0.2, 0.010),))
    sim, axis = pad(heart.sim), LongAxis.of(heart.wall.frame)
    truth = eqx.tree_at(lambda s: s.tissue.tone, sim, 0.5 * sim.tissue.tone)
    solution, rng, out = simulate(truth), np.random.default_rng(0), {}
    for states in (("rest", "hyperemia"), ("hyperemia",)):
        scan = Scan(states, jnp.zeros((len(states), 17)), Noise(0.10, 0.02), Segments(axis))
        seen = np.asarray(scan.predict(truth, solution))
        data = eqx.tree_at(lambda s: s.value, scan, jnp.asarray([scan.noise.draw(rng, v) for v in seen]))
        known = posterior(fit(sim, [data], FREE))
        quantities, _ = clinical_table(known, draws)
        print(f"with {' and '.join(states)}:")
        for q in quantities:
            if "resistance" in q.name or "FFR" in q.name:
                print(f"{q.name:>30}: {q.middle:5.2f} ({q.low:.2f} to {q.high:.2f}) {q.unit}")
        print("\n".join(identifiability(known).lines()))
        out[states] = quantities, known
    return out


if __name__ == "__main__":
    main()
