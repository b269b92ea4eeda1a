"""What are these files? Trees, images, surfaces, tables, cases."""

from collections.abc import Callable
from pathlib import Path

from perfsim._extras import needed
from perfsim._notes import collect_notes
from perfsim._results import InputError


def inspect_files(files: list[Path]) -> None:
    """Print kind, size, unit and problems of each file; raise `InputError` where one cannot be used."""
    failures = 0
    for path in files:
        print(path)
        try:
            with collect_notes() as notes:
                lines = _describe(path)
            for line in (*lines, *(f"note: {note.removeprefix(f'{path}: ')}" for note in notes)):
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
        return _series(path)
    kinds: dict[str, Callable[[Path], list[str]]] = {
        ".toml": _case, ".csv": _table, ".tsv": _table, ".xlsx": _table, ".xlsm": _table, ".xls": _table,
        ".tac": _table, ".crv": _table, ".nii": _image, ".obj": _surface, ".stl": _surface,
        ".ply": _surface, ".vtu": _volume_mesh, ".swc": _tree, ".in": _tree, ".vtp": _polydata,
        ".pth": _tree, ".ctgr": _tree,
        ".json": _json, ".yaml": _flow_network, ".yml": _flow_network,
        ".txt": _table,
    }  # fmt: skip
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    if ending not in kinds:
        raise InputError(f"{path}: {ending or 'no ending'} is none of {', '.join(kinds)}")
    return kinds[ending](path)


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
    from perfsim.io.images import length_of, open_image, orientation_of

    import numpy as np

    with needed("io"):
        import nibabel as nib

    try:
        orientation, unit = orientation_of(path), length_of(nib.load(path))[0]
    except Exception as error:
        raise InputError(f"{path}: nibabel cannot read it ({error})") from None
    print(f"  orientation: {orientation}; length in {unit if unit != 'unknown' else 'an unnamed unit, taken as mm'}")
    image = open_image(path)
    data = image.values()
    edges = " × ".join(f"{1e3 * h:.3g}" for h in np.linalg.norm(image.to_world[:3, :3], axis=0))
    known = data[np.isfinite(data)]
    axes = "".join(nib.aff2axcodes(np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.to_world))
    if not known.size or not known.any():
        raise InputError(f"{path}: every voxel is 0 or not finite")
    lines = [
        f"image: {' × '.join(map(str, image.shape))}, voxels {edges} mm, axes {axes}",
        f"values {known.min():.4g} to {known.max():.4g}"
        + (f", {known.size} of {data.size} finite" if known.size < data.size else ""),
        *([f"header: {image.description}"] if image.description else []),
    ]
    if np.issubdtype(data.dtype, np.integer) or (known[:: max(known.size // 10**6, 1)] % 1 == 0).all():
        lines.append(f"labels {np.unique(known)[:12].tolist()}")
    return lines


def _series(path: Path) -> list[str]:
    """A folder of DICOM files."""
    from perfsim.io.dicom import read_series

    import numpy as np

    values, to_world, sidecar = read_series(path)
    edges = " × ".join(f"{1e3 * h:.3g}" for h in np.linalg.norm(to_world[:3, :3], axis=0))
    return [
        f"DICOM series: PET, {' × '.join(map(str, values.shape[:3]))}, voxels {edges} mm",
        *_frames(sidecar),
        f"activity {values.min():.4g} to {values.max():.4g} Bq/mL, corrected for decay to time 0",
    ]


def _frames(sidecar) -> list[str]:
    """Frames, clocks and decay of a scan."""
    start, duration = sidecar.start, sidecar.duration
    kinds: list[list[float]] = []
    for d in duration:
        if kinds and kinds[-1][1] == d:
            kinds[-1][0] += 1
        else:
            kinds.append([1, float(d)])
    groups = ", ".join(f"{n:g} of {d:g} s" for n, d in kinds)
    lines = [f"{len(start)} frames: {groups}, from {start[0]:g} to {start[-1] + duration[-1]:g} s"]
    if sidecar.injection is not None:
        lines.append(
            f"injection at {sidecar.injection:g} s, the first frame {start[0] - sidecar.injection:g} s after it"
        )
    lines.append(f"half-life {sidecar.half_life:g} s" if sidecar.half_life else "half-life not known")
    return lines


def _json(path: Path) -> list[str]:
    """A PET sidecar, or a network."""
    from perfsim.io.json_files import read_json

    content = read_json(path)
    if not any(key.startswith("Frame") or key == "ImageDecayCorrected" for key in content):
        return _zero_dimensional(path)
    from perfsim.io.sidecars import check_sidecar

    sidecar = check_sidecar(content, path)
    unit = "" if sidecar.scale == 1 else f", read as Bq/mL times {sidecar.scale:g}"
    decay = f"corrected for decay to {sidecar.reference:g} s" if sidecar.corrected else "not corrected for decay"
    return [f"PET sidecar: activity in {sidecar.unit}{unit}, {decay}", *_frames(sidecar)]


def _table(path: Path) -> list[str]:
    from perfsim.io.curves import is_curve_table
    from perfsim.io.guide_points import is_guide_point_table
    from perfsim.io.pressure_wire import is_wire_table
    from perfsim.io.segments import is_segment_table
    from perfsim.io.tables import read_tables

    kinds = {
        is_guide_point_table: _guide_points, is_wire_table: _wire, is_segment_table: _segments, is_curve_table: _curve,
    }  # fmt: skip
    table = read_tables(path, lambda names: any(known(names) for known in kinds))[0]
    names = [column.name for column in table.columns]
    for known, describe in kinds.items():
        if known(names):
            return describe(path)
    raise InputError(
        f"{path}: a table of {', '.join(names) or 'nothing'}: neither of MBF by segment (segment, mbf_mL_min_g), a "
        "pressure wire (t_s, Pa_mmHg, Pd_mmHg), a time course (time_s, activity) nor guide points"
    )


def _wire(path: Path) -> list[str]:
    from perfsim.io.pressure_wire import read_pressure_wire

    trace = read_pressure_wire(path)
    return [
        f"pressure wire: {trace.time[-1] - trace.time[0]:.0f} s, {100 * trace.valid.mean():.0f} % of it usable",
        f"Pd/Pa {trace.rest_ratio:.3f} at rest, least {trace.ffr:.3f} at {trace.hyperemia:.1f} s",
    ]


def _segments(path: Path) -> list[str]:
    from perfsim.io.segments import StateNeeded, read_segments

    def describe(state: str | None) -> str:
        value, _ = read_segments(path, 0.25, state)
        known = value[value == value]
        of = f" in {state}" if state else ""
        return f"MBF of {len(known)} AHA segments{of}, {known.min():.2f}-{known.max():.2f} mL/min/g"

    try:
        return [describe(None)]
    except StateNeeded:
        return [describe(state) for state in ("rest", "hyperemia")]


def _curve(path: Path) -> list[str]:
    from perfsim.io.curves import read_samples

    import numpy as np

    time, activity = read_samples(path)
    return [
        f"time course: {len(time)} samples from {time[0]:g} to {time[-1]:g} s",
        f"activity up to {activity.max():.4g} at {time[np.argmax(activity)]:g} s",
    ]


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

    try:
        model = read_svzerod(path)  # a steady network, without loading jax
    except InputError:
        return _pulsatile(path)
    said = f"svZeroD network: {len(model.R)} vessels, {len(model.inflow)} inlet(s), {len(model.resistance)} outlets"
    return [said, *(f"note: {note}" for note in model.notes)]


def _pulsatile(path: Path) -> list[str]:
    """What svZeroD's network for `perfsim flow` holds. Raises `InputError` where that cannot read it either."""
    from perfsim.io.flow_files import read_flow
    from perfsim.io.json_files import read_json

    case, content = read_flow(path), read_json(path)
    kinds = ", ".join(sorted({b["bc_type"] for b in content["boundary_conditions"]}))
    said = f"svZeroD network for perfsim flow: {len(content['vessels'])} vessels, ends of the types {kinds}"
    return [said, *(f"note: {note}" for note in case.notes)]


def convert_tree(source: Path, target: Path, overwrite: bool) -> None:
    """Read a tree in any format and write it in another."""
    from perfsim.io import read_tree, write_centerlines, write_swc

    writers = {".swc": write_swc, ".vtp": write_centerlines}
    if target.suffix.lower() not in writers:
        raise InputError(f"{target}: trees are written as {' or '.join(writers)}")
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists: choose another name, or add --overwrite")
    lines, notes = read_tree(source)
    part = target.with_name(f".{target.name}.part")
    try:
        writers[target.suffix.lower()](part, lines)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    for note in notes:
        print(f"note: {note}")
    print(f"wrote {target}: {len(lines.tail)} vessels, in mm")
