"""Models for other programs, made from a tree or from a network."""

from pathlib import Path

from perfsim import units
from perfsim._results import InputError

ENDINGS = {".json": "svZeroDSolver", ".in": "svOneDSolver", ".yaml": "openBF", ".yml": "openBF"}


def export_model(
    source: Path, target: Path, *, flow: str | None, pressure: str, period: float, periodic: bool, overwrite: bool
) -> None:
    """Write a tree, or a network of `perfsim flow`, as a model of the program that the target's ending names."""
    from perfsim.io.trees import ENDINGS as TREES

    kind = target.suffix.lower()
    if kind not in ENDINGS:
        raise InputError(f"{target}: models are written as {', '.join(f'{e} ({p})' for e, p in ENDINGS.items())}")
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists: choose another name, or add --overwrite")
    if source.suffix.lower() in TREES:
        if flow is None:
            raise InputError(f'{source}: a tree says no flow: give the mean flow into it, e.g. --flow "120 mL/min"')
        _export_tree(source, target, units.parse(flow, "flow"), units.parse(pressure, "pressure"), period, periodic)
    else:
        if flow is not None:
            raise InputError(f"{source}: a network says its own flow: leave --flow out")
        _export_network(source, target, periodic)


def _export_tree(source: Path, target: Path, flow: float, pressure: float, period: float, periodic: bool) -> None:
    from perfsim.io.tree_case import bed_resistance, in_tubes, tree_case
    from perfsim.io.trees import read_tree
    from perfsim.io.write_oned import OLUFSEN, write_one_dimensional
    from perfsim.io.write_openbf import write_openbf

    lines, notes = read_tree(source)
    for note in notes:
        print(f"note: {note}")
    kind = target.suffix.lower()
    if kind == ".in":
        wall = OLUFSEN._replace(reference_pressure=pressure / units.parse("1 dyn/cm2", "pressure"))
        R = bed_resistance(lines, flow, pressure)
        write_one_dimensional(target, lines, wall, flow=flow, resistance=R, name=source.stem)
    elif kind == ".json":
        _write_zero_d(target, tree_case(lines, source.stem, flow=flow, pressure=pressure, period=period), periodic)
    else:
        write_openbf(target, in_tubes(lines, source.stem, flow=flow, pressure=pressure, period=period))
    print(f"wrote {target} for {ENDINGS[kind]}: {len(lines.branch_names)} branches, {len(lines.outlets)} outlets")


def _export_network(source: Path, target: Path, periodic: bool) -> None:
    from perfsim.io.flow_case import LumpedCase
    from perfsim.io.flow_files import read_flow
    from perfsim.io.write_openbf import write_openbf

    kind = target.suffix.lower()
    if kind == ".in":
        raise InputError(f"{target}: svOneDSolver's format needs coordinates, which a network has not: give a tree")
    case = read_flow(source)
    if isinstance(case, LumpedCase):
        raise InputError(f"{source}: a network of lumped elements has no vessels to write")
    if kind == ".json":
        _write_zero_d(target, case, periodic)
    else:
        write_openbf(target, case)
    print(f"wrote {target} for {ENDINGS[kind]}: {len(case.arteries.names)} vessels")


def _write_zero_d(target: Path, case, periodic: bool) -> None:
    from perfsim.io.write_svzerod import write_svzerod

    cycle = None
    if periodic:
        from perfsim.flow.pulsatile import discretize, solve_periodic

        grid = discretize(case.arteries, case.dx, cfl=case.cfl, samples=case.samples, steps=case.steps)
        cycle = solve_periodic(case.arteries, grid, tolerance=case.tolerance, max_cycles=case.max_cycles)
    write_svzerod(target, case, cycle)
