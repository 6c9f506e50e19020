"""A script is told by the exit code when nothing of what it named could be used."""

from __future__ import annotations

import json
from pathlib import Path

import soundfile
from typer.testing import CliRunner

from tests.support import ROOT
from wavemill.jobs.cli import app

RECORDING = ROOT / "examples" / "recordings" / "clean_dialogue.flac"


def curate(*sources: Path, out: Path, strict: bool = False) -> tuple[int, str]:
    options = ["--out", str(out), "--executor", "inline", *(["--strict"] if strict else [])]
    result = CliRunner().invoke(app, ["curate", *map(str, sources), *options])
    return result.exit_code, result.output


def test_one_manifest_that_is_refused(tmp_path: Path) -> None:
    manifest = tmp_path / "all.jsonl"
    manifest.write_text(
        json.dumps({"audio": "missing.wav", "text": "gone"}) + "\n", encoding="utf-8"
    )
    code, output = curate(manifest, out=tmp_path / "work")
    assert code == 1
    assert "nothing of the sources could be used" in output


def test_a_folder_of_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_bytes(b"RIFFxxxx")
    assert curate(tmp_path / "in", out=tmp_path / "work")[0] == 1


def test_something_that_could_be_used(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_bytes(b"RIFFxxxx")
    samples, rate = soundfile.read(RECORDING)
    soundfile.write(tmp_path / "in" / "b.wav", samples[: 3 * rate], rate)
    code, output = curate(tmp_path / "in", out=tmp_path / "work")
    assert code == 0
    assert "0:03.0 min" in output
    assert "3.0 min of audio in" in output
    code, output = curate(tmp_path / "in", out=tmp_path / "work", strict=True)
    assert code == 1
    assert "nothing to do" in output
    assert "nothing of" not in output
