"""The command line in this process, for tests of what it does and says.

A process of its own costs seconds of imports; tests of signals, limits, locales and of what is
left when a process is killed start one.
"""

from __future__ import annotations

import io
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

from wavemill.jobs.cli import main

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # `main` sets handlers for them


@dataclass(frozen=True)
class Done:
    """What `subprocess.run` would return of a command."""

    returncode: int
    stdout: str
    stderr: str


def wavemill(*arguments: object) -> Done:
    """Run a command to its end; faults that no person can mend are raised."""
    out, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    told = ["wavemill", *map(str, arguments)]
    code = 0
    try:
        with patch.object(sys, "argv", told), redirect_stdout(out), redirect_stderr(errors):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Done(code, *(_content(stream) for stream in (out, errors)))


def _content(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()
