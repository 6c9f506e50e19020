"""Lengths are counted, not believed: tags and padding, wrong headers, impossible claims."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.stages.audio.made import chirp, decoded, timed, wav_bytes
from wavemill.stages.audio.decode import probe
from wavemill.stages.audio.limits import DecodeLimits
from wavemill.stages.recording_stage import RecordingError

RATE = 48_000
SOUND = chirp(4, RATE)
ID3V1 = b"TAG" + b"A talk".ljust(30, b"\0") + b"\0" * 94 + b"\xff"
LYRICS = b"LYRICSBEGIN" + b"IND00003110" + b"LYR00010hello text" + b"000039LYRICS200"
ITEM = struct.pack("<II", 6, 0) + b"Title\0A talk"


def ape(flags: int) -> bytes:
    return b"APETAGEX" + struct.pack("<IIII", 2000, len(ITEM) + 32, 1, flags) + bytes(8)


TAILS = {
    "nothing": b"",
    "id3v1": ID3V1,
    "apev2": ape(0xA0000000) + ITEM + ape(0x80000000),
    "apev2 without header": ITEM + ape(0),
    "apev2 id3v1": ape(0xA0000000) + ITEM + ape(0x80000000) + ID3V1,
    "lyrics3 id3v1": LYRICS + ID3V1,
    "zeros": bytes(4096),
    "text": b"<html>not found</html>\n" * 40,
    "noise": np.random.default_rng(2).bytes(5000),
}


def whole_and_probe(path: Path, limits: DecodeLimits | None = None) -> tuple[float, int, int]:
    """Decoded and probed length in ms, and the number of places where audio is missing."""
    given = limits or DecodeLimits()
    whole, audio = decoded(path, given)
    length_ms = whole.shape[1] * 1000 / audio.sample_rate
    return length_ms, probe(str(path), given).duration_ms, len(audio.missing)


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("ending", ["mp3", "flac", "aac"])
def test_bytes_after_the_last_frame_are_no_damage(tmp_path: Path, ending: str, tail: str) -> None:
    codec = {"mp3": "libmp3lame", "flac": "flac", "aac": "aac"}[ending]
    options = {"write_xing": "0"} if ending == "mp3" else {}
    path = timed(tmp_path / f"a.{ending}", SOUND, RATE, codec, **options)
    before = whole_and_probe(path)
    path.write_bytes(path.read_bytes() + TAILS[tail])
    after = whole_and_probe(path)
    assert after == pytest.approx(before, abs=26 if ending == "aac" else 1)
    assert after[2] == 0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_flac_that_states_too_few_samples(tmp_path: Path, share: float) -> None:
    path = timed(tmp_path / "a.flac", SOUND, RATE, "flac")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = struct.pack(">I", round(share * SOUND.shape[1]))
    path.write_bytes(data)
    assert whole_and_probe(path) == (4000.0, 4000, 0)


def bits(value: int, width: int) -> str:
    return format(value & (1 << width) - 1, f"0{width}b")


def crc(data: bytes, polynomial: int, width: int) -> int:
    found = 0
    for byte in data:
        found ^= byte << width - 8
        for _ in range(8):
            top = found >> width - 1
            found = (found << 1 ^ (polynomial if top else 0)) & (1 << width) - 1
    return found


def flac_frame(number: int, samples: np.ndarray) -> bytes:
    """A mono FLAC frame of 16-bit samples, stored as they are, with the number of a frame."""
    head = bytes([0xFF, 0xF8, 0x7 << 4 | 0x9, 0x08, number]) + struct.pack(">H", samples.size - 1)
    head += bytes([crc(head, 0x07, 8)])
    body = head + bytes([0b00000010]) + samples.astype(">i2").tobytes()
    return body + struct.pack(">H", crc(body, 0x8005, 16))


def test_flac_whose_frames_of_changing_size_are_numbered(tmp_path: Path) -> None:
    """As encoders before 1.0 wrote it: FFmpeg's times jump, and no sample is missing."""
    random = np.random.default_rng(4)
    sizes = [int(size) for size in random.choice([192, 576, 1152, 2304, 4608], 60)]
    samples = (random.standard_normal(sum(sizes)) * 3000).astype(np.int16)
    parts = np.split(samples, np.cumsum(sizes)[:-1])
    info = struct.pack(">HH", 192, 4608) + bytes(6)
    info += int(bits(44_100, 20) + "000" + bits(15, 5) + bits(samples.size, 36), 2).to_bytes(
        8, "big"
    )
    header = b"fLaC" + bytes([0x80, 0, 0, 34]) + info + bytes(16)
    frames = b"".join(flac_frame(number, part) for number, part in enumerate(parts))
    path = tmp_path / "a.flac"
    path.write_bytes(header + frames)
    whole, audio = decoded(path)
    np.testing.assert_array_equal(np.rint(whole[0] * 32768), samples)
    assert audio.missing == []
    assert probe(str(path)).duration_ms == -(-samples.size * 1000 // 44_100)


def ogg_crc(page: bytes) -> bytes:
    return struct.pack("<I", crc(page, 0x04C11DB7, 32))


@pytest.mark.parametrize("pre_skip", [0, 312, 48_312, 65_535])
def test_pre_skip_is_taken_off(tmp_path: Path, pre_skip: int) -> None:
    path = timed(tmp_path / "a.opus", SOUND, RATE, "libopus")
    data = bytearray(path.read_bytes())
    head, end = data.index(b"OpusHead"), data.index(b"OggS", 4)
    (old,) = struct.unpack("<H", data[head + 10 : head + 12])
    data[head + 10 : head + 12] = struct.pack("<H", pre_skip)
    data[22:26] = bytes(4)
    data[22:26] = ogg_crc(bytes(data[:end]))
    path.write_bytes(data)
    length_ms, probed_ms, missing = whole_and_probe(path)
    assert length_ms == pytest.approx(4000 + (old - pre_skip) / 48, abs=1)
    assert probed_ms == pytest.approx(length_ms, abs=10)
    assert missing == 0


def refused(path: Path) -> set[str]:
    """The reasons for which probing and decoding refuse a file."""
    found = set()
    for attempt in (lambda: probe(str(path)), lambda: decoded(path)):
        with pytest.raises(RecordingError) as caught:
            attempt()
        found.add(caught.value.reason)
    return found


def test_an_mp3_of_85_730_hours(tmp_path: Path) -> None:
    path = timed(tmp_path / "a.mp3", SOUND[:, : RATE // 4], RATE, "libmp3lame")
    data = bytearray(path.read_bytes())
    at = max(data.find(b"Xing"), data.find(b"Info")) + 8
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert probe(str(path)).duration_ms < 1000
    with pytest.raises(RecordingError) as caught:
        decoded(path)
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("rate", [1, 100, 2_000_000_000])
def test_rates_that_no_sound_has(tmp_path: Path, rate: int) -> None:
    data = bytearray(wav_bytes(SOUND[0, :2000], 8000))
    data[24:28] = struct.pack("<I", rate)
    (tmp_path / "a.wav").write_bytes(data)
    assert refused(tmp_path / "a.wav") == {"implausible_rate"}


def test_more_sound_than_bytes_can_hold(tmp_path: Path) -> None:
    """A minute between packets: 40 bytes for each would be little even for silence."""
    gaps = [(second / 5, 55.0) for second in range(1, 20)]
    path = timed(tmp_path / "a.mka", SOUND * 0, RATE, "libopus", gaps=gaps)
    assert refused(path) == {"implausible_bit_rate"}
    assert DecodeLimits().min_bit_rate * (19 * 55) / 8 > path.stat().st_size
