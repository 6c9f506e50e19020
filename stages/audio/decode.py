"""Decoding any audio as a stream of float32 blocks, and reading what its header says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import numpy as np

from stages.audio.container import Media, open_media
from stages.audio.integrity import Continuity, check_bytes
from stages.recording_stage import RecordingError

if TYPE_CHECKING:
    import av

BLOCK_SECONDS = 1  # a decoded block is at least as long (the last one apart)
UNSIGNED_BYTE_ZERO = 128
MAX_BREAKS = 8  # attempts to read on where a container is damaged, without one packet between


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """When a decoded recording counts as damaged or silent."""

    missing_ms: int = 100  # so much may be missing at the end: containers round, encoders pad
    gap_ms: int = 50  # so much may be missing in one place before it
    silence_dbfs: float = -80.0  # a recording whose peak is below is digital silence


@dataclass(frozen=True, slots=True)
class Probe:
    """What a file's header says."""

    duration_ms: int  # rounded up
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class Audio:
    """Audio being decoded: `blocks` are float32 (channels, samples), full scale at 1.0."""

    sample_rate: int
    channels: int
    blocks: Iterator[np.ndarray]


def probe(uri: str) -> Probe:
    """Read duration, sample rate and channels of `uri` without decoding it.

    Where the container states no duration (MP3 without a Xing frame, ADTS) its packets are
    counted. Raises RecordingError as `open_media` does.
    """
    with open_media(uri) as media:
        seconds = media.stated_s if media.stated_s is not None else _counted(media)
        rate, channels = media.stream.sample_rate, media.stream.channels
        return Probe(math.ceil(seconds * 1000), rate, channels)


def _counted(media: Media) -> Fraction:
    import av

    total = Fraction(0)
    try:
        for packet in media.container.demux(media.stream):
            if packet.duration and packet.time_base:
                total += packet.duration * packet.time_base
    except (av.error.FFmpegError, EOFError):
        pass  # damaged: decoding will say so
    return total


@contextmanager
def open_audio(
    uri: str, limits: DecodeLimits | None = None, recording_id: str | None = None
) -> Iterator[Audio]:
    """Decode `uri` (a path, or `shard.tar#member`) as a stream; memory does not grow with length.

    With `recording_id`, what is decoded is that recording (see `open_source`). Raises
    RecordingError on entering or while `blocks` is consumed: the reasons of `open_media`,
    `truncated`, `decode_error` (audio missing in the middle), `no_samples`, `nan_samples`,
    `silent`, `format_changes` (sample rate or channel count within the file). Several of them are
    known only at the end, after blocks were yielded.
    """
    limits = limits or DecodeLimits()
    with open_media(uri, recording_id) as media:
        position = media.file.tell()
        check_bytes(uri, media.file, limits.missing_ms)
        media.file.seek(position)  # FFmpeg goes on reading where it stopped
        frames = _frames(media, limits)
        first = next(frames)  # the codec may know the rate better than the header (HE-AAC)
        rate, channels = first.sample_rate, first.layout.nb_channels
        arrays = _arrays(uri, first, frames)
        blocks = _audible(uri, _gathered(arrays, rate * BLOCK_SECONDS), limits.silence_dbfs)
        yield Audio(rate, channels, blocks)


def _frames(media: Media, limits: DecodeLimits) -> Iterator[av.AudioFrame]:
    """Yield decoded frames; at least one, or RecordingError."""
    import av

    codec = media.stream.codec_context
    codec.thread_count = 1
    if codec.name == "flac":  # only FLAC has checksums that tell damage from sound
        codec.options = {"err_detect": "crccheck+explode"}
    state = Continuity(media.uri, limits.missing_ms, limits.gap_ms, media.stated_s)
    for packet in _packets(media, state):
        try:
            frames = cast("list[av.AudioFrame]", packet.decode())
        except (av.error.FFmpegError, EOFError):
            state.packet_failed(packet)
            continue
        for frame in frames:
            state.frame(frame)
            yield frame
    state.end(media.known_format)


def _packets(media: Media, state: Continuity) -> Iterator[av.Packet]:
    """Yield the audio track's packets; after damage to the container, those that follow it."""
    import av

    breaks = 0
    while breaks < MAX_BREAKS:
        try:
            for packet in media.container.demux(media.stream):
                breaks = 0
                yield packet
            return
        except (av.error.FFmpegError, EOFError):
            breaks += 1
            state.container_failed()


def _arrays(uri: str, first: av.AudioFrame, rest: Iterator[av.AudioFrame]) -> Iterator[np.ndarray]:
    rate, channels = first.sample_rate, first.layout.nb_channels
    yield samples_of(first)
    for frame in rest:
        if frame.sample_rate != rate or frame.layout.nb_channels != channels:
            raise RecordingError(
                "format_changes", f"{uri}: sample rate or channel count changes within the file"
            )
        yield samples_of(frame)


def samples_of(frame: av.AudioFrame) -> np.ndarray:
    """Return a frame's samples as float32 (channels, samples), full scale at 1.0."""
    raw = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, frame.layout.nb_channels).T
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - UNSIGNED_BYTE_ZERO) / UNSIGNED_BYTE_ZERO
    if np.issubdtype(raw.dtype, np.integer):
        return np.multiply(
            raw,
            1 / (np.iinfo(cast(type[np.signedinteger], raw.dtype.type)).max + 1),
            dtype=np.float32,
        )
    return raw.astype(np.float32, copy=False)


def _gathered(arrays: Iterator[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """Join small arrays into blocks of at least `length` samples: fewer steps downstream."""
    parts: list[np.ndarray] = []
    held = 0
    for array in arrays:
        parts.append(array)
        held += array.shape[1]
        if held >= length:
            yield np.concatenate(parts, axis=1)
            parts, held = [], 0
    if parts:
        yield np.concatenate(parts, axis=1)


def _audible(uri: str, blocks: Iterator[np.ndarray], silence_dbfs: float) -> Iterator[np.ndarray]:
    peak = 0.0
    for block in blocks:
        block_peak = float(np.abs(block).max(initial=0.0))
        if not math.isfinite(block_peak):
            raise RecordingError("nan_samples", f"{uri}: holds samples that are not numbers")
        peak = max(peak, block_peak)
        yield block
    if peak < 10 ** (silence_dbfs / 20):
        raise RecordingError("silent", f"{uri}: digital silence (peak below {silence_dbfs:g} dBFS)")
