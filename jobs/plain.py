"""Text from recordings, manifests and paths, made safe for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console, JustifyMethod, OverflowMethod
from rich.style import Style
from rich.text import Text

JOINERS = "\u200c\u200d"  # parts of words in some scripts, though not printable


class Terminal(Console):
    """The console of every command: it prints strings literally.

    Rich markup (`[v2]`, `[red]`), emoji names (`:cat:`) and control codes in a string have no
    effect, and a printed string is one line. For a style, use the argument `style` or a `Text`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, highlight=False)

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(plain(o) if isinstance(o, str) else o for o in objects), **options)

    def render_str(  # also of the cells and titles of tables
        self,
        text: str,
        *,
        style: str | Style = "",
        justify: JustifyMethod | None = None,
        overflow: OverflowMethod | None = None,
        **_: Any,
    ) -> Text:
        return Text(printable(text), style, justify=justify, overflow=overflow)


def print_note(console: Terminal, text: str) -> None:
    console.print(f"note: {text}", soft_wrap=True)


def plain(text: str, style: str = "") -> Text:
    """Return `text` as one literal line, without control codes and with markup as it is."""
    return Text(printable("".join(" " if c.isspace() else c for c in text)), style)


def printable(text: str) -> str:
    """Return `text` without control codes, but with its line breaks and tabs."""
    return "".join(c if c.isprintable() or c in JOINERS or c in "\n\t" else "\ufffd" for c in text)
