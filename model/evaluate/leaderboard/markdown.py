"""A board as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wavemill.model.evaluate.leaderboard.view import (
    COMPARISON_HEAD,
    LEGEND,
    RUN_HEAD,
    SPEECH_HEAD,
    ShownCell,
    View,
)

# What Markdown or HTML inside of it would take for more than text.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~&])")


def markdown(view: View) -> str:
    """Return the whole board; text of runs is escaped."""
    head = ["benchmark", "metric", *view.runs, *(f"{name} (report)" for name in view.published)]
    rows = [
        [_text(line.name), _text(line.metric), *map(_cell, (*line.runs, *line.published))]
        for line in view.lines
    ]
    parts = ["# Leaderboard", _table([_text(name) for name in head], rows), *LEGEND]
    if view.comparisons:
        parts += ["## Differences", _table(COMPARISON_HEAD, [_row(c) for c in view.comparisons])]
    if view.speaking:
        rows = [list(map(_text, row)) for row in view.speaking]
        parts += ["## Speech", _table(SPEECH_HEAD, rows)]
    parts += ["## Runs", _table(RUN_HEAD, [_row(run) for run in view.sources])]
    if view.problems:
        parts += ["## Not in the table", "\n".join(f"- {_text(p)}" for p in view.problems)]
    return "\n\n".join(parts) + "\n"


def _row(shown: object) -> list[str]:
    return [_text(value) for value in vars(shown).values()]


def _cell(cell: ShownCell) -> str:
    value = f"**{cell.value}**" if cell.best else cell.value
    interval = f" [{cell.interval}]" if cell.interval else ""
    return f"{value}{cell.marks}{interval}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
