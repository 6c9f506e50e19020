"""The command lines of the documents: found in them, and checked against what there is."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from tests.support import ROOT
from wavemill.jobs.cli import app

DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "examples/**/*.md", "deploy/*.md")
    for path in ROOT.glob(pattern)
    if path.name not in ("CHANGELOG.md", "LICENSE.md")
)
_PROGRAM = re.compile(
    r"(\$ )?(?P<command>(\w+=\S+\s+)*((\S*/)?(wavemill|python3?|pip)\b"
    r"|(make|export|sudo|ray|kubectl|docker|git|cd|bash|sh|uv|npm|prettier|duckdb)\b|\.\.\. -- )"
    r".*|\w+=\S+$)"
)
_INLINE = re.compile(r"`((?:wavemill|python|make|pip) [^`]+)`")


@dataclass(frozen=True)
class Line:
    """A command as a document has it."""

    document: str
    number: int
    text: str
    inline: bool = False  # in the middle of a sentence

    def __str__(self) -> str:
        return f"{self.document}:{self.number}: {self.text}"

    @property
    def words(self) -> list[str]:
        """Return the words as a shell makes them, but that variables and `~` stay."""
        return shlex.split(self.text, comments=True)


def lines_of(document: str) -> list[Line]:
    """Return the command lines of a document in their order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return sorted(_lines_of(document, text), key=lambda line: line.number)


def _lines_of(document: str, text: str) -> Iterator[Line]:
    fence, begun, prose = "", None, []
    for number, line in enumerate(text.splitlines(), 1):
        code = bool(fence) or line.startswith("    ")
        prose.append("" if code or line.startswith("```") else line)
        if line.lstrip().startswith("```"):
            fence = "" if fence else line.strip()[3:] or "text"
            begun = None
        elif code and fence in ("", "text", "sh", "bash", "console", "shell"):
            part = line.strip()
            if begun is not None:
                begun = (begun[0], f"{begun[1]} {part}")
            elif (found := _PROGRAM.match(part)) is not None and not _is_prose(part):
                begun = (number, found["command"])
            if begun is not None and not begun[1].endswith("\\"):
                yield Line(document, *begun)
                begun = None
            elif begun is not None:
                begun = (begun[0], begun[1][:-1].rstrip())
    plain = "\n".join(prose)
    for found in _INLINE.finditer(plain):
        number = plain.count("\n", 0, found.start()) + 1
        yield Line(document, number, " ".join(found[1].split()), inline=True)


def _is_prose(part: str) -> bool:
    """Whether it is an entry of a list of folders, a word and its meaning."""
    return re.match(r"[\w./]+/?  +[a-z]", part) is not None and "#" not in part


def wavemill_words(line: Line) -> list[str] | None:
    """Return the arguments of `wavemill`, or None for another program."""
    words = line.words
    while words and re.fullmatch(r"\w+=.*", words[0]):
        words = words[1:]
    if "--" in words and words[0] in ("ray", "..."):
        words = words[words.index("--") + 1 :]
    if words and words[0].endswith("wavemill"):
        return words[1:]
    if words[:2] == ["python", "-m"] and words[2].startswith("wavemill.jobs."):
        return [words[2].removeprefix("wavemill.jobs."), *words[3:]]
    return None


def check_parses(arguments: list[str]) -> bool:
    """Check names of commands, options and kinds of values; whether it is more than a name.

    Raises what typer raises for a usage error.
    """
    command: Any = typer.main.get_command(app)
    rest = list(arguments)
    while hasattr(command, "commands") or hasattr(command, "loaded"):
        if hasattr(command, "loaded"):
            command = command.loaded()
            continue
        assert rest, f"{arguments} is a group of commands"
        assert rest[0] in command.commands, f"there is no command {rest[0]!r}"
        command = command.commands[rest.pop(0)]
    if rest:
        command.make_context(command.name, list(rest))  # which empties what it is given
    return bool(rest)


def check_module(words: list[str]) -> None:
    """Check that `python -m NAME --option` or `python FILE` is there and knows its options."""
    if words[1] == "-m":
        place = ROOT / words[2].replace(".", "/")
        files = [place.with_suffix(".py"), place / "__main__.py", place / "__init__.py"]
        options = words[3:]
    else:
        files, options = [ROOT / words[1]], words[2:]
    there = [file for file in files if file.is_file()]
    assert there, f"there is no module {words[2]}"
    source = ast.parse(there[0].read_text(encoding="utf-8"))
    known = {node.value for node in ast.walk(source) if isinstance(node, ast.Constant)}
    known |= {
        f"--{node.arg.replace('_', '-')}" for node in ast.walk(source) if isinstance(node, ast.arg)
    }
    for option in options:
        if option.startswith("-"):
            assert option.partition("=")[0] in known, f"{words[2]} has no option {option}"


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):", text, re.MULTILINE))
