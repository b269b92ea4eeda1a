"""What are these files? Trees, images, surfaces, tables, cases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from perfsim._extras import needed
from perfsim._results import InputError


def inspect_files(files: list[Path]) -> None:
    """Print kind, size, unit and problems of each file; raise `InputError` where one cannot be used."""
    failures = 0
    for path in files:
        print(path)
        try:
            for line in _describe(path):
                print(f"  {line}")
        except InputError as error:
            failures += 1
            print(f"  cannot be used: {error}")
    if failures:
        raise InputError(f"{failures} of {len(files)} file(s) cannot be used")


def _describe(path: Path) -> list[str]:
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the files in it")
    kinds: dict[str, Callable[[Path], list[str]]] = {
        ".toml": _case, ".csv": _table, ".nii": _image, ".gz": _image, ".obj": _surface, ".stl": _surface,
        ".ply": _surface, ".vtu": _volume_mesh, ".swc": _tree, ".in": _tree, ".vtp": _polydata,
        ".pth": _tree, ".ctgr": _tree,
        ".json": _zero_dimensional, ".yaml": _flow_network, ".yml": _flow_network,
        ".txt": _guide_points,
    }  # fmt: skip
    if path.suffix.lower() not in kinds:
        raise InputError(f"{path}: {path.suffix or 'no ending'} is none of {', '.join(kinds)}")
    return kinds[path.suffix.lower()](path)


def _tree(path: Path) -> list[str]:
    from perfsim.io.trees import read_tree

    import numpy as np

    lines, notes = read_tree(path)
    radius = lines.lumen * 1e3
    size = " × ".join(f"{s:.0f}" for s in np.ptp(lines.position, axis=0) * 1e3)
    return [
        f"coronary tree: {len(lines.tail)} vessels, {len(lines.inlets)} inlet(s), {len(lines.outlets)} ends, "
        f"{len(lines.branch_names)} branches",
        f"{size} mm, {lines.length.sum() * 1e3:.0f} mm of centerline, radii {radius.min():.2f}-{radius.max():.2f} mm",
        *(f"note: {note}" for note in notes),
    ]


def _polydata(path: Path) -> list[str]:
    from perfsim.io.meshes import load

    mesh = load(path)
    return _tree(path) if getattr(mesh, "n_lines", 0) else _surface(path)


def _surface(path: Path) -> list[str]:
    from perfsim.io.surfaces import read_surface

    surface = read_surface(path)
    units = surface.plausible_units()
    size = " × ".join(f"{s:.4g}" for s in surface.extent)
    lines = [
        f"surface: {len(surface.vertices)} points, {len(surface.triangles)} triangles, {size}, encloses "
        f"{surface.volume():.4g} cubic units",
        f"the size of a heart if the unit is {' or '.join(units)}" if units else "note: the size of a heart in no unit",
    ]
    if surface.openings:
        widths = ", ".join(f"{w:.3g}" for w in surface.openings)
        lines.append(f"open at {len(surface.openings)} rings, {widths} wide, as at valves: a wall closes them")
    return lines + [f"note: {problem}" for problem in surface.problems()]


def _volume_mesh(path: Path) -> list[str]:
    from perfsim.io.walls import volume_mesh_with_notes

    import numpy as np

    mesh, notes = volume_mesh_with_notes(path)
    low, high = np.reshape(mesh.bounds, (3, 2)).T
    size = " × ".join(f"{s:.4g}" for s in high - low)
    said = f"volume mesh: {mesh.n_points} points, {mesh.n_cells} cells, {size}, fills {mesh.volume:.4g} cubic units"
    return [said, *(f"note: {note}" for note in notes)]


def _image(path: Path) -> list[str]:
    import numpy as np

    with needed("io"):
        import nibabel as nib

    try:
        image: Any = nib.load(path)
        data = np.asanyarray(image.dataobj)
    except Exception as error:
        raise InputError(f"{path}: nibabel cannot read it ({error})") from None
    lines = [
        f"image: {' × '.join(map(str, image.shape))}, voxels {' × '.join(f'{z:.3g}' for z in image.header.get_zooms())}"
    ]
    lines.append(
        f"axes {''.join(nib.aff2axcodes(image.affine))}, values {np.nanmin(data):.4g} to {np.nanmax(data):.4g}"
    )
    if np.issubdtype(data.dtype, np.integer):
        lines.append(f"labels {np.unique(data)[:12].tolist()}")
    return lines


def _table(path: Path) -> list[str]:
    header = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()[:1]
    if header and "Pa_mmHg" in header[0]:
        from perfsim.io.pressure_wire import read_pressure_wire

        trace = read_pressure_wire(path)
        return [
            f"pressure wire: {trace.time[-1] - trace.time[0]:.0f} s, {100 * trace.valid.mean():.0f} % of it usable",
            f"Pd/Pa {trace.rest_ratio:.3f} at rest, least {trace.ffr:.3f} at {trace.hyperemia:.1f} s",
        ]
    from perfsim.io.segments import read_segments

    value, _ = read_segments(path, 0.25)
    known = value[value == value]
    return [f"MBF of {len(known)} AHA segments, {known.min():.2f}-{known.max():.2f} mL/min/g"]


def _guide_points(path: Path) -> list[str]:
    from perfsim.io.guide_points import frame_from_guide_points, read_guide_points

    points = read_guide_points(path)
    frame = frame_from_guide_points(points, path)
    counts = ", ".join(
        f"{len(rows)} {name}" for name, rows in sorted(points.items(), key=lambda item: -len(item[1]))[:6]
    )
    return [f"guide points: {counts}", f"long axis {frame.length * 1e3:.0f} mm, read as mm"]


def _flow_network(path: Path) -> list[str]:
    from perfsim.io.flow_files import network_in

    return [network_in(path)]


def _case(path: Path) -> list[str]:
    from perfsim.io.case import read_case
    from perfsim.io.flow_toml import is_flow_toml

    if is_flow_toml(path):
        return _flow_network(path)
    case = read_case(path)
    return [
        f"case {case.name!r}: wall {_wall_of(case.anatomy)}, {case.tree.terminals} terminals, "
        f"{len(case.stenosis)} stenoses"
    ]


def _wall_of(anatomy) -> str:
    for kind in ("labels", "mesh", "epicardium"):
        if getattr(anatomy, kind) is not None:
            return f"from {getattr(anatomy, kind).name}"
    return f"embedded, {anatomy.mass * 1e3:.0f} g"


def _zero_dimensional(path: Path) -> list[str]:
    from perfsim.io.svzerod import read_svzerod

    model = read_svzerod(path)
    said = f"svZeroD network: {len(model.R)} vessels, {len(model.inflow)} inlet(s), {len(model.resistance)} outlets"
    return [said, *(f"note: {note}" for note in model.notes)]


def convert_tree(source: Path, target: Path, overwrite: bool) -> None:
    """Read a tree in any format and write it in another."""
    from perfsim.io import read_tree, write_centerlines, write_swc

    writers = {".swc": write_swc, ".vtp": write_centerlines}
    if target.suffix.lower() not in writers:
        raise InputError(f"{target}: trees are written as {' or '.join(writers)}")
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists: choose another name, or add --overwrite")
    lines, notes = read_tree(source)
    writers[target.suffix.lower()](target, lines)
    for note in notes:
        print(f"note: {note}")
    print(f"wrote {target}: {len(lines.tail)} vessels, in mm")
