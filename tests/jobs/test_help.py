"""`--help` is quick: it imports neither the libraries that compute nor the other commands."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from typing import Any

import pytest
import typer

from tests.support import ROOT
from wavemill.jobs.cli import COMMANDS
from wavemill.jobs.lazy import LazyCommand

HEAVY = ("av", "duckdb", "numpy", "pyarrow", "pydantic", "ray", "scipy", "torch", "transformers")
LOOK = """
import json, sys
from wavemill.jobs.cli import app
sys.argv[1:] = {arguments}
try:
    app()
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps([name for name in {heavy} if name in sys.modules]))
print(json.dumps([name for name in sys.modules if name.startswith("wavemill.")]))
"""


def imported(*arguments: str) -> tuple[list[str], list[str]]:
    """Return the heavy libraries, and the modules of the project, that a command imports."""
    code = LOOK.format(arguments=list(arguments), heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    heavy, own = map(json.loads, done.stdout.splitlines()[-2:])
    return heavy, own


def first_paragraph(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())


def test_the_list_of_commands_imports_none_of_them() -> None:
    heavy, own = imported("--help")
    assert heavy == []
    jobs = {
        f"wavemill.jobs.{name}" for name in ("cli", "entry", "lazy", "pandas_import", "threads")
    }
    assert set(own) <= {"wavemill.jobs", *jobs}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_a_command_is_what_it_says_itself(name: str) -> None:
    found = COMMANDS[name].found()
    said = found.info.help if isinstance(found, typer.Typer) else found.__doc__
    assert COMMANDS[name].help == first_paragraph(said)


def test_no_help_of_a_command_imports_a_heavy_library() -> None:
    """All of them in one process: what one of them imported would be found."""
    code = "\n".join(
        (
            "import sys",
            "from wavemill.jobs.cli import COMMANDS",
            "from wavemill.jobs.lazy import LazyCommand",
            "for name, place in COMMANDS.items(): LazyCommand(name, place).loaded()",
            f"print([name for name in {HEAVY} if name in sys.modules])",
        )
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", cwd=ROOT
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_commands_of_a_group_are_there() -> None:
    group: Any = LazyCommand("train", COMMANDS["train"]).loaded()
    assert list(group.commands) == ["tokenizer", "detokenizer", "pretrain", "sft"]
