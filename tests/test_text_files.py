"""Text of files and programs has a named encoding, so that no locale matters."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support import ROOT

FOLDERS = (
    *("benchmarks", "examples", "tests"),
    *("jobs", "manifests", "model", "pipeline", "stages"),
)
CALL = re.compile(rb"\b(read_text|write_text|open)\(|text=True")
TEXT_MODE = re.compile(r"[rwax]t?\+?")
# Where `encoding` stands among the arguments of a call without names.
ARGUMENT = {"read_text": 0, "write_text": 1}
PROGRAMS = {"run", "Popen", "check_output"}  # of subprocess


def without_encoding(code: bytes) -> list[int]:
    """Return the lines of the calls that read or write text and leave its encoding open."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if is_text(call) and not names_encoding(call)]


def is_text(call: ast.Call) -> bool:
    """Whether a call reads or writes text; `open` does in a mode that is given and not binary."""
    if called(call) in ARGUMENT:
        return True
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    if "fileobj" in named:  # `tarfile.open`
        return False
    if called(call) in PROGRAMS:
        return "text" in named
    mode = named.get("mode")
    if isinstance(call.func, ast.Name):
        mode = call.args[1] if len(call.args) > 1 else mode or ast.Constant("r")
    elif len(call.args) == 1:  # `path.open(mode)`; `av.open(path, mode)` is not meant
        mode = call.args[0]
    given = mode.value if isinstance(mode, ast.Constant) else None
    return called(call) == "open" and isinstance(given, str) and bool(TEXT_MODE.fullmatch(given))


def names_encoding(call: ast.Call) -> bool:
    name = called(call)
    by_place = name in ARGUMENT and len(call.args) > ARGUMENT[name]
    return by_place or any(keyword.arg in ("encoding", None) for keyword in call.keywords)


def called(call: ast.Call) -> str:
    function = call.func
    return getattr(function, "attr", getattr(function, "id", ""))


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, encoding='utf-8')", False),
        ("open(path)", True),
        ("open(path, 'rb')", False),
        ("path.open('a')", True),
        ("path.open('a', encoding='utf-8')", False),
        ("path.open(mode='w')", True),
        ("path.open('xb')", False),
        ("subprocess.run(line, text=True)", True),
        ("subprocess.run(line, encoding='utf-8')", False),
        ("subprocess.run(line)", False),
        ("Store.open(path)", False),
        ("av.open(path, 'w')", False),
        ("tarfile.open(fileobj=file, mode='w')", False),
    ],
)
def test_calls_are_told_apart(code: str, is_found: bool) -> None:
    assert bool(without_encoding(code.encode())) == is_found


def test_every_text_file_has_a_named_encoding() -> None:
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    contents = {file: file.read_bytes() for file in files}
    assert len(contents) > 500
    assert [
        f"{file.relative_to(ROOT)}:{line}"
        for file, content in contents.items()
        if CALL.search(content)
        for line in without_encoding(content)
    ] == []
