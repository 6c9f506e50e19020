"""Reading a recording's audio by time, wherever it is stored."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator

import numpy as np

from wavemill.manifests.recording import Recording
from wavemill.stages.audio.block_table import STAGE_OF
from wavemill.stages.audio.blocks import Blocks, StoredBlocks, source_blocks
from wavemill.stages.audio.clock import sample_at
from wavemill.stages.audio.limits import DEFAULT_LIMITS, DecodeLimits
from wavemill.stages.audio.resample import rechunk, resample, resample_stream
from wavemill.stages.audio.timeline import Missing
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.segments import track_of

CHUNK_MS = 60_000
MARGIN_MS = 50  # read around a resampled span, so that its edges see their neighbourhood


class Track:
    """One mono track of a recording: of one version, or of a labelled recording's source."""

    def __init__(self, track: int, duration_ms: int, blocks: Blocks) -> None:
        self.track = track
        self.duration_ms = duration_ms
        self.sample_rate = blocks.sample_rate
        self._blocks = blocks

    def read(self, start_ms: int, end_ms: int, sample_rate: int | None = None) -> np.ndarray:
        """Return the samples from start_ms to end_ms: float32 mono (samples,), full scale 1.0.

        The first is sample_at(start_ms), the last the one before sample_at(end_ms), at
        `sample_rate` (default: the track's own), so adjoining spans join without a seam; a span
        that goes beyond the audio comes back shorter. Another rate than the track's is resampled
        with its surroundings: the result is the span of the whole track resampled at once.
        """
        if sample_rate is None or sample_rate == self.sample_rate:
            return self._samples(
                sample_at(start_ms, self.sample_rate), sample_at(end_ms, self.sample_rate)
            )
        # Times at which both rates have a sample are 1 / gcd seconds apart: begin at such a one.
        common = math.gcd(self.sample_rate, sample_rate)
        ratio_in, ratio_out = self.sample_rate // common, sample_rate // common
        first, last = sample_at(start_ms, sample_rate), sample_at(end_ms, sample_rate)
        begin = max(0, first - sample_at(MARGIN_MS, sample_rate)) // ratio_out
        finish = -(-(last + sample_at(MARGIN_MS, sample_rate)) // ratio_out)
        source = self._samples(begin * ratio_in, finish * ratio_in)
        output = resample(source, self.sample_rate, sample_rate)
        offset = begin * ratio_out
        return output[first - offset : last - offset]

    def inverted(self, start_ms: int, end_ms: int) -> list[int]:
        """Return the channels that were turned over in the mix of a span that was read.

        Of stored audio: somewhere in the blocks that the span touches.
        """
        return self._blocks.inverted(start_ms, end_ms)

    def stream(self, sample_rate: int, chunk_ms: int = CHUNK_MS) -> Iterator[np.ndarray]:
        """Yield the whole track at `sample_rate`, resampled as one signal, in order.

        Chunks are float32 (samples,) of exactly `chunk_ms`, the last shorter.
        """
        blocks = (self._blocks.block(index) for index in range(len(self._blocks.starts)))
        resampled = resample_stream(
            (block for block in blocks if block.size), self.sample_rate, sample_rate
        )
        yield from rechunk(resampled, sample_at(chunk_ms, sample_rate))

    @property
    def found_missing(self) -> list[Missing]:
        """What a source that was decoded here lacks, as far as it was; nothing of stored blocks."""
        return self._blocks.found_missing

    def lacking(self, start_ms: int, end_ms: int, kind: str) -> float:
        """Return which share of a span that was read is missing in this way, 0 to 1."""
        if start_ms >= end_ms:
            return 0.0
        lacks = [lack for lack in self._blocks.lacks if lack.kind == kind]
        return min(1.0, sum(lack.share_of(start_ms, end_ms) for lack in lacks))

    def _samples(self, start: int, stop: int) -> np.ndarray:
        starts = self._blocks.starts
        parts = [np.zeros(0, np.float32)]
        for index in range(max(0, bisect_right(starts, start) - 1), len(starts)):
            if starts[index] >= stop:
                break
            block = self._blocks.block(index)
            parts.append(block[max(0, start - starts[index]) : max(0, stop - starts[index])])
        return np.concatenate(parts)


def open_tracks(
    recording: Recording, upstream: Upstream, version: str, limits: DecodeLimits = DEFAULT_LIMITS
) -> list[Track]:
    """Return the tracks of a recording, ordered by number.

    Raw recordings are read from the stored blocks of `version` ('original' or 'enhanced'); a
    labelled recording is its source (`version` says nothing there), with the tracks that its
    items are about (see `track_of`), and is decoded forward within `limits`, so read its items in
    time order. Raises RecordingError where the source of a labelled recording cannot be read.
    """
    if recording.labelled:
        channels = dict(sorted({(track_of(item), item.channel) for item in recording.items}))
        blocks = source_blocks(recording, list(channels.values()), limits)
        return [
            Track(track, recording.duration_ms, one)
            for track, one in zip(channels, blocks, strict=True)
        ]
    columns = ["track", "version", "start_ms", "end_ms", "sample_rate"]
    rows = upstream.table(STAGE_OF[version], columns).to_pylist()
    spans: dict[int, list[tuple[int, int]]] = {}
    for row in rows:
        if row["version"] == version:
            spans.setdefault(row["track"], []).append((row["start_ms"], row["end_ms"]))
    rate = rows[0]["sample_rate"] if rows else 0
    return [
        Track(
            track,
            max(end for _, end in spans[track]),
            StoredBlocks(upstream, track, version, rate, sorted(spans[track])),
        )
        for track in sorted(spans)
    ]
