"""Units of svZeroDSolver's files: their numbers say none, and all that its projects write is in cgs."""

from typing import Any

from perfsim._results import InputError
from perfsim.io.flow_case import CGS, SI, FlowUnits

import numpy as np

HIGH_PRESSURE = 3e4
"""pressures above this are of an artery in dyn/cm²; in Pa they would be more than 225 mmHg"""
SMALL_FLOW = 1e-3
"""flows below this are of an artery in m³/s; in cm³/s they would be less than a microlitre per second"""
LARGE_RESISTANCE = 3e7
"""resistances above this are of an artery in Pa·s/m³; in dyn·s/cm⁵ a pressure of 100 mmHg would drive 0.3 mL/min"""
RESISTORS = ("R", "Rp", "Rd", "Ra1", "Ra2", "Rv1")


def units_of(case: dict[str, Any]) -> tuple[FlowUnits, str]:
    """The units of a case, and a sentence that says which were taken and why.

    They are what the description names ("units": "cgs" or "SI"). Else they are SI where the flows are too small, or
    without flows the resistances too large and the pressures not too high, for anything else, and cgs (dyn/cm², cm³/s)
    otherwise. Raises `InputError` for a description with another unit.
    """
    description = case.get("description")
    named = str(description.get("units", "")) if isinstance(description, dict) else ""
    if named:
        for units in (CGS, SI):
            if named.lower().startswith(units.name.lower()):
                return units, f"the file's numbers are in {units.name}, as its description says"
        raise InputError(f"the description says that the units are {named!r}: known are cgs and SI")
    flow = _greatest(case, "FLOW", ("Q",))
    pressure = _greatest(case, "PRESSURE", ("P",))
    resistance = max(
        [_greatest(case, None, RESISTORS)]
        + [abs(float(v["zero_d_element_values"].get("R_poiseuille", 0.0))) for v in case["vessels"]]
    )
    if flow > 0:
        units = SI if flow < SMALL_FLOW else CGS
        said = f"flows reach {flow:.4g}"
    elif pressure > HIGH_PRESSURE:
        units, said = CGS, f"pressures reach {pressure:.4g}"
    else:
        units = SI if resistance > LARGE_RESISTANCE else CGS
        said = f"resistances reach {resistance:.4g}"
    if units is SI:
        return units, f"the file's numbers are taken to be in SI (Pa, m³/s): {said}"
    return units, f"the file's numbers are taken to be in cgs (dyn/cm², cm³/s): {said}; results are in Pa and m³/s"


def _greatest(case: dict[str, Any], kind: str | None, keys: tuple[str, ...]) -> float:
    """The greatest absolute value that conditions of a kind give under these keys."""
    found = [0.0]
    for condition in case["boundary_conditions"]:
        if kind in (None, condition["bc_type"]):
            values = condition["bc_values"]
            found += [float(np.abs(np.asarray(values[k], float)).max()) for k in keys if k in values]
    return max(found)
