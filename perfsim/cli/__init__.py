"""The command line: `perfsim demo | run | init | fit`, or `python -m perfsim`."""

import sys

from perfsim._extras import MissingExtraError


def main() -> None:
    """Run the command that the process was started with. Where its packages are missing, say so and exit with 2."""
    try:
        from perfsim.cli.commands import main as run
    except MissingExtraError as error:
        print(f"perfsim: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("perfsim: interrupted", file=sys.stderr)
        sys.exit(130)
    run()


__all__ = ["main"]
