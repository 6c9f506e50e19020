"""A board as an HTML page or as Markdown.

The page has no script and loads nothing; it is dark or light as the reader's system is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from wavemill.model.evaluate.leaderboard.view import (
    COMPARISON_HEAD,
    LEGEND,
    RUN_HEAD,
    SPEECH_HEAD,
    ShownCell,
    ShownLine,
    View,
)

STYLE = Path(__file__).with_name("page.css")


def page(view: View) -> str:
    """Return the page; all text of runs is escaped."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark"><title>Leaderboard</title>',
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body>",
        "<h1>Leaderboard</h1>",
        _board(view),
        f'<ul class="legend">{"".join(f"<li>{escape(line)}</li>" for line in LEGEND)}</ul>',
    ]
    if view.comparisons:
        rows = [list(vars(c).values()) for c in view.comparisons]
        styles = [
            c.outcome if c.outcome in ("better", "worse") else "same" for c in view.comparisons
        ]
        parts += ["<h2>Differences</h2>", _plain(COMPARISON_HEAD, rows, styles)]
    if view.speaking:
        parts += ["<h2>Speech</h2>", _plain(SPEECH_HEAD, view.speaking)]
    parts += ["<h2>Runs</h2>", _plain(RUN_HEAD, [list(vars(run).values()) for run in view.sources])]
    if view.problems:
        problems = "".join(f"<li>{escape(problem)}</li>" for problem in view.problems)
        parts += ["<h2>Not in the table</h2>", f"<ul>{problems}</ul>"]
    return "\n".join([*parts, "</body></html>\n"])


def _board(view: View) -> str:
    groups = []
    if view.runs:
        groups.append(f'<th colspan="{len(view.runs)}" scope="colgroup">runs</th>')
    if view.published:
        title = "published in the report"
        groups.append(
            f'<th class="first" colspan="{len(view.published)}" scope="colgroup">{title}</th>'
        )
    names = [f'<th scope="col">{escape(name)}</th>' for name in view.runs]
    names += [
        f'<th scope="col"{_first(index)}>{escape(name)}</th>'
        for index, name in enumerate(view.published)
    ]
    width = 1 + len(names)
    body = []
    for category, lines in groupby(view.lines, key=lambda line: line.category):
        body.append(f'<tr class="group"><th colspan="{width}">{escape(category)}</th></tr>')
        body += [_line(line) for line in lines]
    return (
        '<div class="wide"><table class="board"><thead>'
        f'<tr><th rowspan="2" scope="col">benchmark</th>{"".join(groups)}</tr>'
        f"<tr>{''.join(names)}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _first(index: int) -> str:
    return ' class="first"' if index == 0 else ""


def _line(line: ShownLine) -> str:
    cells = [_cell(cell, "run") for cell in line.runs]
    cells += [
        _cell(cell, "published first" if index == 0 else "published")
        for index, cell in enumerate(line.published)
    ]
    return (
        f'<tr><th scope="row">{escape(line.name)}<span>{escape(line.metric)}</span></th>'
        f"{''.join(cells)}</tr>"
    )


def _cell(cell: ShownCell, kind: str) -> str:
    classes = kind + (" best" if cell.best else "")
    interval = f"<span>{escape(cell.interval)}</span>" if cell.interval else ""
    marks = f"<sup>{escape(cell.marks)}</sup>" if cell.marks else ""
    return f'<td class="{classes}"><b>{escape(cell.value)}</b>{marks}{interval}</td>'


def _plain(
    names: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] | None = None
) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = [f"<tr{_class(styles, index)}>{_cells(row)}</tr>" for index, row in enumerate(rows)]
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _class(styles: Sequence[str] | None, index: int) -> str:
    return "" if styles is None else f' class="{styles[index]}"'


def _cells(row: Iterable[str]) -> str:
    return "".join(f"<td>{escape(value)}</td>" for value in row)


# What Markdown or HTML inside of it would take for more than text.
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~&])")


def markdown(view: View) -> str:
    """Return the whole board; text of runs is escaped."""
    head = ["benchmark", "metric", *view.runs, *(f"{name} (report)" for name in view.published)]
    rows = [
        [
            _markdown_text(line.name),
            _markdown_text(line.metric),
            *map(_markdown_cell, (*line.runs, *line.published)),
        ]
        for line in view.lines
    ]
    parts = [
        "# Leaderboard",
        _markdown_table([_markdown_text(name) for name in head], rows),
        *LEGEND,
    ]
    if view.comparisons:
        parts += [
            "## Differences",
            _markdown_table(COMPARISON_HEAD, [_markdown_row(c) for c in view.comparisons]),
        ]
    if view.speaking:
        rows = [list(map(_markdown_text, row)) for row in view.speaking]
        parts += ["## Speech", _markdown_table(SPEECH_HEAD, rows)]
    parts += ["## Runs", _markdown_table(RUN_HEAD, [_markdown_row(run) for run in view.sources])]
    if view.problems:
        parts += ["## Not in the table", "\n".join(f"- {_markdown_text(p)}" for p in view.problems)]
    return "\n\n".join(parts) + "\n"


def _markdown_row(shown: object) -> list[str]:
    return [_markdown_text(value) for value in vars(shown).values()]


def _markdown_cell(cell: ShownCell) -> str:
    value = f"**{cell.value}**" if cell.best else cell.value
    interval = f" [{cell.interval}]" if cell.interval else ""
    return f"{value}{cell.marks}{interval}"


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown_text(text: str) -> str:
    return _MARKDOWN_SPECIAL.sub(r"\\\1", " ".join(text.split()))
