"""wavemill model inspect PATH: the parts of a model folder, and what is wrong with them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

model_app = typer.Typer(help="Look at models.", no_args_is_help=True)
SHOWN = 10  # problems of a part


@model_app.callback()
def _models() -> None:
    pass


@model_app.command("inspect")
def inspect_model(
    source: Annotated[
        str, typer.Argument(metavar="PATH", help="Folder of a model, or a hub id (owner/name).")
    ],
) -> None:
    """Print parts, parameters, dtypes, and what is missing; no tensor is read.

    Exit code 1 when a part cannot be loaded.
    """
    from model.checkpoint import WeightsError, resolve
    from model.inspection import inspect

    try:
        folder = resolve(source)
    except WeightsError as error:
        raise typer.BadParameter(str(error)) from None
    parts = inspect(folder)
    view = Table("part", "folder", "parameters", "dtype", "state")
    for part in parts:
        state = "complete" if not part.problems else f"{len(part.problems)} problems"
        place = str(part.folder.relative_to(folder))
        view.add_row(part.name, place, f"{part.parameters:,}", ", ".join(part.dtypes), state)
    console = Console()
    console.print(view)
    for part in parts:
        for problem in part.problems[:SHOWN]:
            console.print(f"{part.name}: {problem}", soft_wrap=True, markup=False, highlight=False)
        if len(part.problems) > SHOWN:
            console.print(f"{part.name}: and {len(part.problems) - SHOWN} more problems")
    if any(part.problems for part in parts):
        raise typer.Exit(1)


if __name__ == "__main__":
    model_app()
