"""Units at the edge: everything inside perfsim is SI, users write ``"120 mmHg"`` and read mL/min/g."""

import re

from perfsim._results import InputError

MMHG = 133.322387415  # [Pa], NIST SP 811
ML = 1e-6  # [m³]
MINUTE = 60.0  # [s]
MM = 1e-3  # [m]
ML_MIN = ML / MINUTE  # [m³/s]
ML_MIN_G = ML / MINUTE / 1e-3  # [m³/(s·kg)]
MBF_UNIT = "mL/min/g"

# the first of each is what people write: messages suggest it
_UNITS: dict[str, dict[str, float]] = {
    "pressure": {"mmHg": MMHG, "Pa": 1.0, "kPa": 1e3, "MPa": 1e6, "dyn/cm2": 0.1, "dyn/cm²": 0.1},
    "length": {"mm": MM, "m": 1.0, "cm": 1e-2, "um": 1e-6, "µm": 1e-6},
    "mass": {"g": 1e-3, "kg": 1.0},
    "flow": {"mL/min": ML_MIN, "m3/s": 1.0, "m³/s": 1.0, "mL/s": ML, "L/min": 1e3 * ML_MIN},
    "perfusion": {"mL/min/g": ML_MIN_G, "mL/g/min": ML_MIN_G, "mL/min/100g": ML_MIN_G / 100, "m3/s/kg": 1.0},
    "viscosity": {"mPa·s": 1e-3, "mPa s": 1e-3, "Pa·s": 1.0, "Pa s": 1.0, "cP": 1e-3, "P": 0.1},
    "density": {"kg/m3": 1.0, "kg/m³": 1.0, "g/mL": 1e3, "g/cm3": 1e3},
    "conductance": {"1/(Pa·s)": 1.0, "1/(Pa s)": 1.0, "1/Pa/s": 1.0},
    "permeability": {"m2/(Pa·s)": 1.0, "m²/(Pa·s)": 1.0, "m2/Pa/s": 1.0, "mm2/(Pa·s)": 1e-6},
    "angle": {"deg": 0.017453292519943295, "rad": 1.0},
    "time": {"s": 1.0, "ms": 1e-3, "min": MINUTE, "sec": 1.0, "seconds": 1.0, "msec": 1e-3, "minutes": MINUTE},
    "activity": {"Bq/mL": 1.0, "kBq/mL": 1e3, "MBq/mL": 1e6, "nCi/mL": 37.0, "uCi/mL": 37e3, "BQML": 1.0},
    "perfusion by volume": {"mL/min/mL": 1 / MINUTE, "mL/min/100mL": 0.01 / MINUTE, "1/min": 1 / MINUTE},
}
_QUANTITY = re.compile(r"^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*$")


def parse(text: object, kind: str) -> float:
    """Read a quantity with its unit, e.g. ``parse("120 mmHg", "pressure")``, and return its SI value.

    Raises `InputError` where the unit is missing or not one of `kind`.
    """
    units = _UNITS[kind]
    accepted = ", ".join(units)
    match = _QUANTITY.match(text) if isinstance(text, str) else None
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        raise InputError(
            f'{text!r} has no unit: write it as text with one of {accepted}, e.g. "{text} {next(iter(units))}"'
        )
    if match is None:
        raise InputError(f"{text!r} is not a {kind}: write a number and one of {accepted}")
    number, unit = match.groups()
    if not unit:
        raise InputError(f"{text!r} has no unit: add one of {accepted}")
    if unit not in units:
        raise InputError(f"{text!r} has the unit {unit!r}, which is not a unit of {kind}: use one of {accepted}")
    return float(number) * units[unit]


def scale(unit: str, kind: str) -> float | None:
    """The SI value of a unit as tables and headers spell it, or None if it is none of `kind`.

    ``scale("ml·min⁻¹·g⁻¹", "perfusion")`` and ``scale("cc/g/min", "perfusion")`` are one: case, brackets, blanks
    and the order of the denominators do not count.
    """
    wanted = _canonical(unit)
    return next((value for known, value in _UNITS[kind].items() if _canonical(known) == wanted), None)


def _canonical(unit: str) -> tuple[frozenset[str], frozenset[str]]:
    """(factors above, factors below the line) of a unit."""
    text = unit.strip().lower().translate(str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "\xa0": " "}))
    text = re.sub(r"\s*(\bper\b|[_/])\s*", "/", text.replace("⁻¹", "-1").replace("^", ""))
    text = re.sub(r"\s+", "*", re.sub(r"100\s+", "100", re.sub(r"[()\[\]]", "", text)))
    text = re.sub(r"\b(100)?(cc|ccm|cm3)\b", r"\1ml", text)
    above, *below = text.split("/")
    top: set[str] = set()
    bottom = {word for part in below for word in re.split("[·*⋅]", part)}
    for word in re.split("[·*⋅]", above):
        (bottom if word.endswith("-1") else top).add(word.removesuffix("-1"))
    return frozenset(top), frozenset(bottom)


def fraction(text: object) -> float:
    """Read a share such as ``"0.5%"``, ``"0.5 %"`` or ``0.005``. Raises `InputError` outside 0 to 1."""
    match = _QUANTITY.match(text) if isinstance(text, str) else None
    if match is not None and match.group(2) in ("", "%"):
        value = float(match.group(1)) * (0.01 if match.group(2) else 1.0)
    elif isinstance(text, (int, float)) and not isinstance(text, bool):
        value = float(text)
    else:
        raise InputError(f'{text!r} is not a share: write it as "0.5%" or 0.005')
    if not 0.0 < value < 1.0:
        raise InputError(f'{text!r} is not a share between 0 and 1: write it as "0.5%" or 0.005')
    return value
