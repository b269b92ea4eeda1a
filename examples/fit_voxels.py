"""A voxel map of hyperemic MBF with a patch of microvascular disease that no territory explains: a field of tone.

The truth has 40 % less conductance within 12 mm of a point of the lateral wall; voxels of 5 mm, 7 mm blur, 10 % noise
correlated by the camera. Run: python examples/fit_voxels.py
"""

import perfsim
from perfsim.cohorts import reference_heart
from perfsim.coupling import pad, simulate
from perfsim.inverse import ToneField, fit
from perfsim.observe import LongAxis, Noise, Scan, Voxels, correlation_factor

import equinox as eqx
import jax.numpy as jnp
import numpy as np

perfsim.enable_x64()


def main(terminals: int = 600, spacing: float = 3e-3):
    """(fitted tone in the patch, in the rest of the wall, the fit)."""
    heart = reference_heart(terminals=terminals, spacing=spacing)
    sim, axis = pad(heart.sim), LongAxis.of(heart.wall.frame)
    volumes = sim.volumes
    real = np.asarray(volumes.volume) > 1e-6 * np.max(volumes.volume)
    middle = heart.wall.point(0.5, 0.0, 0.5)
    away = np.linalg.norm(np.asarray(volumes.center) - middle, axis=1)
    sick = eqx.tree_at(lambda s: s.tissue.supply, sim, sim.tissue.supply * jnp.where(away < 12e-3, 0.6, 1.0))
    view = Voxels.grid(volumes, axis, fwhm=7e-3, voxel=5e-3)
    noise = Noise(0.10, 0.02, correlation_factor(np.asarray(view.point), 7e-3))
    scan = Scan(("hyperemia",), jnp.zeros((1, len(view.point))), noise, view)
    seen = np.asarray(scan.predict(sick, simulate(sick)))[0]
    scan = eqx.tree_at(lambda s: s.value, scan, jnp.asarray(noise.draw(np.random.default_rng(0), seen))[None])
    fitted = fit(sim, [scan], (ToneField(0.3, 15e-3),), progress=lambda k, c: print(f"iteration {k}: misfit {c:.1f}"))
    tone = np.asarray(fitted.sim.tissue.supply) / float(sim.tissue.supply)
    inside, outside = (float(np.median(tone[real & where])) for where in (away < 8e-3, away > 25e-3))
    print(f"tone in the patch {inside:.2f} (0.60 hidden), elsewhere {outside:.2f} (1.00)")
    return inside, outside, fitted


if __name__ == "__main__":
    main()
