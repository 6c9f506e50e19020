"""Damaged files of every kind: a reason or sound, never a crash, and one length for all."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.stages.audio.made import decoded, sweep, timed
from wavemill.stages.audio.decode import probe
from wavemill.stages.audio.limits import DEFAULT_LIMITS
from wavemill.stages.recording_stage import RecordingError

RATE = 48_000
CODECS = {
    "a.wav": "pcm_s16le",
    "a.flac": "flac",
    "a.mp3": "libmp3lame",
    "b.mp3": "libmp3lame",
    "a.opus": "libopus",
    "a.m4a": "aac",
    "a.aac": "aac",
    "a.mka": "libopus",
    "a.mov": "alac",
    "a.ts": "aac",
    "a.tta": "tta",
    "a.wv": "wavpack",
    "a.ac3": "ac3",
    "a.flv": "aac",
}
FILES = 15  # damaged copies of each


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Overwrite, cut out, double or cut off some of a file."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 4)):
        start = int(random.integers(0, len(changed)))
        length = int(random.choice([1, 4, 64, 1000, 5000]))
        kind = random.integers(0, 5)
        if kind == 0:
            changed[start : start + length] = random.bytes(length)
        elif kind == 1:
            changed[start : start + length] = bytes(length)
        elif kind == 2:
            del changed[start : start + length]
        elif kind == 3:
            changed[start:start] = changed[start : start + length]
        else:
            del changed[max(start, 1000) :]
    return bytes(changed)


@pytest.mark.parametrize("name", CODECS)
def test_damaged_files(tmp_path: Path, name: str) -> None:
    options = {"write_xing": "0"} if name == "b.mp3" else {}
    data = timed(tmp_path / name, sweep(4, RATE), RATE, CODECS[name], **options).read_bytes()
    random = np.random.default_rng(sorted(CODECS).index(name))
    for _ in range(FILES):
        path = tmp_path / f"damaged-{name}"
        path.write_bytes(damaged(data, random))
        probed_ms = math.inf
        try:
            probed_ms = probe(str(path)).duration_ms
            whole, audio = decoded(path)
        except RecordingError:
            continue
        decoded_ms = whole.shape[1] * 1000 / audio.sample_rate
        # What `wavemill report` calls "decoded too short": the scan promised more than there is.
        assert probed_ms - decoded_ms <= DEFAULT_LIMITS.missing_ms, audio.missing
