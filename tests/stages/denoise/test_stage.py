"""The denoise stage: rows, alignment, tracks, laziness, and which recordings it enhances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.stages.audio.made import chirp, encoded
from tests.stages.audio.test_decode import best_lag
from tests.support import MemoryUpstream, audio_folder
from wavemill.manifests.identify import content_id
from wavemill.manifests.recording import Item, Recording
from wavemill.stages.audio.block_table import SCHEMA
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.audio.version import AudioVersionSettings, choose_audio_version
from wavemill.stages.decode.stage import Decode, DecodeSettings
from wavemill.stages.denoise.aligned import enhanced_blocks
from wavemill.stages.denoise.none import NoDenoise
from wavemill.stages.denoise.stage import Config, Denoise
from wavemill.stages.diarize.stage import Config as DiarizeConfig
from wavemill.stages.diarize.stage import Diarize
from wavemill.stages.engine import EngineConfig
from wavemill.stages.stage import SharedSettings, Stage

Rows = list[dict[str, Any]]


def made(stage: Stage[Any], recording: Recording, tables: dict[str, pa.Table]) -> pa.Table:
    batches = list(stage(recording, MemoryUpstream(recording.recording_id, tables)))
    assert all(batch.schema == SCHEMA for batch in batches)
    return pa.Table.from_batches(batches, SCHEMA)


def versions(
    path: Path, engine: str = "rnnoise", settings: dict[str, Any] | None = None, **decoding: Any
) -> tuple[Rows, Rows]:
    """Return the rows of decode and of denoise; `settings` are those of the engine."""
    recording = Recording(content_id(str(path)), str(path), 0)
    original = made(Decode.build(DecodeSettings(**decoding)), recording, {})
    stage = Denoise.build(Config(engine=engine, recordings="all", **{engine: settings or {}}))
    enhanced = made(stage, recording, {"decode": original})
    return original.to_pylist(), enhanced.to_pylist()


def joined(found: Rows, track: int = 0) -> np.ndarray:
    return np.concatenate([decode_flac(r["audio"])[0] for r in found if r["track"] == track])


def test_blocks_are_those_of_the_original(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.flac", chirp(5.0004, 44_100), 44_100)
    original, enhanced = versions(path, block_seconds=2)
    assert len(original) == len(enhanced) == 3
    for one, other in zip(original, enhanced, strict=True):
        assert {k: v for k, v in other.items() if k not in ("version", "audio")} == {
            k: v for k, v in one.items() if k not in ("version", "audio")
        }
        assert other["version"] == "enhanced"
        assert len(decode_flac(one["audio"])[0]) == len(decode_flac(other["audio"])[0])


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 48_000])
def test_not_a_sample_is_lost(tmp_path: Path, rate: int) -> None:
    audio = chirp(3.3, rate)
    _, enhanced = versions(encoded(tmp_path / "a.wav", audio, rate), block_seconds=1)
    assert joined(enhanced).size == audio.shape[1]


def test_each_track_is_enhanced_by_itself(tmp_path: Path) -> None:
    stereo = np.round(chirp(2.5, 16_000, channels=2) * 32768).astype(np.float32) / 32768
    path = encoded(tmp_path / "a.wav", stereo, 16_000)
    _, split = versions(path, channels="split", block_seconds=1)
    assert [(r["start_ms"], r["track"], r["version"]) for r in split] == [
        (start, track, "enhanced") for start in (0, 1000, 2000) for track in (0, 1)
    ]
    for track in (0, 1):
        one = encoded(tmp_path / "one.wav", stereo[track : track + 1], 16_000)
        alone = joined(versions(one, block_seconds=1)[1])
        np.testing.assert_array_equal(joined(split, track), alone)


def test_what_the_mix_turned_over_stands_there_too(tmp_path: Path) -> None:
    voice = chirp(4, 16_000)[0]
    other = voice.copy()
    other[24_000:40_000] *= -1
    path = encoded(tmp_path / "a.wav", np.stack([voice, other]), 16_000)
    _, found = versions(path, engine="none", block_seconds=1)
    by_block = {r["start_ms"]: r["inverted_channels"] for r in found}
    assert by_block == {0: [], 1000: [1], 2000: [1], 3000: []}


@pytest.mark.parametrize("name", ["read/jfk.flac", "mandarin/asr_example.wav"])
def test_enhanced_speech_is_aligned(name: str) -> None:
    original, enhanced = versions(audio_folder() / name, block_seconds=3)
    match, lag = best_lag(joined(original), joined(enhanced))
    assert match > 0.8
    assert abs(lag) <= 1


def test_block_length_does_not_change_the_samples() -> None:
    path = audio_folder() / "formats" / "test.opus"
    for short, long in zip(versions(path, block_seconds=1), versions(path), strict=True):
        np.testing.assert_array_equal(joined(short), joined(long))


def test_same_rows_again_and_after_another_recording(tmp_path: Path) -> None:
    first = encoded(tmp_path / "a.wav", chirp(2, 16_000), 16_000)
    other = encoded(tmp_path / "b.wav", chirp(1, 16_000, level=0.9), 16_000)
    stage = Denoise.build(Config(recordings="all"))
    runs = []
    for path in (first, other, first):
        recording = Recording(content_id(str(path)), str(path), 0)
        original = made(Decode.build(DecodeSettings()), recording, {})
        runs.append(made(stage, recording, {"decode": original}).to_pylist())
    assert runs[0] == runs[2] != runs[1]


def test_labelled_recordings_yield_nothing() -> None:
    labelled = Recording("r", "gone.wav", 1000, items=(Item("i", 0, 500),))
    for wanted in ("needed", "all"):
        stage = Denoise.build(Config(engine="none", recordings=wanted))
        assert list(stage(labelled, MemoryUpstream("r", {}))) == []


def reading(version: str) -> Stage[Any]:
    return Diarize(DiarizeConfig(reads=version))  # type: ignore[arg-type]


def test_only_what_is_read_enhanced_is_enhanced() -> None:
    chosen = AudioVersionSettings(seed=3, enhanced_share=0.3)
    stage = Denoise(Config(engine="none"), SharedSettings(audio_version=chosen))
    found = [Recording(f"{number:032x}", "a.wav", 1000) for number in range(50)]
    published = [r for r in found if choose_audio_version(r, chosen) == "enhanced"]
    assert 0 < len(published) < 30
    needed = stage.beside({"denoise": stage, "diarize": reading("original")})
    assert [r for r in found if needed.enhances(r)] == published
    every = stage.beside({"denoise": stage, "diarize": reading("enhanced")})
    assert all(every.enhances(r) for r in found)
    assert every.engine is stage.engine


def test_what_is_chosen_determines_the_output_only_where_it_decides() -> None:
    """A new seed for the corpus enhances nothing anew where all recordings are enhanced."""

    def parameters(seed: int, **settings: str) -> dict[str, Any]:
        shared = SharedSettings(audio_version=AudioVersionSettings(seed=seed))
        return Denoise(Config(engine="none", **settings), shared).parameters()  # type: ignore[arg-type]

    assert parameters(0)["version"]["seed"] == 0
    assert parameters(0) != parameters(1)
    assert parameters(0, recordings="all") == parameters(1, recordings="all")


def test_stages_depend_on_the_audio_that_they_read() -> None:
    assert reading("original").inputs == ("decode",)
    assert reading("enhanced").inputs == ("denoise",)


@pytest.mark.parametrize("tracks", [1, 2])
def test_the_original_is_read_only_as_far_as_needed(tracks: int) -> None:
    """Memory does not grow with length: the first block is out long before the source ends."""
    taken = 0

    def source():
        nonlocal taken
        for index in range(50):
            taken = index + 1
            yield [np.full(8000, index / 50, np.float32) for _ in range(tracks)]

    found = enhanced_blocks(NoDenoise(EngineConfig()), source(), 8000)
    for index, block in enumerate(found):
        assert taken <= index + 2
        assert len(block) == tracks
        for enhanced in block:
            np.testing.assert_array_equal(enhanced, np.full(8000, index / 50, np.float32))
    assert taken == 50
