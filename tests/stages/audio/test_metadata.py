"""Tags that are no UTF-8 harm nothing, on every PyAV."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages.audio.made import chirp, decoded, encoded, wav_bytes
from wavemill.stages.audio.decode import probe

NOT_UTF8 = b"caf\xe9 \xff\xfe\x80 abc\0"


def wav(path: Path) -> None:
    info = b"INAM" + len(NOT_UTF8).to_bytes(4, "little") + NOT_UTF8
    info += bytes(len(info) % 2)
    riff = wav_bytes(chirp(2, 8000)[0], 8000)
    path.write_bytes(riff + b"LIST" + (len(info) + 4).to_bytes(4, "little") + b"INFO" + info)


def mp3(path: Path) -> None:
    sound = encoded(path.with_name("plain.mp3"), chirp(2, 48_000), 48_000).read_bytes()
    text = b"\3" + NOT_UTF8
    frame = b"TIT2" + len(text).to_bytes(4, "big") + b"\0\0" + text
    tag = b"ID3\3\0\0" + bytes([0, 0, 0, len(frame) + 10]) + frame + bytes(10)
    path.write_bytes(tag + sound[sound.index(b"\xff\xfb") :])


@pytest.mark.parametrize("write", [wav, mp3])
def test_tags_in_no_known_encoding(tmp_path: Path, write: object) -> None:
    path = tmp_path / "a.bin"
    assert callable(write)
    write(path)
    whole, audio = decoded(path)
    assert whole.shape[1] / audio.sample_rate == pytest.approx(2, abs=0.1)
    assert probe(str(path)).duration_ms == pytest.approx(2000, abs=100)
