"""How every entry point begins and ends.

Errors that a person can mend are one line, exit code 2. A fault of the program itself that met
everything is one line, too, with exit code 1. SIGTERM and SIGHUP end everything as
Ctrl-C does: what was started is ended, temporary files go, and one line says so; the exit code is
128 and the signal's number, as for a program that takes no notice of it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, TypeVar

import typer

from wavemill.jobs.plain import printable
from wavemill.manifests.faults import ProgramFault
from wavemill.manifests.filesystems import LocationError
from wavemill.manifests.reasons import SourceNotFound
from wavemill.model.io.folders import WeightsError
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.damage import WorkdirDamaged
from wavemill.pipeline.execution.faults import RunStopped, fault_of_surroundings
from wavemill.pipeline.lock import WorkdirBusy
from wavemill.stages.engine import EngineUnavailable

MENDABLE = (
    ConfigError,
    LocationError,
    SourceNotFound,
    EngineUnavailable,
    RunStopped,
    WorkdirBusy,
    WorkdirDamaged,
    WeightsError,
)


T = TypeVar("T")
GOES_ON = "stopped; the same command goes on"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, Any], None]


class Stopped(BaseException):
    """A signal asked to stop; its text is for the person who sent it.

    No KeyboardInterrupt, for which click says "Aborted!" and exits with 1.
    """

    def __init__(self, signal_number: int, told: str = GOES_ON) -> None:
        super().__init__(told)
        self.exit_code = 128 + signal_number


@contextmanager
def stopping(handler: Handler | None = None) -> Iterator[None]:
    """Have SIGINT and SIGTERM call `handler` within the block, by default to raise Stopped.

    For work that goes on with the same command. In a thread other than the first nothing changes,
    since only the first one gets signals. Ray brings a handler of its own while it starts, which
    exits: around `ray_session` that is taken for what it is, and inside it `stopping` comes again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler or _stop) for number in SIGNALS}
    try:
        yield
    except SystemExit as ended:
        if ended.code != signal.SIGTERM:
            raise
        raise Stopped(signal.SIGTERM) from None
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _stop(number: int, _frame: Any) -> None:
    raise Stopped(number)


def in_a_thread(function: Callable[[], T]) -> T:
    """Return `function()`, called in another thread while this one answers signals by itself.

    For libraries that set handlers of their own wherever they run in the first thread.
    """
    result: Future[T] = Future()

    def call() -> None:
        try:
            result.set_result(function())
        except BaseException as error:  # whatever it is, it is raised by who waits
            result.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return result.result()


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came. Whatever has to be done on Ctrl-C is to be done now."""


def run_app(app: typer.Typer) -> None:
    """Run a command line and leave the process with its exit code."""
    _name_files_in_utf8()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    came = _note_signals()
    try:
        app()
    except Stopped as stopped:
        print(f"wavemill: {stopped}", file=sys.stderr)
        sys.exit(stopped.exit_code)
    except SystemExit as end:
        if not came or not _by_interruption(end):
            raise  # also of a command that has said itself what came of the interruption
    except BaseException as error:
        if not came:  # else it is what a library made of the interruption
            _leave_for(error)
    print(f"wavemill: {GOES_ON}", file=sys.stderr)
    sys.exit(128 + came[0])


def run_command(command: Callable[..., Any]) -> None:
    """Run one command as a program of its own, for `python -m jobs.NAME`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    run_app(app)


def _leave_for(error: BaseException) -> NoReturn:
    """Say what is wrong, in one line where that is known, and leave."""
    known = error if isinstance(error, (*MENDABLE, ProgramFault)) else fault_of_surroundings(error)
    if known is None:
        raise error
    print(f"wavemill: {printable(str(known))}", file=sys.stderr)
    sys.exit(1 if isinstance(known, ProgramFault) else 2)


def _note_signals() -> list[int]:
    """Have signals that end a program raise KeyboardInterrupt; return a list of those that came."""
    came: list[int] = []

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        came.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_IGN)  # let what has to be done now be done
        raise Terminated

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, end)
    return came


def _by_interruption(end: SystemExit) -> bool:
    """Whether typer made this of a KeyboardInterrupt that the command let through."""
    cause = end.__context__.__cause__ if end.__context__ is not None else None
    return isinstance(cause, KeyboardInterrupt)


def _name_files_in_utf8() -> None:
    """Start this program again in Python's UTF-8 mode, where the locale has another encoding.

    Names of files are bytes; read as Latin-1, say, they would not be those that manifests mean.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        arguments = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execve(sys.executable, arguments, {**os.environ, "PYTHONUTF8": "1"})
