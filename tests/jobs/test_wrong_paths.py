"""Every command that is given a file for a folder, or the other way round, says so in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.test_generate import Terminal, wavemill  # noqa: F401
from tests.support import ROOT

RECORDINGS = ROOT / "examples" / "recordings"
COMMANDS = [
    ("report", "FILE"),
    ("show", "FILE", "x"),
    ("snapshots", "FILE"),
    ("diff", "FILE"),
    ("gc", "FILE", "--keep", "1"),
    ("verify", "FILE"),
    ("refresh", "FILE"),
    ("withdraw", "FILE", "x", "--reason", "y"),
    ("dashboard", "FILE"),
    ("plan", RECORDINGS, "--out", "FILE"),
    ("curate", RECORDINGS, "--out", "FILE"),
    ("leaderboard", "FILE"),
    ("model", "inspect", "FILE"),
    ("generate", "FILE", "--instruction", "x"),
    ("transcribe", "FILE", RECORDINGS),
    ("train", "sft", "--corpus", "FILE", "--out", "new"),
    ("train", "pretrain", "--corpus", "FILE", "--out", "new"),
    ("train", "tokenizer", "--corpus", "FILE", "--out", "new"),
    ("perplexity", "FOLDER", "--corpus", "FILE"),
    ("benchmark", "prepare", "corpus", "--source", "FILE", "--out", "new"),
    ("benchmark", "prepare", "librispeech-test-clean", "--source", "FILE", "--out", "new"),
    ("config", "show", "--config", "FOLDER"),
    ("report", "FOLDER"),
    ("show", "FOLDER", "x"),
    ("diff", "FOLDER"),
    ("refresh", "FOLDER"),
    ("model", "inspect", "FOLDER"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: "-".join(map(str, command[:2])))
def test_a_path_of_the_wrong_kind_is_one_line(
    wavemill: Terminal,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str | Path, ...],
) -> None:
    file, folder = tmp_path / "file.jsonl", tmp_path / "folder"
    file.write_text('{"audio": "a.wav"}\n', encoding="utf-8")
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    places = {"FILE": file, "FOLDER": folder}
    code, _, notes = wavemill(*(places.get(str(part), part) for part in command))
    assert code == 2, notes
    (line,) = notes.splitlines()
    assert line.startswith("wavemill: ")
    assert "file.jsonl" in line or "folder" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.jsonl", "folder"]
    assert file.read_text(encoding="utf-8") == '{"audio": "a.wav"}\n'
    assert list(folder.iterdir()) == []
