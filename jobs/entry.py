"""How every entry point begins and ends.

Errors that a person can mend are one line, exit code 2. A fault of the program itself that stopped
everything is one line too, with exit code 1. SIGINT (Ctrl-C), SIGTERM and SIGHUP end a command in
the same way: what it started is ended, its temporary files are removed, and one line says so; the
exit code is 128 and the signal's number, as for a program that does not handle the signal.

Nothing heavy is imported here: every `--help` imports this module.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from wavemill.jobs.lazy import MARKUP, Command

GOES_ON = "stopped; the same command goes on"
AGAIN_SECONDS = 0.05
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Handler = Callable[[int, Any], None]


class Stopped(BaseException):
    """A signal asked the command to stop; the text is for the person who sent the signal.

    It is not a KeyboardInterrupt, since click turns that into an exit code of its own.
    """

    def __init__(self, signal_number: int, text: str = GOES_ON) -> None:
        super().__init__(text)
        self.exit_code = 128 + signal_number


@contextmanager
def stopping(handler: Handler) -> Iterator[None]:
    """Have the signals that end a command call `handler` within the block.

    Does nothing outside the main thread, which alone gets signals. A signal that was ignored
    before, as SIGHUP is under nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def _repeating(handler: Handler) -> Iterator[None]:
    """Have a signal come again whose Stopped was lost, within the block.

    Python drops every exception that is raised while an object is removed, or in a callback of a
    library, and the command would go on as if nobody had asked.
    """
    before = sys.unraisablehook
    waiting: list[threading.Timer] = []

    def lost(unraisable: sys.UnraisableHookArgs) -> None:
        error = unraisable.exc_value
        if not isinstance(error, Stopped):
            before(unraisable)
            return
        number = error.exit_code - 128
        signal.signal(number, handler)
        # Not at once: what is raised here is lost as well.
        again = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()
        waiting.append(again)

    sys.unraisablehook = lost
    try:
        yield
    finally:
        sys.unraisablehook = before
        for again in waiting:  # after the block nobody handles the signal
            again.cancel()
            again.join()


def run_app(app: typer.Typer) -> None:
    """Run a command line and leave the process with its exit code."""
    _name_files_in_utf8()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    came: list[int] = []

    def stop(number: int, _frame: Any) -> NoReturn:
        came.append(number)
        if number != signal.SIGINT:
            signal.signal(number, signal.SIG_IGN)  # so that cleaning up is not interrupted
        raise Stopped(number)

    try:
        with stopping(stop), _repeating(stop):
            app()
    except Stopped as stopped:
        print(f"wavemill: {stopped}", file=sys.stderr)
        sys.exit(stopped.exit_code)
    except SystemExit:
        raise  # also of a command that has itself said that it was stopped
    except BaseException as error:
        if not came:
            _leave_for(error)
        # Otherwise a library made this error of the signal.
        print(f"wavemill: {GOES_ON}", file=sys.stderr)
        sys.exit(128 + came[0])


def run_command(command: Callable[..., Any]) -> None:
    """Run one command as a program of its own, for `python -m wavemill.jobs.NAME`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=MARKUP)
    app.command(cls=Command)(command)
    run_app(app)


def _leave_for(error: BaseException) -> NoReturn:
    """Say what is wrong, in one line where that is known, and leave."""
    from wavemill.jobs.plain import printable
    from wavemill.manifests.faults import ProgramFault
    from wavemill.pipeline.execution.faults import fault_of_surroundings

    mendable = (*_mendable(), ProgramFault)
    known = error if isinstance(error, mendable) else fault_of_surroundings(error)
    if known is None:
        raise error
    print(f"wavemill: {printable(str(known))}", file=sys.stderr)
    sys.exit(1 if isinstance(known, ProgramFault) else 2)


def _mendable() -> tuple[type[Exception], ...]:
    """Return the errors whose text tells a person what to do."""
    from wavemill.manifests.filesystems import LocationError
    from wavemill.manifests.reasons import SourceNotFound
    from wavemill.model.io.folders import WeightsError
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.damage import WorkdirDamaged
    from wavemill.pipeline.execution.faults import RunStopped
    from wavemill.pipeline.lock import WorkdirBusy
    from wavemill.stages.engine import EngineUnavailable

    return (
        ConfigError, LocationError, SourceNotFound, EngineUnavailable, RunStopped, WorkdirBusy,
        WorkdirDamaged, WeightsError,
    )  # fmt: skip


def _name_files_in_utf8() -> None:
    """Start this program again in Python's UTF-8 mode, where the locale has another encoding.

    Names of files are bytes; read as Latin-1, say, they would not be those that manifests mean.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        arguments = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execve(sys.executable, arguments, {**os.environ, "PYTHONUTF8": "1"})
