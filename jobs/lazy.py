"""Commands whose modules are imported when somebody calls them, and not for `wavemill --help`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from wavemill.jobs.pandas_import import keep_pandas_out
from wavemill.jobs.threads import read_with_all_cores

MARKUP: Final = "markdown"


class Command(TyperCommand):
    """A command of this project. Its arguments are parsed before a heavy library is imported."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        context = super().make_context(*arguments, **options)  # `--help` leaves here
        keep_pandas_out()
        read_with_all_cores()
        return context


@dataclass(frozen=True)
class Place:
    """Where a command is: a function, or a `typer.Typer` with commands of its own."""

    module: str  # below wavemill.jobs
    name: str  # of the function or of the Typer
    help: str  # the first paragraph of its help, for the list of all commands

    def found(self) -> Any:
        """Import the module and return the function or the Typer."""
        return getattr(import_module(f"wavemill.jobs.{self.module}"), self.name)


class LazyCommand(TyperCommand):
    """Stands for a command in lists, and becomes that command when it is called."""

    def __init__(self, name: str, place: Place) -> None:
        super().__init__(name, help=place.help, rich_markup_mode=MARKUP)
        self._place = place

    def loaded(self) -> Any:
        """Import the command's module and return the click command, or the click group."""
        found = self._place.found()
        if not isinstance(found, typer.Typer):
            return command_of(found, self.name)
        parent = typer.Typer(rich_markup_mode=MARKUP, add_completion=False)
        parent.add_typer(found, name=self.name)
        group: Any = typer.main.get_command(parent)
        return group.commands[self.name]

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        return self.loaded().make_context(*arguments, **options)


def lazy_group(places: Mapping[str, Place]) -> type[TyperGroup]:
    """Return the class of a group of these commands, in their order, by name."""

    class LazyGroup(TyperGroup):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            for name, place in places.items():
                self.commands[name] = LazyCommand(name, place)

    return LazyGroup


def command_of(function: Any, name: str | None = None) -> Any:
    """Return a function as a click command."""
    app = typer.Typer(rich_markup_mode=MARKUP, add_completion=False)
    app.command(name, cls=Command)(function)
    return typer.main.get_command(app)
