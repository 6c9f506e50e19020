"""Reading tracks by time, from stored blocks and from the source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stages.audio.made import chirp, encoded
from tests.support import MemoryUpstream, stored_tables
from wavemill.manifests.identify import content_id
from wavemill.manifests.recording import Item, Recording
from wavemill.stages.audio import blocks as blocks_module
from wavemill.stages.audio.clock import sample_at
from wavemill.stages.audio.flac import encode_flac
from wavemill.stages.audio.resample import resample
from wavemill.stages.audio.track import Track, open_tracks
from wavemill.stages.recording_stage import RecordingError
from wavemill.stages.segments import segments_of

RATE = 11_025  # no whole number of samples in a millisecond
RAW = Recording("r", "gone.wav", 0)
AUDIO = np.round(chirp(7.3, RATE)[0] * 32768).astype(np.float32) / 32768


def stored(audio: np.ndarray, rate: int, block_ms: int) -> MemoryUpstream:
    """The tables with blocks of `block_ms`; the enhanced version is the negative."""
    length = sample_at(block_ms, rate)
    rows = [
        {
            "recording_id": "r",
            "track": track,
            "version": version,
            "start_ms": index * block_ms,
            "end_ms": index * block_ms + -(-part.size * 1000 // rate),
            "sample_rate": rate,
            "missing": [],
            "audio": encode_flac(part * sign * (1 - track / 2), rate),
            "inverted_channels": [1] if index == 1 else [],
        }
        for index, part in enumerate(np.split(audio, range(length, audio.size, length)))
        for track in (0, 1)
        for version, sign in (("original", 1), ("enhanced", -1))
    ]
    return MemoryUpstream("r", stored_tables(rows))


UPSTREAM = stored(AUDIO, RATE, 2000)
TRACK = open_tracks(RAW, UPSTREAM, "original")[0]


def test_tracks_and_versions() -> None:
    for version, sign in (("original", 1), ("enhanced", -1)):
        tracks = open_tracks(RAW, UPSTREAM, version)
        assert [(t.track, t.sample_rate, t.duration_ms) for t in tracks] == [
            (0, RATE, 7300),
            (1, RATE, 7300),
        ]
        np.testing.assert_array_equal(tracks[0].read(0, 7300), AUDIO * sign)
        np.testing.assert_allclose(tracks[1].read(0, 7300), AUDIO * sign / 2, atol=1 / 32768)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 7400), st.integers(0, 7400))
def test_a_read_is_that_span_of_the_whole(first: int, second: int) -> None:
    start, end = sorted((first, second))
    expected = AUDIO[sample_at(start, RATE) : sample_at(end, RATE)]
    np.testing.assert_array_equal(TRACK.read(start, end), expected)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 7300), st.integers(1, 3000), st.sampled_from([8000, 16_000, 48_000]))
def test_a_resampled_read_is_that_span_of_the_whole(start: int, length: int, rate: int) -> None:
    end = min(start + length, 7300)
    whole = resample(AUDIO, RATE, rate)
    expected = whole[sample_at(start, rate) : sample_at(end, rate)]
    np.testing.assert_allclose(TRACK.read(start, end, rate), expected, atol=2e-3)


@pytest.mark.parametrize("rate", [8000, RATE, 16_000])
def test_stream_is_the_whole_resampled_at_once(rate: int) -> None:
    chunks = list(TRACK.stream(rate, chunk_ms=1500))
    assert [chunk.size for chunk in chunks[:-1]] == [sample_at(1500, rate)] * 4
    np.testing.assert_allclose(np.concatenate(chunks), resample(AUDIO, RATE, rate), atol=1e-5)


def labelled(path: Path, duration_ms: int) -> Track:
    items = (Item("a", 0, 500), Item("b", 500, 900))
    recording_id = content_id(str(path)) if path.exists() else "gone"
    recording = Recording(recording_id, str(path), duration_ms, items=items)
    return open_tracks(recording, MemoryUpstream("r", {}), "original")[0]


def test_labelled_recordings_are_read_from_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks_module, "BLOCK_MS", 2000)
    stereo = chirp(7.3, RATE, channels=2)
    track = labelled(encoded(tmp_path / "a.flac", stereo, RATE), 7300)
    mixed = stereo.mean(axis=0)
    assert (track.sample_rate, track.duration_ms, track.track) == (RATE, 7300, 0)
    for start, end in ((0, 500), (1900, 4100), (7000, 7300), (100, 300)):  # the last goes back
        expected = mixed[sample_at(start, RATE) : sample_at(end, RATE)]
        np.testing.assert_allclose(track.read(start, end), expected, atol=1 / 32768)
    assert track.read(7300, 9000).size == 0
    np.testing.assert_allclose(np.concatenate(list(track.stream(RATE))), mixed, atol=1 / 32768)


def test_items_about_a_channel_hear_that_channel(tmp_path: Path) -> None:
    stereo = np.round(chirp(3, RATE, channels=2) * 32768).astype(np.float32) / 32768
    path = encoded(tmp_path / "a.flac", stereo, RATE)
    items = (Item("a", 0, 500, channel=1), Item("b", 0, 500), Item("c", 200, 900, channel=0))
    recording = Recording(content_id(str(path)), str(path), 3000, items=items)
    mix, left, right = open_tracks(recording, MemoryUpstream("r", {}), "original")
    assert [t.track for t in (mix, left, right)] == [0, 1, 2]
    np.testing.assert_array_equal(left.read(0, 3000), stereo[0])
    np.testing.assert_array_equal(right.read(0, 3000), stereo[1])
    np.testing.assert_array_equal(mix.read(0, 3000), stereo.mean(axis=0))
    segments = segments_of(recording, MemoryUpstream("r", {}))
    ids = {(s.segment_id.partition("-")[2], s.track) for s in segments}
    assert ids == {("2-0-500", 2), ("0-0-500", 0), ("1-200-900", 1)}


def test_a_channel_that_decoding_does_not_find_is_an_error(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.flac", chirp(1, RATE), RATE)
    recording = Recording(
        content_id(str(path)), str(path), 1000, items=(Item("a", 0, 500, channel=1),)
    )
    (track,) = open_tracks(recording, MemoryUpstream("r", {}), "original")
    with pytest.raises(RecordingError) as caught:
        track.read(0, 500)
    assert caught.value.reason == "no_such_channel"


def test_a_labelled_source_is_decoded_forward_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks_module, "BLOCK_MS", 1000)
    path = encoded(tmp_path / "a.flac", chirp(5, RATE, channels=2), RATE)
    items = (Item("a", 0, 500, channel=1), Item("b", 500, 900))
    recording = Recording(content_id(str(path)), str(path), 5000, items=items)
    tracks = open_tracks(recording, MemoryUpstream("r", {}), "original")
    opened = []
    inner = blocks_module.open_audio
    monkeypatch.setattr(blocks_module, "open_audio", lambda *a: opened.append(a) or inner(*a))
    for start in range(0, 4900, 100):
        for track in tracks:
            assert track.read(start, start + 100).size > 0
    assert len(opened) == 1


def test_a_missing_labelled_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError) as caught:
        labelled(tmp_path / "gone.wav", 1000)
    assert caught.value.reason == "file_missing"
