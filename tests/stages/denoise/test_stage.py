"""The denoise stage: rows, alignment, tracks, laziness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.stages.audio.made import chirp, encoded, wav_bytes
from tests.stages.audio.test_decode import best_lag
from tests.support import MemoryUpstream, audio_folder
from wavemill.manifests.identify import content_id
from wavemill.manifests.recording import Item, Recording
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.denoise.aligned import aligned_blocks
from wavemill.stages.denoise.none import NoDenoise
from wavemill.stages.denoise.stage import SCHEMA, Config, Denoise
from wavemill.stages.engine import EngineConfig
from wavemill.stages.recording_stage import RecordingError

NOTHING = MemoryUpstream("r", {})


def rows(path: Path, **settings: Any) -> list[dict[str, Any]]:
    stage = Denoise.build(Config(**settings), "cpu")
    batches = list(stage(Recording(content_id(str(path)), str(path), 0), NOTHING))
    assert all(batch.schema == SCHEMA for batch in batches)
    return pa.Table.from_batches(batches, SCHEMA).to_pylist()


def joined(found: list[dict[str, Any]], version: str, track: int = 0) -> np.ndarray:
    parts = [r for r in found if (r["version"], r["track"]) == (version, track)]
    return np.concatenate([decode_flac(r["audio"])[0] for r in parts])


def test_blocks_and_their_order(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.flac", chirp(5.0004, 44_100), 44_100)
    found = rows(path, block_seconds=2)
    keys = [(r["start_ms"], r["end_ms"], r["version"]) for r in found]
    spans = [(0, 2000), (2000, 4000), (4000, 5001)]
    assert keys == [(*span, version) for span in spans for version in ("original", "enhanced")]
    assert {(r["track"], r["sample_rate"]) for r in found} == {(0, 44_100)}
    for original, enhanced in zip(found[::2], found[1::2], strict=True):
        assert len(decode_flac(original["audio"])[0]) == len(decode_flac(enhanced["audio"])[0])


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 48_000])
def test_the_original_is_kept_to_the_sample(tmp_path: Path, rate: int) -> None:
    audio = np.round(chirp(3.3, rate) * 32768).astype(np.float32) / 32768
    found = rows(encoded(tmp_path / "a.wav", audio, rate), block_seconds=1)
    np.testing.assert_array_equal(joined(found, "original"), audio[0])
    assert joined(found, "enhanced").size == audio.shape[1]


def test_high_rates_are_capped(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(chirp(2, 96_000)[0], 96_000))
    assert {r["sample_rate"] for r in rows(tmp_path / "a.wav")} == {48_000}
    found = rows(tmp_path / "a.wav", engine="none", max_sample_rate=16_000)
    assert joined(found, "original").size == 2 * 16_000


def test_mix_and_split(tmp_path: Path) -> None:
    stereo = np.round(chirp(2.5, 16_000, channels=2) * 32768).astype(np.float32) / 32768
    path = encoded(tmp_path / "a.wav", stereo, 16_000)
    mixed = rows(path, engine="none", block_seconds=1)
    np.testing.assert_allclose(joined(mixed, "original"), stereo.mean(axis=0), atol=1 / 32768)
    split = rows(path, channels="split", block_seconds=1)
    assert [(r["start_ms"], r["track"], r["version"]) for r in split] == [
        (start, track, version)
        for start in (0, 1000, 2000)
        for track in (0, 1)
        for version in ("original", "enhanced")
    ]
    for track in (0, 1):
        np.testing.assert_allclose(joined(split, "original", track), stereo[track], atol=1 / 32768)
        one = encoded(tmp_path / "one.wav", stereo[track : track + 1], 16_000)
        alone = joined(rows(one, block_seconds=1), "enhanced")
        np.testing.assert_array_equal(joined(split, "enhanced", track), alone)


def test_what_was_turned_over_stands_in_its_block(tmp_path: Path) -> None:
    voice = chirp(4, 16_000)[0]
    other = voice.copy()
    other[24_000:40_000] *= -1
    path = encoded(tmp_path / "a.wav", np.stack([voice, other]), 16_000)
    found = rows(path, engine="none", block_seconds=1)
    by_block = {r["start_ms"]: r["inverted_channels"] for r in found}
    assert by_block == {0: [], 1000: [1], 2000: [1], 3000: []}
    heard = joined(found, "original")
    assert (np.abs(heard - voice) > 0.05).sum() < 2 * 0.05 * 16_000  # at the two changes
    split = rows(path, engine="none", channels="split")
    assert {tuple(r["inverted_channels"]) for r in split} == {()}
    np.testing.assert_allclose(joined(split, "original", 1), other, atol=1 / 32768)


@pytest.mark.parametrize("name", ["read/jfk.flac", "mandarin/asr_example.wav"])
def test_enhanced_speech_is_aligned(name: str) -> None:
    found = rows(audio_folder() / name, block_seconds=3)
    match, lag = best_lag(joined(found, "original"), joined(found, "enhanced"))
    assert match > 0.8
    assert abs(lag) <= 1


def test_block_length_does_not_change_the_samples() -> None:
    path = audio_folder() / "formats" / "test.opus"
    short, long = rows(path, block_seconds=1), rows(path)
    for version in ("original", "enhanced"):
        np.testing.assert_array_equal(joined(short, version), joined(long, version))


def test_same_rows_again_and_after_another_recording(tmp_path: Path) -> None:
    first = encoded(tmp_path / "a.wav", chirp(2, 16_000), 16_000)
    other = encoded(tmp_path / "b.wav", chirp(1, 16_000, level=0.9), 16_000)
    stage = Denoise.build(Config(), "cpu")
    runs = [
        [
            batch.to_pylist()
            for batch in stage(Recording(content_id(str(path)), str(path), 0), NOTHING)
        ]
        for path in (first, other, first)
    ]
    assert runs[0] == runs[2] != runs[1]


def test_labelled_recordings_yield_nothing() -> None:
    labelled = Recording("r", "gone.wav", 1000, items=(Item("i", 0, 500),))
    assert list(Denoise.build(Config(engine="none"), "cpu")(labelled, NOTHING)) == []


def test_bad_input_is_raised(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(np.zeros(16_000, np.float32), 16_000))
    with pytest.raises(RecordingError) as caught:
        rows(tmp_path / "a.wav")
    assert caught.value.reason == "silent"


@pytest.mark.parametrize("tracks", [1, 2])
def test_the_source_is_read_only_as_far_as_needed(tracks: int) -> None:
    """Memory does not grow with length: the first block is out long before the source ends."""
    taken = 0

    def source():
        nonlocal taken
        for index in range(50):
            taken = index + 1
            yield np.full((tracks, 8000), index / 50, np.float32)

    pairs = aligned_blocks(NoDenoise(EngineConfig()), source(), tracks, 8000, 8000)
    for index, block in enumerate(pairs):
        assert taken <= index + 2
        assert len(block) == tracks
        for original, enhanced in block:
            np.testing.assert_array_equal(original, enhanced)
            assert original[0] == np.float32(index / 50)
    assert taken == 50
