"""The decode stage: rows, tracks, exact samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.stages.audio.made import chirp, encoded, wav_bytes
from tests.support import MemoryUpstream
from wavemill.manifests.identify import content_id
from wavemill.manifests.recording import Item, Recording
from wavemill.stages.audio.block_table import SCHEMA
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.decode.stage import Decode, DecodeSettings
from wavemill.stages.recording_stage import RecordingError

NOTHING = MemoryUpstream("r", {})


def rows(path: Path, **settings: Any) -> list[dict[str, Any]]:
    stage = Decode.build(DecodeSettings(**settings))
    batches = list(stage(Recording(content_id(str(path)), str(path), 0), NOTHING))
    assert all(batch.schema == SCHEMA for batch in batches)
    return pa.Table.from_batches(batches, SCHEMA).to_pylist()


def joined(found: list[dict[str, Any]], track: int = 0) -> np.ndarray:
    return np.concatenate([decode_flac(r["audio"])[0] for r in found if r["track"] == track])


def test_blocks_and_their_order(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.flac", chirp(5.0004, 44_100), 44_100)
    found = rows(path, block_seconds=2)
    spans = [(0, 2000), (2000, 4000), (4000, 5001)]
    assert [(r["start_ms"], r["end_ms"]) for r in found] == spans
    assert {(r["track"], r["sample_rate"], r["version"]) for r in found} == {
        (0, 44_100, "original")
    }


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 48_000])
def test_the_original_is_kept_to_the_sample(tmp_path: Path, rate: int) -> None:
    audio = np.round(chirp(3.3, rate) * 32768).astype(np.float32) / 32768
    found = rows(encoded(tmp_path / "a.wav", audio, rate), block_seconds=1)
    np.testing.assert_array_equal(joined(found), audio[0])


def test_high_rates_are_capped(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(chirp(2, 96_000)[0], 96_000))
    assert {r["sample_rate"] for r in rows(tmp_path / "a.wav")} == {48_000}
    assert joined(rows(tmp_path / "a.wav", max_sample_rate=16_000)).size == 2 * 16_000


def test_mix_and_split(tmp_path: Path) -> None:
    stereo = np.round(chirp(2.5, 16_000, channels=2) * 32768).astype(np.float32) / 32768
    path = encoded(tmp_path / "a.wav", stereo, 16_000)
    mixed = rows(path, block_seconds=1)
    np.testing.assert_allclose(joined(mixed), stereo.mean(axis=0), atol=1 / 32768)
    split = rows(path, channels="split", block_seconds=1)
    assert [(r["start_ms"], r["track"]) for r in split] == [
        (start, track) for start in (0, 1000, 2000) for track in (0, 1)
    ]
    for track in (0, 1):
        np.testing.assert_allclose(joined(split, track), stereo[track], atol=1 / 32768)


def test_what_was_turned_over_stands_in_its_block(tmp_path: Path) -> None:
    voice = chirp(4, 16_000)[0]
    other = voice.copy()
    other[24_000:40_000] *= -1
    path = encoded(tmp_path / "a.wav", np.stack([voice, other]), 16_000)
    found = rows(path, block_seconds=1)
    by_block = {r["start_ms"]: r["inverted_channels"] for r in found}
    assert by_block == {0: [], 1000: [1], 2000: [1], 3000: []}
    heard = joined(found)
    assert (np.abs(heard - voice) > 0.05).sum() < 2 * 0.05 * 16_000  # at the two changes
    split = rows(path, channels="split")
    assert {tuple(r["inverted_channels"]) for r in split} == {()}
    np.testing.assert_allclose(joined(split, 1), other, atol=1 / 32768)


def test_same_rows_again_and_after_another_recording(tmp_path: Path) -> None:
    first = encoded(tmp_path / "a.wav", chirp(2, 16_000), 16_000)
    other = encoded(tmp_path / "b.wav", chirp(1, 16_000, level=0.9), 16_000)
    assert rows(first) == rows(first) != rows(other)


def test_labelled_recordings_yield_nothing() -> None:
    labelled = Recording("r", "gone.wav", 1000, items=(Item("i", 0, 500),))
    assert list(Decode.build(DecodeSettings())(labelled, NOTHING)) == []


def test_bad_input_is_raised(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(np.zeros(16_000, np.float32), 16_000))
    with pytest.raises(RecordingError) as caught:
        rows(tmp_path / "a.wav")
    assert caught.value.reason == "silent"


def test_it_runs_in_a_worker() -> None:
    """Decoding strange files may crash a process."""
    assert Decode.needs_worker()
