"""From the channels of a source to tracks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from wavemill.stages.audio.clock import sample_at
from wavemill.stages.audio.decode import Audio
from wavemill.stages.audio.resample import rechunk, resample_stream
from wavemill.stages.recording_stage import RecordingError

Channels = Literal["mix", "split"]
MAX_SAMPLE_RATE = 48_000
BLOCK_FRAMES = 25  # which channels are there is decided for each block of so many frames

CENTRE = frozenset({"FC"})
LOW = frozenset({"LFE", "LFE2"})  # effects below 120 Hz: no part of a mix
FRONT = frozenset({"FL", "FR", "FLC", "FRC", "WL", "WR", "SDL", "SDR", "DL", "DR"})


@dataclass(frozen=True, slots=True)
class MixSettings:
    """How channels become one, decided for each frame."""

    frame_ms: int = 40
    # A channel that stays so far below the loudest for so long counts as absent: it is added, but
    # takes no share of the level. One that had the same as another does at once.
    absent_db: float = -30.0
    memory_s: float = 60.0
    alike: float = 0.6  # correlation in a block
    silence_dbfs: float = -80.0  # RMS; below it nothing counts
    # Correlation of two channels below which one is turned over: in a frame, for which two
    # microphones in a room reach -0.87 once in a while, and in a whole block.
    opposed: float = -0.8
    block_opposed: float = -0.4
    block_unopposed: float = -0.2  # above it all channels are upright again
    unheard_db: float = -50.0  # a frame so far below the loudest turns nothing over
    fade_ms: int = 10  # from one polarity to the other
    surround_gain: float = 0.5  # of what is neither in the centre nor in front, beside a centre
    recovery: float = 1.02  # of the gain per frame, after a peak above full scale


class Turned:
    """Which channels of a source were turned over in its mix, and when."""

    def __init__(self) -> None:
        self._spans: dict[int, list[tuple[int, int]]] = {}  # by channel: start and end, ms
        self._end_ms = 0

    def add(self, channels: Iterable[int], start_ms: int, end_ms: int) -> None:
        """Note the next span; what is known is passed over, should the source be decoded anew."""
        if end_ms <= self._end_ms:
            return
        self._end_ms = end_ms
        for channel in channels:
            spans = self._spans.setdefault(channel, [])
            begun = spans.pop()[0] if spans and spans[-1][1] == start_ms else start_ms
            spans.append((begun, end_ms))

    def within(self, start_ms: int, end_ms: int) -> list[int]:
        """Return the channels, ascending, that were turned over somewhere in a span."""
        return sorted(
            channel
            for channel, spans in self._spans.items()
            if any(start < end_ms and end > start_ms for start, end in spans)
        )


@dataclass(frozen=True, slots=True)
class Tracks:
    """The tracks of a source while it is decoded."""

    sample_rate: int
    blocks: Iterator[np.ndarray]  # float32 (tracks, samples)


def tracks_of(
    audio: Audio,
    channels: Channels | Sequence[int | None],
    max_sample_rate: int,
    turned: Turned | None = None,
    settings: MixSettings | None = None,
) -> Tracks:
    """Return the tracks of `audio`, resampled down to `max_sample_rate` where it has more.

    "mix" makes one track of all channels (see `_mixed`), "split" makes each channel a track,
    numbers choose channels (None: the mix). What is turned over in the mix is added to `turned`
    before its samples come. Raises RecordingError `no_such_channel`.
    """
    rate = min(audio.sample_rate, max_sample_rate)
    wanted: Sequence[int | None] = range(audio.channels)
    if channels == "mix":
        wanted = [0 if audio.channels == 1 else None]
    elif channels != "split":
        wanted = channels
    missing = [c for c in wanted if c is not None and c >= audio.channels]
    if missing:
        raise RecordingError(
            "no_such_channel", f"there is no channel {missing[0]}, only {audio.channels} of them"
        )
    rows = _rows(audio, wanted, settings or MixSettings(), turned or Turned())
    return Tracks(rate, resample_stream(rows, audio.sample_rate, rate))


def _rows(
    audio: Audio,
    wanted: Sequence[int | None],
    settings: MixSettings,
    turned: Turned,
) -> Iterator[np.ndarray]:
    if list(wanted) == list(range(audio.channels)):
        yield from audio.blocks
    elif None not in wanted:
        for block in audio.blocks:
            yield block[[c for c in wanted if c is not None]]
    else:
        for block, mix in _mixed(audio, settings, turned):
            rows = [mix if c is None else block[c] for c in wanted]
            yield np.stack(rows) if len(rows) > 1 else mix[np.newaxis]


def _mixed(
    audio: Audio, settings: MixSettings, turned: Turned
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks (channels, samples) beside their mix (samples,); note in `turned`.

    The mix is the mean of the channels that are present. One that would cancel others is turned
    over first, so nothing that is heard in a channel is lost, whoever speaks in the other. Beside
    a centre, which carries the speech of films, the front and the rest are mixed for themselves
    and added. Nothing comes out above full scale that was below it. Depends on the samples alone,
    not on how they come in blocks.
    """
    frame = sample_at(settings.frame_ms, audio.sample_rate)
    fade = sample_at(settings.fade_ms, audio.sample_rate)
    gains = _Gains(audio.channels, audio.layout, settings)

    def summed() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        last: np.ndarray | None = None
        for number, block in enumerate(rechunk(audio.blocks, frame * BLOCK_FRAMES)):
            of_frames = gains.of(_covariances(block, frame), frame)
            mix = np.empty(block.shape[1], np.float32)
            for start, end, now in _runs(of_frames):
                part = slice(start * frame, min(end * frame, mix.size))
                mix[part] = _sum(block[:, part], now)
                if last is not None and (last != now).any():
                    turns = (np.sign(last) != np.sign(now)).any()  # at once; levels move slowly
                    ramp = slice(part.start, min(part.start + fade, part.stop)) if turns else part
                    _fade(mix[ramp], _sum(block[:, ramp], last))
                last = now
                at = np.array([start, end]) + number * BLOCK_FRAMES
                turned.add(np.flatnonzero(now < 0).tolist(), *(at * settings.frame_ms).tolist())
            yield block, mix

    yield from _limited(summed(), frame, settings.recovery)


def _covariances(block: np.ndarray, frame: int) -> np.ndarray:
    """Return sums of products of channels for each frame: (frames, channels, channels)."""
    channels, samples = block.shape
    whole = samples // frame * frame
    found = np.empty((-(-samples // frame), channels, channels))
    for i in range(channels):
        for j in range(i + 1):
            one, other = block[i], block[j]
            products = np.einsum(
                "kf,kf->k", one[:whole].reshape(-1, frame), other[:whole].reshape(-1, frame)
            )
            rest = [one[whole:] @ other[whole:]] if whole < samples else []
            found[:, i, j] = found[:, j, i] = [*products, *rest]
    return found


def _runs(gains: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (first frame, frame after the last, gains) of runs with equal gains."""
    changes = np.flatnonzero((gains[1:] != gains[:-1]).any(axis=1)) + 1
    edges = [0, *changes.tolist(), len(gains)]
    for start, end in pairwise(edges):
        yield start, end, gains[start]


def _sum(block: np.ndarray, gains: np.ndarray) -> np.ndarray:
    # Row by row, not as a product of matrices: that rounds differently from machine to machine.
    total = np.zeros(block.shape[1], np.float32)
    for row, gain in zip(block, gains.astype(np.float32), strict=True):
        if gain:
            total += gain * row
    return total


def _fade(mix: np.ndarray, before: np.ndarray) -> None:
    ramp = np.linspace(0, 1, mix.size, endpoint=False, dtype=np.float32)
    mix[:] = before + ramp * (mix - before)


class _Gains:
    """Decides the gain of each channel, frame by frame."""

    def __init__(self, channels: int, layout: Sequence[str], settings: MixSettings) -> None:
        self._settings = settings
        names = layout if len(layout) == channels else [""] * channels
        self._low = np.array([name in LOW for name in names])
        centre = np.array([name in CENTRE for name in names])
        front = np.array([name in FRONT for name in names])
        self._groups = [(~self._low, 1.0)]
        if centre.any():
            rest = ~(self._low | centre | front)
            self._groups = [(centre, 1.0), (front, 1.0), (rest, settings.surround_gain)]
        per_block = settings.frame_ms * BLOCK_FRAMES / 1000
        self._loudest: deque[np.ndarray] = deque(maxlen=round(settings.memory_s / per_block))
        self._plain = self._shares(np.ones(channels, bool))
        self._signs = np.ones(channels)
        self._twins = np.zeros(channels, bool)  # had the same as another, when both were there

    def of(self, covariances: np.ndarray, frame: int) -> np.ndarray:
        """Return the gains (frames, channels) of the next block."""
        powers = np.diagonal(covariances, axis1=1, axis2=2) / frame
        total = covariances.sum(axis=0)
        loudest = self._find_present(powers.max(axis=0), total)
        if self._correlation(total, self._plain) > self._settings.block_unopposed:
            self._signs[:] = 1
        elif self._opposed(total, self._settings.block_opposed):
            self._turn(total)
        heard = powers.max(axis=1) >= loudest * _ratio(self._settings.unheard_db)
        if not (heard & self._opposed(covariances, self._settings.opposed)).any():
            return np.broadcast_to(self._signs * self._plain, powers.shape)
        return np.stack([self._next(c, h) for c, h in zip(covariances, heard, strict=True)])

    def _find_present(self, powers: np.ndarray, total: np.ndarray) -> float:
        """Share the level among the channels that are there; return the power of the loudest."""
        absent = _ratio(self._settings.absent_db)
        self._loudest.append(powers)
        loudest = np.max(self._loudest, axis=0)
        there = powers >= absent * powers.max()
        if powers.max() >= absent * loudest.max() and there.sum() > 1:
            level = np.sqrt(np.diagonal(total)[there])
            alike = np.abs(total[np.ix_(there, there)]) / np.outer(level, level)
            self._twins[there] = (alike - np.eye(len(alike))).max(axis=0) > self._settings.alike
        floor = max(absent * loudest.max(), _ratio(self._settings.silence_dbfs))
        present = (loudest >= floor) & (there | ~self._twins)
        if present.any():
            self._plain = self._shares(present)
        return float(loudest.max())

    def _shares(self, present: np.ndarray) -> np.ndarray:
        gains = np.zeros(present.size)
        for group, gain in self._groups:
            gains[group] = gain / max(1, int((present & group).sum()))
        if not (present & ~self._low).any():  # nothing but effects
            gains[self._low] = 1 / int(self._low.sum())
        return gains

    def _next(self, covariance: np.ndarray, heard: bool) -> np.ndarray:
        """Return the gains of the next frame."""
        if heard and self._opposed(covariance, self._settings.opposed):
            self._turn(covariance)
        return self._signs * self._plain

    def _opposed(self, covariances: np.ndarray, limit: float) -> np.ndarray:
        return self._correlation(covariances, self._signs * self._plain) < limit

    def _correlation(self, covariances: np.ndarray, gains: np.ndarray) -> np.ndarray:
        """Return the least correlation of two channels with these gains that are there to hear."""
        powers = np.diagonal(covariances, axis1=-2, axis2=-1)
        least = powers.max(axis=-1, keepdims=True) * _ratio(self._settings.absent_db)
        there = (gains != 0) & (powers >= least) & (powers > 0)
        scale = np.where(there, np.sign(gains) / np.sqrt(np.where(there, powers, 1)), 0)
        found = covariances * scale[..., np.newaxis, :] * scale[..., np.newaxis]
        return found.min(axis=(-2, -1))  # the diagonal is 1 or 0: never the least by itself

    def _turn(self, covariance: np.ndarray) -> None:
        """Turn channels over, the worst first, until each adds to what the others have."""
        for _ in self._signs:
            gains = self._signs * self._plain
            adds = gains * (covariance @ gains) - gains**2 * np.diagonal(covariance)
            worst = adds.size - 1 - int(np.argmin(adds[::-1]))  # of two, the second
            if adds[worst] >= 0:
                return
            self._signs[worst] *= -1


def _ratio(decibels: float) -> float:
    """Return the ratio of powers."""
    return float(10 ** (decibels / 10))


def _limited(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], frame: int, recovery: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Lower the mix where it is above full scale and above its channels, without a step."""
    gain = 1.0
    held: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # of one block: the next is needed
    for block, mix in blocks:
        allowed = _allowed(block, mix, frame)
        if held:
            gain = _lower(*held[0][1:], gain, float(allowed[0]), frame, recovery)
            yield held.pop()[:2]
        held.append((block, mix, allowed))
    if held:
        _lower(*held[0][1:], gain, 1.0, frame, recovery)
        yield held.pop()[:2]


def _allowed(block: np.ndarray, mix: np.ndarray, frame: int) -> np.ndarray:
    """Return for each frame the gain, at most 1, that keeps the mix within its limits."""
    starts = range(0, mix.size, frame)
    peaks = np.maximum.reduceat(np.abs(mix), starts)
    if peaks.max() <= 1:
        return np.ones(peaks.size)
    limits = np.maximum.reduceat(np.abs(block).max(axis=0), starts)
    return np.minimum(1.0, np.maximum(limits, 1.0) / np.maximum(peaks, 1.0))


def _lower(
    mix: np.ndarray, allowed: np.ndarray, gain: float, following: float, frame: int, recovery: float
) -> float:
    """Apply gains to `mix` that move in lines from frame to frame; return the last.

    `gain` is the last one before, `following` what the frame after the mix allows.
    """
    edges = [min(gain, float(allowed[0]))]
    for here, there in zip(allowed, [*allowed[1:], following], strict=True):
        edges.append(min(float(here), float(there), edges[-1] * recovery, 1.0))
    if min(edges) < 1:
        places = [*range(0, mix.size, frame), mix.size]
        mix *= np.interp(np.arange(mix.size), places, edges).astype(np.float32)
    return edges[-1]
