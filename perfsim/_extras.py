"""Packages that only parts of perfsim need: who lacks one reads which extra brings it."""

from collections.abc import Iterator
from contextlib import contextmanager

EXTRAS = ("io", "viz", "cli", "learn")
"""the extras of pyproject.toml, apart from `all`"""


class MissingExtraError(ImportError):
    """A package that is not installed: the message names it and the line to type."""


@contextmanager
def needed(extra: str) -> Iterator[None]:
    """Import the packages of an extra: ``with needed("io"): import pyvista``.

    Raises `MissingExtraError` where one is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "perfsim":
            raise
        raise MissingExtraError(
            f'this needs the package {package}, which is not installed: pip install "perfsim[{extra}]"', name=error.name
        ) from error
