"""The page on Python: every example of it, run in its order in a folder with small recordings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import wavemill
from tests.support import ROOT
from tests.test_documents import lay_out
from wavemill.model.creation import create

PAGE = ROOT / "docs" / "python.md"


def examples() -> str:
    """Return the examples as one program; its lines have the numbers that they have on the page."""
    lines, inside = [], False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        fence = line.startswith("```")
        lines.append(line if inside and not fence else "")
        inside = line.startswith("```python") if fence else inside
    return "\n".join(lines)


def test_the_examples_work_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path)
    create(tmp_path / "run" / "model", "tiny", None, 0)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(examples(), str(PAGE), "exec"), names)
    assert names["first"].number == 1
    assert names["work"].corpora == ("pretrain", "sft")
    assert names["batch"].units <= 512
    assert names["speech"].dtype == torch.float32
    assert len(names["heard"])


def test_the_page_names_the_whole_interface() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in wavemill.__all__:
        if name not in ("__version__", "AudioError", "Workdir"):
            assert re.search(rf"wavemill\.{name}\b", text), name


def test_every_name_is_there_and_no_other() -> None:
    assert all(getattr(wavemill, name) is not None for name in wavemill.__all__)
    assert set(wavemill.__all__) <= set(dir(wavemill))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        wavemill.nothing  # noqa: B018


def test_importing_it_imports_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import wavemill; wavemill.__all__;"
        "found = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(found - set(sys.stdlib_module_names), 'wavemill.pipeline' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", cwd=ROOT
    )
    assert done.stdout.strip() == "{'wavemill'} False", done.stdout + done.stderr
