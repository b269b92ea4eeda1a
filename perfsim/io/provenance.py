"""Where each parameter of a case came from."""

from perfsim.io.case import Case
from perfsim.units import MBF_UNIT, ML_MIN_G, MMHG

_CALIBRATED = {"tissue.supply", "tissue.drainage"}
_FITTED_AS = {
    "throat": "diameter_reduction",
    "severity": "diameter_reduction",
    "pressure": "aortic_pressure",
    "tone_field": "tone_map",
}
"""key of a case that holds a fitted parameter of another name"""
_EMPTY = {"tone": "1 everywhere", "shares": "free", "reading_error": "0.2 mm of the diameter"}
"""what a table without entries, or nothing, means"""
_UNITS = {
    "mass": (1e3, "g"),
    "spacing": (1e3, "mm"),
    "reference_diameter": (1e6, "µm"),
    "position": (1e3, "mm"),
    "length": (1e3, "mm"),
    "aortic_pressure": (1 / MMHG, "mmHg"),
    "back_pressure_epi": (1 / MMHG, "mmHg"),
    "back_pressure_endo": (1 / MMHG, "mmHg"),
    "demand": (1 / ML_MIN_G, MBF_UNIT),
    "supply": (1.0, "1/(Pa·s)"),
    "drainage": (1.0, "1/(Pa·s)"),
    "mobility": (1.0, "m²/(Pa·s)"),
    "plasma_viscosity": (1e3, "mPa·s"),
}


def provenance(case: Case, fitted: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    """(parameter, value with unit, origin) of all that a case sets; origin: given, default, calibrated or fitted."""
    changed = tuple(_FITTED_AS.get(name, name) for name in fitted)
    rows = []
    for section in ("anatomy", "tree", "mesh", "rest", "hyperemia", "tissue", "blood"):
        model = getattr(case, section)
        written = section in case.model_fields_set
        for key in type(model).model_fields:
            given = written and key in model.model_fields_set
            rows.append(
                (f"{section}.{key}", _value(key, getattr(model, key)), _origin(f"{section}.{key}", given, changed))
            )
    for k, lesion in enumerate(case.stenosis):
        for key in type(lesion).model_fields:
            name = f"stenosis[{k}].{key}"
            rows.append((name, _value(key, getattr(lesion, key)), _origin(name, True, changed)))
    return rows


def _origin(name: str, given: bool, fitted: tuple[str, ...]) -> str:
    if name.rsplit(".", 1)[1] in fitted:
        return "fitted"
    if given:
        return "given"
    return "calibrated" if name in _CALIBRATED else "default"


def _value(key: str, value) -> str:
    if value is None:
        return _EMPTY.get(key, "none")
    if isinstance(value, dict):
        return ", ".join(f"{k} {v:.4g}" for k, v in value.items()) or _EMPTY.get(key, "none")
    if isinstance(value, float):
        scale, unit = _UNITS.get(key, (1.0, ""))
        return f"{value * scale:.5g} {unit}".strip()
    return str(value)
