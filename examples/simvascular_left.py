"""SimVascular's left coronary tree with its six outlets, steady and pulsatile, beside its own solver's mean values.

    python examples/simvascular_left.py DATA/coronary/simvascular_left

The case has the velocity-profile exponent ζ = 1, lumens given at zero pressure and dilated by Olufsen's wall law,
static pressure continuous at junctions, and a venous pressure that the reference solver adds with the wrong sign
(-24 mmHg).
Then the same tree under perfsim's defaults at junctions (total pressure continuous, jet losses), and its pulsatile
flow in compliant vessels with coronary outlets, which is what the reference solves.
"""

import argparse
import json
from pathlib import Path

import perfsim
from perfsim import io
from perfsim.blood import ConstantViscosity
from perfsim.coupling import network_only, simulate
from perfsim.flow import JetExpansion, LumpedOutlets, StaticJunctions
from perfsim.flow.pulsatile import (
    Arteries,
    Coronary,
    Inlets,
    Olufsen,
    Sampled,
    discretize,
    olufsen_elasticity,
    solve_periodic,
    trunks,
)
from perfsim.io.simvascular import CGS_RESISTANCE
from perfsim.units import ML_MIN, MMHG

import equinox as eqx
import jax.numpy as jnp
import numpy as np

perfsim.enable_x64()


def compare(folder: Path, loss=None) -> dict:
    """Mean outlet flows [mL/min] and Pd/Pa beside the reference's, and the largest differences."""
    model = io.read_one_dimensional(next(folder.glob("*.in")))
    means = json.loads((folder / "left_coronary_reference_means.json").read_text())
    pressure = means["inlet_mean_P_mmHg"] * MMHG
    reference = [means["outlets"][name] for name in model.network.outlet_names]
    lumen = io.dilated_radius(np.asarray(model.network.lumen), 0.97 * pressure, *model.material[-3:])
    network = eqx.tree_at(lambda n: n.lumen, model.network, jnp.asarray(lumen))
    outlets = LumpedOutlets([r["R_SI"] for r in reference], np.full(6, -24.0 * MMHG), np.zeros(6))
    sim = network_only(
        network, outlets, aortic_pressure=pressure, viscosity=ConstantViscosity(model.material[1] * 0.1),
        loss=StaticJunctions(1.0) if loss is None else loss, profile=1.0,
    )  # fmt: skip
    state = simulate(sim).hyperemia
    flow = np.asarray(state.outlet_flow) / ML_MIN
    pd_pa = np.asarray(state.total_pressure)[np.asarray(network.outlets)] / pressure
    flow_error = flow / [r["Q_ml_min"] for r in reference] - 1.0
    pd_error = pd_pa - [r["Pd_Pa"] for r in reference]
    return {
        "outlets": dict(zip(network.outlet_names, zip(flow.tolist(), pd_pa.tolist(), strict=True), strict=True)),
        "largest_flow_error": float(np.abs(flow_error).max()),
        "largest_pd_pa_error": float(np.abs(pd_error).max()),
        "inflow_error": float(state.inlet_flow[0]) / ML_MIN / means["inlet_mean_Q_ml_min"] - 1.0,
    }


def pulsatile_arteries(folder: Path) -> Arteries:
    """The tree as compliant vessels, six coronary outlets, the aortic pressure wave at its inlet."""
    model = io.read_one_dimensional(next(folder.glob("*.in")))
    network = model.network
    chains = trunks(network)
    at = {int(node): i for i, node in enumerate(np.asarray(chains.node))}
    tables = np.array([model.outlet_tables[name] for name in network.outlet_names])  # outlet, row, (time, value)
    Ra, Ram, Ca, Cim, Rv, _ = tables[:, :6, 1].T
    R_a, R_am, R_v = (R * CGS_RESISTANCE for R in (Ra, Ram, Rv))
    radius = chains.radius(network.lumen)
    k1, k2, k3 = model.material[-3:]
    outlets = Coronary(
        [at[int(node)] for node in np.asarray(network.outlets)], R_a, R_am, R_v, Ca / CGS_RESISTANCE,
        Cim / CGS_RESISTANCE, np.full(6, -24.0 * MMHG), Sampled(tables[0, 6:, 0], 0.1 * tables[:, 6:, 1]),
    )  # fmt: skip
    wave = Sampled(model.inlet_table[:, 0], 0.1 * model.inlet_table[None, :, 1])
    return Arteries.build(
        chains.tail, chains.head, chains.sum(network.length), radius,
        olufsen_elasticity(radius, 0.1 * k1, 100.0 * k2, 0.1 * k3), period=1.0, wall=Olufsen,
        pressure_inlets=Inlets(at[int(network.inlets[0])], wave), outlets=(outlets,), profile=model.material[3],
        viscosity=0.1 * model.material[1], density=1e3 * model.material[0], junctions="static",
    )  # fmt: skip


def compare_pulsatile(folder: Path, dx: float = 2e-3) -> dict:
    """Mean outlet flows and Pd/Pa of the periodic state beside the reference's."""
    means = json.loads((folder / "left_coronary_reference_means.json").read_text())
    names = io.read_one_dimensional(next(folder.glob("*.in"))).network.outlet_names
    arteries = pulsatile_arteries(folder)
    cycle = solve_periodic(arteries, discretize(arteries, dx, samples=20), tolerance=1e-5)
    inlet = float(cycle.mean_node_pressure[arteries.pressure_inlets.node[0]])
    outlets = {}
    for node, name in zip(np.asarray(arteries.outlets[0].node), names, strict=True):
        vessel = int(np.flatnonzero(np.asarray(arteries.head) == node)[0])
        flow = float(cycle.volume[len(arteries.tail) + vessel]) / ML_MIN
        outlets[name] = flow, float(cycle.mean_node_pressure[node]) / inlet
    reference = means["outlets"]
    return {
        "outlets": outlets,
        "largest_flow_error": max(abs(q / reference[n]["Q_ml_min"] - 1.0) for n, (q, _) in outlets.items()),
        "largest_pd_pa_error": max(abs(p - reference[n]["Pd_Pa"]) for n, (_, p) in outlets.items()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    reports = {
        "steady, the reference's conventions": compare(arguments.folder),
        "steady, perfsim's junctions and losses": compare(arguments.folder, JetExpansion()),
        "pulsatile, the reference's conventions": compare_pulsatile(arguments.folder),
    }
    for name, report in reports.items():
        print(name)
        for outlet, (flow, pd_pa) in report["outlets"].items():
            print(f"  {outlet:>14}  {flow:7.2f} mL/min  Pd/Pa {pd_pa:.4f}")
        print(f"  flows to {100 * report['largest_flow_error']:.2f} %, Pd/Pa to {report['largest_pd_pa_error']:.4f}\n")


if __name__ == "__main__":
    main()
