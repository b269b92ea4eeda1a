"""Growth alone: the tree of a case, its report, its morphometry."""

import dataclasses
import json
from pathlib import Path

from perfsim import io
from perfsim.cli.cost import cost_of
from perfsim.cli.folder import claimed
from perfsim.cli.stages import Stages
from perfsim.cli.tables import print_table
from perfsim.cli.terminal import open_console
from perfsim.growth import GrowthReport
from perfsim.network import VesselNetwork, crown_exponents, diameter_defined_orders, morphometry, no_lesions, radii

import numpy as np
from rich.console import Console

FILES = ("tree.vtp", "tree.swc", "growth.json")


def grow_case(case: io.Case, out: Path, overwrite: bool, quiet: bool) -> None:
    """Grow the tree of a case and write it as VTP and SWC, with what there is to say about it as JSON."""
    console = open_console(quiet)
    stages = Stages(console)
    with claimed(out, overwrite, FILES[-1], cost_of(case).tree_disk) as claim, stages.show():
        with stages.stage("grow") as stage:
            grown = io.grow_case(case, lambda done, total: stage.update(done, total, f"{done} of {total} terminals"))
        with stages.stage("write"), claim.filled() as folder:
            record = describe(grown.network, grown.growth)
            io.write_geometry(folder / FILES[0], grown.network)
            io.write_swc(folder / FILES[1], grown.network)
            content = json.dumps(record | {"warnings": list(grown.warnings)}, indent=1)
            (folder / FILES[2]).write_text(content, encoding="utf-8")
    _print(console, grown.growth, record)
    console.print(f"Results are in {out}: {', '.join(FILES)}")


def describe(network: VesselNetwork, report: GrowthReport) -> dict:
    """The growth report, elements by order, scaling exponents of crowns."""
    lumen = np.asarray(radii(network, no_lesions()))
    order = diameter_defined_orders(network, 2.0 * lumen.mean(1))
    elements = morphometry(network, 2.0 * lumen.mean(1), order).by_order()
    return {
        "growth": dataclasses.asdict(report) | {"cost": float(report.cost)},
        "elements": [
            {"order": n, "count": count, "diameter_um": round(1e6 * d, 1), "length_mm": round(1e3 * l, 3)}
            for n, (count, d, l) in elements.items()
        ],
        "crown_exponents": crown_exponents(network, 2.0 * lumen.mean(1), np.asarray(network.design_flow()[0])),
    }


def _print(console: Console, report: GrowthReport, record: dict) -> None:
    console.print(f"\n{report}")
    for title, columns, rows in (
        ("Time by stage", ("stage", "s"), [(k, f"{v:.2f}") for k, v in report.seconds.items()]),
        (
            "Elements by diameter-defined order",
            ("order", "count", "diameter [µm]", "length [mm]"),
            [tuple(map(str, element.values())) for element in record["elements"]],
        ),
    ):
        print_table(console, title, columns, rows)
