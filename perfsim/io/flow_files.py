"""Cases of pulsatile flow in networks: our TOML, openBF's YAML, svZeroD's JSON, by the file's ending."""

from collections.abc import Callable
from pathlib import Path

from perfsim._results import InputError
from perfsim.io.flow_case import FlowCase, LumpedCase
from perfsim.io.flow_toml import checked_toml, read_flow_toml
from perfsim.io.openbf import checked_openbf, read_openbf
from perfsim.io.svzerod_lumped import read_svzerod_lumped


def read_flow(path: str | Path) -> FlowCase | LumpedCase:
    """Read a case. Raises `InputError` naming file, item, value and remedy; unknown keys are errors."""
    path = Path(path)
    readers: dict[str, Callable[[Path], FlowCase | LumpedCase]] = {
        ".toml": read_flow_toml, ".yaml": read_openbf, ".yml": read_openbf, ".json": read_svzerod_lumped,
    }  # fmt: skip
    if path.suffix.lower() == ".in":
        raise InputError(
            f"{path}: svOneDSolver's trees are not marched as they are: write a network first, "
            f"`perfsim export {path.name} {path.stem}.yaml --flow ...`"
        )
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: {path.suffix or 'no ending'} is none of {', '.join(readers)}")
    return readers[path.suffix.lower()](path)


def network_in(path: Path) -> str:
    """What a TOML or openBF case holds, in a sentence, without loading jax. Raises `InputError` as `read_flow` does."""
    if path.suffix.lower() == ".toml":
        case = checked_toml(path)
        kinds = ", ".join(sorted({outlet.kind for outlet in case.outlet})) or "none"
        return (
            f"network for perfsim flow: {len(case.vessel)} vessels, {len(case.inlet)} inlet(s), {len(case.outlet)} "
            f"outlets ({kinds}), {len(case.stenosis)} stenoses, period {case.flow.period:g} s"
        )
    raw = checked_openbf(path)
    return f"openBF network {raw.get('project_name', path.stem)!r} for perfsim flow: {len(raw['network'])} vessels"
