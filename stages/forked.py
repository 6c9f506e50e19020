"""Running a function in a copy of this process, for libraries that remember what they have seen."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")
ATTEMPTS = 3  # a copy that something else killed is no verdict on what it was doing
_PR_SET_PDEATHSIG = 1


class ForkDied(Exception):
    """The copy ended without a result each time, e.g. by a crash in native code."""


def in_fork(function: Callable[..., R], *arguments: Any) -> R:
    """Return `function(*arguments)`, run in a fork of this process and returned as a pickle.

    Whatever the function changes in memory is gone with the copy, so that every call starts from
    the same state. The function must not need other threads of this process. Raises what the
    function raises, and ForkDied when the copy dies `ATTEMPTS` times.
    """
    status = 0
    for _ in range(ATTEMPTS):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _run_copy(writer, function, arguments)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            answer = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == 0:
            succeeded, value = pickle.loads(answer)
            if succeeded:
                return value
            raise value
    raise ForkDied(f"{getattr(function, '__qualname__', function)} ended with status {status}")


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends (on Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _run_copy(writer: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Write the pickled result and end without a return, at-exit functions or flushed buffers."""
    try:
        die_with_parent()
        try:
            answer = pickle.dumps((True, function(*arguments)))
        except Exception as error:
            answer = pickle.dumps((False, error))
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(answer)
        os._exit(0)
    finally:
        os._exit(1)
