"""Damage in a file costs its span: the rest is used, in its place, and a row tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stages.audio.made import decoded, lag, sweep, timed
from wavemill.stages.audio.decode import probe
from wavemill.stages.audio.limits import DEFAULT_LIMITS
from wavemill.stages.audio.missing import missing_rows, span_errors
from wavemill.stages.audio.timeline import Kind
from wavemill.stages.recording_stage import RecordingError

RATE = 48_000
SOUND = sweep(10, RATE)
CODECS = {
    "a.flac": "flac",
    "a.mp3": "libmp3lame",
    "a.opus": "libopus",
    "a.m4a": "aac",
    "a.mka": "libopus",
    "a.tta": "tta",
    "a.wv": "wavpack",
    "a.ts": "aac",
    "a.ac3": "ac3",
}
NO_LENGTH = {"a.mp3": {"write_xing": "0"}}


def damaged(path: Path, at: float, length: int = 6000, by: str = "noise") -> Path:
    """Put other bytes at a place, a share of the file; at least behind its header."""
    data = bytearray(path.read_bytes())
    start = max(round(at * len(data)), 100)
    noise = np.random.default_rng(3).bytes(length)
    data[start : start + length] = noise if by == "noise" else bytes(length)
    other = path.with_stem("damaged")
    other.write_bytes(data)
    return other


def check_rest(name: str, path: Path, lost_s: tuple[float, float], tolerance_s: float) -> None:
    whole, audio = decoded(path)
    assert whole.shape[1] / RATE == pytest.approx(10, abs=tolerance_s + 0.05)
    for cut in (0.3, 8.5):
        piece = SOUND[0, round(cut * RATE) : round((cut + 1) * RATE)]
        at, alike = lag(piece, whole[0])
        assert at / RATE == pytest.approx(cut, abs=tolerance_s), name
        assert alike > 0.6
    rows = list(span_errors("a", audio.missing, DEFAULT_LIMITS))
    assert {row.reason for row in rows} == {"decode_error"}
    assert lost_s[0] * 1000 <= rows[0].start_ms < rows[-1].end_ms <= lost_s[1] * 1000
    assert probe(str(path)).duration_ms == pytest.approx(whole.shape[1] / 48, abs=60)
    kinds = {row["kind"] for row in missing_rows(audio.missing, 0, 10_000)}
    assert kinds == {Kind.DAMAGE.value}


@pytest.mark.parametrize("by", ["noise", "zeros"])
@pytest.mark.parametrize("name", CODECS)
def test_in_the_middle(tmp_path: Path, name: str, by: str) -> None:
    path = timed(tmp_path / name, SOUND, RATE, CODECS[name], **NO_LENGTH.get(name, {}))
    share = 0.3 if name == "a.mka" else 0.5  # of Matroska a whole cluster goes, 5 s
    check_rest(name, damaged(path, share, by=by), (1.5, 8.4), 0.06)


@pytest.mark.parametrize("name", ["a.flac", "a.tta", "a.wv"])
def test_at_the_start(tmp_path: Path, name: str) -> None:
    data = timed(tmp_path / name, SOUND[:, : 8 * RATE], RATE, CODECS[name]).read_bytes()
    if name == "a.flac":  # nor does it state its length
        info = bytearray(data)
        info[21] &= 0xF0
        info[22:26] = bytes(4)
        data = bytes(info)
    (tmp_path / name).write_bytes(data)
    start = 8400 if name == "a.flac" else 100
    path = damaged(tmp_path / name, start / len(data), 200)
    whole, audio = decoded(path)
    assert whole.shape[1] == 8 * RATE
    (row,) = span_errors("a", audio.missing, DEFAULT_LIMITS)
    assert row.start_ms == 0
    assert row.end_ms < 1200
    at, _ = lag(SOUND[0, 3 * RATE : 4 * RATE], whole[0])
    assert at == 3 * RATE


def test_most_of_it(tmp_path: Path) -> None:
    path = timed(tmp_path / "a.mp3", SOUND, RATE, "libmp3lame", write_xing="0")
    data = bytearray(path.read_bytes())
    data[8000 : len(data) - 8000] = np.random.default_rng(1).bytes(len(data) - 16_000)
    path.write_bytes(data)
    with pytest.raises(RecordingError) as caught:
        decoded(path)
    assert caught.value.reason == "decode_error"
    assert "cannot be decoded" in caught.value.message


def test_much_at_the_end_of_an_mp3_is_told(tmp_path: Path) -> None:
    path = timed(tmp_path / "a.mp3", SOUND, RATE, "libmp3lame", write_xing="0")
    data = path.read_bytes()
    path.write_bytes(data + np.random.default_rng(1).bytes(len(data)))
    whole, audio = decoded(path)
    assert whole.shape[1] / RATE == pytest.approx(10, abs=0.06)
    (row,) = span_errors("a", audio.missing, DEFAULT_LIMITS)
    assert row.end_ms - row.start_ms == pytest.approx(10_000, rel=0.05)
