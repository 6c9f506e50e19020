"""wavemill transcribe, as a user calls it, on a tiny model that knows nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.jobs.test_generate import Terminal, folder, wavemill  # noqa: F401


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two recordings of other rates and channels, one that is no audio, one far too long."""
    rng = np.random.default_rng(0)
    place = tmp_path / "in"
    place.mkdir()
    soundfile.write(place / "a.wav", rng.standard_normal((22_050, 2)) / 10, 22_050)
    soundfile.write(place / "b.flac", rng.standard_normal(8000) / 10, 8000)
    (place / "broken.wav").write_bytes(b"RIFFxxxxWAVE")
    soundfile.write(place / "long.flac", rng.standard_normal(400 * 8000) / 10, 8000)
    return place


def test_what_is_heard_is_a_line_each_and_the_rest_is_told(
    wavemill: Terminal,  # noqa: F811
    folder: Path,  # noqa: F811
    recordings: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "heard.jsonl"
    asked = ("transcribe", folder, recordings, "--out", out, "--max-new-tokens", "4")
    code, said, notes = wavemill(*asked)
    assert code == 1
    heard = dict(line.split("\t") for line in said.splitlines())
    good = [str(recordings / "a.wav"), str(recordings / "b.flac")]
    assert sorted(heard) == good
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert sorted(row["audio"] for row in rows) == good
    assert all(set(row) == {"audio", "text"} for row in rows)
    broken, long = sorted(notes.splitlines())
    assert broken.startswith(f"{recordings / 'broken.wav'}: ")
    assert long.startswith(f"{recordings / 'long.flac'}: ")
    code, said, notes = wavemill("transcribe", folder, *good, "--max-new-tokens", "4")
    assert (code, len(said.splitlines()), notes) == (0, 2, "")


def test_what_cannot_be_asked_is_one_line(
    wavemill: Terminal,  # noqa: F811
    folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    for arguments, message in (
        ((tmp_path / "none", tmp_path), "there is no folder"),
        ((folder, tmp_path / "none.wav"), "no such file or folder"),
    ):
        code, _, notes = wavemill("transcribe", *arguments)
        assert (code, len(notes.splitlines())) == (2, 1)
        assert message in notes
