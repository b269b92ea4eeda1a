"""Ctrl-C and a request to end: one sentence, the exit code that shells expect, and nothing half-done."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LISTENED = ("SIGINT", "SIGTERM", "SIGBREAK")
"""SIGBREAK is Windows' Ctrl-Break"""
_MOST = 3
"""signals after which the process ends at once"""


class Interrupted(BaseException):
    """A signal that asks the process to end. No `except Exception` of a library catches it."""


class _State:
    received: list[int] = []  # noqa: RUF012 - of the process
    held = False


def _receive(number: int, frame) -> None:
    """Raise `Interrupted` at the first signal. Later ones wait for what is being cleaned up, the third does not."""
    _State.received.append(number)
    if len(_State.received) >= _MOST:
        os._exit(exit_code())
    if len(_State.received) == 1 and not _State.held:
        raise Interrupted


@contextmanager
def listening() -> Iterator[None]:
    """Turn signals into `Interrupted` within the block, in the main thread. A signal that is ignored stays ignored."""
    _State.received, _State.held = [], False
    before, hook = {}, sys.unraisablehook
    try:
        for number in (getattr(signal, name) for name in _LISTENED if hasattr(signal, name)):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _receive)
    except ValueError:  # another thread's: the main thread receives signals
        pass
    # one that comes while a destructor runs cannot be raised there: `check` raises it
    sys.unraisablehook = lambda found: None if found.exc_type is Interrupted else hook(found)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def check() -> None:
    """Raise `Interrupted` if a signal came whose exception was lost in a library."""
    if _State.received and not _State.held:
        raise Interrupted


@contextmanager
def held() -> Iterator[None]:
    """Let a short block end before a signal is heard."""
    _State.held = True
    try:
        yield
    finally:
        _State.held = False
    check()


def received() -> bool:
    """Whether a signal has asked this process to end."""
    return bool(_State.received)


def exit_code() -> int:
    """128 + the number of the signal: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (_State.received[0] if _State.received else signal.SIGINT)
