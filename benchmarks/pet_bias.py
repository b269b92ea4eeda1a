"""How far a kinetic fit of blurred activity is from the blurred MBF: the nonlinearity of a PET scan, without noise.

¹⁵O-water in the reference heart with a 60 % LAD stenosis, hyperemia: activity of every volume, the camera's blur with
what spills over from the cavity, the fit of MBF, tissue fraction and arterial fraction in each voxel; against MBF per
gram of tissue seen through the same camera, and against the MBF that lies there.
"""

import argparse
import json

import perfsim
from perfsim.cohorts import Stenosis, reference_heart
from perfsim.coupling import simulate
from perfsim.observe import BloodPool, LongAxis, Pose, Voxels, fractions
from perfsim.observe.tracers import Curve, Frames, Water, fit_regions, frame_means

import jax
import numpy as np

perfsim.enable_x64()

FRAMES = Frames.sequence((14, 5), (3, 10), (3, 20), (4, 30))


def bolus() -> Curve:
    """An arterial curve: arrival at 10 s, peak at 26 s, a recirculating tail."""
    t = np.arange(0.0, 361.0)
    late = np.maximum(t - 10.0, 0.0)
    return Curve.of(
        t, 50.0 * (late / 8.0) ** 2 * np.exp(-late / 8.0) + 8.0 * (1.0 - np.exp(-late / 30.0)) * np.exp(-t / 500.0)
    )


def measure(fwhm: float, voxels: int, reduction: float) -> dict:
    heart = reference_heart(terminals=600, spacing=2.5e-3, stenoses=(Stenosis("LAD", 0.03, reduction, 0.010),))
    sim, axis, still = heart.sim, LongAxis.of(heart.wall.frame), Pose()
    mbf = simulate(sim).hyperemia.mbf
    view = Voxels.grid(sim.volumes, axis, fwhm, 4e-3)
    keep = np.random.default_rng(0).permutation(len(view.point))[:voxels]
    view = Voxels.at(sim.volumes, axis, np.asarray(view.point)[keep], fwhm, 4e-3)
    region = Voxels.at(sim.volumes, axis, np.asarray(view.point), fwhm, 4e-3, per="region")
    tissue, blood, _ = fractions(view, sim.volumes, BloodPool.of(heart.wall), still)
    arterial = bolus()
    activity = Water().tissue(mbf, arterial, FRAMES)
    seen = jax.vmap(lambda f: region(sim.volumes, f, still), in_axes=1, out_axes=1)(activity)
    seen = seen + blood[:, None] * frame_means(arterial, FRAMES)
    found, _ = fit_regions(seen, Water(), arterial, FRAMES)
    plain = np.asarray(view(sim.volumes, mbf, still))
    off = np.asarray(found.mbf) / plain - 1.0
    low = plain < np.quantile(plain, 0.2)
    return {
        "fwhm_mm": 1e3 * fwhm,
        "voxels": len(keep),
        "bias_median": float(np.median(off)),
        "bias_p95": float(np.quantile(np.abs(off), 0.95)),
        "bias_lowest_fifth": float(np.median(off[low])),
        "tissue_fraction_error": float(np.median(np.asarray(found.fraction / tissue) - 1.0)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxels", type=int, default=300)
    parser.add_argument("--reduction", type=float, default=0.7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = [measure(fwhm, arguments.voxels, arguments.reduction) for fwhm in (4e-3, 7e-3, 10e-3)]
    print(json.dumps(rows, indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
