"""Whole files of audio, from and to bytes in memory.

A file's format is told by its first bytes and given to FFmpeg by name, and only formats that hold
their own samples are read: nothing in a file makes the server open another file or a URL.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import soundfile

from wavemill.serve.audio.formats import AudioRefused, Format, Samples, encoded
from wavemill.serve.audio.rates import Resampler

# The name of FFmpeg, and how such a file begins, from which byte.
BEGINNINGS = (
    ("wav", 8, b"WAVE"),
    ("flac", 0, b"fLaC"),
    ("ogg", 0, b"OggS"),
    ("matroska", 0, b"\x1a\x45\xdf\xa3"),  # also WebM
    ("mov", 4, b"ftyp"),  # also MP4 and M4A
    ("mp3", 0, b"ID3"),
    ("mp3", 0, b"\xff\xfb"),
    ("mp3", 0, b"\xff\xf3"),
    ("mp3", 0, b"\xff\xf2"),
    ("mp3", 0, b"\xff\xfa"),
)
# What clients may ask for: the name of soundfile's format and subtype, and of MIME.
WRITTEN = {
    "wav": ("WAV", "PCM_16", "audio/wav"),
    "flac": ("FLAC", "PCM_16", "audio/flac"),
    "mp3": ("MP3", "MPEG_LAYER_III", "audio/mpeg"),
    "opus": ("OGG", "OPUS", "audio/ogg"),
}
PCM = ("pcm", "pcm16")  # 16 bits, 24 kHz, without a header


def read_file(content: bytes, rate: int, most_seconds: float) -> Samples:
    """Return a file as mono float32 (samples,) at `rate` Hz; raises AudioRefused.

    No more is decoded than `most_seconds` and a little.
    """
    form = next((name for name, at, begin in BEGINNINGS if content[at:].startswith(begin)), None)
    if form is None:
        raise AudioRefused("the file is none of WAV, FLAC, MP3, Ogg, WebM and MP4")
    try:
        with av.open(io.BytesIO(content), "r", format=form) as opened:
            return _bounded(_decoded(opened, rate), rate, most_seconds)
    except (av.FFmpegError, ValueError, IndexError) as error:
        if isinstance(error, AudioRefused):
            raise
        raise AudioRefused(f"the file cannot be decoded as {form}: {error}") from None


def _decoded(opened: av.container.InputContainer, rate: int) -> Iterator[Samples]:
    if not opened.streams.audio:
        raise AudioRefused("there is no audio in the file")
    resampler, source = None, 0
    for frame in opened.decode(audio=0):
        if frame.sample_rate != source and frame.sample_rate:
            source = frame.sample_rate
            resampler = Resampler(source, rate)
        assert resampler is not None
        yield resampler.push(_mono(frame))
    if resampler is not None:
        yield resampler.push(np.zeros(0, np.float32), last=True)


def _mono(frame: av.AudioFrame) -> Samples:
    values: Any = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype.kind == "u":
        values = values.astype(np.float32) / 128 - 1
    elif values.dtype.kind == "i":
        values = values / np.float32(-float(np.iinfo(values.dtype).min))
    mixed: Samples = values.mean(axis=0, dtype=np.float32)
    return mixed


def _bounded(blocks: Iterator[Samples], rate: int, most_seconds: float) -> Samples:
    found, length = [np.zeros(0, np.float32)], 0
    for block in blocks:
        found.append(np.nan_to_num(block).clip(-1, 1))
        length += len(block)
        if length > most_seconds * rate:
            raise AudioRefused(f"the file is longer than {most_seconds:g} s")
    if length < rate // 10:
        raise AudioRefused("the file has less than 0.1 s of audio")
    return np.concatenate(found)


def written_file(sound: Samples, rate: int, form: str) -> tuple[bytes, str]:
    """Return float32 (samples,) at `rate` Hz as a file, and the name of MIME.

    `form` is one of WRITTEN or PCM; raises AudioRefused for another.
    """
    if form in PCM:
        pcm = Resampler(rate, Format.PCM.rate).push(sound, last=True)
        return encoded(pcm, Format.PCM), "audio/pcm"
    if form not in WRITTEN:
        known = ", ".join((*WRITTEN, *PCM))
        raise AudioRefused(f"{form!r} is not a format that is written: {known}")
    kind, subtype, mime = WRITTEN[form]
    file = io.BytesIO()
    soundfile.write(file, sound.clip(-1, 1), rate, subtype, format=kind)
    return file.getvalue(), mime
