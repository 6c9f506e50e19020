"""wavemill leaderboard DIR: compare all runs with the published scores."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from wavemill.jobs import places
from wavemill.jobs.entry import run_command
from wavemill.jobs.plain import Terminal, plain

if TYPE_CHECKING:
    from wavemill.model.evaluate.leaderboard.view import View

STYLES = {"better": "green", "worse": "red"}


def leaderboard(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=places.path,
            metavar="DIR",
            help="The folder that wavemill evaluate got as --out.",
        ),
    ],
    to_markdown: Annotated[
        Path | None,
        typer.Option(
            "--markdown",
            parser=places.path,
            metavar="FILE",
            help="Also write a Markdown file.",
        ),
    ] = None,
    to_html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            parser=places.path,
            metavar="FILE",
            help="Also write one HTML page, dark or light as the browser prefers.",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also show benchmarks without a run.")
    ] = False,
) -> None:
    """Show every scored run below DIR beside the scores that the technical report published.

    Scores have 95 % intervals, and differences beyond chance are marked: runs on the same items
    are compared item by item (paired bootstrap), a run and a published score by the run's interval.

    Example: wavemill leaderboard runs --html leaderboard.html
    """
    from wavemill.model.evaluate.leaderboard.collect import board_of
    from wavemill.model.evaluate.leaderboard.page import markdown, page
    from wavemill.model.evaluate.leaderboard.view import view_of
    from wavemill.pipeline.config import ConfigError

    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}")
    board = board_of(folder, everything)
    if not board.labels and not board.speaking:
        for problem in board.problems:
            Terminal(stderr=True).print(plain(problem), soft_wrap=True)
        raise ConfigError(f"there is no scored run below {folder}: wavemill evaluate makes them")
    view = view_of(board)
    console = Terminal()
    _print_board(console, view)
    _print_differences(console, view)
    _print_speech(console, view)
    for problem in view.problems:
        console.print(plain(f"not in the table: {problem}", "yellow"), soft_wrap=True)
    for path, made in ((to_markdown, markdown), (to_html, page)):
        if path is not None:
            _write(path, made(view))


def _print_board(console: Terminal, view: View) -> None:
    """Print a table per benchmark, the best first: one table of all would not fit a terminal."""
    from wavemill.model.evaluate.leaderboard.view import LEGEND

    for line in view.lines:
        table = Table("model", title=plain(f"{line.name} ({line.metric})"), title_justify="left")
        table.add_column("score", justify="right")
        table.add_column("95 %", justify="right")
        table.add_column("")
        named = [(name, cell, "bold") for name, cell in zip(view.runs, line.runs, strict=True)]
        named += [
            (f"{name} (published)", cell, "")
            for name, cell in zip(view.published, line.published, strict=True)
        ]
        sign = 1 if line.lower_is_better else -1
        shown = [one for one in named if one[1].value]
        for name, cell, style in sorted(shown, key=lambda one: sign * float(one[1].value)):
            score = Text(cell.value, "bold green" if cell.best else style)
            table.add_row(plain(name, style), score, cell.interval, cell.marks)
        console.print(table)
    for line_of_text in LEGEND:
        console.print(Text(line_of_text, "dim"))


def _print_differences(console: Terminal, view: View) -> None:
    for name, found in groupby(view.comparisons, key=lambda one: one.benchmark):
        table = Table("first", "second", title=plain(f"Differences on {name}"))
        table.title_justify = "left"
        table.add_column("difference [95 %]", justify="right")
        for head in ("by", "first is"):
            table.add_column(head)
        for one in found:
            span = f"{one.difference} [{one.interval}]"
            outcome = Text(one.outcome, STYLES.get(one.outcome, "dim"))
            names = map(plain, (one.first, one.second, span, one.how))
            table.add_row(*names, outcome)
        _fold(table)
        console.print(table)


def _print_speech(console: Terminal, view: View) -> None:
    from wavemill.model.evaluate.leaderboard.view import SPEECH_HEAD

    if not view.speaking:
        return
    table = Table(title="Speech", title_justify="left")
    for index, name in enumerate(SPEECH_HEAD):
        table.add_column(name, justify="left" if index < 2 else "right")
    for row in view.speaking:
        table.add_row(*map(plain, row))
    _fold(table)
    console.print(table)


def _fold(table: Table) -> None:
    """Break lines on a narrow terminal in place of cutting them."""
    for column in table.columns:
        column.overflow = "fold"


def _write(path: Path, text: str) -> None:
    from wavemill.pipeline.config import ConfigError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from None
    typer.echo(f"wrote {path}", err=True)


if __name__ == "__main__":
    run_command(leaderboard)
