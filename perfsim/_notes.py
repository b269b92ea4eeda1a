"""Notes: what a reader noticed of a file and took as it says, in a sentence for the user."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class InputNote(UserWarning):
    """Something about an input that is read all the same: it names the file, the item and what was made of it."""


def note(message: str) -> None:
    """Warn of something that is no error. The command line prints it as a note."""
    warnings.warn(InputNote(message), stacklevel=3)


@contextmanager
def collect_notes() -> Iterator[list[str]]:
    """Gather the notes of a block in a list instead of showing them; other warnings are shown as always."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputNote)
        yield found
        found += [str(w.message) for w in caught if issubclass(w.category, InputNote)]
    for other in caught:
        if not issubclass(other.category, InputNote):
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
