"""SimVascular's left coronary tree with its six outlets as steady resistances, beside its own solver's mean values.

    python examples/simvascular_left.py DATA/coronary/simvascular_left

The case has the velocity-profile exponent ζ = 1, lumens given at zero pressure and dilated by Olufsen's wall law,
static pressure continuous at junctions, and a venous pressure that the reference solver adds with the wrong sign
(-24 mmHg).
The last row is the same tree under perfsim's defaults at junctions: total pressure continuous, jet losses.
"""

import argparse
import json
from pathlib import Path

from perfsim import io
from perfsim.blood import ConstantViscosity
from perfsim.coupling import check, network_only, simulate
from perfsim.flow import JetExpansion, LumpedOutlets, StaticJunctions
from perfsim.units import ML_MIN, MMHG

import equinox as eqx
import jax.numpy as jnp
import numpy as np


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
    state = check(simulate(sim)).hyperemia
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    for name, loss in (("the reference's conventions", None), ("perfsim's junctions and losses", JetExpansion())):
        report = compare(arguments.folder, loss)
        print(name)
        for outlet, (flow, pd_pa) in report["outlets"].items():
            print(f"  {outlet:>14}  {flow:7.2f} mL/min  Pd/Pa {pd_pa:.4f}")
        print(f"  flows to {100 * report['largest_flow_error']:.2f} %, Pd/Pa to {report['largest_pd_pa_error']:.4f}\n")


if __name__ == "__main__":
    main()
