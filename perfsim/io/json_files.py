"""JSON files, in which no name may stand twice."""

import json
from pathlib import Path
from typing import Any

from perfsim._files import read_text
from perfsim._results import InputError


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises `InputError` for what is none, or a name that stands twice in one object."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise InputError(f"{path}: the key {name!r} is there twice: which value counts? Remove one")
            found[name] = value
        return found

    try:
        content = json.loads(read_text(path), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    except InputError:
        raise
    except (ValueError, RecursionError):
        raise InputError(f"{path}: holds a number too long, or lists nested too deep, to be read") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no object of names and values")
    return content
