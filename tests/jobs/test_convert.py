"""wavemill convert on tiny random models, as a user calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from wavemill.jobs.cli import app
from wavemill.model.creation import create
from wavemill.pipeline.config import ConfigError


def wavemill(*told: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in told], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, and recordings of two seconds and a half."""
    place = tmp_path_factory.mktemp("place")
    create(place / "model", "tiny")
    at = np.arange(40_000) / 16_000
    for name, hz in (("talk", 220), ("anna", 130), ("bea", 330)):
        soundfile.write(place / f"{name}.wav", 0.2 * np.sin(2 * np.pi * hz * at), 16_000)
    return place


def test_a_recording_takes_on_the_voice_of_another(place: Path, tmp_path: Path) -> None:
    sounds = []
    for name in ("anna", "bea"):
        out = tmp_path / f"{name}.wav"
        told = ("--detokenizer", place / "model", "--semantic", codebook(tmp_path), "--out", out)
        wavemill("convert", place / "talk.wav", "--voice", place / f"{name}.wav", *told)
        sound, rate = soundfile.read(out)
        assert (rate, len(sound)) == (24_000, 32 * 1920)  # 2.5 s are 31.25 tokens
        sounds.append(sound)
    assert not np.array_equal(*sounds)


def test_the_tokenizer_that_ships_is_the_default(place: Path, tmp_path: Path) -> None:
    import shutil

    alone = tmp_path / "voice"
    for part in ("audio_detokenizer", "vocoder"):
        shutil.copytree(place / "model" / part, alone / part)
    out = tmp_path / "out.wav"
    wavemill("convert", place / "talk.wav", "--voice", place / "anna.wav",
             "--detokenizer", alone, "--out", out)  # fmt: skip
    assert soundfile.info(out).frames == 32 * 1920


def test_what_cannot_be_a_voice_is_one_line(place: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", 0.1 * np.sin(np.arange(16_000 * 40)), 16_000)
    told = ["convert", place / "talk.wav", "--detokenizer", place / "model", "--out",
            tmp_path / "out.wav", "--voice"]  # fmt: skip
    for voice, message in (
        (tmp_path / "long.wav", "at most 780 fit the history"),
        (tmp_path / "none.wav", "none.wav"),
    ):
        with pytest.raises((ConfigError, ValueError, OSError), match=message):
            CliRunner().invoke(
                app, [str(word) for word in (*told, voice)], catch_exceptions=False,
                standalone_mode=False,
            )  # fmt: skip


def codebook(folder: Path) -> Path:
    from wavemill.model.tokenizer.kmeans import KMeansTokenizer
    from wavemill.stages.tokenize.codebook import SHIPPED, load_codebook

    place = folder / "tokenizer"
    KMeansTokenizer(load_codebook(SHIPPED), "kmeans").save_pretrained(place)
    return place
