"""Growth alone: the tree of a case, its report, its morphometry."""

import dataclasses
import json
from pathlib import Path

from perfsim import io
from perfsim.cli.folder import all_or_nothing, check_folder
from perfsim.cli.stages import Stages
from perfsim.cli.tables import print_table
from perfsim.growth import GrowthReport
from perfsim.network import VesselNetwork, crown_exponents, diameter_defined_orders, morphometry, no_lesions, radii

import numpy as np
from rich.console import Console

FILES = ("tree.vtp", "tree.swc", "growth.json")


def grow_case(case: io.Case, out: Path, overwrite: bool, quiet: bool) -> None:
    """Grow the tree of a case and write it as VTP and SWC, with what there is to say about it as JSON."""
    console = Console(width=None if Console().is_terminal else 110, quiet=quiet)
    check_folder(out, overwrite, FILES[-1])
    stages = Stages(console)
    with stages.show():
        with stages.stage("grow") as stage:
            grown = io.grow_case(case, lambda done, total: stage.update(done, total, f"{done} of {total} terminals"))
        with stages.stage("write"), all_or_nothing(out) as folder:
            record = describe(grown.network, grown.growth)
            io.write_geometry(folder / FILES[0], grown.network)
            io.write_swc(folder / FILES[1], grown.network)
            (folder / FILES[2]).write_text(json.dumps(record | {"warnings": list(grown.warnings)}, indent=1))
    _print(console, grown.growth, record)
    console.print(f"Results are in [bold]{out}[/bold]: {', '.join(FILES)}")


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
    console.print(f"\n{report}", highlight=False)
    for title, columns, rows in (
        ("Time by stage", ("stage", "s"), [(k, f"{v:.2f}") for k, v in report.seconds.items()]),
        (
            "Elements by diameter-defined order",
            ("order", "count", "diameter [µm]", "length [mm]"),
            [tuple(map(str, element.values())) for element in record["elements"]],
        ),
    ):
        print_table(console, title, columns, rows)
