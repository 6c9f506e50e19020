"""Decoding any audio as a stream of float32 blocks, and finding how long it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import TYPE_CHECKING, cast

import numpy as np

from wavemill.stages.audio.container import Media, check_bit_rate, check_rate, open_media
from wavemill.stages.audio.integrity import MP3_PADDING, check_bytes
from wavemill.stages.audio.limits import DEFAULT_LIMITS, DecodeLimits
from wavemill.stages.audio.offset import without_offset
from wavemill.stages.audio.packets import Packets
from wavemill.stages.audio.resample import resample_stream
from wavemill.stages.audio.timeline import Clock, Kind, Missing, Piece, Times
from wavemill.stages.recording_stage import RecordingError

if TYPE_CHECKING:
    import av

    Placed = tuple[Missing | None, Piece[av.AudioFrame]]

BLOCK_SECONDS = 1  # of silence in a row
UNSIGNED_BYTE_ZERO = 128
UNKNOWN_CHANNELS = {"NONE", "UNK", "UNSD"}
# Their checksums tell damage from sound; in other codecs FFmpeg finds too much with these options.
CHECKED = {"flac", "tta", "wavpack", "ape"}
CHECKS = {"err_detect": "crccheck+explode"}
DAMAGE_HIDES_S = 1.0  # so much may lack in the packets of a file whose header states more


@dataclass(frozen=True, slots=True)
class Probe:
    """What a file holds."""

    duration_ms: int  # rounded up
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class Audio:
    """Audio being decoded: `blocks` are float32 (channels, samples), full scale at 1.0.

    A constant offset is taken out of them. Their time begins at the zero of the container, and
    where audio is missing there is silence. `missing` tells of the places, and is whole when the
    blocks have been consumed.
    """

    sample_rate: int
    channels: int
    blocks: Iterator[np.ndarray]
    layout: tuple[str, ...] = ()  # FFmpeg's names of the channels (FL, FR, LFE); empty: unknown
    missing: list[Missing] = field(default_factory=list)


def probe(uri: str, limits: DecodeLimits = DEFAULT_LIMITS) -> Probe:
    """Find duration, sample rate and channels of `uri` without decoding it, wherever that can be.

    No header is believed: the packets are counted, on the clock that decoding has. Only a file
    whose packets do not say how long they are, or do not follow each other, is decoded. Raises
    RecordingError as `open_media` does, and `implausible_bit_rate`.
    """
    with open_media(uri, limits) as media:
        seconds = _counted(media, limits)
        if seconds is None:
            seconds = _decoded(uri, limits)
        check_bit_rate(media, seconds, limits)
        duration_ms = math.ceil(round(seconds * 1000, 3))
        return Probe(duration_ms, media.stream.sample_rate, media.stream.channels)


def _counted(media: Media, limits: DecodeLimits) -> float | None:
    """Return where the packets end, in seconds; None where they do not tell."""
    packets = Packets(media, limits.jitter_ms)
    clock = _clock(media, limits, exact=media.times != Times.SET)
    sounding_s = 0.0
    for _, piece in clock.placed(packets):
        sounding_s += piece.seconds
    holes = [place for place in clock.missing if place.start_s > 0]
    believed = not holes and (clock.times == Times.SET or not (packets.odd or clock.missing))
    if not believed or not sounding_s:
        return None
    if media.stated_s is None:
        return clock.end_s
    # A Xing frame knows what MP3 encoders add at both ends, and a header what damage took.
    longer_s = clock.end_s - float(media.stated_s)
    padding_s = MP3_PADDING / media.stream.sample_rate if media.format == "mp3" else 0.0
    is_right = -DAMAGE_HIDES_S <= longer_s <= padding_s and clock.times != Times.SET
    return float(media.stated_s) if is_right else clock.end_s


def _decoded(uri: str, limits: DecodeLimits) -> float:
    """Return where the audio of `uri` ends, in seconds, by decoding it."""
    with open_media(uri, limits) as media:
        clock = _clock(media, limits)
        try:
            for _ in _frames(media, clock, limits):
                pass
        except RecordingError:  # decoding will say so
            if not clock.end_s:
                raise
        return clock.end_s


def _clock(media: Media, limits: DecodeLimits, exact: bool = True) -> Clock:
    return Clock(media.times, limits, media.zero_s, media.slack, exact)


@contextmanager
def open_audio(
    uri: str, limits: DecodeLimits = DEFAULT_LIMITS, recording_id: str | None = None
) -> Iterator[Audio]:
    """Decode `uri` (a path, or `shard.tar#member`) as a stream; memory does not grow with length.

    With `recording_id`, what is decoded is that recording (see `open_source`). Where the sample
    rate or the channels change within the file, what follows is brought to those of its beginning.
    Raises RecordingError on entering or while `blocks` is consumed: the reasons of `open_media`,
    `truncated`, `decode_error` (too much of it cannot be decoded), `no_samples`, `nan_samples`,
    `silent`, `implausible_bit_rate`. Several of them are known only at the end, after blocks were
    yielded.
    """
    with open_media(uri, limits, recording_id) as media:
        position = media.file.tell()
        check_bytes(uri, media.file, limits.missing_ms)
        media.file.seek(position)  # FFmpeg goes on reading where it stopped
        clock = _clock(media, limits)
        frames = _frames(media, clock, limits)
        first = next(frames)  # the codec may know the rate better than the header (HE-AAC)
        frame = first[1].payload
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        check_rate(uri, rate, channels, limits)
        arrays = without_offset(_arrays(chain([first], frames), rate, channels), rate)
        blocks = _audible(uri, arrays, limits.silence_dbfs)
        yield Audio(rate, channels, blocks, _layout(frame), clock.missing)


def _layout(frame: av.AudioFrame) -> tuple[str, ...]:
    names = tuple(channel.name for channel in frame.layout.channels)
    return () if any(name in UNKNOWN_CHANNELS for name in names) else names


def _frames(media: Media, clock: Clock, limits: DecodeLimits) -> Iterator[Placed]:
    """Yield decoded frames with what is missing before each; at least one, or RecordingError."""
    codec = media.stream.codec_context
    codec.thread_count = 1
    if codec.name in CHECKED:
        codec.options = CHECKS
    decoder = Decoder(media, limits)
    placed = clock.placed(decoder)
    for item in placed:
        if item[1].payload.samples:
            yield item
    decoder.check_end(clock, limits)


class Decoder:
    """The frames of a medium as pieces, and what could not be decoded."""

    def __init__(self, media: Media, limits: DecodeLimits) -> None:
        self._media = media
        self._packets = Packets(media, limits.jitter_ms)
        self._first_samples = 0
        self._numbers_hold = media.times == Times.NUMBERED
        self._lost_s = 0.0  # since the last frame
        self._failed = False  # likewise
        self._ever_failed = False

    def __iter__(self) -> Iterator[Piece[av.AudioFrame]]:
        for packet in self._packets:
            self._lost_s += packet.lost_s
            self._failed |= packet.damaged
            for frame in self._frames_of(packet):
                seconds = frame.samples / frame.sample_rate
                time_s = self._time_of(packet, frame)
                yield Piece(frame, time_s, seconds, self._lost_s, self._failed)
                self._lost_s, self._failed = 0.0, False

    def _frames_of(self, piece: Piece[av.Packet]) -> list[av.AudioFrame]:
        import av

        try:
            frames = self._media.stream.codec_context.decode(piece.payload)
        except (av.error.FFmpegError, EOFError):
            lost_s = self._packets.failed(piece) if piece.payload.size else None
            if lost_s is not None:
                self._lost_s += lost_s
                self._failed = self._ever_failed = True
            return []
        if frames:
            self._packets.good(piece.payload)
        return frames

    def _time_of(self, piece: Piece[av.Packet], frame: av.AudioFrame) -> float | None:
        """Return the time of a frame where it means something.

        FLAC of old encoders numbers frames of changing size: such numbers are no times.
        """
        if self._media.format == "flac" and self._numbers_hold:
            head = bytes(memoryview(piece.payload)[:2]) if piece.payload.size else b""
            self._first_samples = self._first_samples or frame.samples
            counts_samples = len(head) == 2 and head[1] & 1
            self._numbers_hold = bool(counts_samples) or frame.samples == self._first_samples
        is_set = self._media.times == Times.SET and (
            piece.time_s is not None or not piece.payload.size
        )
        trusted = is_set or self._numbers_hold
        return frame.time if trusted else None

    def check_end(self, clock: Clock, limits: DecodeLimits) -> None:
        """Raise RecordingError where too much is missing, at the end or in all."""
        media = self._media
        failed = self._failed or self._packets.broken
        if clock.end_s == 0:
            self._nothing_decoded(failed)
        check_bit_rate(media, clock.end_s, limits)
        closed_s = sum(place.seconds for place in clock.missing if not place.filled)
        damaged_s = sum(place.seconds for place in clock.missing if place.kind == Kind.DAMAGE)
        if damaged_s > limits.max_damage_ratio * (clock.end_s + closed_s):
            raise RecordingError(
                "decode_error",
                f"{media.uri}: {damaged_s:.2f} s of {clock.end_s:.2f} s cannot be decoded",
            )
        short_s = 0.0
        if media.stated_s is not None:
            short_s = float(media.stated_s) - clock.end_s - closed_s
        too_short = short_s * 1000 > limits.missing_ms
        if too_short and not failed and short_s <= damaged_s:
            return  # how much bytes held that could not be decoded is an estimate
        self._note_tail(clock, limits)
        cut = failed and (media.stated_s is None or short_s > 0)
        if too_short or cut:
            stated = f" of {float(media.stated_s):.2f} s" if media.stated_s is not None else ""
            raise RecordingError(
                "truncated", f"{media.uri}: the audio ends after {clock.end_s:.2f} s{stated}"
            )

    def _note_tail(self, clock: Clock, limits: DecodeLimits) -> None:
        tail_s = self._packets.tail_s()
        if tail_s * 1000 > limits.tail_ms:
            end_s = clock.end_s
            clock.missing.append(Missing(end_s, end_s + tail_s, Kind.DAMAGE, filled=False))

    def _nothing_decoded(self, failed: bool) -> None:
        uri = self._media.uri
        if not self._media.known_format:
            raise RecordingError("not_audio", f"{uri}: no audio could be decoded")
        if failed or self._ever_failed or self._media.stated_s:
            raise RecordingError("truncated", f"{uri}: cut off before the first audio")
        raise RecordingError("no_samples", f"{uri}: the audio track is empty")


def _arrays(placed: Iterator[Placed], rate: int, channels: int) -> Iterator[np.ndarray]:
    """Yield samples and the silence between them, at one rate and with one number of channels."""
    for (its_rate, its_channels), part in groupby(placed, _format_of):
        arrays = _part(part)
        if (its_rate, its_channels) != (rate, channels):
            fitting = (_with_channels(array, channels) for array in arrays)
            arrays = resample_stream(fitting, its_rate, rate)
        yield from arrays


def _format_of(placed: Placed) -> tuple[int, int]:
    frame = placed[1].payload
    return frame.sample_rate, frame.layout.nb_channels


def _part(placed: Iterator[Placed]) -> Iterator[np.ndarray]:
    for missing, piece in placed:
        array = samples_of(piece.payload)
        if missing is not None and missing.filled:
            rate = piece.payload.sample_rate
            yield from _silence(array.shape[0], round(missing.seconds * rate), rate)
        yield array


def _silence(channels: int, samples: int, rate: int) -> Iterator[np.ndarray]:
    """Yield zeros, in blocks: a hole may be long."""
    for done in range(0, samples, rate * BLOCK_SECONDS):
        yield np.zeros((channels, min(samples - done, rate * BLOCK_SECONDS)), np.float32)


def _with_channels(array: np.ndarray, channels: int) -> np.ndarray:
    """Return float32 (channels, samples): the mean where the numbers differ."""
    if array.shape[0] == channels:
        return array
    return np.repeat(array.mean(axis=0, keepdims=True, dtype=np.float32), channels, axis=0)


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
