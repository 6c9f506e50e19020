"""How every entry point ends: errors that a person can mend are one line, exit code 2.

A fault of the program itself that met everything is one line, too, with exit code 1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from manifests.faults import ProgramFault
from manifests.filesystems import LocationError
from manifests.reasons import SourceNotFound
from model.checkpoint import WeightsError
from pipeline.config import ConfigError
from pipeline.damage import WorkdirDamaged
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
    WorkdirDamaged,
    WeightsError,
)


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


def run_command(command: Callable[..., Any]) -> None:
    """Run one command as a program of its own, for `python -m jobs.NAME`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    run_app(app)
