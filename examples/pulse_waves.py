"""Three published benchmarks of one-dimensional blood flow (Boileau et al. (2015), Int J Numer Methods Biomed Eng 31).

A pulse in a long tube, whose linear theory is exact; the common carotid artery and the aortic bifurcation, against a
three-dimensional and a finite-volume solution. The reference tables are not part of perfsim: give their folder.

    python examples/pulse_waves.py ../shared/data/flow1d
"""

import json
import sys
from pathlib import Path

import perfsim
from perfsim.flow.pulsatile import (
    Absorbing,
    Arteries,
    Cycle,
    Fourier,
    Inlets,
    Waveform,
    Windkessel,
    at_rest,
    discretize,
    scheme,
    solve_periodic,
    solve_transient,
)

import jax.numpy as jnp
import numpy as np

perfsim.enable_x64()

SPEED = 6.1721  # [m/s], of the pulse
PEAKS = {0.0: (20.629, 20.629, 20.629), 4e-3: (17.409, 14.691, 12.398)}  # [Pa] at 2.5, 5, 7.5 m, by viscosity
LATE = 0.056  # [s]; the carotid's three-dimensional table runs ahead by this


class Pulse(Waveform):
    """1e-6 exp(-1e4 (t - 0.05)²) m³/s."""

    def __call__(self, t):
        return 1e-6 * jnp.exp(-1e4 * (t - 0.05) ** 2)[None]


def long_tube(viscosity: float) -> Arteries:
    """10 m in four pieces, so that the stations at 2.5, 5 and 7.5 m are junctions; the end absorbs."""
    return Arteries.build(
        [0, 1, 2, 3], [1, 2, 3, 4], 2.5, 1e-2, 400e3 * 1.5e-3, period=1.4, flow_inlets=Inlets(0, Pulse()),
        outlets=(Absorbing(4, 0.0),), profile=9.0, viscosity=viscosity, density=1050.0,
    )  # fmt: skip


def pulse(viscosity: float, dx: float = 2.5e-3) -> list[dict[str, float]]:
    """Peak and arrival of the pulse at each station, against linear theory; from rest."""
    arteries = long_tube(viscosity)
    grid = discretize(arteries, dx, samples=1400)
    _, cycle = solve_transient(arteries, grid, at_rest(arteries, scheme(arteries, grid), grid))
    stations = []
    for vessel, theory in enumerate(PEAKS[viscosity], start=1):
        t, p = np.asarray(cycle.time), np.asarray(cycle.pressure[:, 0, vessel])
        near = slice(p.argmax() - 2, p.argmax() + 3)  # the vertex of a parabola through the samples at the peak
        a, b, c = np.polyfit(t[near] - t[p.argmax()], p[near], 2)
        arrival = t[p.argmax()] - b / (2.0 * a)
        stations.append({
            "x_m": 2.5 * vessel, "peak_Pa": float(c - b * b / (4.0 * a)),
            "peak_error_percent": float(100.0 * ((c - b * b / (4.0 * a)) / theory - 1.0)),
            "arrival_error_ms": float(1e3 * (arrival - 0.05 - 2.5 * vessel / SPEED)),
        })  # fmt: skip
    return stations


def inflow(data: Path, name: str) -> Fourier:
    """The exact inflow series."""
    series = json.loads((data / "boileau_inflows.json").read_text())[name]
    harmonics = [[h[key] for h in series["harmonics"]] for key in ("amplitude_m3_per_s", "phase_rad")]
    return Fourier(series["mean_m3_per_s"], *harmonics, series["period_s"])


def common_carotid(data: Path, **options) -> Arteries:
    """One vessel and a windkessel."""
    return Arteries.build(
        [0], [1], 0.126, 3e-3, 700e3 * 0.3e-3, period=1.1, flow_inlets=Inlets(0, inflow(data, "common_carotid")),
        outlets=(Windkessel(1, 2.4875e8, 1.8697e9, 1.7529e-10, 0.0),), reference_pressure=10933.3, profile=2.0,
        viscosity=4e-3, density=1060.0, names=["common carotid"], **options,
    )  # fmt: skip


def aortic_bifurcation(data: Path, **options) -> Arteries:
    """The abdominal aorta and two iliac arteries."""
    ends = Windkessel([2, 3], [6.8123e7] * 2, [3.1013e9] * 2, [3.6664e-10] * 2, [0.0, 0.0])
    return Arteries.build(
        [0, 1, 1], [1, 2, 3], [0.086, 0.085, 0.085], [8.6e-3, 6e-3, 6e-3],
        [500e3 * 1.032e-3, 700e3 * 0.72e-3, 700e3 * 0.72e-3], period=1.1,
        flow_inlets=Inlets(0, inflow(data, "aortic_bifurcation")), outlets=(ends,), reference_pressure=9466.67,
        profile=9.0, viscosity=4e-3, density=1060.0, names=["aorta", "right iliac", "left iliac"], **options,
    )  # fmt: skip


CASES = {"carotid": common_carotid, "bifurcation": aortic_bifurcation}
CAROTID = ("boileau_cca/cca_ref/FV_carotid.dat", "boileau_cca/cca_ref/B3D_commoncarotid.txt")
BIFURCATION = "boileau_ibif/ibif_ref/"
AORTA_END = BIFURCATION + "FV_aorta_bif-bif.dat", BIFURCATION + "B3D_Junction.txt"
HALF_CELL = (
    0.5e-3 / 43e-3
)  # of the way from the aorta's end to its middle: where a code with cells of 1 mm has its last
LOCATIONS = {  # finite-volume table, three-dimensional table, vessel, part of the way from its end to its middle
    "carotid": {"middle": (*CAROTID, 0, 1.0)},
    "bifurcation": {
        "aorta, middle": (BIFURCATION + "FV_aorta-bif.dat", BIFURCATION + "B3D_AortaMid.txt", 0, 1.0),
        "aorta, end": (*AORTA_END, 0, 0.0),
        "aorta, last cell": (*AORTA_END, 0, HALF_CELL),
        "iliac, middle": (BIFURCATION + "FV_iliac-bif.dat", BIFURCATION + "B3D_IliacMid.txt", 1, 1.0),
    },
}


def compare(data: Path, case: str, cycle: Cycle) -> dict[str, dict[str, float]]:
    """P_rms and Q_rms [%] of a periodic cycle against both tables, by location.

    P_rms = √mean((P-P̂)/P̂)², Q_rms = √mean((Q-Q̂)/max Q̂)² over the table's last cycle, as in the paper.
    """
    errors = {}
    for location, (finite_volumes, three_d, vessel, inward) in LOCATIONS[case].items():
        for name, path in (("fv", finite_volumes), ("3d", three_d)):
            table = np.loadtxt(data / path)
            table = table[table[:, 0] > table[-1, 0] + 1e-3 - 1.1 - 1e-9]
            t = table[:, 0] + (LATE if (case, name) == ("carotid", "3d") else 0.0)
            time = np.asarray(cycle.time)
            P, Q = (
                np.interp(t, time, inward * x[:, 1, vessel] + (1.0 - inward) * x[:, 2, vessel], period=1.1)
                for x in (cycle.pressure / 1e3, cycle.flow * 1e6)
            )
            errors[f"{location}, {name}"] = {
                "p_rms_percent": float(100 * np.sqrt(np.mean(((P - table[:, 1]) / table[:, 1]) ** 2))),
                "q_rms_percent": float(100 * np.sqrt(np.mean(((Q - table[:, 2]) / table[:, 2].max()) ** 2))),
            }
    return errors


def main(folder: str) -> None:
    """Print all three."""
    for viscosity in PEAKS:
        for station in pulse(viscosity):
            print(f"pulse, mu = {viscosity} Pa s:", ", ".join(f"{k} {v:.3f}" for k, v in station.items()))
    for name, build in CASES.items():
        arteries = build(Path(folder))
        cycle = solve_periodic(arteries, discretize(arteries, 1e-3, samples=1100))
        for location, error in compare(Path(folder), name, cycle).items():
            print(f"{name}, {location}: P {error['p_rms_percent']:.3f} %, Q {error['q_rms_percent']:.3f} %")


if __name__ == "__main__":
    main(sys.argv[1])
