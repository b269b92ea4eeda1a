"""openBF: networks in its YAML format (version 2)."""

from pathlib import Path
from typing import Any

from perfsim._extras import needed
from perfsim._results import InputError
from perfsim.io.flow_case import FlowCase, refuse_unknown

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


def read_openbf(path: str | Path) -> FlowCase:
    """Read a network: vessels of constant or linearly tapering radius, one inflow, windkessels or reflection.

    The file's meaning is kept: radii at the external pressure, a wall thickness that is not given by its rule
    h = r (0.2802 e^(-505.3 r) + 0.1324 e^(-11.14 r)), a viscous wall Γ = 0.6 + 0.00075/r, cells of 1 mm, five at least
    and more where `M` says so. Two things are ours: the momentum factor is that of the velocity profile, not 1, and
    junctions share their total pressure unless `use_total_pressure` is false. Outlets that reflect in part (`Rt` other
    than 0) are refused. Raises `InputError` naming file, vessel, key and value.
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
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        _check_keys(raw)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML ({str(error).splitlines()[0]})") from None
    return raw


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


def _case(raw: dict[str, Any], path: Path) -> FlowCase:
    from perfsim.flow.pulsatile import Arteries, Inlets, read_waveform

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
    wave = read_waveform(path.parent / inlet)
    if 1 not in numbers:
        raise InputError("no vessel starts at node 1, which is openBF's inlet")
    arteries = Arteries.build(
        ends[0], ends[1], L, radius, elasticity, period=float(wave.times[-1] - wave.times[0]), viscosity=mu,
        density=rho, flow_inlets=Inlets(numbers.index(1), wave), profile=column("gamma_profile", 2.0), names=names,
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
            if _number(v, "Rt", name, 0.0) != 0.0:
                raise InputError(f"{name}: Rt is {v['Rt']}; only 0, an end that absorbs, can be read")
            absorbing.append((heads[i], _number(v, "Pext", name, 0.0)))
            continue
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


def _label(vessel: dict[str, Any], i: int) -> str:
    return str(vessel.get("label", f"vessel {i + 1}"))


def _radii(vessel: dict, name: str) -> np.ndarray:
    if "R0" in vessel:
        return np.full(KNOTS, _number(vessel, "R0", name))
    near = _number(vessel, "Rp", name)
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
