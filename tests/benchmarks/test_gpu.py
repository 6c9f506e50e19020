"""The GPU script runs on a CPU, part by part, and keeps what it has found."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as script
from benchmarks.gpu.rows import Kept, Row, Setting


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(monkeypatch: pytest.MonkeyPatch, file: Path, *arguments: str) -> None:
    told = ["gpu", "--shapes", "tiny", "--device", "cpu", "--kept", str(file), *arguments]
    monkeypatch.setattr(sys, "argv", told)
    script.main()


def test_every_part_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kept.json"
    run(monkeypatch, file)
    table = capsys.readouterr().out
    kept = json.loads(file.read_text(encoding="utf-8"))
    assert {part: found["error"] for part, found in kept.items()} == dict.fromkeys(script.PARTS, "")
    assert all(found["rows"] for found in kept.values())
    for aim in ("60 % or more", "45 % or more", "below 400 ms", "0.05 or less"):
        assert aim in table
    # What a CPU cannot check of the list has a line: 12 runs on a GPU alone.
    items = {row["item"] for row in kept["training"]["rows"]}
    assert items >= {1, 2, 4, 5, 6, 7, 8, 11}
    # A second call measures nothing.
    monkeypatch.setattr(script, "measured", None)
    run(monkeypatch, file)
    found, before = capsys.readouterr().out.splitlines(), table.splitlines()
    assert found[1:] == before[1:]  # the first line has the speed of this machine


def test_a_part_that_fails_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows(setting: Setting) -> Iterator[Row]:
        yield Row("first", 1.0, setting.shapes)
        raise ValueError("no\nmemory")

    monkeypatch.setattr(import_module("benchmarks.gpu.llm"), "rows", rows)
    monkeypatch.setattr(
        import_module("benchmarks.gpu.tokenizer"), "rows", lambda _: iter([Row("other", 2.0, "s")])
    )
    run(monkeypatch, tmp_path / "kept.json", "--part", "llm", "--part", "tokenizer")
    lines = capsys.readouterr().out.splitlines()
    assert "| llm failed | ValueError: no | |" in lines
    assert "| first | 1 tiny |  |" in lines
    assert "| other | 2 s |  |" in lines
    kept = Kept(tmp_path / "kept.json")
    assert not kept.done("llm")
    assert kept.done("tokenizer")


def test_without_a_gpu_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu", "--kept", str(tmp_path / "kept.json")])
    script.main()
    assert capsys.readouterr().out.startswith("no GPU here")


def test_the_whole_takes_less_than_8_minutes() -> None:
    assert sum(script.PARTS.values()) <= 8 * 60
