"""Files of several parts: joined recordings, inserted advertisements, tags between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stages.audio.made import decoded, lag, sweep, timed
from wavemill.stages.audio.decode import probe

ID3V1 = b"TAG" + b"A talk".ljust(30, b"\0") + b"\0" * 94 + b"\xff"
PICTURE = np.random.default_rng(5).bytes(1 << 15)
ID3V2 = b"ID3\3\0\0" + bytes([0, 2, 0, 0]) + PICTURE
FIRST, SECOND = (3, 2.0), (4, 3.0)  # what is in each part: cut of the sweep, seconds


def part(path: Path, cut: int, seconds: float, rate: int, channels: int, **how: str) -> bytes:
    start = round((cut - 3) * 2 * rate)
    sound = sweep(8, rate, channels)[:, start : start + round(seconds * rate)]
    codec = "flac" if path.suffix == ".flac" else "libmp3lame"
    return timed(path, sound, rate, codec, **how).read_bytes()


def is_whole(path: Path, rate: int, channels: int, tolerance_s: float = 0.1) -> None:
    whole, audio = decoded(path)
    assert (audio.sample_rate, audio.channels) == (rate, channels)
    assert audio.missing == []
    assert whole.shape[1] / rate == pytest.approx(5.0, abs=tolerance_s)
    assert probe(str(path)).duration_ms == pytest.approx(whole.shape[1] * 1000 / rate, abs=10)
    sound = sweep(8, rate)[0]
    for cut, at_s in ((0.5, 0.5), (2.5, 2.5), (4.2, 4.2)):
        piece = sound[round(cut * rate) : round((cut + 0.4) * rate)]
        at, alike = lag(piece, whole[-1])
        assert at / rate == pytest.approx(at_s, abs=tolerance_s)
        assert alike > 0.8


@pytest.mark.parametrize("xing", ["01", "10", "00", "11"])
@pytest.mark.parametrize("between", [b"", ID3V1, ID3V2, b"\0" * 700], ids=len)
def test_joined_mp3s(tmp_path: Path, xing: str, between: bytes) -> None:
    first, second = (
        part(tmp_path / f"{number}.mp3", *what, 44_100, 1, write_xing=write)
        for number, (what, write) in enumerate(zip((FIRST, SECOND), xing, strict=True))
    )
    (tmp_path / "a.mp3").write_bytes(first + between + second)
    is_whole(tmp_path / "a.mp3", 44_100, 1)


@pytest.mark.parametrize(
    ("rates", "channels"),
    [
        ((44_100, 48_000), (2, 2)),
        ((48_000, 44_100), (1, 1)),
        ((44_100, 44_100), (2, 1)),
        ((44_100, 44_100), (1, 2)),
        ((22_050, 48_000), (1, 2)),
    ],
)
def test_a_part_of_another_format_is_brought_to_the_first(
    tmp_path: Path, rates: tuple[int, int], channels: tuple[int, int]
) -> None:
    first, second = (
        part(tmp_path / f"{number}.mp3", *what, rate, count)
        for number, (what, rate, count) in enumerate(
            zip((FIRST, SECOND), rates, channels, strict=True)
        )
    )
    (tmp_path / "a.mp3").write_bytes(first + second)
    is_whole(tmp_path / "a.mp3", rates[0], channels[0], tolerance_s=0.16)
    whole, _ = decoded(tmp_path / "a.mp3")
    levels = [np.abs(whole[:, round(at * rates[0]) :][:, :2000]).max() for at in (1.0, 3.0)]
    assert levels[1] == pytest.approx(levels[0], rel=0.1)


def test_joined_flac(tmp_path: Path) -> None:
    parts = [
        part(tmp_path / f"{n}.flac", *what, 48_000, 1) for n, what in enumerate((FIRST, SECOND))
    ]
    (tmp_path / "a.flac").write_bytes(b"".join(parts))
    is_whole(tmp_path / "a.flac", 48_000, 1, tolerance_s=0.001)


def test_chained_ogg(tmp_path: Path) -> None:
    parts = []
    for number, (cut, seconds) in enumerate((FIRST, SECOND)):
        start = (cut - 3) * 2 * 48_000
        sound = sweep(8, 48_000)[:, start : start + round(seconds * 48_000)]
        parts.append(timed(tmp_path / f"{number}.opus", sound, 48_000, "libopus").read_bytes())
    (tmp_path / "a.opus").write_bytes(b"".join(parts))
    is_whole(tmp_path / "a.opus", 48_000, 1)
