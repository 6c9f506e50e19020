"""How every entry point ends: errors that a person can mend are one line, exit code 2.

A fault of the program itself that met everything is one line, too, with exit code 1.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import typer

from manifests.faults import ProgramFault
from manifests.filesystems import LocationError
from manifests.reasons import SourceNotFound
from model.checkpoint import WeightsError
from pipeline.config import ConfigError
from pipeline.execution.faults import RunStopped
from pipeline.lock import WorkdirBusy
from stages.engine import EngineUnavailable

MENDABLE = (
    ConfigError,
    LocationError,
    SourceNotFound,
    EngineUnavailable,
    RunStopped,
    WorkdirBusy,
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


def run_app(app: typer.Typer) -> None:
    """Run a command line and leave the process with its exit code."""
    try:
        app()
    except MENDABLE as error:
        print(f"wavemill: {error}", file=sys.stderr)
        sys.exit(2)
    except ProgramFault as error:
        print(f"wavemill: {error}", file=sys.stderr)
        sys.exit(1)
    except Stopped as stopped:
        print(f"wavemill: {stopped}", file=sys.stderr)
        sys.exit(stopped.exit_code)


def run_command(command: Callable[..., Any]) -> None:
    """Run one command as a program of its own, for `python -m jobs.NAME`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    run_app(app)
