"""A small study: how mean MBF and FFR change with the severity of a stenosis, and by every lumen, with gradients.

One batch by `vmap` over the throats, on the CPU or on a GPU where jax has one; the slopes by all vessels' radii are one
reverse pass each. Run: python examples/parameter_study.py
"""

import perfsim
from perfsim.cohorts import Stenosis, reference_heart
from perfsim.coupling import simulate
from perfsim.observe import ffr, lesion_sites, mean_mbf

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

perfsim.enable_x64()


def main(terminals: int = 300, spacing: float = 4e-3):
    """(throats d/D, FFR, d FFR/d throat, mean MBF, slopes by lumen of one state)."""
    sim = reference_heart(terminals=terminals, spacing=spacing, stenoses=(Stenosis("LAD", 0.03, 0.5, 0.010),)).sim
    site = lesion_sites(sim)[0]

    def indices(throat):
        changed = eqx.tree_at(lambda s: s.lesions.throat, sim, throat[None])
        state = simulate(changed, states=("hyperemia",)).hyperemia
        return jnp.stack([ffr(state)[site], mean_mbf(changed, state)])

    throats = jnp.linspace(0.3, 0.8, 6)
    values = jax.jit(jax.vmap(indices))(throats)
    slopes = jax.jit(jax.vmap(jax.jacfwd(indices)))(throats)
    print(f"on {jax.devices()[0].platform}: throat d/D, FFR and its slope, mean hyperemic MBF [mL/min/g] and its slope")
    for t, (f, m), (df, dm) in zip(throats, values, slopes, strict=True):
        print(f"{t:.2f}  {f:.3f} {df:+.2f}   {m:.3f} {dm:+.3f}")

    def by_lumen(lumen):
        changed = eqx.tree_at(lambda s: s.network.lumen, sim, lumen)
        state = simulate(changed, states=("hyperemia",)).hyperemia
        return jnp.stack([ffr(state)[site], mean_mbf(changed, state)])

    lumen = jax.jit(jax.jacrev(by_lumen))(sim.network.lumen)  # (FFR and MBF, vessels, both ends) [1/m]
    best = int(np.argmax(np.asarray(lumen[0]).sum(1)))
    name = sim.network.branch_names[int(sim.network.branch[best])]
    print(f"FFR gains most, {1e-3 * float(lumen[0, best].sum()):.3f} per mm of radius, in vessel {best} of the {name}")
    return throats, values, slopes, lumen, name


if __name__ == "__main__":
    main()
