"""The command line: `perfsim demo | run | init | fit`."""

from perfsim.cli.main import main

__all__ = ["main"]
