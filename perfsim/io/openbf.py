"""openBF: networks in its YAML format (version 2)."""

from pathlib import Path
from typing import Any

from perfsim._extras import needed
from perfsim._files import read_text
from perfsim._results import InputError
from perfsim.io.flow_case import FlowCase, refuse_flow, refuse_period, refuse_twice, refuse_unknown

import numpy as np

TOP = {"project_name", "inlet_file", "write_results", "output_directory", "blood", "solver", "network"}
SOLVER = {"Ccfl", "cycles", "jump", "convergence_tolerance", "use_total_pressure"}
OUTLETS = ("reflection", "wk2", "wk3")
KNOTS = 9
"""along a taper: a wall that follows from the radius is not linear"""
VESSEL = {
    "label", "sn", "tn", "L", "E", "R0", "Rp", "Rd", "M", "h0", "Pext", "gamma_profile", "to_save", "initial_pressure",
    "initial_flow", "visco-elastic", "outlet", "Rt", "R1", "R2", "Cc", "Pout", "inlet_impedance_matching",
}  # fmt: skip
OPEN = -1.0 + 1e-6
"""reflection of an end that is open: its pressure stays what it is"""
PLAUSIBLE = {
    "rho": (800.0, 1300.0, "kg/m³"), "mu": (5e-4, 5e-2, "Pa·s"), "L": (1e-4, 3.0, "m"), "R0": (1e-5, 0.03, "m"),
    "Rp": (1e-5, 0.03, "m"), "Rd": (1e-5, 0.03, "m"), "h0": (1e-6, 0.02, "m"), "E": (1e4, 1e9, "Pa"),
    "R1": (1e4, 1e16, "Pa·s/m³"), "R2": (1e4, 1e16, "Pa·s/m³"), "Cc": (1e-18, 1e-6, "m³/Pa"),
}  # fmt: skip
"""openBF's numbers are in SI: what lies outside is in another unit"""


def read_openbf(path: str | Path) -> FlowCase:
    """Read a network: vessels of constant or linearly tapering radius, one inflow, windkessels or reflection.

    The file's meaning is kept: radii at the external pressure, a wall thickness that is not given by its rule
    h = r (0.2802 e^(-505.3 r) + 0.1324 e^(-11.14 r)), a viscous wall Γ = 0.6 + 0.00075/r, the momentum factor 1 and the
    friction 2(γ + 2)πμ of a `gamma_profile` γ, outlets that send back the share `Rt` of a wave, cells of 1 mm, five at
    least and more where `M` says so, the inflow of the first interval that holds a time. Two things are ours: junctions
    share their total pressure unless `use_total_pressure` is false, and a taper reaches `Rd` (openBF multiplies its
    slope per cell by the cell's length, so that its vessels hardly taper). Raises `InputError` naming file, vessel, key
    and value, also for numbers that are not in SI.
    """
    path = Path(path)
    raw = checked_openbf(path)
    try:
        return _case(raw, path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise InputError(f"{path}: not an openBF case that can be read ({type(error).__name__}: {error})") from None


def checked_openbf(path: Path) -> dict[str, Any]:
    """The file as it is, its keys checked. Raises `InputError` naming file, vessel and key."""
    with needed("io"):
        import yaml

    try:
        raw = yaml.load(read_text(path), _loader())
        _check_keys(raw)
    except InputError as error:
        said = str(error)
        raise InputError(said if said.startswith(str(path)) else f"{path}: {error}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML ({str(error).splitlines()[0]})") from None
    return raw


def _loader():
    """YAML's safe loader that refuses a key which is there twice."""
    import yaml

    class Once(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            for k, key in enumerate(keys):
                if key in keys[:k]:
                    line = node.value[k][0].start_mark.line + 1
                    raise InputError(f"line {line}: the key {key!r} is there twice")
            return super().construct_mapping(node, deep)

    return Once


def _check_keys(raw: Any) -> None:
    if not isinstance(raw, dict) or not isinstance(raw.get("network"), list) or not raw["network"]:
        raise InputError("an openBF case needs a list of vessels under `network`")
    refuse_unknown(raw, TOP, "the file")
    for section, keys in (("blood", {"rho", "mu"}), ("solver", SOLVER)):
        if not isinstance(raw.get(section, {}), dict):
            raise InputError(f"{section} is not a section with keys")
        refuse_unknown(raw.get(section, {}), keys, section)
    for i, v in enumerate(raw["network"]):
        if not isinstance(v, dict):
            raise InputError(f"entry {i + 1} of network is not a vessel")
        refuse_unknown(v, VESSEL, _label(v, i))
        if v.get("outlet", "wk3") not in OUTLETS:
            raise InputError(f"{_label(v, i)}: outlet is {v['outlet']!r}; known are {', '.join(OUTLETS)}")
        if "sn" in v and v["sn"] == v.get("tn"):
            raise InputError(f"{_label(v, i)}: starts and ends at node {v['sn']}")
        _check_units(v, _label(v, i))
    refuse_twice((_label(v, i) for i, v in enumerate(raw["network"])), "label")
    _check_units(raw.get("blood", {}), "blood")


def _check_units(given: dict, where: str) -> None:
    """Raise `InputError` for a number that is in another unit than openBF's."""
    for key, (low, high, unit) in PLAUSIBLE.items():
        if given.get(key) is None:
            continue
        value = _number(given, key, where)
        if value > 0 and not low <= value <= high:
            raise InputError(
                f"{where}: {key} is {value:g}, and openBF has it in {unit}, where {low:g} to {high:g} can be meant: "
                "convert the file to SI"
            )


def _case(raw: dict[str, Any], path: Path) -> FlowCase:
    from perfsim.flow.pulsatile import Arteries, Inlets

    blood, solver, vessels = raw.get("blood", {}), raw.get("solver", {}), raw["network"]
    rho, mu = (_number(blood, key, "blood") for key in ("rho", "mu"))
    numbers = sorted({int(_number(v, key, _label(v, i))) for i, v in enumerate(vessels) for key in ("sn", "tn")})
    ends = [[numbers.index(int(v[key])) for v in vessels] for key in ("sn", "tn")]
    names = [_label(v, i) for i, v in enumerate(vessels)]

    def column(key: str, default: float | None = None) -> np.ndarray:
        return np.array([_number(v, key, n, default) for v, n in zip(vessels, names, strict=True)])

    L, radius = column("L"), np.array([_radii(v, n) for v, n in zip(vessels, names, strict=True)])
    elasticity = column("E")[:, None] * _thickness(vessels, names, radius)
    inlet = raw.get("inlet_file", f"{raw.get('project_name', path.stem)}_inlet.dat")
    wave = _inflow(path.parent / str(inlet))
    if 1 not in numbers:
        raise InputError("no vessel starts at node 1, which is openBF's inlet")
    arteries = Arteries.build(
        ends[0], ends[1], L, radius, elasticity, period=float(wave.times[-1]), viscosity=mu,
        density=rho, flow_inlets=Inlets(numbers.index(1), wave), profile=column("gamma_profile", 2.0),
        momentum_factor=1.0, names=names,
        outlets=_outlets(vessels, names, ends[1], radius[:, -1], elasticity[:, -1], rho),
        viscous=_viscous(vessels, radius), external_pressure=column("Pext", 0.0),
        junctions="total" if solver.get("use_total_pressure", True) else "static",
    )  # fmt: skip
    return FlowCase(
        str(raw.get("project_name", path.stem)), arteries, tuple(str(n) for n in numbers),
        dx=L / np.maximum(np.maximum(np.ceil(1e3 * L), 5.0), column("M", 5.0)),
        cfl=_number(solver, "Ccfl", "solver", 0.9), samples=int(_number(solver, "jump", "solver", 100)),
        max_cycles=int(_number(solver, "cycles", "solver", 100)),
    )  # fmt: skip


def _inflow(path: Path):
    """The inflow as openBF takes it from a table: at a time t, linear in the first interval that holds t.

    Where times step back, what was passed before counts, so that the flow jumps where the table gets beyond it again;
    the period is the last time. Raises `InputError` where a time of the period lies in no interval.
    """
    from perfsim.flow.pulsatile import Sampled
    from perfsim.flow.pulsatile.waveform import read_samples

    times, values = read_samples(path)
    if len(times) < 2 or times[0] > 0 or times[-1] <= 0:
        raise InputError(f"{path}: needs at least two rows, from the time 0 to the end of the period")
    refuse_period(float(times[-1]), str(path))
    refuse_flow(float(np.abs(values).max()), str(path))
    rows = [(float(times[0]), float(values[0]))]
    for t0, t1, v0, v1 in zip(times[:-1], times[1:], values[:-1], values[1:], strict=True):
        reached = rows[-1][0]
        if t1 <= reached:
            continue
        if t0 < reached:
            v = v0 + (v1 - v0) * (reached - t0) / (t1 - t0)
            rows.append((np.nextafter(reached, np.inf), float(v)))
        rows.append((float(t1), float(v1)))
    kept = np.array([row for row in rows if row[0] <= times[-1]])
    kept = kept if kept[-1, 0] == times[-1] else np.vstack([kept, [times[-1], np.interp(times[-1], *np.array(rows).T)]])
    return Sampled(kept[:, 0], kept[:, 1])


def _thickness(vessels: list[dict], names: list[str], radius) -> np.ndarray:
    """h at the knots, as given or by the rule for its radius."""
    rule = radius * (0.2802 * np.exp(-505.3 * radius) + 0.1324 * np.exp(-11.14 * radius))
    for v, name, h in zip(vessels, names, rule, strict=True):
        if v.get("h0") is not None:
            h[:] = _number(v, "h0", name)
    return rule


def _viscous(vessels: list[dict], radius):
    """Γ of P += Γ/(A_d√A) ∂A/∂t; openBF has ∂Q/∂t += C_v ∂²Q/∂x² with C_v = Γ/(ρ√A_d)."""
    on = np.array([bool(v.get("visco-elastic")) for v in vessels])
    return np.where(on[:, None], 0.6 + 0.00075 / radius, 0.0) if on.any() else None


def _outlets(vessels, names, heads, radius, elasticity, rho):
    from perfsim.flow.pulsatile import Absorbing, Windkessel

    absorbing, windkessels = [], []
    tails = {v["sn"] for v in vessels}
    for i, (v, name) in enumerate(zip(vessels, names, strict=True)):
        if v["tn"] in tails:
            continue
        if "R1" not in v:
            absorbing.append((heads[i], _number(v, "Pext", name, 0.0), _echo(v, name)))
            continue
        if _number(v, "Rt", name, 0.0) != 0.0:
            raise InputError(f"{name}: has both Rt, an end that reflects, and R1, a windkessel: give one of them")
        R1, R2 = _number(v, "R1", name), _number(v, "R2", name, 0.0)
        area = np.pi * radius[i] ** 2
        impedance = rho / area * np.sqrt(2.0 / 3.0 * elasticity[i] / (rho * radius[i]))
        if R2 == 0.0 or v.get("inlet_impedance_matching"):
            R1, R2 = impedance, R1 + R2 - impedance
        if R2 <= 0:
            raise InputError(f"{name}: the resistance R1 + R2 is below the vessel's impedance {impedance:.3g} Pa·s/m³")
        windkessels.append((heads[i], R1, R2, _number(v, "Cc", name), _number(v, "Pout", name, 0.0)))
    found = []
    if absorbing:
        found.append(Absorbing(*map(list, zip(*absorbing, strict=True))))
    if windkessels:
        found.append(Windkessel(*map(list, zip(*windkessels, strict=True))))
    return tuple(found)


def _echo(vessel: dict, name: str) -> float:
    """The share of a wave that an end sends back. Raises `InputError` for more than all of it."""
    echo = _number(vessel, "Rt", name, 0.0)
    if not -1.0 <= echo <= 1.0:
        raise InputError(f"{name}: Rt is {echo:g}: the share of a wave that is sent back lies between -1 and 1")
    if echo != 0.0 and _number(vessel, "initial_flow", name, 0.0) != 0.0:
        raise InputError(f"{name}: Rt is taken about a flow of 0: set initial_flow to 0")
    return max(echo, OPEN)


def _label(vessel: dict[str, Any], i: int) -> str:
    return str(vessel.get("label", f"vessel {i + 1}"))


def _radii(vessel: dict, name: str) -> np.ndarray:
    near = (
        _number(vessel, "Rp", name)
        if vessel.get("Rp") is not None or "R0" not in vessel
        else _number(vessel, "R0", name)
    )
    return np.linspace(near, _number(vessel, "Rd", name, near), KNOTS)


def _number(given: dict, key: str, where: str, default: float | None = None) -> float:
    if key not in given or given[key] is None:
        if default is None:
            raise InputError(f"{where}: {key} is missing")
        return float(default)
    try:
        value = float(given[key])
    except (TypeError, ValueError):
        raise InputError(f"{where}: {key} is {given[key]!r}, not a number") from None
    if not np.isfinite(value):
        raise InputError(f"{where}: {key} is {value}; it must be finite")
    return value
