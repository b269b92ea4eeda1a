"""The command line as tests call it: in this process, which has imported and compiled what it needs before."""

import contextlib
import io
import sys
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from perfsim.cli import main


def perfsim(*arguments, cwd: Path, encoding: str = "utf-8") -> CompletedProcess:
    """Exit code, output and errors of `perfsim ARGUMENTS` in the folder `cwd`, on a terminal of this encoding."""
    (out, err), code = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="") for _ in range(2)), 0
    command = mock.patch.object(sys, "argv", ["perfsim", *map(str, arguments)])
    with command, contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    for stream in (out, err):
        stream.flush()
    return CompletedProcess(arguments, code, *(s.buffer.getvalue().decode(encoding) for s in (out, err)))
