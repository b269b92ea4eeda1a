"""The command line: `perfsim demo | run | init | fit`."""

import sys

from perfsim._extras import MissingExtraError

try:
    from perfsim.cli.main import main
except MissingExtraError as error:
    _missing = str(error)

    def main() -> None:
        """Entry point where the packages of the command line are not installed: say so, exit with 2."""
        print(f"perfsim: {_missing}", file=sys.stderr)
        sys.exit(2)


__all__ = ["main"]
