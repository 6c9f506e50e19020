"""What kind of file something is."""

from __future__ import annotations

import random
import tarfile
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest

from tests.manifests.support import wav_bytes
from wavemill.manifests.kinds import HEAD_BYTES, FileKind, ending_of, kind_by_head, kind_by_name
from wavemill.stages.audio.decode import probe

NAMES = {
    "a.WAV": FileKind.AUDIO,
    "a.b.Flac": FileKind.AUDIO,
    "x.TAR": FileKind.TAR,
    "x.tar.gz": FileKind.ARCHIVE,
    "x.wav.gz": FileKind.ARCHIVE,
    "m.jsonl": FileKind.MANIFEST,
    "m.JSON.GZ": FileKind.MANIFEST,
    "t.csv": FileKind.TABLE,
    "t.csv.gz": FileKind.ARCHIVE,
    "a.txt": FileKind.TEXT,
    "Thumbs.db": FileKind.CLUTTER,
    "cover.JPG": FileKind.CLUTTER,
    "a.mp3.part": FileKind.UNFINISHED,
    "a.wav~": FileKind.CLUTTER,
    "a.ts": None,  # TypeScript, or a transport stream
    "a.x": None,
    "wav": None,
    "0001.0002": None,
    "": None,
}
LISTED = [
    "mpc", "spx", "tta", "dsf", "dff", "3g2", "eac3", "mpga", "flv", "weba", "wave", "amr", "caf",
    "ape", "wv",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_kinds_by_name(name: str) -> None:
    assert kind_by_name(name) is NAMES[name]


@pytest.mark.parametrize("ending", LISTED)
def test_endings_of_audio(ending: str) -> None:
    assert kind_by_name(f"a.{ending}") is FileKind.AUDIO
    assert kind_by_name(f"a.{ending.upper()}") is FileKind.AUDIO


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("a.CSV", "csv"),
        ("a.tar.gz", "tar.gz"),
        ("a.jsonl.gz", "jsonl.gz"),
        ("v1.5.gz", "gz"),
        ("none", ""),
        ("0001.0002", ""),
        ("235 Track 2.0 (Clean)", ""),
        ("a.", ""),
    ],
)
def test_endings(name: str, ending: str) -> None:
    assert ending_of(name) == ending


# Encoder, container, rate in Hz.
FORMATS = {
    "mp3": ("libmp3lame", "mp3", 44100),
    "mp3_low": ("libmp3lame", "mp3", 16000),
    "mp3_lower": ("libmp3lame", "mp3", 8000),
    "mp2": ("mp2", "mp2", 48000),
    "adts": ("aac", "adts", 44100),
    "ac3": ("ac3", "ac3", 48000),
    "ac3_odd": ("ac3", "ac3", 44100),
    "eac3": ("eac3", "eac3", 48000),
    "ts": ("aac", "mpegts", 48000),
    "m2ts": ("ac3", "mpegts", 48000),
    "flv": ("aac", "flv", 44100),
    "mp4": ("aac", "mp4", 44100),
    "mov": ("pcm_s16le", "mov", 44100),
    "webm": ("libopus", "webm", 48000),
    "ogg": ("libopus", "ogg", 48000),
    "flac": ("flac", "flac", 16000),
    "aiff": ("pcm_s16be", "aiff", 16000),
    "au": ("pcm_s16be", "au", 16000),
    "caf": ("pcm_s16le", "caf", 16000),
    "w64": ("pcm_s16le", "w64", 16000),
    "avi": ("pcm_s16le", "avi", 16000),
    "asf": ("wmav2", "asf", 44100),
    "tta": ("tta", "tta", 44100),
    "wv": ("wavpack", "wv", 44100),
    "mpg": ("mp2", "mpeg", 48000),
    "mxf": ("pcm_s16le", "mxf_opatom", 48000),
}


def encoded(codec: str, container: str, rate: int, options: dict[str, str]) -> bytes:
    """Half a second of a tone, without tags before the first frame."""
    file = BytesIO()
    tone = np.sin(np.arange(rate // 2) * 2 * np.pi * 440 / rate) * 9999
    with av.open(file, "w", format=container, options=options) as media:
        stream = media.add_stream(codec, rate=rate, layout="mono")
        resampler = av.AudioResampler(
            stream.codec_context.format.name, "mono", rate, stream.codec_context.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], "s16", "mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            media.mux(stream.encode(part))
        media.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_audio_is_known_by_its_first_bytes(name: str, tmp_path: Path) -> None:
    options = {"id3v2_version": "0", "write_xing": "0"} if name.startswith("mp3") else {}
    options |= {"mpegts_m2ts_mode": "1"} if name == "m2ts" else {}
    try:
        content = encoded(*FORMATS[name], options)
    except (av.error.FFmpegError, ValueError) as error:
        pytest.skip(f"this FFmpeg does not write it: {error}")
    assert kind_by_head(content[:HEAD_BYTES]) is FileKind.AUDIO
    path = tmp_path / "any.x"
    path.write_bytes(content)
    assert probe(str(path)).duration_ms > 0  # so that taking it for audio is no mistake


def test_what_is_no_audio() -> None:
    picture = b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(range(256)) * 8
    utf16 = "\ufeffhello there, this is no MP3".encode("utf-16-le")
    script = b"import { a } from './b';\n" * 100
    webp = b"RIFF\0\0\1\0WEBPVP8 "
    for content in (b"", b"\0" * 5000, b"\xff" * 5000, picture, utf16, script, webp, b"GGGG"):
        assert kind_by_head(content) is FileKind.OTHER
    tar = BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.wav"))
    assert kind_by_head(tar.getvalue()) is FileKind.TAR
    assert kind_by_head(b"\x1f\x8b\x08") is FileKind.ARCHIVE
    assert kind_by_head(b"PAR1") is FileKind.TABLE
    assert kind_by_head(b'{"audio"') is FileKind.MANIFEST


def test_noise_is_hardly_ever_taken_for_audio() -> None:
    picker = random.Random(3)
    taken = sum(kind_by_head(picker.randbytes(64)) is FileKind.AUDIO for _ in range(20000))
    assert taken <= 2


def test_any_length_of_any_head_has_a_kind() -> None:
    heads = [
        wav_bytes(100),
        b"\xff\xfb\x90\x00",
        b"\xff\xf1\x50\x80\x01\x1f",
        b"\x0b\x77\0\0\x14\x40",
    ]
    for head in heads:
        for length in range(len(head) + 1):
            assert kind_by_head(head[:length]) in FileKind
