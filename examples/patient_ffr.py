"""FFR from coronary geometry alone: a patient's left tree without a wall, lumped outlets at its ends.

    python examples/patient_ffr.py DATA/coronary/pressure_wire/P10.swc --pressure-mmHg 98 --output-L-min 4.3

Hyperemic flow of the left tree is taken from cardiac output: 4.5 % of it enters the coronaries at rest (Guyton, Hall:
Textbook of Medical Physiology), two thirds of that the left one, and hyperemia multiplies it by 3.5. It is shared among
the ends by d^γ of their diameters, γ = 7/3; each end drains through a resistance to 15 mmHg. Nothing is fitted to a
pressure wire.
"""

import argparse
from pathlib import Path

import perfsim
from perfsim.coupling import network_only, simulate
from perfsim.flow import LumpedOutlets
from perfsim.io import read_swc, vessel_ends
from perfsim.network import VesselNetwork
from perfsim.observe import ffr
from perfsim.units import ML_MIN, MMHG

import numpy as np

perfsim.enable_x64()

REST_SHARE, LEFT_SHARE, RESERVE = 0.045, 2.0 / 3.0, 3.5
BACK_PRESSURE, DISTAL = 15 * MMHG, 0.9
"""behind the outlets, and the share of aortic pressure that reaches them in the healthy tree the resistances assume"""


def outlets(network: VesselNetwork, pressure: float, cardiac_output: float, exponent: float = 7 / 3) -> LumpedOutlets:
    """Resistances that would carry the hyperemic flow in a healthy tree. pressure [Pa], cardiac output [m³/s]."""
    total = REST_SHARE * LEFT_SHARE * RESERVE * cardiac_output
    head = np.asarray(network.head)
    at = [int(np.flatnonzero(head == n)[0]) for n in np.asarray(network.outlets)]
    share = np.asarray(network.lumen)[at, 1] ** exponent
    flow = total * share / share.sum()
    return LumpedOutlets(
        (DISTAL * pressure - BACK_PRESSURE) / flow, np.full(len(flow), BACK_PRESSURE), np.zeros(len(flow))
    )


def patient(path: Path, pressure: float, cardiac_output: float):
    """(simulation, hyperemic solution) of an SWC tree."""
    network = VesselNetwork.of(read_swc(path))
    sim = network_only(network, outlets(network, pressure, cardiac_output), aortic_pressure=pressure)
    return sim, simulate(sim).hyperemia


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("swc", type=Path)
    parser.add_argument("--pressure-mmHg", type=float, default=93.0)
    parser.add_argument("--output-L-min", type=float, default=5.0)
    arguments = parser.parse_args()
    pressure, output = arguments.pressure_mmHg * MMHG, arguments.output_L_min * 1e3 * ML_MIN
    sim, state = patient(arguments.swc, pressure, output)
    print(f"inflow {float(state.inlet_flow.sum()) / ML_MIN:.0f} mL/min, mass defect {float(state.mass_defect):.1e}")
    print(f"{'branch':>8} {'d end [mm]':>10} {'FFR end':>8} {'FFR least':>9}")
    value, branch = np.asarray(ffr(state)), np.asarray(sim.network.branch)
    for name, end in vessel_ends(sim, state).items():
        along = value[branch == sim.network.branch_names.index(name)]
        print(f"{name:>8} {end['diameter_mm']:>10.2f} {end['ffr']:>8.3f} {along.min():>9.3f}")


if __name__ == "__main__":
    main()
