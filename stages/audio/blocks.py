"""Where the samples of a track come from: stored blocks, or the source file itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from wavemill.manifests.recording import Recording
from wavemill.stages.audio.block_table import STAGE_OF
from wavemill.stages.audio.clock import sample_at
from wavemill.stages.audio.decode import open_audio
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.audio.limits import DecodeLimits
from wavemill.stages.audio.missing import Lack, lacks_of_source
from wavemill.stages.audio.mixing import MAX_SAMPLE_RATE, Turned, tracks_of
from wavemill.stages.audio.resample import rechunk
from wavemill.stages.audio.source import check_unchanged
from wavemill.stages.audio.timeline import Missing
from wavemill.stages.recording_stage import RecordingError, Upstream

BLOCK_MS = 60_000
HELD_BLOCKS = 2  # a segment that crosses a boundary needs two


class Blocks(ABC):
    """Audio as a sequence of blocks, of which the latest few are held in memory."""

    def __init__(self, sample_rate: int, starts: list[int]) -> None:
        self.sample_rate = sample_rate
        self.starts = starts  # first sample of each block, ascending
        self._held: OrderedDict[int, np.ndarray] = OrderedDict()

    def block(self, index: int) -> np.ndarray:
        """Return block `index` as float32 (…, samples); empty beyond the end of the audio."""
        if index not in self._held:
            self._held[index] = self.load(index)
            while len(self._held) > HELD_BLOCKS:
                self._held.popitem(last=False)
        self._held.move_to_end(index)
        return self._held[index]

    @property
    @abstractmethod
    def lacks(self) -> list[Lack]:
        """Where audio is missing, as far as blocks were loaded."""

    @property
    def found_missing(self) -> list[Missing]:
        """What decoding found to be missing; nothing where none is done."""
        return []

    @abstractmethod
    def load(self, index: int) -> np.ndarray:
        """Fetch block `index`."""

    @abstractmethod
    def inverted(self, start_ms: int, end_ms: int) -> list[int]:
        """Return the channels that were turned over in the mix of a span that was read."""


class StoredBlocks(Blocks):
    """Blocks of the table of decode or denoise: one track, one version."""

    def __init__(
        self,
        upstream: Upstream,
        track: int,
        version: str,
        sample_rate: int,
        spans: list[tuple[int, int]],
    ) -> None:
        super().__init__(sample_rate, [sample_at(start, sample_rate) for start, _ in spans])
        self._upstream, self._track, self._version = upstream, track, version
        self._stage = STAGE_OF[version]
        self._spans = spans

    @cached_property
    def lacks(self) -> list[Lack]:
        rows = self._upstream.table(self._stage, ["track", "version", "missing"]).to_pylist()
        mine = [r for r in rows if (r["track"], r["version"]) == (self._track, self._version)]
        return [Lack(**span) for row in mine for span in row["missing"]]

    def load(self, index: int) -> np.ndarray:
        start, end = self._spans[index]
        columns = ["track", "version", "start_ms", "audio"]
        for batch in self._upstream.batches(self._stage, columns, between=(start, end)):
            tracks, versions, starts, audio = batch.columns
            for row in range(batch.num_rows):
                key = (tracks[row].as_py(), versions[row].as_py(), starts[row].as_py())
                if key == (self._track, self._version, start):
                    return decode_flac(audio[row].as_py())[0]
        raise LookupError(f"{self._stage} has no block at {start} ms of track {self._track}")

    def inverted(self, start_ms: int, end_ms: int) -> list[int]:
        columns = ["track", "version", "start_ms", "end_ms", "inverted_channels"]
        found: set[int] = set()
        for batch in self._upstream.batches(self._stage, columns, between=(start_ms, end_ms)):
            for row in batch.to_pylist():
                mine = (row["track"], row["version"]) == (self._track, self._version)
                if mine and row["start_ms"] < end_ms and row["end_ms"] > start_ms:
                    found.update(row["inverted_channels"])
        return sorted(found)


class SourceBlocks(Blocks):
    """Blocks (tracks, samples) of a source file, decoded forward; going back starts it anew.

    A track is a channel, or the mix of all (None).
    """

    def __init__(
        self,
        recording: Recording,
        sample_rate: int,
        channels: Sequence[int | None],
        limits: DecodeLimits,
    ) -> None:
        count = max(1, -(-recording.duration_ms // BLOCK_MS))
        self._length = sample_at(BLOCK_MS, sample_rate)
        super().__init__(sample_rate, [index * self._length for index in range(count)])
        self._uri, self._recording_id = recording.uri, recording.recording_id
        self._limits = limits
        self._missing: list[Missing] = []  # grows with decoding
        self._channels = channels
        self._turned = Turned()
        self._blocks: Iterator[np.ndarray] = iter(())
        self._next = 0
        self._started = False

    @property
    def lacks(self) -> list[Lack]:
        return lacks_of_source(self._missing)

    @property
    def found_missing(self) -> list[Missing]:
        return self._missing

    def load(self, index: int) -> np.ndarray:
        if index < self._next or not self._started:
            self._blocks, self._next, self._started = self._decoded(), 0, True
        block = nothing = np.zeros((len(self._channels), 0), np.float32)
        try:
            while self._next <= index:
                block = next(self._blocks, nothing)
                self._next += 1
            check_unchanged(self._uri, self._recording_id)
        except RecordingError:
            self._started = False  # asked again, it fails again
            raise
        return block

    def _decoded(self) -> Iterator[np.ndarray]:
        with open_audio(self._uri, self._limits, self._recording_id) as audio:
            self._missing = audio.missing
            tracks = tracks_of(audio, self._channels, MAX_SAMPLE_RATE, self._turned)
            yield from rechunk(tracks.blocks, self._length)

    def inverted(self, start_ms: int, end_ms: int) -> list[int]:
        return self._turned.within(start_ms, end_ms)


class OneOf(Blocks):
    """One track of blocks that hold several."""

    def __init__(self, tracks: SourceBlocks, row: int, mixed: bool) -> None:
        super().__init__(tracks.sample_rate, tracks.starts)
        self._tracks, self._row, self._mixed = tracks, row, mixed

    @property
    def lacks(self) -> list[Lack]:
        return self._tracks.lacks

    @property
    def found_missing(self) -> list[Missing]:
        return self._tracks.found_missing

    def load(self, index: int) -> np.ndarray:
        return self._tracks.block(index)[self._row]

    def inverted(self, start_ms: int, end_ms: int) -> list[int]:
        return self._tracks.inverted(start_ms, end_ms) if self._mixed else []


def source_blocks(
    recording: Recording, channels: Sequence[int | None], limits: DecodeLimits
) -> list[Blocks]:
    """Open the source of a labelled recording: one track per channel (None: the mix of all).

    The tracks share one decoding. Raises RecordingError when it cannot be read.
    """
    with open_audio(recording.uri, limits, recording.recording_id) as audio:
        rate = min(audio.sample_rate, MAX_SAMPLE_RATE)
    tracks = SourceBlocks(recording, rate, channels, limits)
    return [OneOf(tracks, row, channel is None) for row, channel in enumerate(channels)]
