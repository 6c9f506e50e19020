"""Audio that starts late in its container, and times that jump."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages.audio.made import decoded, lag, sweep, timed
from tests.support import MemoryUpstream
from wavemill.manifests.identify import content_id
from wavemill.manifests.recording import Item, Recording
from wavemill.stages.audio.decode import probe
from wavemill.stages.audio.limits import DecodeLimits
from wavemill.stages.audio.missing import lacks_of_source, span_errors
from wavemill.stages.audio.timeline import Kind
from wavemill.stages.audio.track import open_tracks

RATE = 48_000
SOUND = sweep(4, RATE)
LATE = [
    ("a.mkv", "libopus", 6.0),
    ("a.mka", "libopus", 0.0),
    ("a.webm", "libopus", 0.0),
    ("a.mp4", "aac", 6.0),
    ("a.m4a", "aac", 0.0),
    ("a.mov", "pcm_s16le", 6.0),
    ("a.mkv", "flac", 6.0),
    ("a.flv", "aac", 0.0),
]


@pytest.mark.parametrize(("name", "codec", "video_s"), LATE)
def test_what_starts_late_comes_after_silence(
    tmp_path: Path, name: str, codec: str, video_s: float
) -> None:
    path = timed(tmp_path / name, SOUND, RATE, codec, late_s=1.5, video_s=video_s)
    whole, audio = decoded(path)
    at, alike = lag(SOUND[0], whole[0])
    assert at / RATE == pytest.approx(1.5, abs=0.03)
    assert alike > 0.8
    assert not whole[0, : round(1.4 * RATE)].any()
    assert [(place.kind, place.filled) for place in audio.missing] == [(Kind.GAP, True)]
    assert list(span_errors("a", audio.missing, DecodeLimits())) == []
    assert probe(str(path)).duration_ms == pytest.approx(whole.shape[1] / 48, abs=30)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.webm", "libopus"),
        ("a.mp4", "aac"),
        ("a.ts", "aac"),
        ("a.mkv", "aac"),
        ("a.ogg", "libopus"),
        ("a.flv", "aac"),
        ("a.asf", "wmav2"),
    ],
)
def test_a_jump_is_silence_and_moves_nothing_else(tmp_path: Path, name: str, codec: str) -> None:
    sound, rate = (SOUND, RATE) if codec != "wmav2" else (sweep(4, 44_100, 2), 44_100)
    path = timed(tmp_path / name, sound, rate, codec, gaps=[(2.0, 0.8)])
    whole, audio = decoded(path)
    for start, expected in ((0.2, 0.2), (2.3, 3.1)):
        piece = sound[0, round(start * rate) : round((start + 1.2) * rate)]
        at, alike = lag(piece, whole[0])
        assert at / rate == pytest.approx(expected, abs=0.1 if name == "a.asf" else 0.03)
        assert alike > 0.6
    (place,) = [place for place in audio.missing if place.start_s > 0.2]
    assert (place.kind, place.filled) == (Kind.GAP, True)
    assert place.seconds == pytest.approx(0.8, abs=0.1 if name == "a.asf" else 0.06)
    assert probe(str(path)).duration_ms == pytest.approx(whole.shape[1] * 1000 / rate, abs=60)


def test_a_longer_hole_is_closed_and_a_row_tells(tmp_path: Path) -> None:
    limits = DecodeLimits(gap_ms=500)
    path = timed(tmp_path / "a.mkv", SOUND, RATE, "libopus", gaps=[(2.0, 0.8)], video_s=6)
    whole, audio = decoded(path, limits)
    assert whole.shape[1] / RATE == pytest.approx(4.0, abs=0.03)
    (row,) = span_errors("a", audio.missing, limits)
    assert row.reason == "time_jump"
    assert (row.start_ms, row.end_ms) == pytest.approx((2000, 2800), abs=40)
    assert probe(str(path), limits).duration_ms == pytest.approx(whole.shape[1] / 48, abs=30)
    (lack,) = lacks_of_source(audio.missing)  # labels after it would miss the sound
    assert lack.share_of(0, 1900) == 0
    assert lack.share_of(2500, 3000) == 1


def test_a_transport_stream_begins_when_it_begins(tmp_path: Path) -> None:
    whole, audio = decoded(timed(tmp_path / "a.ts", SOUND, RATE, "aac", late_s=3600.0))
    assert whole.shape[1] / RATE == pytest.approx(4.0, abs=0.06)
    assert audio.missing == []


@pytest.mark.parametrize(
    ("name", "codec", "late_s", "gaps"),
    [
        ("a.mp4", "aac", 1.5, []),
        ("a.mkv", "libopus", 1.5, []),
        ("a.webm", "libopus", 0.0, [(2.0, 0.8)]),
    ],
)
def test_labels_of_the_container_s_time_hit(
    tmp_path: Path, name: str, codec: str, late_s: float, gaps: list[tuple[float, float]]
) -> None:
    path = timed(tmp_path / name, SOUND, RATE, codec, late_s, gaps)
    moved_ms = round(1000 * (late_s + sum(length for _, length in gaps)))
    item = Item("i", 2500 + moved_ms, 3500 + moved_ms)
    recording = Recording(
        content_id(str(path)), str(path), probe(str(path)).duration_ms, items=(item,)
    )
    (track,) = open_tracks(recording, MemoryUpstream("r", {}), "original")
    at, alike = lag(track.read(item.start_ms, item.end_ms), SOUND[0])
    assert at / RATE == pytest.approx(2.5, abs=0.03)
    assert alike > 0.6
    assert track.lacking(item.start_ms, item.end_ms, Kind.GAP) == 0
    if gaps:
        assert track.lacking(1800, 2800, Kind.GAP) == pytest.approx(0.8, abs=0.05)
