"""openBF: networks in its YAML format (version 2)."""

from pathlib import Path
from typing import Any

from perfsim._results import InputError
from perfsim.io.flow_case import FlowCase

import numpy as np

TOP = {"project_name", "inlet_file", "write_results", "output_directory", "blood", "solver", "network"}
SOLVER = {"Ccfl", "cycles", "jump", "convergence_tolerance"}
VESSEL = {
    "label", "sn", "tn", "L", "E", "R0", "Rp", "Rd", "M", "h0", "Pext", "gamma_profile", "to_save", "initial_pressure",
    "initial_flow", "visco-elastic", "Rt", "R1", "R2", "Cc", "Pout", "inlet_impedance_matching",
}  # fmt: skip


def read_openbf(path: str | Path) -> FlowCase:
    """Read a network: vessels of constant or linearly tapering radius, one inflow, windkessels or reflection.

    Where openBF's model differs from ours the file's meaning is kept: radii at zero pressure, momentum factor 1. A wall
    thickness that is not given follows its rule h = r (0.2802 e^(-505.3 r) + 0.1324 e^(-11.14 r)). Outlets that reflect
    in part (`Rt` other than 0) are refused. Raises `InputError` naming file, vessel, key and value.
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
    _known(raw, TOP, "the file")
    for section, keys in (("blood", {"rho", "mu"}), ("solver", SOLVER)):
        if not isinstance(raw.get(section, {}), dict):
            raise InputError(f"{section} is not a section with keys")
        _known(raw.get(section, {}), keys, section)
    for i, v in enumerate(raw["network"]):
        if not isinstance(v, dict):
            raise InputError(f"entry {i + 1} of network is not a vessel")
        _known(v, VESSEL, _label(v, i))
        if v.get("visco-elastic"):
            raise InputError(f"{_label(v, i)}: visco-elastic walls of openBF cannot be read; give Γ in a TOML case")


def _case(raw: dict[str, Any], path: Path) -> FlowCase:
    from perfsim.flow.pulsatile import Arteries, Inlets, read_waveform

    blood, solver, vessels = raw.get("blood", {}), raw.get("solver", {}), raw["network"]
    rho, mu = (_number(blood, key, "blood") for key in ("rho", "mu"))
    numbers = sorted({int(_number(v, key, _label(v, i))) for i, v in enumerate(vessels) for key in ("sn", "tn")})
    ends = [[numbers.index(int(v[key])) for v in vessels] for key in ("sn", "tn")]
    names = [_label(v, i) for i, v in enumerate(vessels)]
    radius = np.array([_radii(v, n) for v, n in zip(vessels, names, strict=True)])
    mean = radius.mean(axis=1)
    rule = mean * (0.2802 * np.exp(-505.3 * mean) + 0.1324 * np.exp(-11.14 * mean))
    h = np.array([_number(v, "h0", n, r) for v, n, r in zip(vessels, names, rule, strict=True)])
    E, L = (np.array([_number(v, k, n) for v, n in zip(vessels, names, strict=True)]) for k in ("E", "L"))
    profile, outside = (
        np.array([_number(v, k, n, d) for v, n in zip(vessels, names, strict=True)])
        for k, d in (("gamma_profile", 2.0), ("Pext", 0.0))
    )
    wave = read_waveform(path.parent / raw.get("inlet_file", f"{raw.get('project_name', path.stem)}_inlet.dat"))
    if 1 not in numbers:
        raise InputError("no vessel starts at node 1, which is openBF's inlet")
    arteries = Arteries.build(
        ends[0], ends[1], L, radius, E * h, period=float(wave.times[-1] - wave.times[0]), viscosity=mu, density=rho,
        flow_inlets=Inlets(numbers.index(1), wave), outlets=_outlets(vessels, names, ends[1], radius, E * h, rho),
        external_pressure=outside, profile=profile, momentum_factor=1.0,
        names=names,
    )  # fmt: skip
    return FlowCase(
        str(raw.get("project_name", path.stem)), arteries, tuple(str(n) for n in numbers), dx=_length(vessels, L),
        cfl=_number(solver, "Ccfl", "solver", 0.9), samples=int(_number(solver, "jump", "solver", 100)),
        max_cycles=int(_number(solver, "cycles", "solver", 100)),
    )  # fmt: skip


def _length(vessels: list[dict], L) -> float:
    """Cells of 1 mm, or the finest that a vessel asks for by its number of divisions."""
    return float(min([length / v["M"] for v, length in zip(vessels, L, strict=True) if v.get("M")] + [1e-3]))


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
        area = np.pi * radius[i, -1] ** 2
        impedance = rho / area * np.sqrt(2.0 / 3.0 * elasticity[i] / (rho * radius[i, -1]))
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


def _known(given: dict, keys: set[str], where: str) -> None:
    unknown = sorted(map(str, set(given) - keys))
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(keys))}")


def _radii(vessel: dict, name: str) -> list[float]:
    if "R0" in vessel:
        return [_number(vessel, "R0", name)] * 2
    return [_number(vessel, key, name) for key in ("Rp", "Rd")]


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
