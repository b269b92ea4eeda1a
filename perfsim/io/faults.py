"""What is wrong with a file that does not fit its model, in sentences."""

from typing import Any

from perfsim._extras import needed
from perfsim._results import meant

with needed("io"):
    from pydantic import BaseModel, ValidationError


def explained(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One sentence per fault: key, value and what is accepted."""
    return [_sentence(e, model) for e in error.errors()]


def _sentence(error, model) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _known_keys(error["loc"][:-1], model)
        hint = meant(str(error["loc"][-1]), known, f"known keys are {', '.join(known)}")
        return f"unknown key {where!r}: {hint}"
    if error["type"] == "missing":
        return f"{where!r} is missing"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "string_pattern_mismatch":
        message = f"{error['input']!r} is not one of {error['ctx']['pattern'].strip('^$()').replace('|', ', ')}"
    elif not error["type"].startswith("value_error"):
        message = f"{error['input']!r}: {message[0].lower() + message[1:]}"
    return f"{where}: {message}" if where else message


def _known_keys(location, model: Any) -> list[str]:
    for part in location:
        if isinstance(part, int):
            continue
        if part not in getattr(model, "model_fields", {}):
            return []
        annotation = model.model_fields[part].annotation
        model = annotation.__args__[0] if hasattr(annotation, "__args__") else annotation
    return list(model.model_fields) if hasattr(model, "model_fields") else []
