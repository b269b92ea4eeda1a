"""Rest and stress PET of a heart with an LAD stenosis, as 17 segments each: the fit, and what it cannot know.

The truth is the same heart with a tighter throat than CT read, 25 % less conductance in the LAD's arterioles, and a
program that reads 6 % high. Noise of 10 % per segment. Run: python examples/fit_segments.py
"""

import perfsim
from perfsim.cohorts import Stenosis, reference_heart
from perfsim.coupling import pad, simulate
from perfsim.inverse import Free, clinical_table, fit, identifiability, next_measurement, posterior, problem
from perfsim.observe import Cuff, LongAxis, Noise, Scan, Segments, Wire, lesion_sites

import equinox as eqx
import jax.numpy as jnp
import numpy as np

perfsim.enable_x64()

STATES = ("rest", "hyperemia")
FREE = (
    Free("tone", spread=0.35),
    "throat",
    Free("pressure", spread=670.0),
    "demand",
    "scale",
    "state_scale",
    "rotation",
)


def measured(sim, axis, seed: int = 0) -> Scan:
    """A noisy scan of the hidden truth."""
    scan = Scan(STATES, jnp.zeros((2, 17)), Noise(0.10, 0.02), Segments(axis))
    posed, names = problem(sim, [scan], FREE)
    hidden = jnp.zeros(posed.size)
    for name, value in (("tone[LAD]", -0.8), ("throat[LAD@30mm]", -0.7), ("scale", 0.6)):
        hidden = hidden.at[names.index(name)].set(value)
    truth = posed.at(hidden)
    seen = np.asarray(truth.data[0].predict(truth.sim, simulate(truth.sim)))
    rng = np.random.default_rng(seed)
    return eqx.tree_at(lambda s: s.value, scan, jnp.asarray([scan.noise.draw(rng, v) for v in seen]))


def main(terminals: int = 600, spacing: float = 3e-3, draws: int = 200):
    """The fit, its posterior and the statement of what is known."""
    heart = reference_heart(terminals=terminals, spacing=spacing, stenoses=(Stenosis("LAD", 0.03, 0.5, 0.010),))
    sim, axis = pad(heart.sim), LongAxis.of(heart.wall.frame)
    fitted = fit(sim, [measured(sim, axis)], FREE)
    known = posterior(fitted)
    for k, name in enumerate(fitted.names):
        left = f"uncertainty left {100 * known.sd[k]:3.0f} %"
        print(f"{name:>22}: {fitted.before[k]:8.3f} -> {fitted.after[k]:8.3f}, {left}")
    quantities, _ = clinical_table(known, draws)
    for q in quantities:
        print(f"{q.name:>30}: {q.middle:6.2f} ({q.low:.2f} to {q.high:.2f}) {q.unit}")
    said = identifiability(known)
    print("\n".join(said.lines()))
    wire = Wire(0.0, lesion_sites(sim)[0])
    values = next_measurement(known, {"pressure wire": wire, "cuff in hyperemia": Cuff(0.0)})
    for value in values:
        print(f"{value.name}: {value.bits:.1f} bits")
    return fitted, known, quantities, said, values


if __name__ == "__main__":
    main()
