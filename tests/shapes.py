"""Array annotations of perfsim, checked at every call of a test run (`--jaxtyping-packages` in pyproject.toml)."""

from typing import get_args

from beartype import beartype
from jaxtyping import AbstractArray


def arrays_checked(function):
    """beartype for annotations of arrays, whose shapes and dtypes mypy cannot see; what else is annotated is mypy's."""
    hints = function.__annotations__
    function.__annotations__ = {name: hint for name, hint in hints.items() if _of_array(hint)}
    return beartype(function)


def _of_array(hint) -> bool:
    return any(isinstance(h, type) and issubclass(h, AbstractArray) for h in (hint, *get_args(hint)))
