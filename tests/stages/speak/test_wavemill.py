"""The project's own model as a speaker, in the voices of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wavemill.model.creation import create
from wavemill.stages.audio.flac import encode_flac
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.speak.engine import NotSpoken, Saying, UnknownVoice
from wavemill.stages.speak.voices import SCHEMA, read_voices
from wavemill.stages.speak.wavemill import Wavemill, WavemillConfig

RATE = 16_000


def voice(name: str, hz: float, **changes: Any) -> dict[str, Any]:
    times = np.arange(3 * RATE) / RATE
    tone = (0.3 * np.sin(2 * np.pi * hz * times)).astype(np.float32)
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names, "")
    sound = {"bytes": encode_flac(tone, RATE), "path": "a.flac"}
    return row | {
        "voice": name, "text": "good morning", "duration": 3.0, "split": "train",
        "dnsmos_overall": 3.0, "snr_db": 30.0, "audio": sound,
    } | changes  # fmt: skip


def write(path: Path, *rows: dict[str, Any]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), path)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("place")
    create(place / "model", "tiny")
    write(place / "voices.parquet", voice("anna", 200), voice("ben", 120))
    return place


@pytest.fixture(scope="module")
def engine(place: Path) -> Wavemill:
    config = WavemillConfig(model=place / "model", voices=place / "voices.parquet", longest_s=0.8)
    engine = Wavemill(config)
    engine.load("cpu")
    return engine


def test_the_same_saying_gives_the_same_sound_and_voice_and_seed_change_it(
    engine: Wavemill,
) -> None:
    first, rate = engine.speak(Saying("seven", "anna"))
    assert rate == 24_000
    assert 0 < len(first) <= 0.8 * rate
    again, _ = engine.speak(Saying("seven", "anna"))
    np.testing.assert_array_equal(first, again)
    for other in (Saying("seven", "ben"), Saying("seven", "anna", seed=1)):
        sound, _ = engine.speak(other)
        assert len(sound) != len(first) or not np.array_equal(sound, first)


def test_what_it_cannot_do_is_said(engine: Wavemill) -> None:
    with pytest.raises(UnknownVoice, match="no voice 'cid'; it has anna, ben"):
        engine.speak(Saying("seven", "cid"))
    with pytest.raises(NotSpoken, match=r"remedy: cast\.pace=0 and cast\.pitch=0"):
        engine.speak(Saying("seven", "anna", pace=1.1))
    with pytest.raises(NotSpoken, match="no text"):
        engine.speak(Saying("", "anna"))


def test_the_content_of_model_and_voices_is_its_identity(place: Path, tmp_path: Path) -> None:
    def identity(model: Path, voices: Path) -> str:
        return Wavemill(WavemillConfig(model=model, voices=voices)).weights_identity()

    voices = place / "voices.parquet"
    moved = tmp_path / "moved.parquet"
    moved.write_bytes(voices.read_bytes())
    before = identity(place / "model", voices)
    assert identity(place / "model", moved) == before
    other = write(tmp_path / "other.parquet", voice("anna", 300))
    assert identity(place / "model", other) != before


def test_what_is_not_there_or_no_file_of_voices_is_one_clear_error(
    place: Path, tmp_path: Path
) -> None:
    with pytest.raises(EngineUnavailable, match=r"speak\.wavemill\.model is not set"):
        Wavemill(WavemillConfig()).weights_identity()
    gone = WavemillConfig(model=place / "model", voices=tmp_path / "gone.parquet")
    with pytest.raises(EngineUnavailable, match="which is not there"):
        Wavemill(gone).weights_identity()
    text = tmp_path / "text.parquet"
    text.write_text("no table", encoding="utf-8")
    twice = write(tmp_path / "twice.parquet", voice("anna", 200), voice("anna", 100))
    empty = write(tmp_path / "empty.parquet")
    for path, why in ((text, "Parquet"), (twice, "one name"), (empty, "no voices")):
        with pytest.raises(EngineUnavailable, match=f"(?s)no file of voices .*{why}.*remedy"):
            read_voices(path)
