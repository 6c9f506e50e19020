"""What a terminal gets of names and texts: themselves, on one line, and nothing that acts."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from tests.support import ROOT
from wavemill.jobs.plain import JOINERS, Terminal, plain, printable


def printed(*objects: object, **options: object) -> str:
    terminal = Terminal(file=io.StringIO(), width=200, **options)  # type: ignore[arg-type]
    terminal.print(*objects, soft_wrap=True)
    return terminal.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@given(st.text(st.characters(codec=None)))  # lone surrogates too: file names that are no UTF-8
def test_a_text_is_one_line_without_control_codes(text: str) -> None:
    line = printed(text)
    assert line.endswith("\n")
    assert all(c.isprintable() or c in JOINERS for c in line[:-1])
    assert len(line) == len(text) + 1
    line.encode()


def test_what_markup_and_emoji_names_say_is_printed() -> None:
    text = "corpus [v2]/[red]x[/red] :cat: [/] [link=http://x]y"
    assert printed(text) == text + "\n"
    assert printed(f"a\x1b]0;owned\x07{text}") == f"a\ufffd]0;owned\ufffd{text}\n"


def test_cells_and_titles_are_texts_too() -> None:
    table = Table("[bold]name", title="[v2]\x1b[31m")
    table.add_row("[red]\x1b[2J:cat:")
    shown = printed(table)
    assert "[bold]name" in shown
    assert "[v2]\ufffd[31m" in shown
    assert "[red]\ufffd[2J:cat:" in shown
    assert "\x1b" not in shown


def test_colours_of_our_own_stay() -> None:
    shown = printed(plain("bad", "red"), force_terminal=True, color_system="standard")
    assert "\x1b[31mbad" in shown


def test_texts_of_several_lines_keep_them() -> None:
    assert printable("one\n\ttwo\r\x9b") == "one\n\ttwo\ufffd\ufffd"


def test_every_command_prints_on_such_a_terminal() -> None:
    for path in sorted((ROOT / "jobs").glob("*.py")):
        if path.name != "plain.py":
            assert "Console" not in path.read_text(encoding="utf-8"), path
